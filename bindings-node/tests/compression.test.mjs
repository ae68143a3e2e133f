// permessage-deflate: what is negotiated, what is compressed, and what is not.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { WebSocket, connect } from 'longwire';
import { WebSocketServer } from 'ws';
import { startPeer } from './support/peer.mjs';
import { startServer } from './support/server.mjs';
import { deferred, event, message, within } from './support/wait.mjs';

const TEXT = 'the same words, and the same words again; '.repeat(200);

let peer, peerFrames;
before(async () => {
  peer = await startPeer(
    async (socket, frames) => {
      const all = [];
      for await (const one of frames) {
        if (one.opcode === 8) break;
        all.push(one);
      }
      peerFrames.resolve(all);
      socket.end();
    },
    { extensions: 'permessage-deflate; client_no_context_takeover' },
  );
});
after(() => peer.stop());

/** An echo server of `ws`, which compresses whatever it sends. */
async function startWs(perMessageDeflate) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });
  server.on('connection', (socket, { url }) => {
    if (url === '/zeros') socket.send(Buffer.alloc(128 << 20));
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    stop() {
      for (const socket of server.clients) socket.terminate();
      server.close();
    },
  };
}

test('a message is compressed on the wire unless it is short or told not to be', async () => {
  peerFrames = deferred();
  const ws = await connect(peer.url, { reconnect: false, closeTimeout: 100 });
  ws.send(TEXT);
  ws.send(TEXT, { compress: false });
  ws.send(Buffer.from(TEXT), { compress: true });
  ws.send(Buffer.from(TEXT), { compress: false });
  ws.send('short');
  ws.close();
  const frames = await within(peerFrames.promise, 'frames');
  assert.deepEqual(frames.map(({ rsv1 }) => rsv1), [true, false, true, false, false]);
  assert.deepEqual(frames.map(({ opcode }) => opcode), [1, 1, 2, 2, 1]);
  for (const { rsv1, payload } of frames.slice(0, 4))
    if (rsv1) assert.ok(payload.length < 500, `${payload.length}`);
    else assert.equal(payload.toString(), TEXT);
});

test('the threshold is the user’s', async () => {
  peerFrames = deferred();
  const ws = new WebSocket(peer.url, [], { compression: { threshold: 30 }, closeTimeout: 100 });
  await event(ws, 'open');
  assert.equal(ws.extensions, 'permessage-deflate; client_no_context_takeover');
  ws.send('x'.repeat(29));
  ws.send('x'.repeat(30));
  ws.close();
  const frames = await within(peerFrames.promise, 'frames');
  assert.deepEqual(frames.map(({ rsv1 }) => rsv1), [false, true]);
});

for (const [name, options, negotiated] of [
  ['by default', undefined, /^permessage-deflate; ?client_no_context_takeover/],
  ['with context takeover', { clientNoContextTakeover: false, threshold: 0 }, /^permessage-deflate/],
  ['without any', { serverNoContextTakeover: true }, /server_no_context_takeover/],
  ['in a small window', { serverMaxWindowBits: 9 }, /server_max_window_bits=9/],
]) {
  test(`ws understands it, and we ws: ${name}`, async () => {
    const server = await startWs({ threshold: 0 });
    const settings = { compression: options ?? true, reconnect: false };
    const ws = await connect(server.url, settings);
    assert.match(ws.extensions, negotiated);
    for (let i = 0; i < 20; i++) {
      const data = i % 2 ? TEXT.repeat(i) : Buffer.from(TEXT.repeat(i));
      ws.send(data, { compress: i % 3 !== 0 });
      assert.deepEqual(await message(ws), data);
    }
    await ws.close();

    const whatwg = new WebSocket(server.url, [], { compression: options ?? true });
    assert.equal(whatwg.extensions, '');
    await event(whatwg, 'open');
    assert.equal(whatwg.extensions, ws.extensions);
    whatwg.send(TEXT);
    assert.equal((await event(whatwg, 'message')).data, TEXT);
    whatwg.close();
    await event(whatwg, 'close');
    server.stop();
  });
}

test('what is not offered, or not accepted, is not there', async () => {
  const server = await startWs({ threshold: 0 });
  const plain = await startServer();
  for (const [url, compression] of [
    [server.url, false],
    [`${plain.ws}/echo`, true],
  ]) {
    const ws = await connect(url, { compression });
    assert.equal(ws.extensions, '');
    ws.send(TEXT);
    assert.equal(await message(ws), TEXT);
    await ws.close();
    const whatwg = new WebSocket(url, [], { compression });
    await event(whatwg, 'open');
    assert.equal(whatwg.extensions, '');
    whatwg.close();
    await event(whatwg, 'close');
  }
  server.stop();
  await plain.stop();
});

test('compressed messages in pieces, both ways', async () => {
  const server = await startWs({ threshold: 0 });
  const ws = await connect(server.url, { streaming: true, reconnect: false });
  const sent = ws.createSendStream({ text: true });
  for (let i = 0; i < 100; i++) sent.write(`${i} ünï 😀 ${TEXT}`);
  sent.end();
  let back = '';
  for await (const chunk of await message(ws)) back += chunk;
  assert.ok(back === Array.from({ length: 100 }, (_, i) => `${i} ünï 😀 ${TEXT}`).join(''));
  await ws.close();
  server.stop();
});

test('what decompresses to a hundred times as much waits for its reader all the same', async () => {
  const server = await startWs({ threshold: 0 });
  const before = process.memoryUsage().arrayBuffers;
  const options = { streaming: true, reconnect: false, receiveBuffer: 1 << 20 };
  const ws = await connect(`${server.url}/zeros`, options);
  const zeros = await message(ws);
  const other = await connect(server.url);
  const sum = async () => {
    let bytes = 0;
    for await (const chunk of zeros) {
      bytes += chunk.length;
      if (bytes < 1 << 20) for (let i = 0; i < 100; i++) await other.ping();
      most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
    return bytes;
  };
  let most = 0;
  assert.equal(await within(sum(), 'zeros'), 128 << 20);
  // The server holds all of it once.
  assert.ok(most - before < (128 + 48) << 20, `${most - before} bytes were held`);
  await Promise.all([ws.close(), other.close()]);
  server.stop();
});
