'use strict';
// The persistent client: `connect()`, events and asynchronous iteration.

const { EventEmitter } = require('node:events');
const { host, ends } = require('./native.js');
const {
  LongwireError,
  errorCodes,
  errorFrom,
  headersFrom,
  incomplete,
  invalid,
} = require('./errors.js');
const { CLIENT, SEND, SEND_STREAM, check, nativeConfig } = require('./options.js');
const { Inbox } = require('./inbox.js');
const { ChunkInbox } = require('./message-stream.js');
const { SendStream } = require('./send-stream.js');
const { BufferView, asBytes } = require('./payload.js');

/** In the order of the core's `State`. */
const STATES = ['connecting', 'open', 'down', 'closing', 'closed'];
const RECEIVE_BUFFER = 16 << 20;
/** Milliseconds between two looks for room to send, while no event can tell. */
const LOOK = 20;

/** Only `connect` makes clients. */
const token = Symbol('connect');

// The addon calls these with the client as `this`.
let onTexts, onBinary, onChunk, onEvent;

class Client extends EventEmitter {
  #native;
  #send;
  #url;
  #inbox;
  /** Calls of `next` that wait for a message, oldest first. */
  #waiting = [];
  #limit;
  #paused = false;
  #closing = false;
  /** The latest round trip, once there is nobody left to ask. */
  #latency = null;
  /** What `close` reported, once it did. */
  #end = null;
  /** The error that the iteration still has to throw. */
  #failure = null;
  #closed;
  #resolveClosed;
  /** Settles the promise of `connect`; null once it is settled. */
  #settle;
  #opened = { subprotocol: null, extensions: '', headers: {}, reconnects: 0, attempt: 0 };
  /** Payload as Latin-1 to the pings that wait for it. */
  #pings = new Map();
  /** The message that is sent in pieces, or was. */
  #sending = null;
  /** A send was refused, and `drain` is owed. */
  #full = false;
  #look = null;
  #pingNumber = 0;

