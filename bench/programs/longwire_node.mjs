// longwire_node.mjs connect|websocket URL COUNT: 64-byte echoes through the
// persistent client's iterator, or through the WHATWG interface's events.
import { connect, WebSocket } from '../../bindings-node/index.mjs';

const [face, url, count] = process.argv.slice(2);
const payload = new Uint8Array(64);
const samples = [];
let begun;

const next = (ws) => {
  begun = process.hrtime.bigint();
  ws.send(payload);
};

const taken = () => {
  samples.push(Number(process.hrtime.bigint() - begun));
  return samples.length < Number(count);
};

if (face === 'connect') {
  const ws = await connect(url);
  next(ws);
  for await (const _ of ws) {
    if (!taken()) break;
    next(ws);
  }
  ws.close();
} else {
  const ws = new WebSocket(url);
  ws.binaryType = 'arraybuffer';
  ws.onopen = () => next(ws);
  await new Promise((resolve) => {
    ws.onmessage = () => (taken() ? next(ws) : resolve());
  });
  ws.close();
}
samples.sort((a, b) => a - b);
console.log((samples[samples.length >> 1] / 1000).toFixed(2));
