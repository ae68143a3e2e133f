// Waiting for events, never for time: the limits only end tests that failed.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';

const LIMIT = 15_000;

/** `promise`, or a failure that says what did not happen. */
export async function within(promise, what, limit = LIMIT) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The next event of this name, of an emitter or of an event target. */
export function event(source, name) {
  const arrived = new Promise((resolve) => {
    if (source instanceof EventTarget) source.addEventListener(name, resolve, { once: true });
    else source.once(name, resolve);
  });
  return within(arrived, `'${name}' event`);
}

/** The next message of a client, by iteration. */
export async function message(client) {
  const { value, done } = await within(client[Symbol.asyncIterator]().next(), 'message');
  if (done) throw new Error('the connection closed instead of sending a message');
  return value;
}

/** A promise with its functions. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((...functions) => ([resolve, reject] = functions));
  return { promise, resolve, reject };
}

/** The next exception that nobody catches. */
export function uncaught() {
  const arrived = new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback((error) => {
      process.setUncaughtExceptionCaptureCallback(null);
      resolve(error);
    });
  });
  return within(arrived, 'uncaught exception');
}

/** What is published on `longwire:…`, from now on: `next(test)` is the next of it for which the test holds. */
export function published(name) {
  const [arrived, waiting] = [[], []];
  const look = () => {
    for (let i = 0; i < waiting.length; i++) {
      const at = arrived.findIndex(waiting[i].test);
      if (at < 0) continue;
      const [found] = arrived.splice(0, at + 1).slice(-1);
      waiting.splice(i--, 1)[0].resolve(found);
    }
  };
  const listen = (told) => {
    arrived.push(told);
    look();
  };
  subscribe(`longwire:${name}`, listen);
  return {
    next(test = () => true, what = `'${name}' of the kind`) {
      const found = new Promise((resolve) => waiting.push({ test, resolve }));
      look();
      return within(found, what);
    },
    stop: () => unsubscribe(`longwire:${name}`, listen),
  };
}
