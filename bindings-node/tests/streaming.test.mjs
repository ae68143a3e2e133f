// Messages taken in pieces: one after the other, bounded, and never silently short.

import assert from 'node:assert/strict';
import { mkdtempSync, createWriteStream, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { connect } from 'longwire';
import { frame, startPeer } from './support/peer.mjs';
import { startServer } from './support/server.mjs';
import { deferred, event, message, within } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const streaming = (path, options) =>
  connect(`${server.ws}${path}`, { streaming: true, reconnect: false, ...options });

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');

/** Bytes in buffers that somebody still has. */
const heldBytes = () => {
  gc();
  return process.memoryUsage().arrayBuffers;
};

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;

async function chunksOf(message) {
  const chunks = [];
  await within(
    (async () => {
      for await (const chunk of message) chunks.push(chunk);
    })(),
    'end of the message',
  );
  return chunks;
}

const whole = async (message) => {
  const chunks = await chunksOf(message);
  return message.isText ? chunks.join('') : Buffer.concat(chunks);
};

test('messages of both kinds and every size, one after the other', async () => {
  const ws = await streaming('/echo');
  for (const size of [0, 1, 125, 126, 65_536, 1 << 20]) {
    const [text, binary] = ['é'.repeat(size), Buffer.alloc(size, 'binary')];
    ws.send(text);
    ws.send(binary);
    const first = await message(ws);
    assert.ok(first instanceof Readable);
    assert.equal(first.isText, true);
    assert.ok((await whole(first)) === text, `text of ${size}`);
    const next = await message(ws);
    assert.equal(next.isText, false);
    const chunks = await chunksOf(next);
    assert.ok(chunks.every(Buffer.isBuffer));
    assert.ok(Buffer.concat(chunks).equals(binary), `binary of ${size}`);
  }
  await ws.close();
});

test('the iteration ends with the connection', async () => {
  const ws = await streaming('/push?count=1000&size=100');
  const got = [];
  for await (const text of ws) got.push(parseInt(await whole(text), 10));
  assert.deepEqual(got, Array.from({ length: 1000 }, (_, i) => i));
  assert.deepEqual(await ws[Symbol.asyncIterator]().next(), { value: undefined, done: true });
});

test('a message over every limit goes into a file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'longwire-'));
  try {
    const size = 20_000_000;
    const ws = await streaming(`/push?count=1&size=${size}&kind=binary`, { maxMessageSize: 1000 });
    const file = join(directory, 'file');
    await within(pipeline(await message(ws), createWriteStream(file)), 'finish');
    const expected = Buffer.alloc(size, '.');
    expected.write('0 ');
    assert.ok(readFileSync(file).equals(expected));
    await ws.closed;
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('no chunk of a text begins or ends inside a character', async () => {
  const text = 'ü€😀'.repeat(3);
  const bytes = Buffer.from(text);
  const peer = await startPeer(async (socket, frames) => {
    // Each byte by itself, and each answered, so that they do not arrive together.
    for (let i = 0; i < bytes.length; i++) {
      const fin = i === bytes.length - 1;
      socket.write(frame(i === 0 ? TEXT : CONTINUATION, bytes.subarray(i, i + 1), { fin }));
      socket.write(frame(9, 'ping'));
      await frames.next();
    }
  });
  const ws = await connect(peer.url, { streaming: true, reconnect: false, closeTimeout: 100 });
  const chunks = await chunksOf(await message(ws));
  assert.equal(chunks.join(''), text);
  assert.ok(chunks.length > 1);
  for (const chunk of chunks) assert.ok(chunk.isWellFormed() && !chunk.includes('\ufffd'), chunk);
  await ws.close();
  peer.stop();
});

test("'message' listeners get the next one when the one before is done with", async () => {
  const ws = await streaming('/push?count=6&size=100000');
  const got = [];
  const { promise: all, resolve } = deferred();
  ws.on('message', async (text) => {
    assert.ok(got.every((before) => before.destroyed));
    const number = got.push(text) - 1;
    assert.equal(parseInt(await whole(text), 10), number);
    if (number === 5) resolve();
  });
  await within(all, 'six messages');
});

test('what is destroyed is discarded to its end', async () => {
  const ws = await streaming('/push?count=40&size=300000');
  const got = [];
  for await (const text of ws) {
    if (got.length % 4 === 0) text.destroy();
    else if (got.length % 4 === 1) for await (const _ of text) break;
    else if (got.length % 4 === 2) text.once('data', () => text.destroy()).resume();
    else assert.equal(parseInt(await whole(text), 10), got.length);
    got.push(text);
  }
  assert.equal(got.length, 40);
  assert.equal((await ws.closed).code, 1000);
});

test('the next message waits for the one before', async () => {
  const ws = await streaming('/push?count=2&size=10');
  const first = await message(ws);
  let early = false;
  const second = message(ws).then((text) => {
    early = true;
    return text;
  });
  await within(ws.closed, 'close');
  assert.equal(early, false);
  assert.match(await whole(first), /^0 /);
  assert.match(await whole(await second), /^1 /);
});

for (const [what, count, size] of [
  ['one large message', 1, 250 << 20],
  ['many messages', 4000, 64 << 10],
]) {
  test(`the reader sets the pace of ${what}`, async () => {
    const options = { receiveBuffer: 1 << 20 };
    const ws = await streaming(`/push?count=${count}&size=${size}&kind=binary`, options);
    const other = await connect(`${server.ws}/echo`);
    const first = await message(ws);
    // Each answer is a turn of the loop in which more could have been read.
    for (let i = 0; i < 300; i++) await within(other.ping(), 'pong');
    const held = heldBytes();
    assert.ok(held < 32 << 20, `${held} bytes are held`);
    let bytes = 0;
    for await (const chunk of first) {
      // A turn for each, so that the reader is the slower one.
      if (size > 1 << 20 && bytes === 0) for (let i = 0; i < 300; i++) await other.ping();
      bytes += chunk.length;
    }
    assert.ok(heldBytes() < 64 << 20);
    for await (const next of ws) for await (const chunk of next) bytes += chunk.length;
    assert.equal(bytes, count * size);
    await other.close();
  });
}

for (const [how, end] of [
  ['lost', (socket) => socket.destroy()],
  ['closed', (socket) => socket.write(frame(8, Buffer.from([3, 0xf3])))],
  ['violated', (socket) => socket.write(frame(BINARY, 'inside'))],
]) {
  test(`a message whose connection is ${how} in the middle fails, fetched or not`, async () => {
    let connections = 0;
    const go = deferred();
    const peer = await startPeer(async (socket) => {
      if (++connections === 1) {
        socket.write(frame(BINARY, 'complete'));
        socket.write(frame(BINARY, 'beginning', { fin: false }));
        await go.promise;
        end(socket);
      } else {
        socket.write(frame(TEXT, 'another'));
      }
    });
    const reconnect = how === 'violated' ? false : { minDelay: 0, maxDelay: 10 };
    const options = { streaming: true, reconnect, closeTimeout: 100 };
    for (const fetched of [true, false]) {
      connections = 0;
      const ws = await connect(peer.url, options);
      assert.equal(String(await whole(await message(ws))), 'complete');
      const rest = fetched ? (await message(ws))[Symbol.asyncIterator]() : null;
      if (rest) assert.equal(String((await rest.next()).value), 'beginning');
      const over = event(ws, reconnect ? 'down' : 'close');
      go.resolve();
      await over;
      await assert.rejects(rest ? rest.next() : chunksOf(await message(ws)), (error) => {
        assert.equal(error.code, 'LW_ELOST', error.message);
        assert.match(error.message, /before the message was complete/);
        assert.ok(error.cause instanceof Error);
        return true;
      });
      if (reconnect) assert.equal(await whole(await message(ws)), 'another');
      else await assert.rejects(message(ws), { code: 'LW_EPROTO' });
      await ws.close();
    }
    peer.stop();
  });
}

test('close is heard although nobody reads', async () => {
  const ws = await streaming('/push?count=1&size=100000000', { receiveBuffer: 65_536 });
  const unread = await message(ws);
  assert.equal((await within(ws.close(), 'close')).code, 1000);
  await assert.rejects(chunksOf(unread), { code: 'LW_ECLOSED' });
});

test('a text that is none is told at the chunk that shows it', async () => {
  const ws = await streaming('/raw?after=010261c3800128');
  await assert.rejects(chunksOf(await message(ws)), (error) => error.cause.code === 'LW_EUTF8');
  assert.equal((await within(ws.closed, 'close')).error.code, 'LW_EUTF8');
});
