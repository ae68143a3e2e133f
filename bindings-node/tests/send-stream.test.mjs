// One message in pieces: fragments, backpressure, and what an unfinished one leads to.

import assert from 'node:assert/strict';
import { mkdtempSync, createReadStream, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { connect } from 'longwire';
import { frame, startPeer } from './support/peer.mjs';
import { startServer } from './support/server.mjs';
import { deferred, event, message, within } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** Connects to a peer whose frames come back as a list, once `until` holds for the last. */
async function withPeer(until, options, use, extensions) {
  const { promise: seen, resolve } = deferred();
  const peer = await startPeer(
    async (socket, frames) => {
      const all = [];
      for await (const one of frames) {
        all.push(one);
        if (until(one)) return resolve(all);
      }
    },
    { extensions },
  );
  const ws = await connect(peer.url, { reconnect: false, closeTimeout: 100, ...options });
  try {
    await use(ws);
    return await within(seen, 'frames');
  } finally {
    ws.close();
    peer.stop();
  }
}

const last = ({ fin, opcode }) => fin && opcode < 8;

/** Writes and waits until the piece was taken. */
function write(stream, ...piece) {
  return new Promise((resolve, reject) => {
    stream.write(...piece, (error) => (error ? reject(error) : resolve()));
  });
}

test('a file goes out as one message', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'longwire-'));
  try {
    const file = join(directory, 'file');
    const content = Buffer.alloc(3 << 20, 'some file ');
    writeFileSync(file, content);
    const ws = await connect(`${server.ws}/echo`, { sendBuffer: 100_000 });
    await within(pipeline(createReadStream(file), ws.createSendStream()), 'finish');
    assert.ok((await message(ws)).equals(content));
    await within(pipeline(createReadStream(file), ws.createSendStream({ text: true })), 'finish');
    assert.ok((await message(ws)) === content.toString());
    await ws.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('each piece is a fragment, and nothing else stands between them', async () => {
  const frames = await withPeer(
    ({ payload }) => payload.equals(Buffer.from('whole')),
    {},
    async (ws) => {
      const stream = ws.createSendStream({ text: true });
      await write(stream, 'one ');
      ws.send('whole');
      assert.throws(() => ws.createSendStream(), { code: 'LW_EBUSY' });
      await write(stream, Buffer.from('two '));
      stream.end('three');
      await event(stream, 'finish');
    },
  );
  const shown = frames.map(({ opcode, fin, payload }) => `${opcode} ${fin} ${payload}`);
  assert.deepEqual(shown, ['1 false one ', '0 false two ', '0 false three', '0 true ', '1 true whole']);
});

test('text may be cut anywhere, and written in any encoding', async () => {
  const ws = await connect(`${server.ws}/echo`);
  const text = 'ünï 😀 €';
  const bytes = Array.from(Buffer.from(text), (byte) => Buffer.from([byte]));
  for (const pieces of [text.split(''), bytes]) {
    await within(pipeline(pieces, ws.createSendStream({ text: true })), 'finish');
    assert.equal(await message(ws), text);
  }
  const lone = ws.createSendStream({ text: true });
  lone.write('\ud83d');
  lone.write(Buffer.from('x'));
  lone.end('\ud83d');
  assert.equal(await message(ws), '\ufffdx\ufffd');
  const binary = ws.createSendStream();
  binary.write('00ff', 'hex');
  binary.write(new Uint8Array([1, 2]));
  binary.end('é', 'latin1');
  assert.deepEqual(await message(ws), Buffer.from([0, 255, 1, 2, 0xe9]));
  ws.createSendStream({ text: true }).end();
  assert.equal(await message(ws), '');
  await ws.close();
});

test('bytes that are no text give the message and its connection up', async () => {
  const ws = await connect(`${server.ws}/echo`, { reconnect: false });
  const stream = ws.createSendStream({ text: true });
  await write(stream, 'good');
  const failed = event(stream, 'error');
  stream.write(Buffer.from([0xff]));
  assert.equal((await failed).code, 'LW_EUTF8');
  assert.equal((await within(ws.closed, 'close')).error.code, 'LW_ELOST');

  const other = await connect(`${server.ws}/echo`, { reconnect: false });
  const unended = other.createSendStream({ text: true });
  const broken = event(unended, 'error');
  unended.end(Buffer.from('é').subarray(0, 1));
  assert.equal((await broken).code, 'LW_EUTF8');
  await within(other.closed, 'close');
});

test('a stream that is destroyed tells the server, and another connection follows', async () => {
  const id = `destroyed-${process.pid}`;
  for (const path of [`/raw?id=${id}`, '/echo']) {
    const reconnect = path === '/echo' ? { minDelay: 0, maxDelay: 10 } : false;
    const ws = await connect(`${server.ws}${path}`, { reconnect });
    const stream = ws.createSendStream();
    await write(stream, 'begun');
    const events = reconnect ? ['down', 'open'] : ['close'];
    const [over, open] = events.map((name) => event(ws, name));
    stream.destroy();
    assert.equal((await over).error.code, 'LW_ELOST');
    assert.equal((await open)?.reconnects, reconnect ? 1 : undefined);
    await ws.close();
  }
  const result = await connect(`${server.ws}/raw-result?id=${id}`, { reconnect: false });
  assert.match(await message(result), /^1011 /);
});

test('of which nothing was sent, it is destroyed alone', async () => {
  const ws = await connect(`${server.ws}/echo`, { reconnect: false });
  await assert.rejects(pipeline(createReadStream('/no/such/file'), ws.createSendStream()), {
    code: 'ENOENT',
  });
  const stream = ws.createSendStream();
  ws.send('behind it');
  stream.destroy();
  assert.equal(await message(ws), 'behind it');
  await ws.close();
});

/** A peer that reads when `go` is called, and resolves `total` with the bytes of one message. */
async function startSlow(greeting = []) {
  const start = deferred();
  const total = deferred();
  const peer = await startPeer(async (socket, frames) => {
    for (const bytes of greeting) socket.write(bytes);
    await start.promise;
    let sum = 0;
    for await (const one of frames) {
      sum += one.payload.length;
      if (last(one)) total.resolve(sum);
    }
  });
  return { ...peer, go: start.resolve, total: total.promise };
}

for (const [what, greeting] of [
  ['', []],
  [', although the inbox is full', Array.from({ length: 64 }, () => frame(2, Buffer.alloc(4096)))],
]) {
  test(`the peer sets the pace${what}`, async () => {
    const peer = await startSlow(greeting);
    const size = 64 << 20;
    const sendBuffer = 256 << 10;
    const ws = await connect(peer.url, { sendBuffer, receiveBuffer: 4096, closeTimeout: 100 });
    const other = await connect(`${server.ws}/echo`);
    let given = 0;
    const pieces = function* () {
      for (; given < size; given += 65_536) yield Buffer.alloc(65_536);
    };
    const sent = pipeline(Readable.from(pieces()), ws.createSendStream());
    for (let i = 0; i < 300; i++) await within(other.ping(), 'pong');
    assert.ok(given < size / 2, `${given} bytes were taken`);
    assert.ok(ws.bufferedAmount <= sendBuffer, `${ws.bufferedAmount} bytes wait`);
    peer.go();
    await within(sent, 'finish');
    assert.equal(await within(peer.total, 'whole message'), size);
    await Promise.all([ws.close(), other.close()]);
    peer.stop();
  });
}

test("'drain' is heard although the inbox is full", async () => {
  const peer = await startSlow(Array.from({ length: 64 }, () => frame(2, Buffer.alloc(4096))));
  const ws = await connect(peer.url, { sendBuffer: 1 << 20, receiveBuffer: 4096, closeTimeout: 100 });
  const other = await connect(`${server.ws}/echo`);
  for (let i = 0; i < 300; i++) await within(other.ping(), 'pong');
  const refused = () => {
    for (let i = 0; i < 1000; i++) ws.send(Buffer.alloc(65_536));
  };
  assert.throws(refused, { code: 'LW_EFULL' });
  const drained = event(ws, 'drain');
  peer.go();
  await drained;
  ws.send('again');
  await Promise.all([ws.close(), other.close()]);
  peer.stop();
});

for (const [name, reconnect] of [['for good', false], ['for a while', { minDelay: 60_000, maxDelay: 60_000 }]]) {
  test(`a connection that is lost ${name} fails the stream`, async () => {
    const { promise, resolve } = deferred();
    const peer = await startPeer(async (socket, frames) => {
      await frames.next();
      await promise;
      socket.destroy();
    });
    const ws = await connect(peer.url, { reconnect, closeTimeout: 100 });
    const idle = ws.createSendStream();
    await write(idle, 'one');
    const failed = event(idle, 'error');
    resolve();
    const error = await failed;
    assert.equal(error.code, 'LW_ELOST', error.message);
    assert.match(error.message, /before the message was complete/);
    assert.equal(error.cause.code, 'LW_ELOST');
    assert.ok(idle.destroyed);
    const code = reconnect ? 'LW_EOFFLINE' : 'LW_ECLOSED';
    assert.throws(() => ws.createSendStream(), { code });
    await ws.close();
    peer.stop();
  });

  test(`a connection that is lost ${name} fails the piece that waits`, async () => {
    const peer = await startPeer(async (socket, frames) => {
      await frames.next();
      await frames.next();
      socket.destroy();
    });
    const ws = await connect(peer.url, { reconnect, sendBuffer: 1, closeTimeout: 100 });
    const endless = function* () {
      for (;;) yield Buffer.alloc(1 << 20);
    };
    await assert.rejects(within(pipeline(endless(), ws.createSendStream()), 'failure'), {
      code: 'LW_ELOST',
    });
    await ws.close();
    peer.stop();
  });
}

test('close in the middle of a message', async () => {
  const ws = await connect(`${server.ws}/stall`, { closeTimeout: 50 });
  const stream = ws.createSendStream();
  await write(stream, 'begun');
  const failed = event(stream, 'error');
  ws.close();
  assert.equal((await failed).code, 'LW_ECLOSED');
  await assert.rejects(write(stream, 'x'), { code: 'ERR_STREAM_DESTROYED' });
});

test('wrong options, and no connection', async () => {
  const ws = await connect(`${server.ws}/echo`);
  for (const options of [null, 'text', { text: 1 }, { compress: 1 }, { binary: true }])
    assert.throws(() => ws.createSendStream(options), { code: 'LW_EINVAL' });
  await ws.close();
  assert.throws(() => ws.createSendStream(), { code: 'LW_ECLOSED' });
});

test('a compressed message in pieces, and one that is not', async () => {
  const extensions = 'permessage-deflate; client_no_context_takeover';
  for (const compress of [true, false]) {
    const frames = await withPeer(
      last,
      {},
      async (ws) => {
        const stream = ws.createSendStream({ text: true, compress });
        for (let i = 0; i < 3; i++) await write(stream, 'x'.repeat(2000));
        stream.end();
      },
      extensions,
    );
    assert.deepEqual(
      frames.map(({ rsv1 }) => rsv1),
      frames.map((_, i) => compress && i === 0),
    );
    const bytes = frames.reduce((sum, { payload }) => sum + payload.length, 0);
    assert.ok(compress ? bytes < 500 : bytes === 6000, `${bytes}`);
  }
});
