// A thread of JavaScript that computes for seconds loses neither the connection
// nor a message.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebSocket, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { deferred, event, within } from './support/wait.mjs';

const PATH = '/pinger?interval_ms=1000&timeout_ms=2000&messages=100';

function block(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

test('the loop is blocked for 5 s while the server demands pongs', async () => {
  const client = await connect(server.ws + PATH, { reconnect: false });
  const socket = new WebSocket(server.ws + PATH);
  await event(socket, 'open');
  const received = [];
  const enough = deferred();
  socket.onmessage = ({ data }) => received.push(data) === 100 && enough.resolve();

  block(5000);

  const iterated = [];
  for await (const text of client) {
    iterated.push(text);
    if (iterated.length === 100) client.send('done');
  }
  await within(enough.promise, '100 messages');
  socket.send('done');
  const { code } = await event(socket, 'close');
  const expected = Array.from({ length: 100 }, (_, i) => String(i));
  for (const [all, end] of [[iterated, await client.closed], [received, { code }]]) {
    assert.deepEqual(all.slice(0, 100), expected);
    assert.equal(all.length, 101);
    const [word, pings, pongs] = all[100].split(' ');
    assert.equal(word, 'alive');
    assert.ok(Number(pings) >= 4 && pings === pongs, all[100]);
    assert.equal(end.code, 1000);
  }
});
