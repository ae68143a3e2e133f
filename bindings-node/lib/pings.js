'use strict';
// Pings that wait for their answer.

const { invalid } = require('./errors.js');
const { asBytes } = require('./payload.js');

class Pings {
  /** Payload as Latin-1 to the pings that wait for it. */
  #waiting = new Map();
  #number = 0;

  /** What a ping with `data` carries; without, something that tells it from others. */
  payload(data) {
    if (data === undefined) return Buffer.from(`longwire ${++this.#number}`);
    const payload = typeof data === 'string' ? Buffer.from(data) : asBytes(data);
    if (payload === undefined)
      throw invalid(`ping: expected a string, ArrayBuffer or view, got ${typeof data}`);
    return payload;
  }

  /** The answer to a ping that was sent. */
  answer(payload) {
    const answer = new Promise((resolve, reject) => {
      const key = Buffer.from(payload).toString('latin1');
      const pings = this.#waiting.get(key);
      if (pings) pings.push({ resolve, reject });
      else this.#waiting.set(key, [{ resolve, reject }]);
    });
    // A ping that nobody awaits must not end the process when the link is lost.
    answer.catch(() => {});
    return answer;
  }

  answered(key, roundTrip) {
    const pings = this.#waiting.get(key);
    this.#waiting.delete(key);
    for (const ping of pings ?? []) ping.resolve(roundTrip);
  }

  fail(error) {
    for (const pings of this.#waiting.values()) for (const ping of pings) ping.reject(error);
    this.#waiting.clear();
  }
}

module.exports = { Pings };
