'use strict';
// `onOpen`: what has to be said on a new connection before anything else is.
//
// What the handler sends precedes everything else, which waits until its promise is
// settled. That it was the handler who sent, its asynchronous context tells. Nothing
// looks at that context, and Node does not maintain it for us, while no handler is
// running.

const { AsyncLocalStorage } = require('node:async_hooks');
const { settle } = require('./callbacks.js');

/** The `Opening` whose handler is running. */
const contexts = new AsyncLocalStorage();
let running = 0;

class Opening {
  #native;
  #hold;

  /** `hold`: the number by which the addon knows what is held back. */
  constructor(native, hold) {
    this.#native = native;
    this.#hold = hold;
  }

  /** Calls `handler`, and `done` with what it throws once it is through. */
  run(handler, client, done) {
    const end = (...thrown) => {
      if (--running === 0) contexts.disable();
      if (this.#hold !== undefined) this.#native.ready(this.#hold);
      done(...thrown);
    };
    running++;
    settle(
      () => contexts.run(this, handler, client),
      () => end(),
      end,
    );
  }

  /** Whether the handler is what is running now. */
  get isCurrent() {
    return contexts.getStore() === this;
  }
}

module.exports = { Opening };
