// What `node:diagnostics_channel` tells of clients.

import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, before, test } from 'node:test';
import { LongwireError, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { block, event, message, published, uncaught, until, within } from './support/wait.mjs';

const reconnect = { minDelay: 1, maxDelay: 10 };
let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

test('the log tells every transition, with level, time and client', async (t) => {
  const log = published(t, 'log');
  const begin = Date.now();
  const paths = ['/drop?after=1', '/http?status=503', '/echo'];
  const secret = 'of-secrets';
  const ws = await connect(`ws://user:${secret}@${new URL(server.ws).host}/echo`, {
    ...{ reconnect, offlineMaxAge: 0, headers: { 'x-key': secret } },
    beforeConnect: () => ({ url: server.ws + paths.shift() }),
  });
  const down = event(ws, 'down');
  ws.send('drop me');
  await down;
  ws.send('too old');
  await event(ws, 'open');
  await ws.close();
  const told = log.all.map(({ level, text }) => `${level} ${text}`);
  const expected = [
    /^debug attempt 1: connecting to 127\.0\.0\.1:\d+$/,
    /^info open: attempt 1, reconnect 0/,
    /^warning down: .*; again in/,
    /^debug attempt 1: connecting/,
    /^warning down: .*503.*; again in/,
    /^debug attempt 2: connecting/,
    /^info open: attempt 2, reconnect 1/,
    /^warning 1 messages? waited for too long/,
    /^info closed with code 1000$/,
  ];
  assert.equal(told.length, expected.length, told.join('\n'));
  for (const [i, pattern] of expected.entries()) assert.match(told[i], pattern);
  let last = begin - 1;
  for (const { client, time, ...rest } of log.all) {
    assert.equal(client, ws);
    assert.ok(time instanceof Date && time >= last && time <= Date.now());
    last = time;
    assert.deepEqual(Object.keys(rest), ['level', 'text']);
    assert.doesNotMatch(rest.text, new RegExp(`${secret}|drop me|too old`));
  }
});

test('a line of an event precedes the event', async (t) => {
  const log = published(t, 'log');
  const lines = (of) => log.all.filter(({ text }) => text.startsWith(of)).length;
  const ws = await connect(`${server.ws}/drop?after=1`, { reconnect });
  const seen = {};
  for (const [name, line] of [['open', 'open'], ['down', 'down'], ['close', 'closed']])
    ws.on(name, () => (seen[name] = lines(line)));
  const open = event(ws, 'open');
  ws.send('drop me');
  await open;
  await ws.close();
  assert.deepEqual(seen, { down: 1, open: 2, close: 1 });
});

test('who subscribes later gets no log of what was there before', async (t) => {
  const ws = await connect(`${server.ws}/echo`);
  const log = published(t, 'log');
  const other = await connect(`${server.ws}/echo`);
  await ws.close();
  await other.close();
  assert.ok(log.all.length >= 3);
  assert.ok(log.all.every(({ client }) => client === other));
});

test('lines come although no message is taken', async (t) => {
  const log = published(t, 'log');
  const ws = await connect(`${server.ws}/push?count=100000&size=1000`, {
    ...{ receiveBuffer: 1, reconnect },
  });
  await until(() => ws.stats().inbox > 0, 'message that nobody takes');
  ws.reconnect();
  await log.next(({ text }) => /^down/.test(text));
  await log.next(({ text }) => /^open: attempt 1, reconnect 1/.test(text));
  await within(ws.close(), 'end');
});

test('a loop that is blocked loses lines, and is told how many', async (t) => {
  const log = published(t, 'log');
  const other = await startServer();
  const ws = await connect(`${other.ws}/echo`, { reconnect: { minDelay: 0, maxDelay: 0 } });
  const down = event(ws, 'down');
  await other.stop();
  await down;
  // Two lines for each attempt, and none is taken.
  const before = ws.stats().attempt;
  block(() => ws.stats().attempt >= before + 600);
  const { level, text } = await log.next(({ text }) => /lines were lost/.test(text));
  assert.equal(level, 'warning');
  assert.ok(Number.parseInt(text) > 0, text);
  await within(ws.close(), 'end');
});

test('open, down and closed have the client and the details', async (t) => {
  const [opened, down, closed] = ['open', 'down', 'closed'].map((name) => published(t, name));
  const ws = await connect(`${server.ws}/drop?after=1`, { reconnect });
  const first = await opened.next();
  assert.equal(first.client, ws);
  assert.deepEqual([first.attempt, first.reconnects, first.subprotocol], [1, 0, null]);
  assert.equal(typeof first.headers, 'object');
  const lost = event(ws, 'down');
  ws.send('drop me');
  const { client, ...details } = await down.next();
  assert.equal(client, ws);
  assert.deepEqual(details, await lost);
  assert.ok(details.error instanceof LongwireError);
  assert.equal((await opened.next()).reconnects, 1);
  const end = await ws.close();
  assert.deepEqual(await closed.next(), { client: ws, ...end });
});

test('a first attempt that fails is told as closed', async (t) => {
  const closed = published(t, 'closed');
  await assert.rejects(connect(`${server.ws}/http?status=404`), { code: 'LW_ESTATUS' });
  const { error, client } = await closed.next();
  assert.deepEqual([error.status, client.state], [404, 'closed']);
});

test('a subscriber that throws disturbs nothing', async () => {
  const throwing = () => {
    throw new Error('on purpose');
  };
  const told = uncaught();
  subscribe('longwire:open', throwing);
  const ws = await connect(`${server.ws}/echo`);
  unsubscribe('longwire:open', throwing);
  assert.equal((await told).message, 'on purpose');
  ws.send('hello');
  assert.equal(await message(ws), 'hello');
  await ws.close();
});
