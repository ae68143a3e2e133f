// A program that takes no messages any more.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect } from 'longwire';
import { startPeer } from './support/peer.mjs';
import { startServer } from './support/server.mjs';
import { block, event, message, published, within } from './support/wait.mjs';

const STALLED = /^the program took no message for/;
const AGAIN = /^the program takes messages again/;
/** Longer than a busy machine keeps a program from running. */
const LIMIT = 800;
let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** Done with a message, if it comes in pieces. */
const drop = (each) => each.on?.('error', () => {}).destroy();

for (const options of [{}, { streaming: true }, { receiveBuffer: 1 }]) {
  const name = JSON.stringify(options);

  test(`report: it is told, and so is that it goes on: ${name}`, async (t) => {
    const log = published(t, 'log');
    const ws = await connect(`${server.ws}/push?count=100000&size=1000`, {
      ...{ reconnect: false, consumerTimeout: 40, ...options },
    });
    const of = (pattern) => log.next(({ client, text }) => client === ws && pattern.test(text));
    for (let round = 0; round < 2; round++) {
      // On a busy machine the loop may have been the one that was late, and is not any more.
      do assert.equal((await of(STALLED)).level, 'warning');
      while (ws.stats().stalled === null);
      assert.ok(ws.stats().stalled >= 40);
      assert.equal(ws.state, 'open');
      drop(await message(ws));
      assert.equal((await of(AGAIN)).level, 'info');
    }
    await within(ws.close(), 'end');
  });

  test(`close: the server is told, and the client ends: ${name}`, async () => {
    const codes = [];
    const peer = await startPeer(async (socket, frames) => {
      const big = Buffer.concat([Buffer.from([0x81, 126, 0x03, 0xe8]), Buffer.alloc(1000, 'x')]);
      for (let i = 0; i < 20; i++) socket.write(big);
      for await (const { opcode, payload } of frames)
        if (opcode === 8) codes.push(payload.readUInt16BE());
    });
    const ws = await connect(peer.url, {
      ...{ consumerTimeout: LIMIT, consumerAction: 'close', ...options },
    });
    const { error, code } = await within(ws.closed, 'end');
    assert.deepEqual([error.code, code, codes], ['LW_ETIMEOUT', 1006, [1001]]);
    // What was received is still there, and then the error.
    let count = 0;
    await assert.rejects(
      async () => {
        for await (const each of ws) {
          count++;
          drop(each);
        }
      },
      { code: 'LW_ETIMEOUT' },
    );
    if (options.receiveBuffer === 1) assert.ok(count > 0 && count < 20, String(count));
    else assert.equal(count, 20);
    peer.stop();
  });
}

for (const [how, next] of [
  ['however slowly', (ws) => message(ws)],
  ['by a listener', (ws) => event(ws, 'message')],
]) {
  test(`who takes messages is not stalled, ${how}`, async () => {
    const ws = await connect(`${server.ws}/push?count=1000000&size=1000`, {
      ...{ receiveBuffer: 1, reconnect: false, consumerTimeout: LIMIT, consumerAction: 'close' },
    });
    const pace = await connect(`${server.ws}/echo`);
    // Longer than somebody who is stuck would have been given.
    for (const begin = Date.now(); Date.now() < begin + 1.5 * LIMIT; ) {
      await next(ws);
      await pace.ping();
    }
    assert.equal(ws.state, 'open');
    assert.equal(ws.stats().stalled, null);
    await pace.close();
    await within(ws.close(), 'end');
  });
}

test('silence is no stall', async (t) => {
  const log = published(t, 'log');
  const ws = await connect(`${server.ws}/echo`, { consumerTimeout: LIMIT, consumerAction: 'close' });
  // Heartbeats are the clock: one and a half times the limit.
  const heartbeat = { interval: LIMIT / 4, timeout: 10_000 };
  const clock = await connect(`${server.ws}/echo`, { heartbeat });
  for (let i = 0; i < 6; i++) await event(clock, 'pong');
  assert.equal(ws.state, 'open');
  assert.ok(log.all.every(({ client, text }) => client !== ws || !STALLED.test(text)));
  await clock.close();
  await ws.close();
});

test('a loop that is blocked is a program that takes nothing', async () => {
  const ws = await connect(`${server.ws}/push?count=1000000&size=1000`, {
    ...{ reconnect: false, consumerTimeout: LIMIT, consumerAction: 'close' },
  });
  ws.on('message', () => {});
  await event(ws, 'message');
  block(() => ws.state !== 'open');
  assert.equal((await within(ws.closed, 'end')).error.code, 'LW_ETIMEOUT');
});
