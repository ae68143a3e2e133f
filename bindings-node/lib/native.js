'use strict';
// The addon, and the event loop of this environment (the process or a worker).

const { join } = require('node:path');

const libc = process.platform === 'linux' ? '-gnu' : '';
const file = join(__dirname, '..', `longwire.${process.platform}-${process.arch}${libc}.node`);

/** @returns {any} */
function load() {
  try {
    return require(file);
  } catch (cause) {
    throw new Error(
      `longwire: cannot load the addon for ${process.platform}-${process.arch}; ` +
        `expected ${file}, got: ${cause.message}`,
      { cause },
    );
  }
}

const native = load();

// Bun and Deno abort the process when an addon calls a function of libuv.
// LONGWIRE_NO_UV=1 takes the same way on Node.
const useUv =
  process.versions.bun === undefined &&
  process.versions.deno === undefined &&
  process.env.LONGWIRE_NO_UV !== '1';

const host = new native.NativeHost(useUv, () => {
  setImmediate(() => host.flush());
});

// What was sent goes out, and servers are told (1001) instead of left guessing.
process.on('exit', () => host.leave());

module.exports = { host, ends: host.table(), errorKinds: native.errorKinds() };
