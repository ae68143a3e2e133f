// A thread of JavaScript that computes for seconds loses neither the connection
// nor a message.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebSocket, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { deferred, within } from './support/wait.mjs';

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

/** All messages of a client until its end; says 'done' after the hundredth. */
async function listen(client) {
  const all = [];
  for await (const text of client) {
    all.push(text);
    if (all.length === 100) client.send('done');
  }
  return { all, code: (await client.closed).code };
}

function listenTo(socket) {
  const all = [];
  const { promise, resolve } = deferred();
  socket.addEventListener('message', ({ data }) => {
    all.push(data);
    if (all.length === 100) socket.send('done');
  });
  socket.addEventListener('close', ({ code }) => resolve({ all, code }));
  return promise;
}

function survived({ all, code }) {
  assert.deepEqual(all.slice(0, 100), Array.from({ length: 100 }, (_, i) => String(i)));
  assert.equal(all.length, 101);
  const [word, pings, pongs] = all[100].split(' ');
  assert.equal(word, 'alive');
  // The latest ping may still be on its way.
  assert.ok(Number(pongs) >= 4 && pings - pongs <= 1, all[100]);
  assert.equal(code, 1000);
}

for (const place of ['open', 'message']) {
  test(`blocked for 5 s, within the '${place}' event of one of two connections`, async () => {
    const client = await connect(server.ws + PATH, { reconnect: false });
    const socket = new WebSocket(server.ws + PATH);
    socket.addEventListener(place, () => block(5000), { once: true });
    const ends = await within(Promise.all([listen(client), listenTo(socket)]), 'end', 30_000);
    ends.forEach(survived);
  });
}
