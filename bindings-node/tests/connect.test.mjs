// The persistent client: messages both ways, iteration, events, closing.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { Client, LongwireError, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { event, message, within } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const SIZES = [0, 1, 125, 126, 4095, 4096, 16_384, 65_535, 65_536, 1 << 20, 5 << 20];

test('both module systems give the same objects', () => {
  const required = createRequire(import.meta.url)('longwire');
  assert.equal(required.connect, connect);
  assert.equal(required.LongwireError, LongwireError);
});

test('the way of waking is the one that was asked for', () => {
  const { host } = createRequire(import.meta.url)('../lib/native.js');
  assert.equal(host.usesUv, process.env.LONGWIRE_NO_UV !== '1');
});

for (const scheme of ['ws', 'wss']) {
  test(`${scheme}: text and binary of every size come back as they were`, async () => {
    const ws = await connect(`${server[scheme]}/echo`, { tls: { caFile: server.ca_file } });
    for (const size of SIZES) {
      const binary = Buffer.alloc(size, `${size} `);
      const text = 'a€'.repeat(Math.ceil(size / 4)).slice(0, size);
      ws.send(binary);
      ws.send(text);
      const back = await message(ws);
      assert.ok(Buffer.isBuffer(back), `size ${size}`);
      assert.ok(back.equals(binary), `binary of ${size}`);
      assert.ok((await message(ws)) === text, `text of ${size}`);
    }
    assert.deepEqual(await ws.close(), {
      ...{ code: 1000, reason: '', clean: true, error: undefined },
      ...{ unsentMessages: 0, unsentBytes: 0 },
    });
  });
}

test('what is sent in one turn arrives in order, whatever its kind', async () => {
  const ws = await connect(`${server.ws}/echo`);
  const sent = [];
  for (let i = 0; i < 3000; i++) {
    const text = `${i} ${'.'.repeat(i % 200)}`;
    const data = i % 7 < 3 ? Buffer.from(text) : text;
    sent.push(data);
    ws.send(data);
  }
  for (const expected of sent) assert.deepEqual(await message(ws), expected);
  await ws.close();
});

test('every kind of bytes can be sent', async () => {
  const ws = await connect(`${server.ws}/echo`);
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => i * 3);
  const shared = new Uint8Array(new SharedArrayBuffer(16));
  shared.set(bytes);
  const all = [
    bytes,
    bytes.buffer,
    Buffer.from(bytes),
    new Uint16Array(bytes.buffer),
    new DataView(bytes.buffer),
    shared,
    shared.buffer,
  ];
  for (const data of all) ws.send(data);
  for (const _ of all) assert.deepEqual(await message(ws), Buffer.from(bytes));
  ws.send(new Uint16Array(bytes.buffer, 4, 2));
  assert.deepEqual(await message(ws), Buffer.from(bytes.subarray(4, 8)));
  ws.send('lone \ud800 surrogate');
  assert.equal(await message(ws), 'lone \ufffd surrogate');
  await ws.close();
});

test('small binary messages that are kept do not change', async () => {
  const ws = await connect(`${server.ws}/push?count=20000&size=64&kind=binary`);
  const kept = [];
  for await (const data of ws) kept.push(data);
  assert.equal(kept.length, 20_000);
  kept.forEach((data, i) => assert.equal(parseInt(data.toString('latin1', 0, 8), 10), i));
  // A view pins its chunk, so chunks have to be small.
  assert.ok(kept.every((data) => data.buffer.byteLength <= 16_384));
});

test('the iteration ends with the connection', async () => {
  const ws = await connect(`${server.ws}/push?count=5&size=10`);
  const got = [];
  for await (const text of ws) got.push(text);
  assert.deepEqual(got, ['0 ........', '1 ........', '2 ........', '3 ........', '4 ........']);
  assert.equal((await within(ws.closed, 'close')).code, 1000);
  assert.deepEqual(await ws[Symbol.asyncIterator]().next(), { value: undefined, done: true });
});

test('leaving a loop keeps the connection and the messages', async () => {
  const ws = await connect(`${server.ws}/push?count=10&size=10`);
  const seen = [];
  for await (const text of ws) {
    seen.push(text[0]);
    if (seen.length === 4) break;
  }
  for await (const text of ws) seen.push(text[0]);
  assert.equal(seen.join(''), '0123456789');
});

test('waiting iterations are served in the order in which they came', async () => {
  const ws = await connect(`${server.ws}/echo`);
  const answers = [message(ws), message(ws), message(ws)];
  for (const text of ['a', 'b', 'c']) ws.send(text);
  assert.deepEqual(await Promise.all(answers), ['a', 'b', 'c']);
  await ws.close();
});

