'use strict';
// `WebSocket` as the WHATWG standard has it (https://websockets.spec.whatwg.org),
// with an options object as a third parameter. It does not reconnect.

const { host, ends } = require('./native.js');
const { errorFrom, errorCodes } = require('./errors.js');
const { CONNECTION, check, nativeConfig } = require('./options.js');
const { CloseEvent } = require('./close-event.js');
const { BufferView, asBytes } = require('./payload.js');

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

/** The standard knows no bound; this one keeps a mistake from taking all memory. */
const SEND_BUFFER = 256 << 20;
/** A close frame without a code. */
const NO_CODE = 0;

/** Why a message can be refused while the connection is open. */
const REFUSALS = new Set([errorCodes.LW_EFULL, errorCodes.LW_ETOOBIG]);

/** Ends that are no failures. */
const ENDS = new Set([errorCodes.LW_ECLOSED, errorCodes.LW_ELOST]);

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BINARY_TYPES = ['blob', 'arraybuffer', 'nodebuffer'];

const domException = (message, name) => new DOMException(message, name);

/** "Get a URL record", with the errors of the standard. */
function parseUrl(input) {
  let url;
  try {
    url = new URL(String(input));
  } catch {
    throw domException(`WebSocket: ${JSON.stringify(String(input))} is not a URL`, 'SyntaxError');
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  else if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
    throw domException(
      `WebSocket: expected a ws:, wss:, http: or https: URL, got ${url.protocol}`,
      'SyntaxError',
    );
  if (url.href.includes('#'))
    throw domException('WebSocket: the URL has a fragment, which no server gets', 'SyntaxError');
  return url;
}

function parseProtocols(input) {
  const list =
    input !== null && typeof input === 'object' && typeof input[Symbol.iterator] === 'function'
      ? Array.from(input, String)
      : [String(input)];
  const seen = new Set();
  for (const protocol of list) {
    if (!TOKEN.test(protocol))
      throw domException(
        `WebSocket: subprotocol ${JSON.stringify(protocol)} is not a token`,
        'SyntaxError',
      );
    const key = protocol.toLowerCase();
    if (seen.has(key))
      throw domException(`WebSocket: subprotocol ${protocol} is given twice`, 'SyntaxError');
    seen.add(key);
  }
  return list;
}

/** Web IDL's `[Clamp] unsigned short`. */
function clampUnsignedShort(value) {
  const number = Math.min(Math.max(Number(value) || 0, 0), 0xffff);
  const floor = Math.floor(number);
  const rest = number - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** `buffer.slice(start, end)`, which takes longer. */
function copyOf(buffer, start, end) {
  const copy = new ArrayBuffer(end - start);
  new Uint8Array(copy).set(new Uint8Array(buffer, start, end - start));
  return copy;
}

// The addon calls these with the WebSocket as `this`.
let onTexts, onBinary, onEvent;

class WebSocket extends EventTarget {
  #url;
  #origin;
  #native;
  #send;
  #readyState = CONNECTING;
  #protocol = '';
  #extensions = '';
  #binaryType = 'blob';
  /** Bytes given to `send` that no socket will ever take. */
  #unsendable = 0;
  /** What was queued when the connection ended. */
  #queuedAtEnd = 0;
  /** Messages behind a Blob whose bytes are being read, the Blob first. */
  #behindBlob = [];
  #closeBehindBlob = null;
  /** The end to come is an error: a message was refused, or a Blob could not be read. */
  #failing = false;
  #refusal = null;
  #handlers = { open: null, message: null, error: null, close: null };

  constructor(url, protocols = [], options = {}) {
    super();
    const parsed = parseUrl(url);
    const checked = check(CONNECTION, options);
    this.#url = parsed.href;
    this.#origin = `${parsed.protocol}//${parsed.host}`;
    const config = nativeConfig(parsed.href, {
      heartbeat: false,
      sendBuffer: SEND_BUFFER,
      ...checked,
      subprotocols: parseProtocols(protocols),
      reconnect: false,
    });
    const started = host.start(config, this, onTexts, onBinary, onEvent);
    if (started.kind !== undefined) throw errorFrom(started);
    this.#native = started;
    this.#send = started.sender();
  }

  static {
    onTexts = function (...messages) {
      for (const message of messages) this.#message(message);
    };

    onBinary = function (buffer, count) {
      if (count === undefined) {
        this.#message(this.#binary(buffer, 0, buffer.byteLength));
        return;
      }
      for (let i = 0, start = 0; i < count; i++) {
        const end = ends[i];
        this.#message(this.#binary(buffer, start, end));
        start = end;
      }
    };

    onEvent = function (name, detail) {
      if (name === 'open') this.#onOpen(detail);
      else if (name === 'close') this.#onClose(detail);
    };
  }

  #binary(buffer, start, end) {
    if (this.#binaryType === 'nodebuffer') return new BufferView(buffer, start, end - start);
    const whole = start === 0 && end === buffer.byteLength;
    const bytes = whole ? buffer : copyOf(buffer, start, end);
    return this.#binaryType === 'blob' ? new Blob([bytes]) : bytes;
  }

  #message(data) {
    if (this.#readyState !== OPEN) return;
    this.dispatchEvent(new MessageEvent('message', { data, origin: this.#origin }));
  }

  #onOpen({ subprotocol, extensions }) {
    if (this.#readyState !== CONNECTING) return;
    this.#readyState = OPEN;
    this.#protocol = subprotocol ?? '';
    this.#extensions = extensions;
    this.dispatchEvent(new Event('open'));
  }

  #onClose({ code, reason, clean, error }) {
    if (this.#readyState === CLOSED) return;
    // Before `open` any end is a failure; after it, only what the standard calls
    // "fail the WebSocket connection": not a close by the peer, and not the end
    // of TCP, which is a close that is not clean.
    const failed = this.#readyState === CONNECTING || !(error === undefined || ENDS.has(error.kind));
    this.#queuedAtEnd = this.#native.queued;
    this.#readyState = CLOSED;
    if (failed || this.#failing) {
      const event = new Event('error');
      const cause = this.#refusal ?? error;
      if (cause !== undefined) {
        event.error = errorFrom(cause);
        event.message = event.error.message;
      }
      this.dispatchEvent(event);
    }
    this.dispatchEvent(new CloseEvent('close', { wasClean: clean, code, reason }));
  }

  #sendNow(payload) {
    const failure = this.#readyState === OPEN || this.#closeBehindBlob ? this.#send(payload) : null;
    if (failure === undefined) return;
    this.#unsendable += typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
    // "If the data cannot be sent, […] close the WebSocket connection": nothing is lost silently.
    if (failure !== null && REFUSALS.has(failure.kind)) {
      this.#failing = true;
      this.#refusal ??= failure;
      this.#startClosing(NO_CODE, '');
    }
  }

  /** Sends what waits behind Blobs, up to the next one that is not read yet. */
  #sendBehindBlob() {
    while (this.#behindBlob.length > 0 && !(this.#behindBlob[0] instanceof Blob))
      this.#sendNow(this.#behindBlob.shift());
    if (this.#behindBlob.length > 0) {
      this.#behindBlob[0].arrayBuffer().then(
        (bytes) => {
          this.#behindBlob[0] = new Uint8Array(bytes);
          this.#sendBehindBlob();
        },
        () => {
          this.#behindBlob = [];
          this.#failing = true;
          this.#startClosing(NO_CODE, '');
        },
      );
    } else if (this.#closeBehindBlob) {
      this.#native.close(...this.#closeBehindBlob);
    }
  }

  #startClosing(code, reason) {
    this.#readyState = CLOSING;
    if (this.#behindBlob.length > 0) this.#closeBehindBlob = [code, reason];
    else this.#native.close(code, reason);
  }

  send(data) {
    if (arguments.length === 0)
      throw new TypeError("Failed to execute 'send' on 'WebSocket': 1 argument required");
    if (this.#readyState === CONNECTING)
      throw domException('WebSocket: send before the connection is open', 'InvalidStateError');
    const isBlob = typeof data === 'object' && data instanceof Blob;
    const payload = isBlob
      ? data
      : typeof data === 'string'
        ? data
        : (asBytes(data) ?? String(data));
    if (this.#readyState !== OPEN) {
      this.#unsendable += isBlob
        ? data.size
        : typeof payload === 'string'
          ? Buffer.byteLength(payload)
          : payload.byteLength;
    } else if (isBlob || this.#behindBlob.length > 0) {
      // A view may change while it waits.
      this.#behindBlob.push(payload instanceof Uint8Array ? payload.slice() : payload);
      if (this.#behindBlob.length === 1) this.#sendBehindBlob();
    } else {
      this.#sendNow(payload);
    }
  }

  close(code = undefined, reason = undefined) {
    const number = code === undefined ? undefined : clampUnsignedShort(code);
    if (number !== undefined && number !== 1000 && !(number >= 3000 && number <= 4999))
      throw domException(
        `WebSocket: expected close code 1000 or 3000 to 4999, got ${number}`,
        'InvalidAccessError',
      );
    const text = reason === undefined ? '' : String(reason).toWellFormed();
    const length = Buffer.byteLength(text);
    if (length > 123)
      throw domException(
        `WebSocket: expected a reason of at most 123 bytes, got ${length}`,
        'SyntaxError',
      );
    if (this.#readyState === CONNECTING) {
      this.#native.release();
      this.#readyState = CLOSING;
      setImmediate(() => this.#abandoned());
    } else if (this.#readyState === OPEN) {
      this.#startClosing(number ?? (length > 0 ? 1000 : NO_CODE), text);
    }
  }

  /** `close` was called before the connection was open. */
  #abandoned() {
    this.#readyState = CLOSED;
    this.dispatchEvent(new Event('error'));
    this.dispatchEvent(new CloseEvent('close', { wasClean: false, code: 1006, reason: '' }));
  }

  get url() {
    return this.#url;
  }

  get readyState() {
    return this.#readyState;
  }

  get bufferedAmount() {
    const queued = this.#readyState === CLOSED ? this.#queuedAtEnd : this.#native.queued;
    const blobs = this.#behindBlob.reduce(
      (sum, item) =>
        sum + (item instanceof Blob ? item.size : (item.byteLength ?? Buffer.byteLength(item))),
      0,
    );
    return queued + this.#unsendable + blobs;
  }

  get protocol() {
    return this.#protocol;
  }

  get extensions() {
    return this.#extensions;
  }

  get binaryType() {
    return this.#binaryType;
  }

  set binaryType(value) {
    // A value that is not in an enumeration of Web IDL is ignored.
    if (BINARY_TYPES.includes(String(value))) this.#binaryType = String(value);
  }

  #handler(type) {
    return this.#handlers[type]?.callback ?? null;
  }

  /** An event handler attribute: its place among the listeners is where it was first set. */
  #setHandler(type, value) {
    const callback =
      typeof value === 'function' || (typeof value === 'object' && value !== null) ? value : null;
    const current = this.#handlers[type];
    if (current && callback) {
      current.callback = callback;
    } else if (current) {
      this.removeEventListener(type, current.listener);
      this.#handlers[type] = null;
    } else if (callback) {
      const handler = { callback, listener: null };
      handler.listener = (event) => {
        if (typeof handler.callback === 'function') handler.callback.call(this, event);
      };
      this.#handlers[type] = handler;
      this.addEventListener(type, handler.listener);
    }
  }

  get onopen() {
    return this.#handler('open');
  }

  set onopen(value) {
    this.#setHandler('open', value);
  }

  get onmessage() {
    return this.#handler('message');
  }

  set onmessage(value) {
    this.#setHandler('message', value);
  }

  get onerror() {
    return this.#handler('error');
  }

  set onerror(value) {
    this.#setHandler('error', value);
  }

  get onclose() {
    return this.#handler('close');
  }

  set onclose(value) {
    this.#setHandler('close', value);
  }
}

const constants = Object.fromEntries(
  Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED }).map(([name, value]) => [
    name,
    { value, enumerable: true },
  ]),
);
Object.defineProperties(WebSocket, constants);
Object.defineProperties(WebSocket.prototype, {
  ...constants,
  [Symbol.toStringTag]: { value: 'WebSocket', configurable: true },
});
for (const name of Object.getOwnPropertyNames(WebSocket.prototype)) {
  if (name !== 'constructor' && !(name in constants))
    Object.defineProperty(WebSocket.prototype, name, { enumerable: true });
}

module.exports = { WebSocket };
