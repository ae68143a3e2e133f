'use strict';
// One error class; its codes come from the core's table.

const { errorKinds } = require('./native.js');

/** `LW_…` to the number that C and Python use. */
const errorCodes = Object.freeze(
  Object.fromEntries(errorKinds.map(({ number, symbol }) => [`LW_${symbol}`, number])),
);
const names = new Map(Object.entries(errorCodes).map(([code, number]) => [number, code]));

class LongwireError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
    this.errno = errorCodes[code];
    this.retryable = false;
    /** @type {number | undefined} */
    this.status = undefined;
    /** @type {Record<string, string | string[]> | undefined} */
    this.headers = undefined;
    /** @type {string | undefined} */
    this.body = undefined;
  }

  static {
    Object.defineProperty(this.prototype, 'name', {
      value: 'LongwireError',
      writable: true,
      configurable: true,
    });
  }
}

/**
 * Header fields as an object with lower-case names, as Node's `http` has it:
 * what came more than once is joined by commas, except cookies.
 * @param {string[][]} pairs
 */
function headersFrom(pairs) {
  /** @type {Record<string, string | string[]>} */
  const headers = Object.create(null);
  for (const [name, value] of pairs) {
    const before = headers[name];
    if (name === 'set-cookie') headers[name] = before === undefined ? [value] : [...before, value];
    else headers[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return headers;
}

/** The error for a failure that the addon reports. */
function errorFrom(failure) {
  const error = new LongwireError(names.get(failure.kind), failure.message);
  error.retryable = failure.retryable;
  if (failure.status !== undefined) {
    error.status = failure.status;
    error.headers = headersFrom(failure.headers);
    error.body = failure.body;
  }
  return error;
}

/** The error for a message that was cut off in the middle, by the user's own `close` or not. */
function incomplete(closing, cause) {
  const error = closing
    ? new LongwireError('LW_ECLOSED', 'the client was closed before the message was complete')
    : new LongwireError('LW_ELOST', 'the connection was lost before the message was complete');
  error.cause = cause;
  return error;
}

/** A wrong argument: the class that JavaScript has for it, with our code. */
function invalid(message, Class = TypeError) {
  return Object.assign(new Class(message), { code: 'LW_EINVAL' });
}

module.exports = { LongwireError, errorCodes, errorFrom, headersFrom, incomplete, invalid };