test("'message' listeners get what waited, and then everything", async () => {
  const ws = await connect(`${server.ws}/push?count=200&size=12`);
  assert.match(await message(ws), /^0 /);
  const got = [];
  ws.on('message', (text) => got.push(parseInt(text, 10)));
  await within(ws.closed, 'close');
  assert.deepEqual(got, Array.from({ length: 199 }, (_, i) => i + 1));
});

test("'once' takes one message and leaves the others to the iteration", async () => {
  const ws = await connect(`${server.ws}/echo`);
  const first = event(ws, 'message');
  ws.send('one');
  ws.send('two');
  assert.equal(await first, 'one');
  assert.equal(await message(ws), 'two');
  await ws.close();
});

test('an exception in a listener is an uncaughtException, and loses no message', async () => {
  const ws = await connect(`${server.ws}/push?count=1000&size=12`);
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const caught = [];
  process.on('uncaughtException', (error) => caught.push(error.message));
  const got = [];
  ws.on('message', (text) => {
    got.push(parseInt(text, 10));
    if (got.length % 100 === 0) throw new Error(`on purpose ${got.length}`);
  });
  try {
    await within(ws.closed, 'close');
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
  assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => i));
  assert.deepEqual(caught, Array.from({ length: 10 }, (_, i) => `on purpose ${(i + 1) * 100}`));
});

test('listeners run in the asynchronous context in which connect was called', async () => {
  const storage = new AsyncLocalStorage();
  const ws = await storage.run('mine', () => connect(`${server.ws}/echo`));
  const seen = new Promise((resolve) => ws.once('message', () => resolve(storage.getStore())));
  ws.send('text');
  assert.equal(await within(seen, 'message'), 'mine');
  await ws.close();
});

test('the consumer sets the pace: what is not fetched stays with the server', async () => {
  const size = 64 << 10;
  const count = 4000;
  const ws = await connect(`${server.ws}/push?count=${count}&size=${size}&kind=binary`, {
    receiveBuffer: 1 << 20,
  });
  const other = await connect(`${server.ws}/echo`);
  // Each answer is a turn of the loop in which more could have been read.
  for (let i = 0; i < 300; i++) await within(other.ping(), 'pong');
  const held = process.memoryUsage().arrayBuffers;
  assert.ok(held < 32 << 20, `${held} bytes are held`);
  let next = 0;
  for await (const data of ws) assert.equal(parseInt(data.toString('latin1', 0, 8), 10), next++);
  assert.equal(next, count);
  await other.close();
});

test('close is heard although nobody fetches what came before', async () => {
  const ws = await connect(`${server.ws}/push?count=2000&size=65536`, { receiveBuffer: 65_536 });
  assert.match(await message(ws), /^0 /);
  const { code } = await within(ws.close(), 'close');
  assert.equal(code, 1000);
});

test('a full send buffer says so, takes nothing, and drains', async () => {
  const ws = await connect(`${server.ws}/stall`, { sendBuffer: 1 << 20, closeTimeout: 100 });
  const chunk = Buffer.alloc(256 << 10);
  let error;
  for (let i = 0; i < 1000 && !error; i++) {
    try {
      ws.send(chunk);
    } catch (caught) {
      error = caught;
    }
  }
  assert.equal(error?.code, 'LW_EFULL');
  assert.ok(ws.bufferedAmount > 0 && ws.bufferedAmount <= 1 << 20, `${ws.bufferedAmount}`);
  const end = await within(ws.close(), 'close');
  assert.equal(end.clean, false);
});

test("after 'drain' there is room again", async () => {
  // With a buffer of one byte, whatever the kernel leaves over makes it full.
  const ws = await connect(`${server.ws}/count?every=1000000`, { sendBuffer: 1 });
  // More than the kernel takes at once, again and again: sooner or later the
  // server is slower than the loop.
  const chunk = Buffer.alloc(32 << 20);
  let refused = 0;
  for (let sent = 0; sent < 100 && refused < 1; ) {
    try {
      ws.send(chunk);
      sent++;
    } catch (error) {
      assert.equal(error.code, 'LW_EFULL');
      refused++;
      await event(ws, 'drain');
    }
  }
  assert.equal(refused, 1);
  ws.send('and one more');
  assert.equal((await ws.close()).code, 1000);
});

test('ping gives the round trip, and pongs are events', async () => {
  const ws = await connect(`${server.ws}/echo`);
  assert.equal(ws.latency, null);
  const pong = event(ws, 'pong');
  const [first, second] = await within(Promise.all([ws.ping('same'), ws.ping('same')]), 'pongs');
  assert.ok(first > 0 && first < 15_000 && second > 0, `${first} ${second}`);
  const { payload, roundTrip } = await pong;
  assert.deepEqual([payload.toString(), roundTrip], ['same', first]);
  assert.ok(ws.latency > 0);
  await ws.close();
});

