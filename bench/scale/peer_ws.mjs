// ws, which has no heartbeat of its own.
import { createRequire } from 'node:module';
import { ca, run } from './crowd.mjs';

const require = createRequire(new URL('../programs/node/package.json', import.meta.url));
const WebSocket = require('ws');

await run(
  (url, onMessage) =>
    new Promise((resolve, reject) => {
      const ws = new WebSocket(url, { ca, perMessageDeflate: false });
      ws.on('open', () => resolve(ws));
      ws.on('error', reject);
      ws.on('message', onMessage);
    }),
);
