// blocked.mjs URL SECONDS COUNT: computes for so long, then takes COUNT messages.
//
// Prints what the server said of the connection, the number of messages that came in
// order, and how often the connection was made anew.

import { connect } from '../../bindings-node/index.mjs';

const [url, seconds, count] = process.argv.slice(2);
const ws = await connect(url, { proxy: false });
let reconnects = 0;
ws.on('open', () => {
  reconnects += 1;
});
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end);
let inOrder = 0;
let number = 0;
for await (const message of ws) {
  if (number === Number(count)) {
    console.log(JSON.stringify({ verdict: message, in_order: inOrder, reconnects }));
    break;
  }
  inOrder += Number(message === String(number));
  number += 1;
  if (number === Number(count)) ws.send('done');
}
await ws.close();
