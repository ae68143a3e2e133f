// An echo server of the `ws` package, to test against what nobody here wrote.
//
// Prints one JSON line when ready, {"ws": "ws://127.0.0.1:PORT", "pid": N}, and ends when its stdin does.

import { createRequire } from 'node:module';

// The package is installed where the Node face develops with it.
const require = createRequire(new URL('../../bindings-node/package.json', import.meta.url));
const { WebSocketServer } = require('ws');

// Longer than any test's message.
const MAX_MESSAGE = 256 * 1024 * 1024;

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: MAX_MESSAGE });

server.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  // A client that breaks off is its test's business; without a listener it would end the server.
  socket.on('error', (error) => console.error(`ws_server: ${error.message}`));
});

server.on('listening', () => {
  console.log(JSON.stringify({ ws: `ws://127.0.0.1:${server.address().port}`, pid: process.pid }));
});

process.stdin.on('end', () => process.exit(0)).resume();
