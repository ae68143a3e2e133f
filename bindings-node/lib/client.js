'use strict';
// The persistent client: `connect()`, events and asynchronous iteration.

const { EventEmitter } = require('node:events');
const { host, ends } = require('./native.js');
const { throwLater } = require('./callbacks.js');
const { isLogged, publish, publishLines } = require('./channels.js');
const {
  LongwireError,
  errorCodes,
  errorFrom,
  headersFrom,
  incomplete,
  invalid,
} = require('./errors.js');
const { CLIENT, SEND, SEND_STREAM, check, nativeConfig } = require('./options.js');
const { Hooks, hookError } = require('./hooks.js');
const { Inbox } = require('./inbox.js');
const { ChunkInbox } = require('./message-stream.js');
const { Opening } = require('./opening.js');
const { Pings } = require('./pings.js');
const { SendStream } = require('./send-stream.js');
const { statsFrom } = require('./stats.js');
const { BufferView, asBytes } = require('./payload.js');

/** In the order of the core's `State`. */
const STATES = ['connecting', 'open', 'down', 'closing', 'closed'];
const RECEIVE_BUFFER = 16 << 20;
/** Milliseconds between two looks at what events would tell, while none can come. */
const LOOK = 20;
const CLOSED = STATES.indexOf('closed');
/** What a send that is not like most of them tells the addon, see `send.rs`. */
const UNCOMPRESSED = 1;
const AHEAD = 2;
/** How a connection that was lost shows before there was an event. */
const GONE = new Set(['LW_EOFFLINE', 'LW_ECLOSED']);

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
  #hooks;
  /** The user wants to be heard although no message is taken. */
  #isAsked;
  #consumerTimeout;
  #onOpened;
  /** The `onOpen` that holds the queue back. */
  #opening = null;
  #unsent = null;
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
  #pings = new Pings();
  /** The message that is sent in pieces, or was. */
  #sending = null;
  /** A send was refused, and `drain` is owed. */
  #full = false;
  #look = null;

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
    this.#onOpened = checked.onOpen;
    this.#consumerTimeout = checked.consumerTimeout !== undefined;
    this.#isAsked =
      this.#consumerTimeout ||
      checked.beforeConnect !== undefined ||
      checked.shouldReconnect !== undefined;
    const config = nativeConfig(this.#url, checked, isLogged());
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
    this.#hooks = new Hooks(started, checked);
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
      this.#keep(buffer, flags);
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
        case 'beforeConnect':
          return this.#hooks.beforeConnect(detail);
        case 'shouldReconnect':
          return this.#onOutage(detail);
        case 'log':
          return publishLines(this, detail);
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
      throwLater(error);
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
    if (this.#admit()) this.#keep(message);
  }

  #keep(...arrived) {
    const first = this.#consumerTimeout && this.#inbox.bytes === 0;
    this.#inbox.push(...arrived);
    if (first && this.#inbox.bytes > 0) this.#native.noteConsumer(true);
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
    if (this.#consumerTimeout) this.#native.noteConsumer(this.#inbox.bytes > 0);
    if (this.#paused && this.#inbox.bytes <= this.#limit / 2) this.#pause(false);
  }

  #pause(paused) {
    if (this.#paused === paused) return;
    this.#paused = paused;
    this.#native.pause(paused);
    this.#lookAround();
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
    this.#lookAround();
  }

  #onDrain() {
    if (!this.#full) return;
    this.#full = false;
    this.#sending?.retry();
    this.#tell('drain');
  }

  /**
   * While the inbox is full no event comes, `drain` neither; but who empties the
   * inbox may be waiting for just that. Nor does a question, or the end.
   */
  #lookAround() {
    if (!this.#paused || !(this.#full || this.#isAsked)) {
      clearInterval(this.#look);
      this.#look = null;
      return;
    }
    this.#look ??= setInterval(() => {
      if (this.#full) {
        this.#sending?.retry();
        if (this.#native.bufferedAmount === 0) this.#onDrain();
      }
      if (this.#isAsked) this.#lookForQuestion();
      this.#lookAround();
    }, LOOK).unref();
  }

  #lookForQuestion() {
    const question = this.#native.question() ?? null;
    if (question !== null && 'down' in question) this.#onOutage(question);
    else if (question !== null) this.#hooks.beforeConnect(question);
    // What is left has a bound, and the end is behind it.
    else if (this.#native.state === CLOSED) this.#pause(false);
  }

  /** The connection of the moment is gone. */
  #interrupt(cause) {
    const error = incomplete(this.#closing, cause);
    this.#sending?.interrupt(error);
    this.#sending = null;
    if (this.#inbox instanceof ChunkInbox) this.#inbox.interrupt(error);
  }

  #onOpen({ hold, ...opened }) {
    this.#opened = { ...opened, subprotocol: opened.subprotocol ?? null };
    this.#opened.headers = headersFrom(opened.headers);
    if (this.#onOpened === undefined) {
      this.#connected();
    } else {
      const opening = new Opening(this.#native, hold);
      this.#opening = opening;
      opening.run(this.#onOpened, this, (...thrown) => this.#onOpenDone(opening, thrown));
    }
    if (this.#end) return;
    publish('open', this, this.#opened);
    this.#tell('open', { ...this.#opened });
  }

  #onOpenDone(opening, thrown) {
    // What a handler says of a connection that is gone, the loss has said.
    if (this.#opening !== opening) return;
    this.#opening = null;
    if (thrown.length === 0) return this.#connected();
    const [error] = thrown;
    if (this.#settle) this.#abandon(hookError('onOpen', error), error);
    else if (!(error instanceof LongwireError && GONE.has(error.code))) throwLater(error);
  }

  #connected() {
    this.#settle?.resolve(this);
    this.#settle = null;
  }

  /** The first connection comes to nothing. */
  #abandon(error, rejection = error) {
    this.#settle.reject(rejection);
    this.#settle = null;
    this.#native.release();
    const unsent = { unsentMessages: 0, unsentBytes: 0 };
    this.#over({ code: 1006, reason: '', clean: false, error, ...unsent });
  }

  #onOutage(outage) {
    // `connect` is about to fail, whatever the user would say. (A question overtakes
    // other events, so that `open` may still be on its way.)
    if (this.#settle && this.#native.stats().connections === 0)
      this.#native.decide(outage.ask, false);
    else this.#hooks.shouldReconnect(outage);
  }

  #onDown({ error: failure, code, attempt, retryIn }) {
    const error = this.#hooks.errorFrom(failure);
    this.#opening = null;
    if (this.#settle) return this.#abandon(error);
    this.#pings.fail(error);
    this.#interrupt(error);
    const down = { error, code, attempt, retryIn };
    publish('down', this, down);
    this.#tell('down', down);
  }

  #onPong({ payload, roundTrip }) {
    this.#pings.answered(payload, roundTrip);
    this.#tell('pong', { payload: Buffer.from(payload, 'latin1'), roundTrip });
  }

  #onClose({ error: failure, ...end }) {
    this.#over({ ...end, error: failure && this.#hooks.errorFrom(failure) });
  }

  #over(end) {
    const { error } = end;
    this.#end = end;
    this.#opening = null;
    this.#latency = this.#native.roundTrip ?? null;
    this.#failure = error ?? null;
    this.#settle?.reject(error ?? this.#goneError());
    this.#settle = null;
    this.#pings.fail(error ?? this.#goneError());
    this.#interrupt(error ?? this.#goneError());
    this.#offer();
    this.#resolveClosed(end);
    publish('closed', this, end);
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
    const flags = (compress ? 0 : UNCOMPRESSED) | (this.#isAhead() ? AHEAD : 0);
    const failure = flags === 0 ? this.#send(payload) : this.#send(payload, flags);
    if (failure !== undefined) throw this.#refused(failure);
  }

  /** Whether it is `onOpen` that sends. */
  #isAhead() {
    return this.#opening !== null && this.#opening.isCurrent;
  }

  #refused(failure) {
    if (failure.kind === errorCodes.LW_EFULL) this.#onFull();
    return errorFrom(failure);
  }

  createSendStream(options = {}) {
    const { text, compress } = check(SEND_STREAM, options, 'createSendStream.');
    const begun = this.#native.beginMessage(text ?? false, compress ?? true, this.#isAhead());
    if (begun.kind !== undefined) throw errorFrom(begun);
    this.#sending = new SendStream(
      begun,
      () => this.#closing,
      () => this.#onFull(),
    );
    return this.#sending;
  }

  ping(data) {
    const payload = this.#pings.payload(data);
    const failure = this.#native.ping(payload);
    if (failure) throw this.#refused(failure);
    return this.#pings.answer(payload);
  }

  reconnect() {
    if (this.#end) throw this.#goneError();
    const failure = this.#native.reconnect();
    if (failure) throw errorFrom(failure);
  }

  networkChanged() {
    // Whoever watches the network need not know which clients have ended.
    this.#native.networkChanged();
  }

  stats() {
    const native = this.#native.stats();
    return statsFrom(native, {
      state: this.state,
      lastError: native.lastError ? this.#hooks.errorFrom(native.lastError) : null,
      inbox: this.#inbox.bytes,
    });
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

  get unsent() {
    if (this.#end) this.#unsent ??= this.#native.takeUnsent();
    return this.#unsent ?? [];
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
