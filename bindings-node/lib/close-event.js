'use strict';
// `CloseEvent`, which Node has as a global from 23 on.

class CloseEvent extends Event {
  #wasClean;
  #code;
  #reason;

  constructor(type, init = {}) {
    super(type, init);
    this.#wasClean = Boolean(init.wasClean);
    this.#code = Number(init.code ?? 0) & 0xffff;
    this.#reason = String(init.reason ?? '');
  }

  get wasClean() {
    return this.#wasClean;
  }

  get code() {
    return this.#code;
  }

  get reason() {
    return this.#reason;
  }

  get [Symbol.toStringTag]() {
    return 'CloseEvent';
  }
}

module.exports = { CloseEvent: globalThis.CloseEvent ?? CloseEvent };
