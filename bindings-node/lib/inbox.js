'use strict';
// Messages that arrived and were not fetched yet.

/** What a message costs beside its own length. */
const OVERHEAD = 32;

class Inbox {
  #items = [];
  #head = 0;
  bytes = 0;

  get empty() {
    return this.#head === this.#items.length;
  }

  get exhausted() {
    return this.empty;
  }

  get first() {
    return this.#items[this.#head];
  }

  push(message) {
    this.#items.push(message);
    this.bytes += message.length + OVERHEAD;
  }

  shift() {
    const message = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    this.bytes -= message.length + OVERHEAD;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }
}

module.exports = { Inbox };
