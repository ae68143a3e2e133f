'use strict';
// Calling what the user gave: it may be asynchronous, and it may throw.

/** Hands on what `call` returns or throws, at once or when its promise is settled. */
function settle(call, onValue, onError) {
  let value, isPromise;
  try {
    value = call();
    isPromise = typeof value === 'object' && typeof value?.then === 'function';
  } catch (error) {
    return onError(error);
  }
  if (isPromise) Promise.resolve(value).then(onValue, onError);
  else onValue(value);
}

/**
 * Has `error` become an `uncaughtException` of its own, so that what was to
 * follow here is not lost with it.
 */
function throwLater(error) {
  process.nextTick(() => {
    throw error;
  });
}

module.exports = { settle, throwLater };
