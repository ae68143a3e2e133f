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

/** Lets the loop run until `condition` holds. */
export async function until(condition, what, limit = LIMIT) {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`no ${what} within ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** A promise with its functions. */
export function deferred() {
  let resolve, reject;
  const promise = new Promise((...functions) => ([resolve, reject] = functions));
  return { promise, resolve, reject };
}

/** Keeps the loop from running until `condition` holds. */
export function block(condition, limit = LIMIT) {
  const [cell, end] = [new Int32Array(new SharedArrayBuffer(4)), Date.now() + limit];
  while (!condition()) {
    if (Date.now() > end) throw new Error(`blocked for ${limit} ms`);
    Atomics.wait(cell, 0, 0, 1);
  }
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

/**
 * What is published on `longwire:…` while `test` lasts: `all` of it, and `next(matches)`, the
 * first after the one before for which that holds.
 */
export function published(test, name) {
  const [all, waiting] = [[], []];
  let seen = 0;
  const look = () => {
    for (; seen < all.length && waiting.length > 0; seen++)
      if (waiting[0].matches(all[seen])) waiting.shift().resolve(all[seen]);
  };
  const listen = (told) => {
    all.push(told);
    look();
  };
  subscribe(`longwire:${name}`, listen);
  test.after(() => unsubscribe(`longwire:${name}`, listen));
  const next = (matches = () => true) => {
    const found = new Promise((resolve) => waiting.push({ matches, resolve }));
    look();
    return within(found, `'longwire:${name}'`);
  };
  return { all, next };
}
