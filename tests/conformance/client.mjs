// client.mjs connect|websocket URL COUNT: echoes in each of COUNT cases of a fuzzing server.
//
// What becomes of a connection is for the server to judge.

import { connect, LongwireError, WebSocket } from '../../bindings-node/index.mjs';

const [face, url, count] = process.argv.slice(2);

async function withConnect(address) {
  try {
    const ws = await connect(address, { reconnect: false });
    for await (const message of ws) ws.send(message);
  } catch (error) {
    if (!(error instanceof LongwireError)) throw error;
  }
}

function withWebSocket(address) {
  const ws = new WebSocket(address);
  ws.binaryType = 'arraybuffer';
  ws.onmessage = ({ data }) => ws.send(data);
  return new Promise((resolve) => {
    ws.onclose = resolve;
  });
}

const converse = face === 'connect' ? withConnect : withWebSocket;
for (let number = 1; number <= Number(count); number++)
  await converse(`${url}/runCase?case=${number}&agent=longwire`);
