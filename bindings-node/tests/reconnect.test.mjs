// Connections that are lost come back, and nothing that was sent is.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LongwireError, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { event, message, within } from './support/wait.mjs';

const reconnect = { minDelay: 10, maxDelay: 100 };
const directory = mkdtempSync(join(tmpdir(), 'longwire-node-'));
let server;
before(async () => {
  server = await startServer('--dir', directory);
});
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

test('a dropped connection is opened again', async () => {
  const ws = await connect(`${server.ws}/drop?after=1`, { reconnect });
  for (let round = 1; round <= 3; round++) {
    const [down, open] = [event(ws, 'down'), event(ws, 'open')];
    ws.send(`round ${round}`);
    assert.equal(await message(ws), `round ${round}`);
    const { error, retryIn, attempt } = await down;
    assert.ok(error instanceof LongwireError);
    assert.equal(error.code, 'LW_ELOST');
    assert.ok(retryIn >= 0 && attempt >= 0);
    assert.equal((await open).reconnects, round);
    assert.equal(ws.reconnects, round);
  }
  await ws.close();
});

test('a server that restarts: what is sent meanwhile arrives, after what `open` sends', async () => {
  for (const scheme of ['ws', 'wss']) {
    const ws = await connect(`${server[scheme]}/echo`, {
      reconnect,
      tls: { caFile: server.ca_file },
    });
    const ports = ['ws', 'wss'].map((name) => new URL(server[name]).port);
    const down = event(ws, 'down');
    await server.stop();
    await down;
    assert.notEqual(ws.state, 'open');
    ws.send('queued 1');
    ws.send(Buffer.from('queued 2'));
    ws.once('open', () => ws.send('subscribe'));
    server = await startServer(
      ...['--port', ports[0], '--tls-port', ports[1], '--dir', directory],
    );
    assert.equal(await message(ws), 'subscribe');
    assert.equal(await message(ws), 'queued 1');
    assert.deepEqual(await message(ws), Buffer.from('queued 2'));
    assert.equal(ws.reconnects, 1);
    await ws.close();
  }
});

test("offline: 'refuse' says so at once", async () => {
  const ws = await connect(`${server.ws}/drop`, {
    reconnect: { minDelay: 60_000, maxDelay: 60_000 },
    offline: 'refuse',
  });
  await event(ws, 'down');
  assert.equal(ws.state, 'down');
  assert.throws(() => ws.send('x'), { code: 'LW_EOFFLINE', retryable: false });
  assert.throws(() => ws.ping(), { code: 'LW_EOFFLINE' });
  const end = await within(ws.close(), 'close');
  assert.equal(end.code, 1006);
});

test('reconnect: false ends with the loss, and the iteration throws it', async () => {
  const ws = await connect(`${server.ws}/drop?after=1`, { reconnect: false });
  ws.send('only');
  const got = [];
  await assert.rejects(
    within(
      (async () => {
        for await (const text of ws) got.push(text);
      })(),
      'end of the iteration',
    ),
    { code: 'LW_ELOST' },
  );
  assert.deepEqual(got, ['only']);
  assert.equal((await ws.closed).error.code, 'LW_ELOST');
});

test('maxAttempts is the end of it', async () => {
  const other = await startServer();
  const ws = await connect(`${other.ws}/echo`, { reconnect: { ...reconnect, maxAttempts: 2 } });
  await other.stop();
  const { error, clean } = await within(ws.closed, 'close');
  assert.equal(clean, false);
  assert.equal(error.code, 'LW_ECONNECT', error.message);
});

test('a peer that falls silent is noticed by the heartbeat', async () => {
  const ws = await connect(`${server.ws}/stall`, {
    heartbeat: { interval: 30, timeout: 30 },
    reconnect,
  });
  assert.equal((await event(ws, 'down')).error.code, 'LW_EHEARTBEAT');
  await within(ws.close(), 'close');
});