  constructor(key, url, options, settle) {
    if (key !== token) throw invalid('a Client is made by connect(url, options)');
    super();
    const checked = check(CLIENT, options);
    this.#url = url instanceof URL ? url.href : url;
    if (typeof this.#url !== 'string')
      throw invalid(`connect: expected the URL as a string or URL, got ${typeof url}`);
    this.#limit = checked.receiveBuffer ?? RECEIVE_BUFFER;
    this.#settle = settle;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const config = nativeConfig(this.#url, checked);
    const streaming = checked.streaming === true;
    this.#inbox = streaming
      ? new ChunkInbox(
          () => this.#resume(),
          () => this.#offer(),
        )
      : new Inbox();
    const started = host.start(config, this, onTexts, streaming ? onChunk : onBinary, onEvent);
    if (started.kind !== undefined) throw errorFrom(started);
    this.#native = started;
    this.#send = started.sender();
    super.on('newListener', (name) => {
      if (name === 'message' && !this.#inbox.empty) queueMicrotask(() => this.#offer());
    });
  }

  static {
    onTexts = function (...messages) {
      for (const message of messages) this.#deliver(message);
    };

    onBinary = function (buffer, count) {
      if (count === undefined) {
        this.#deliver(new BufferView(buffer, 0, buffer.byteLength));
        return;
      }
      for (let i = 0, start = 0; i < count; i++) {
        const end = ends[i];
        this.#deliver(new BufferView(buffer, start, end - start));
        start = end;
      }
    };

    onChunk = function (buffer, flags) {
      if (!this.#admit()) {
        this.#inbox.cut(incomplete(true));
        return;
      }
      this.#inbox.push(buffer, flags);
      this.#offer();
    };

    onEvent = function (name, detail) {
      switch (name) {
        case 'open':
          return this.#onOpen(detail);
        case 'down':
          return this.#onDown(detail);
        case 'pong':
          return this.#onPong(detail);
        case 'drain':
          return this.#onDrain();
        case 'close':
          return this.#onClose(detail);
      }
    };
  }

  /**
   * Emits. What a listener throws becomes an `uncaughtException` of its own, so
   * that the messages behind this one are not lost with it.
   */
  #tell(name, ...details) {
    try {
      return this.emit(name, ...details);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
      return true;
    }
  }

  #deliver(message) {
    if (this.#inbox.empty) {
      if (this.#tell('message', message)) return;
      if (this.#waiting.length > 0) {
        this.#waiting.shift().resolve({ value: message, done: false });
        return;
      }
    }
    if (this.#admit()) this.#inbox.push(message);
  }

  /** Whether what arrived is kept. */
  #admit() {
    if (this.#inbox.bytes >= this.#limit) {
      // The addon is told to stop at the limit, and what it had fetched by then
      // is kept. After `close` the end has to be fetched, consumer or not.
      if (this.#closing) return false;
      this.#pause(true);
    }
    return true;
  }

  #take() {
    const message = this.#inbox.shift();
    this.#resume();
    return message;
  }

  #resume() {
    if (this.#paused && this.#inbox.bytes <= this.#limit / 2) this.#pause(false);
  }

  #pause(paused) {
    if (this.#paused === paused) return;
    this.#paused = paused;
    this.#native.pause(paused);
    this.#lookForRoom();
  }

  /** Hands out what waited. */
  #offer() {
    while (!this.#inbox.empty) {
      if (this.listenerCount('message') > 0) this.#tell('message', this.#take());
      else if (this.#waiting.length > 0)
        this.#waiting.shift().resolve({ value: this.#take(), done: false });
      else return;
    }
    if (this.#end && this.#inbox.exhausted)
      for (const waiting of this.#waiting.splice(0)) this.#finish(waiting);
  }

  #onFull() {
    this.#full = true;
    this.#lookForRoom();
  }

  #onDrain() {
    if (!this.#full) return;
    this.#full = false;
    this.#sending?.retry();
    this.#tell('drain');
  }

  /**
   * While the inbox is full no event comes, `drain` neither; but who empties the
   * inbox may be waiting for just that.
   */
  #lookForRoom() {
    if (!this.#paused || !this.#full) {
      clearInterval(this.#look);
      this.#look = null;
      return;
    }
    this.#look ??= setInterval(() => {
      this.#sending?.retry();
      if (this.#native.bufferedAmount === 0) this.#onDrain();
      this.#lookForRoom();
    }, LOOK).unref();
  }

  /** The connection of the moment is gone. */
  #interrupt(cause) {
    const error = incomplete(this.#closing, cause);
    this.#sending?.interrupt(error);
    this.#sending = null;
    if (this.#inbox instanceof ChunkInbox) this.#inbox.interrupt(error);
  }

  #onOpen(opened) {
    this.#opened = { ...opened, subprotocol: opened.subprotocol ?? null };
    this.#opened.headers = headersFrom(opened.headers);
    const settle = this.#settle;
    this.#settle = null;
    settle?.resolve(this);
    this.#tell('open', { ...this.#opened });
  }

  #onDown({ error: failure, code, attempt, retryIn }) {
    const error = errorFrom(failure);
    if (this.#settle) {
      this.#native.release();
      this.#onClose({ code: 1006, reason: '', clean: false, error: failure });
      return;
    }
    this.#failPings(error);
    this.#interrupt(error);
    this.#tell('down', { error, code, attempt, retryIn });
  }

