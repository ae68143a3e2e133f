// `onOpen`: what has to be said on a new connection before anything else is.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { GiveUp, LongwireError, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { block, deferred, event, message, uncaught, within } from './support/wait.mjs';

const reconnect = { minDelay: 1, maxDelay: 10 };
let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

test('it is called on each connection, before `connect` resolves and `open` comes', async () => {
  const told = [];
  const ws = await connect(`${server.ws}/drop?after=1`, {
    reconnect,
    onOpen: (ws) => told.push(`onOpen ${ws.reconnects} ${ws.state}`),
  });
  told.push('connected');
  ws.on('open', () => told.push('open'));
  const open = event(ws, 'open');
  ws.send('drop me');
  await open;
  assert.deepEqual(told, ['onOpen 0 open', 'connected', 'onOpen 1 open', 'open']);
  await ws.close();
});

test('what it sends precedes the queue, across its awaits', async () => {
  // The server closes what does not count from 0 on each connection.
  const queued = deferred();
  const ws = await connect(`${server.ws}/order`, {
    reconnect,
    async onOpen(ws) {
      ws.send('0');
      await (ws.reconnects > 0 ? queued.promise : undefined);
      ws.send('1');
      await ws.ping();
      await new Promise(setImmediate);
      ws.send('2', { compress: false });
      const stream = ws.createSendStream({ text: true });
      await new Promise((resolve) => stream.end('3', resolve));
    },
  });
  const numbers = [];
  const seven = deferred();
  ws.on('message', (text) => numbers.push(text) === 14 && seven.resolve());
  for (const number of ['4', '5', '6']) ws.send(number);
  await new Promise((resolve) => ws.on('message', () => numbers.length === 7 && resolve()));
  const down = event(ws, 'down');
  ws.reconnect();
  await down;
  ws.send('4');
  const open = event(ws, 'open');
  ws.send('5');
  await open;
  ws.send('6');
  queued.resolve();
  await within(seven.promise, 'numbers in order');
  assert.deepEqual(numbers.join(''), '01234560123456');
  await ws.close();
});

test('the context is what counts: others wait while it runs', async () => {
  const [gate, more] = [deferred(), deferred()];
  const ws = await connect(`${server.ws}/echo`, {
    reconnect,
    async onOpen(ws) {
      if (ws.reconnects === 0) return;
      setImmediate(() => ws.send('from a callback of the handler'));
      await gate.promise;
      await Promise.all([1, 2].map(async (i) => ws.send(`from the handler ${i}`)));
      more.resolve();
    },
  });
  const open = event(ws, 'open');
  ws.reconnect();
  await open;
  ws.send('from outside');
  assert.ok(ws.bufferedAmount > 0);
  assert.equal(await message(ws), 'from a callback of the handler');
  gate.resolve();
  await more.promise;
  for (const text of ['from the handler 1', 'from the handler 2', 'from outside'])
    assert.equal(await message(ws), text);
  await ws.close();
});

test('a handler of a connection that is gone is not ahead any more', async () => {
  const [first, second] = [deferred(), deferred()];
  const done = deferred();
  const ws = await connect(`${server.ws}/echo`, {
    reconnect,
    async onOpen(ws) {
      const { reconnects } = ws;
      if (reconnects === 0) return;
      await (reconnects === 1 ? first : second).promise;
      ws.send(`handler ${reconnects}`);
      if (reconnects === 1) done.resolve();
    },
  });
  for (let i = 0; i < 2; i++) {
    const open = event(ws, 'open');
    ws.reconnect();
    await open;
  }
  ws.send('outside');
  first.resolve();
  await done.promise;
  second.resolve();
  for (const text of ['handler 2', 'outside', 'handler 1']) assert.equal(await message(ws), text);
  await ws.close();
});

test('two clients, each with its own handler', async () => {
  const gates = [deferred(), deferred()];
  const connecting = gates.map(({ promise }, i) =>
    connect(`${server.ws}/echo`, {
      async onOpen(ws) {
        await promise;
        ws.send(`handler ${i}`);
      },
    }),
  );
  gates[1].resolve();
  const second = await connecting[1];
  gates[0].resolve();
  const first = await connecting[0];
  for (const [i, ws] of [first, second].entries()) {
    assert.equal(await message(ws), `handler ${i}`);
    await ws.close();
  }
});

