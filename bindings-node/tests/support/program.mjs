// Programs of their own, for what ends a process or keeps it alive.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { within } from './wait.mjs';

/** Runs a program that finds `url` as such; `{ code, signal, out }`. */
export async function run(url, program) {
  const source = `import { connect, WebSocket } from 'longwire';
    const url = ${JSON.stringify(url)};\n${program}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    cwd: new URL('../..', import.meta.url),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (data) => (out += data));
  try {
    const [code, signal] = await within(once(child, 'close'), `end of:\n${program}`);
    return { code, signal, out };
  } finally {
    child.kill('SIGKILL');
  }
}

export const ended = (code, out = '') => ({ code, signal: null, out });
