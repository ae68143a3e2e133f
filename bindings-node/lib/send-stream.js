'use strict';
// One message, sent in fragments as its pieces are written.

const { Writable } = require('node:stream');
const { errorCodes, errorFrom, incomplete } = require('./errors.js');
const { asBytes } = require('./payload.js');

const UTF8 = new Set(['utf8', 'utf-8']);
const GONE = new Set([errorCodes.LW_ELOST, errorCodes.LW_ECLOSED]);

const isHighSurrogate = (code) => code >= 0xd800 && code <= 0xdbff;

class SendStream extends Writable {
  #message;
  #isClosing;
  #onFull;
  /** The piece that waits for room, and what to call once it is sent. */
  #waiting = null;
  /** The first half of a character whose second half begins the next string. */
  #half = '';
  #finished = false;

  /**
   * `isClosing` tells whether the user ended the client; `onFull` is called when
   * a piece waits for room, after which `retry` has to be.
   */
  constructor(message, isClosing, onFull) {
    super({ decodeStrings: false });
    this.#message = message;
    this.#isClosing = isClosing;
    this.#onFull = onFull;
  }

  _write(chunk, encoding, callback) {
    const text = typeof chunk === 'string';
    const piece =
      text && !UTF8.has(encoding.toLowerCase()) ? Buffer.from(chunk, encoding) : chunk;
    if (typeof piece === 'string') return this.#send(this.#encode(piece), callback);
    const bytes = asBytes(piece);
    if (this.#half === '') return this.#send(bytes, callback);
    this.#send(Buffer.concat([this.#takeHalf(), bytes]), callback);
  }

  _final(callback) {
    const finish = () => {
      const failure = this.#message.finish();
      this.#finished = failure === null;
      callback(failure === null ? undefined : this.#errorFrom(failure));
    };
    if (this.#half === '') return finish();
    this.#send(this.#takeHalf(), (error) => (error ? callback(error) : finish()));
  }

  _destroy(error, callback) {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#message.giveUp();
    callback(error);
    waiting?.callback(error ?? incomplete(true));
  }

  #encode(string) {
    const text = this.#half + string;
    const cut = isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length;
    this.#half = text.slice(cut);
    return Buffer.from(text.slice(0, cut));
  }

  /** Alone it is no character, and becomes U+FFFD. */
  #takeHalf() {
    const half = this.#half;
    this.#half = '';
    return Buffer.from(half);
  }

  #send(piece, callback) {
    if (piece.length === 0) return callback();
    const failure = this.#message.write(piece);
    if (failure === null) return callback();
    if (failure.kind !== errorCodes.LW_EFULL) return callback(this.#errorFrom(failure));
    this.#waiting = { piece, callback };
    this.#onFull();
  }

  #errorFrom(failure) {
    const error = errorFrom(failure);
    return GONE.has(failure.kind) ? incomplete(this.#isClosing(), error) : error;
  }

  /** There may be room. */
  retry() {
    const waiting = this.#waiting;
    if (waiting === null) return;
    this.#waiting = null;
    this.#send(waiting.piece, waiting.callback);
  }

  /** The connection is gone. */
  interrupt(error) {
    if (!this.#finished) this.destroy(error);
  }
}

module.exports = { SendStream };
