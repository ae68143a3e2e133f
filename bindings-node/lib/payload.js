'use strict';
// Binary payloads on their way in and out.

const { types } = require('node:util');

/**
 * What `Buffer.from(buffer, start, length)` makes in the end; its checks take
 * longer than the rest.
 */
const BufferView = Buffer[Symbol.species];

/**
 * `data` as the `Uint8Array` that the addon takes, without a copy; shared memory
 * is copied, as another thread could write to it while it is being sent.
 * `undefined` if it is neither a view nor a buffer.
 */
function asBytes(data) {
  if (ArrayBuffer.isView(data)) {
    const view =
      data instanceof Uint8Array
        ? data
        : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return types.isSharedArrayBuffer(view.buffer) ? Uint8Array.from(view) : view;
  }
  if (types.isArrayBuffer(data)) return new Uint8Array(data);
  if (types.isSharedArrayBuffer(data)) return Uint8Array.from(new Uint8Array(data));
  return undefined;
}

module.exports = { BufferView, asBytes };