test('a ping that is not answered rejects when the connection goes', async () => {
  const ws = await connect(`${server.ws}/stall`, { closeTimeout: 50 });
  const answer = ws.ping();
  ws.close();
  await assert.rejects(within(answer, 'rejection'), LongwireError);
});

test('headers, subprotocol and origin go out, and the answer is there', async () => {
  const headers = new Headers({ 'x-one': '1' });
  const ws = await connect(`${server.ws}/headers`, { headers, origin: 'https://example.org' });
  const seen = JSON.parse(await message(ws));
  assert.equal(seen['x-one'], '1');
  assert.equal(seen.origin, 'https://example.org');
  assert.equal(ws.headers.upgrade.toLowerCase(), 'websocket');
  await ws.close();

  const chosen = await connect(`${server.ws}/subprotocol`, { subprotocols: ['b', 'a'] });
  assert.equal(chosen.subprotocol, 'b');
  await chosen.close();
});

test('compression is offered as it was told', async () => {
  for (const [compression, offer] of [
    [undefined, 'permessage-deflate; client_no_context_takeover; client_max_window_bits'],
    [true, 'permessage-deflate; client_no_context_takeover; client_max_window_bits'],
    [false, undefined],
    [
      {
        clientNoContextTakeover: false,
        serverNoContextTakeover: true,
        clientMaxWindowBits: 10,
        serverMaxWindowBits: 11,
      },
      'permessage-deflate; server_no_context_takeover; server_max_window_bits=11; ' +
        'client_max_window_bits=10',
    ],
  ]) {
    const ws = await connect(`${server.ws}/headers`, { compression });
    const seen = JSON.parse(await message(ws));
    assert.equal(seen['sec-websocket-extensions'], offer);
    await ws.close();
  }
});

test('a message is sent as it is', async () => {
  // A peer that agrees to compression and notes the first byte of each frame.
  const firsts = [];
  const peer = createServer().listen(0, '127.0.0.1');
  peer.on('upgrade', (request, socket) => {
    const key = request.headers['sec-websocket-key'];
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n' +
        `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    );
    let rest = Buffer.alloc(0);
    socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 4) {
        const length = rest[1] & 127;
        const size = length === 126 ? 8 + rest.readUInt16BE(2) : 6 + length;
        if (rest.length < size) return;
        firsts.push(rest[0]);
        rest = rest.subarray(size);
      }
      // The last one is the close frame.
      if (firsts.at(-1) === 0x88) socket.end(Buffer.from([0x88, 0]));
    });
  });
  await once(peer, 'listening');
  const ws = await connect(`ws://127.0.0.1:${peer.address().port}/`);
  const [text, binary] = ['x'.repeat(2000), Buffer.alloc(2000)];
  ws.send(text);
  ws.send(text, { compress: false });
  ws.send(binary, { compress: true });
  ws.send(binary, { compress: false });
  ws.send('short', {});
  await within(ws.close(), 'close');
  peer.close();
  assert.deepEqual(firsts, [0xc1, 0x81, 0xc2, 0x82, 0x81, 0x88]);
});

test('the peer’s code and reason are reported as they came', async () => {
  const ws = await connect(`${server.ws}/close?code=4001&reason=enough`, { reconnect: false });
  const { code, reason, clean } = await within(ws.closed, 'close');
  assert.deepEqual({ code, reason, clean }, { code: 4001, reason: 'enough', clean: true });
});

test('state follows the life, and the end is told once', async () => {
  const ws = await connect(new URL(`${server.ws}/echo`));
  assert.ok(ws instanceof Client);
  assert.equal(ws.state, 'open');
  let ends = 0;
  ws.on('close', () => ends++);
  const closed = ws.close(1000, 'bye');
  assert.throws(() => ws.send('late'), { code: 'LW_ECLOSED' });
  await Promise.all([within(closed, 'close'), ws.close(), ws.closed]);
  assert.equal(ws.state, 'closed');
  assert.equal(ends, 1);
  assert.throws(() => ws.send('late'), { code: 'LW_ECLOSED' });
  assert.throws(() => ws.ping(), { code: 'LW_ECLOSED' });
});

test('asynchronous disposal closes', async () => {
  const ws = await connect(`${server.ws}/echo`);
  await within(ws[Symbol.asyncDispose](), 'disposal');
  assert.equal(ws.state, 'closed');
});
