'use strict';
// `beforeConnect` and `shouldReconnect`: the user's say in an attempt, and in what
// follows a loss.
//
// A question has a number, and one answer to it counts. What comes after
// `hookTimeout` is not heard, and nothing waits for it.

const { inspect } = require('node:util');
const { settle, throwLater } = require('./callbacks.js');
const { LongwireError, errorCodes, errorFrom, invalid } = require('./errors.js');
const { changesFrom } = require('./options.js');

/** Thrown by `beforeConnect` when another attempt would not help. */
class GiveUp extends Error {
  static {
    Object.defineProperty(this.prototype, 'name', {
      value: 'GiveUp',
      writable: true,
      configurable: true,
    });
  }
}

const reasonOf = (error) =>
  error instanceof Error ? error.message || error.name : inspect(error);

/** What a hook of which the core knows nothing failed with. */
function hookError(name, cause) {
  const error = new LongwireError('LW_EHOOK', `${name}: ${reasonOf(cause)}`);
  error.cause = cause;
  return error;
}

class Hooks {
  #native;
  #beforeConnect;
  #shouldReconnect;
  /** What the latest attempt that was refused, was refused with. */
  #refusal = undefined;

  constructor(native, { beforeConnect, shouldReconnect }) {
    this.#native = native;
    this.#beforeConnect = beforeConnect;
    this.#shouldReconnect = shouldReconnect;
  }

  beforeConnect({ ask, attempt, reconnects, error: failure }) {
    const hook = this.#beforeConnect;
    const error = failure && this.errorFrom(failure);
    settle(
      () => hook({ attempt, reconnects, error }),
      (changes) => this.#proceed(ask, changes),
      (thrown) => this.#refuse(ask, thrown, !(thrown instanceof GiveUp)),
    );
  }

  shouldReconnect({ ask, retry, down: { error: failure, code, attempt, retryIn } }) {
    const hook = this.#shouldReconnect;
    const error = this.errorFrom(failure);
    settle(
      () => hook({ error, code, attempt, retry, retryIn }),
      (answer) => {
        const isAnswer = typeof answer === 'boolean';
        if (!isAnswer && answer !== undefined && answer !== null)
          throwLater(
            invalid(`shouldReconnect: expected true, false or nothing, got ${inspect(answer)}`),
          );
        this.#native.decide(ask, isAnswer ? answer : retry);
      },
      (thrown) => {
        throwLater(thrown);
        this.#native.decide(ask, retry);
      },
    );
  }

  /** As the function of this name, with the exception of the hook as the cause. */
  errorFrom(failure) {
    const error = errorFrom(failure);
    if (failure.kind === errorCodes.LW_EHOOK) error.cause = this.#refusal;
    return error;
  }

  #proceed(ask, changes) {
    try {
      const failure = this.#native.proceed(ask, changesFrom(changes));
      if (failure) throw errorFrom(failure);
    } catch (error) {
      this.#refuse(ask, error, false);
    }
  }

  #refuse(ask, error, retry) {
    const late = this.#native.refuse(ask, reasonOf(error), retry);
    if (!late) this.#refusal = error;
  }
}

module.exports = { GiveUp, Hooks, hookError };