test('it may await messages', async () => {
  const ws = await connect(`${server.ws}/echo`, {
    async onOpen(ws) {
      ws.send('login');
      assert.equal(await message(ws), 'login');
      ws.send('subscribe');
    },
  });
  assert.equal(await message(ws), 'subscribe');
  await ws.close();
});

for (const [kind, fail] of [
  ['thrown', (error) => { throw error; }],
  ['rejected at once', (error) => Promise.reject(error)],
  ['rejected later', async (error, ws) => {
    await ws.ping();
    throw error;
  }],
]) {
  test(`an exception on the first connection is that of connect: ${kind}`, async () => {
    const cause = new RangeError('on purpose');
    let client;
    const refused = connect(`${server.ws}/echo`, {
      reconnect,
      onOpen: (ws) => fail(cause, (client = ws)),
    });
    await assert.rejects(within(refused, 'rejection'), cause);
    assert.equal(client.state, 'closed');
    const { error, code } = await within(client.closed, 'end');
    assert.deepEqual([error.code, error.cause, code], ['LW_EHOOK', cause, 1006]);
    assert.throws(() => client.send('x'), { code: 'LW_ECLOSED' });
  });

  test(`later it is one that nobody catches, and the queue follows: ${kind}`, async () => {
    const cause = new GiveUp('means nothing here');
    const ws = await connect(`${server.ws}/echo`, {
      reconnect,
      onOpen: (ws) => (ws.reconnects === 1 ? fail(cause, ws) : undefined),
    });
    const [told, down] = [uncaught(), event(ws, 'down')];
    ws.reconnect();
    await down;
    ws.send('queued');
    assert.equal(await told, cause);
    assert.equal(await message(ws), 'queued');
    await ws.close();
  });
}

for (const [when, lose] of [
  ['after `down`', (ws) => event(ws, 'down')],
  ['before `down`', (ws) => block(() => ws.state === 'down')],
]) {
  test(`what it says of a connection that is gone, the loss has said: ${when}`, async () => {
    const rejected = deferred();
    const ws = await connect(`${server.ws}/drop?after=1`, {
      reconnect: { minDelay: 600_000, maxDelay: 600_000 },
      async onOpen(ws) {
        if (ws.reconnects !== 1) return;
        try {
          ws.send('drop me');
          await lose(ws);
          ws.createSendStream();
        } catch (error) {
          rejected.resolve(error);
          throw error;
        }
      },
    });
    const open = new Promise((resolve) => {
      ws.on('open', ({ reconnects }) => reconnects === 2 && resolve());
    });
    ws.reconnect();
    const error = await within(rejected.promise, 'rejection');
    assert.ok(error instanceof LongwireError && error.code === 'LW_EOFFLINE', error.code);
    ws.reconnect();
    // Were it told, the process would have ended.
    await within(open, 'third connection');
    await ws.close();
  });
}

test('a connection lost while the first handler runs fails connect', async () => {
  const opened = deferred();
  const failing = connect(`${server.ws}/drop?after=1`, {
    reconnect,
    async onOpen(ws) {
      ws.send('drop me');
      opened.resolve(ws);
      await new Promise(() => {});
    },
  });
  await assert.rejects(within(failing, 'rejection'), { code: 'LW_ELOST' });
  assert.equal((await (await opened.promise).closed).error.code, 'LW_ELOST');
});

test('close from within: what it had sent goes out', async () => {
  for (const wait of [() => {}, (ws) => ws.ping()]) {
    const room = await connect(`${server.ws}/room`);
    let client;
    const closing = connect(`${server.ws}/room`, {
      async onOpen(ws) {
        client = ws;
        await wait(ws);
        ws.send('last words');
        assert.equal((await ws.close()).code, 1000);
      },
    });
    await assert.rejects(within(closing, 'rejection'), { code: 'LW_ECLOSED' });
    assert.equal((await client.closed).clean, true);
    assert.equal(await message(room), 'last words');
    await room.close();
  }
});
