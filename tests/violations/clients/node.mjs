// The Node package as a client of the violations: a case a line on stdin, what
// happens on stdout. README.md has the words.

import { createInterface } from 'node:readline';
import { writeSync } from 'node:fs';
import { connect } from '../../../bindings-node/index.mjs';

const say = (line) => writeSync(1, `${line}\n`);
const hex = (text) => Buffer.from(text).toString('hex') || '-';

/** Symbol, status and message. */
function told(error) {
  if (error === undefined) return '- 0 -';
  return `${error.code.slice('LW_'.length)} ${error.status ?? 0} ${hex(error.message)}`;
}

function adler32(bytes) {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

function read(line) {
  const { url, on_open: onOpen = '', ...words } = Object.fromEntries(
    line.split(' ').map((word) => word.split(/=(.*)/s, 2)),
  );
  const options = { reconnect: false };
  for (const [name, value] of Object.entries(words)) {
    if (name === 'subprotocols') options.subprotocols = value.split(',');
    else if (name === 'compression') options.compression = value === '1';
    else if (name === 'server_max_window_bits') options.compression = { serverMaxWindowBits: +value };
    else if (name === 'server_no_context_takeover')
      options.compression = { serverNoContextTakeover: value === '1' };
    else if (name === 'reconnect') {
      options.reconnect = { minDelay: +value, maxDelay: +value, restartDelay: [+value, +value] };
    }
    else options[name.replace(/_./g, (pair) => pair[1].toUpperCase())] = +value;
  }
  return { url, onOpen, options };
}

async function play({ url, onOpen, options }) {
  let ws;
  try {
    ws = await connect(url, options);
  } catch (error) {
    say(`closed 1006 unclean - ${told(error)}`);
    return;
  }
  const opened = () => {
    say(`open ${ws.subprotocol ?? '-'}`);
    if (onOpen === 'close') ws.close();
    else if (onOpen.startsWith('send:')) ws.send(Buffer.alloc(+onOpen.slice('send:'.length)));
  };
  opened();
  ws.on('open', opened);
  ws.on('down', ({ error }) => say(`down ${told(error)}`));
  try {
    for await (const message of ws) {
      const bytes = Buffer.from(message);
      say(`${typeof message === 'string' ? 'text' : 'binary'} ${bytes.length} ${adler32(bytes)}`);
    }
  } catch {
    // `closed` tells it as well.
  }
  const { code, reason, clean, error } = await ws.closed;
  say(`closed ${code} ${clean ? 'clean' : 'unclean'} ${hex(reason)} ${told(error)}`);
}

for await (const line of createInterface({ input: process.stdin })) await play(read(line));