  #onPong({ payload, roundTrip }) {
    const pings = this.#pings.get(payload);
    this.#pings.delete(payload);
    for (const ping of pings ?? []) ping.resolve(roundTrip);
    this.#tell('pong', { payload: Buffer.from(payload, 'latin1'), roundTrip });
  }

  #onClose({ code, reason, clean, error: failure }) {
    const error = failure ? errorFrom(failure) : undefined;
    const end = { code, reason, clean, error };
    this.#end = end;
    this.#latency = this.#native.roundTrip ?? null;
    this.#failure = error ?? null;
    const settle = this.#settle;
    this.#settle = null;
    settle?.reject(error ?? this.#goneError());
    this.#failPings(error ?? this.#goneError());
    this.#interrupt(error ?? this.#goneError());
    this.#offer();
    this.#resolveClosed(end);
    this.#tell('close', end);
  }

  #goneError() {
    const { code, reason } = this.#end;
    return new LongwireError('LW_ECLOSED', `the connection is closed (${code} ${reason})`);
  }

  #finish({ resolve, reject }) {
    const failure = this.#failure;
    this.#failure = null;
    if (failure) reject(failure);
    else resolve({ value: undefined, done: true });
  }

  #failPings(error) {
    for (const pings of this.#pings.values()) for (const ping of pings) ping.reject(error);
    this.#pings.clear();
  }

  #next() {
    if (!this.#inbox.empty) return Promise.resolve({ value: this.#take(), done: false });
    return new Promise((resolve, reject) => {
      if (this.#end && this.#inbox.exhausted) this.#finish({ resolve, reject });
      else if (this.listenerCount('message') > 0)
        reject(invalid("cannot iterate: the messages go to the 'message' listeners", Error));
      else this.#waiting.push({ resolve, reject });
    });
  }

  [Symbol.asyncIterator]() {
    return {
      next: () => this.#next(),
      // Leaving the loop ends neither the connection nor later loops.
      return: (value) => Promise.resolve({ value, done: true }),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  send(data, options = undefined) {
    const payload = typeof data === 'string' ? data : asBytes(data);
    if (payload === undefined)
      throw invalid(`send: expected a string, ArrayBuffer or view, got ${typeof data}`);
    const compress = options === undefined || (check(SEND, options, 'send.').compress ?? true);
    const failure = compress ? this.#send(payload) : this.#send(payload, true);
    if (failure !== undefined) throw this.#refused(failure);
  }

  #refused(failure) {
    if (failure.kind === errorCodes.LW_EFULL) this.#onFull();
    return errorFrom(failure);
  }

  createSendStream(options = {}) {
    const { text, compress } = check(SEND_STREAM, options, 'createSendStream.');
    const begun = this.#native.beginMessage(text ?? false, compress ?? true);
    if (begun.kind !== undefined) throw errorFrom(begun);
    this.#sending = new SendStream(
      begun,
      () => this.#closing,
      () => this.#onFull(),
    );
    return this.#sending;
  }

  ping(data) {
    const payload =
      data === undefined
        ? Buffer.from(`longwire ${++this.#pingNumber}`)
        : typeof data === 'string'
          ? Buffer.from(data)
          : asBytes(data);
    if (payload === undefined)
      throw invalid(`ping: expected a string, ArrayBuffer or view, got ${typeof data}`);
    const failure = this.#native.ping(payload);
    if (failure) throw this.#refused(failure);
    const answer = new Promise((resolve, reject) => {
      const key = Buffer.from(payload).toString('latin1');
      const pings = this.#pings.get(key);
      if (pings) pings.push({ resolve, reject });
      else this.#pings.set(key, [{ resolve, reject }]);
    });
    // A ping that nobody awaits must not end the process when the link is lost.
    answer.catch(() => {});
    return answer;
  }

  close(code = 1000, reason = '') {
    if (!Number.isInteger(code) || code < 1000 || code > 4999)
      throw invalid(`close: expected a code from 1000 to 4999, got ${String(code)}`);
    if (typeof reason !== 'string')
      throw invalid(`close: expected the reason as a string, got ${typeof reason}`);
    const failure = this.#native.close(code, reason);
    if (failure && !this.#end) throw errorFrom(failure);
    this.#closing = true;
    this.#pause(false);
    return this.#closed;
  }

  get closed() {
    return this.#closed;
  }

  get url() {
    return this.#url;
  }

  get state() {
    return this.#end ? 'closed' : STATES[this.#native.state];
  }

  get bufferedAmount() {
    return this.#native.bufferedAmount;
  }

  get latency() {
    return this.#end ? this.#latency : (this.#native.roundTrip ?? null);
  }

  get subprotocol() {
    return this.#opened.subprotocol;
  }

  get extensions() {
    return this.#opened.extensions;
  }

  get headers() {
    return this.#opened.headers;
  }

  get reconnects() {
    return this.#opened.reconnects;
  }

  ref() {
    this.#native.keepAlive(true);
    return this;
  }

  unref() {
    this.#native.keepAlive(false);
    return this;
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}

/** Opens a connection that is reopened when it is lost. */
function connect(url, options = {}) {
  return new Promise((resolve, reject) => {
    new Client(token, url, options, { resolve, reject });
  });
}

module.exports = { connect, Client };
