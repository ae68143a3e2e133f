'use strict';
// Messages in pieces, as they arrive (`streaming`).
//
// One message is handed out at a time, the next one when that was read to its
// end or destroyed. Nothing is held but what arrived and was not read, and the
// client stops reading when that is too much. A message that stays incomplete
// ends with an error, never as if it were whole.

const { Readable } = require('node:stream');
const { Inbox } = require('./inbox.js');
const { BufferView } = require('./payload.js');

/** What the addon says of a chunk, see `batch.rs`. */
const TEXT = 1;
const LAST = 4;

/** Bytes taken out of the inbox ahead of the reader. */
const HIGH_WATER_MARK = 64 << 10;

class MessageStream extends Readable {
  #inbox;
  #isText;

  constructor(inbox, isText) {
    // The decoder keeps what a text chunk ends in the middle of.
    super({ highWaterMark: HIGH_WATER_MARK, encoding: isText ? 'utf8' : undefined });
    this.#inbox = inbox;
    this.#isText = isText;
  }

  get isText() {
    return this.#isText;
  }

  _read() {
    this.#inbox.feed(this);
  }

  _destroy(error, callback) {
    this.#inbox.release(this);
    callback(error);
  }
}

/** Chunks that arrived and were not read yet; what is fetched are messages. */
class ChunkInbox {
  #chunks = new Inbox();
  /** The message that is being read. */
  #current = null;
  /** It asked for more than there was. */
  #wanted = false;
  /** Its last chunk was taken. */
  #complete = false;
  /** What arrived last did not complete its message. */
  #arriving = false;
  /** The message that is arriving was destroyed. */
  #skipping = false;
  /** Nothing more is taken. */
  #cut = false;
  #onRoom;
  #onReady;

  /** `onRoom`: bytes were taken; `onReady`: the next message can be fetched. */
  constructor(onRoom, onReady) {
    this.#onRoom = onRoom;
    this.#onReady = onReady;
  }

  get bytes() {
    return this.#chunks.bytes;
  }

  /** No message can be fetched at the moment. */
  get empty() {
    return this.#current !== null || this.#chunks.empty;
  }

  /** Nothing is left, as far as things arrived. */
  get exhausted() {
    return this.#current === null && this.#chunks.empty;
  }

  push(buffer, flags) {
    if (this.#cut) return;
    const last = (flags & LAST) !== 0;
    this.#arriving = !last;
    this.#add({
      length: buffer.byteLength,
      payload: new BufferView(buffer, 0, buffer.byteLength),
      isText: (flags & TEXT) !== 0,
      last,
      error: null,
    });
  }

  /** The message that is arriving, if one is, gets no further. */
  interrupt(error) {
    if (!this.#arriving) return;
    this.#arriving = false;
    this.#add({ length: 0, payload: null, isText: false, last: true, error });
  }

  /** The same, and nothing after it is taken. */
  cut(error) {
    this.interrupt(error);
    this.#cut = true;
  }

  #add(chunk) {
    if (this.#skipping) {
      this.#skipping = !chunk.last;
      return;
    }
    this.#chunks.push(chunk);
    if (this.#wanted) this.feed(this.#current);
  }

  /** The next message; only if not `empty`. */
  shift() {
    this.#current = new MessageStream(this, this.#chunks.first.isText);
    return this.#current;
  }

  /** Gives `message` as much as it wants. */
  feed(message) {
    if (message !== this.#current) return;
    this.#wanted = !this.#complete;
    // A 'data' listener may destroy the message, or ask for more.
    while (this.#wanted && message === this.#current && !this.#chunks.empty) {
      const { length, payload, last, error } = this.#chunks.shift();
      this.#complete = last;
      if (error !== null) {
        message.destroy(error);
      } else {
        const wanted = length === 0 || message.push(payload);
        if (message !== this.#current) break;
        this.#wanted = wanted && !last;
        if (last) message.push(null);
      }
    }
    this.#onRoom();
  }

  /** `message` is done with. */
  release(message) {
    if (message !== this.#current) return;
    let complete = this.#complete;
    while (!complete && !this.#chunks.empty) complete = this.#chunks.shift().last;
    this.#skipping = !complete;
    this.#current = null;
    this.#wanted = false;
    this.#complete = false;
    this.#onRoom();
    process.nextTick(this.#onReady);
  }
}

module.exports = { ChunkInbox };
