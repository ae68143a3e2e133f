// The WHATWG interface: construction, events, sending, closing.

import assert from 'node:assert/strict';
import { mkdtempSync, openAsBlob, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CloseEvent, LongwireError, WebSocket } from 'longwire';
import { WebSocketServer } from 'ws';
import { startServer } from './support/server.mjs';
import { deferred, event, within } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

async function open(path = '/echo', protocols, options) {
  const ws = new WebSocket(server.ws + path, protocols, options);
  await event(ws, 'open');
  return ws;
}

/** Every event of a socket until its close. */
function record(ws) {
  const events = [];
  const { promise, resolve } = deferred();
  for (const type of ['open', 'message', 'error', 'close'])
    ws.addEventListener(type, (each) => {
      events.push(each);
      if (type === 'close') resolve(events);
    });
  return within(promise, "'close' event");
}

const dom = (name) => (error) => error instanceof DOMException && error.name === name;

test('constants stand on the class and on its instances, and cannot change', () => {
  const expected = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };
  for (const [name, value] of Object.entries(expected)) {
    for (const holder of [WebSocket, WebSocket.prototype]) {
      const property = Object.getOwnPropertyDescriptor(holder, name);
      const { writable, enumerable, configurable } = property;
      assert.deepEqual(
        { value: property.value, writable, enumerable, configurable },
        { value, writable: false, enumerable: true, configurable: false },
      );
    }
  }
  assert.equal(Object.prototype.toString.call(WebSocket.prototype), '[object WebSocket]');
  assert.equal(WebSocket.length, 1);
});

test('URLs are parsed as the standard says', async () => {
  for (const url of ['', 'nonsense', 'ftp://h/', 'ws://h/#x', 'ws://h/#', 'ws://h:99999/', '//h/'])
    assert.throws(() => new WebSocket(url), dom('SyntaxError'), url);
  const http = server.ws.replace('ws:', 'http:').toUpperCase();
  const ws = new WebSocket(new URL(`${http}/echo`));
  assert.equal(ws.url, `${server.ws}/echo`);
  await event(ws, 'open');
  ws.close();
  await event(ws, 'close');
});

test('subprotocols are tokens, no two alike', () => {
  for (const protocols of [['a b'], [''], '', ['a', 'a'], ['echo', 'Echo'], ['a\r'], 'a,b'])
    assert.throws(
      () => new WebSocket(`${server.ws}/echo`, protocols),
      dom('SyntaxError'),
      JSON.stringify(protocols),
    );
});

test('options are checked by name', () => {
  assert.throws(() => new WebSocket(server.ws, [], { reconnect: {} }), /unknown option reconnect/);
  assert.throws(() => new WebSocket(server.ws, [], { subprotocols: [] }), TypeError);
});

test('the states, the chosen subprotocol and the events of a life', async () => {
  const ws = new WebSocket(`${server.ws}/subprotocol`, ['v2', 'v1']);
  assert.deepEqual([ws.readyState, ws.protocol, ws.extensions], [0, '', '']);
  assert.equal(ws.binaryType, 'blob');
  assert.throws(() => ws.send('early'), dom('InvalidStateError'));
  const events = record(ws);
  await event(ws, 'open');
  assert.deepEqual([ws.readyState, ws.protocol], [1, 'v2']);
  ws.send('text');
  const { data, origin } = await event(ws, 'message');
  assert.deepEqual([data, origin], ['text', server.ws]);
  ws.close(3000, 'done');
  assert.equal(ws.readyState, 2);
  const all = await events;
  assert.deepEqual(all.map(({ type }) => type), ['open', 'message', 'close']);
  const close = all.at(-1);
  assert.ok(close instanceof CloseEvent && close instanceof Event);
  assert.deepEqual([close.code, close.reason, close.wasClean], [3000, 'done', true]);
  assert.equal(ws.readyState, 3);
  assert.ok(all[1] instanceof MessageEvent);
});

test('binaryType decides what a message is', async () => {
  const ws = await open();
  const bytes = Uint8Array.of(1, 2, 3, 255);
  const echo = async (type) => {
    ws.binaryType = type;
    ws.send(bytes);
    return (await event(ws, 'message')).data;
  };
  const blob = await echo('blob');
  assert.ok(blob instanceof Blob);
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), bytes);
  const buffer = await echo('arraybuffer');
  assert.ok(buffer instanceof ArrayBuffer);
  assert.deepEqual(new Uint8Array(buffer), bytes);
  assert.deepEqual(await echo('nodebuffer'), Buffer.from(bytes));
  ws.binaryType = 'no such type';
  assert.equal(ws.binaryType, 'nodebuffer');
  ws.close();
});

test('each ArrayBuffer is its own, also when many come at once', async () => {
  const ws = new WebSocket(`${server.ws}/push?count=500&size=50&kind=binary`);
  ws.binaryType = 'arraybuffer';
  const events = (await record(ws)).filter(({ type }) => type === 'message');
  assert.equal(events.length, 500);
  events.forEach(({ data }, i) => {
    assert.equal(data.byteLength, 50);
    assert.equal(parseInt(Buffer.from(data).toString('latin1'), 10), i);
  });
});

test('Blobs are sent in their place, and a view as it was', async () => {
  const ws = await open();
  ws.binaryType = 'arraybuffer';
  const { promise, resolve } = deferred();
  const all = [];
  ws.onmessage = ({ data }) => {
    all.push(typeof data === 'string' ? data : Buffer.from(data).toString('latin1'));
    if (all.length === 5) resolve(all);
  };
  const changing = Uint8Array.of(1);
  ws.send('first');
  ws.send(new Blob(['blob one']));
  ws.send('between');
  ws.send(changing);
  ws.send(new Blob(['blob two']));
  changing[0] = 2;
  const expected = ['first', 'blob one', 'between', '\u0001', 'blob two'];
  assert.deepEqual(await within(promise, 'five messages'), expected);
  ws.close();
});

test('close waits for a Blob', async () => {
  const peer = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await event(peer, 'listening');
  const seen = [];
  const { promise, resolve } = deferred();
  peer.on('connection', (connection) => {
    connection.on('message', (data) => seen.push(data.toString()));
    connection.on('close', (code) => resolve([...seen, code]));
  });
  const ws = new WebSocket(`ws://127.0.0.1:${peer.address().port}`);
  await event(ws, 'open');
  ws.send(new Blob(['the message']));
  ws.close(1000);
  assert.equal(ws.readyState, 2);
  assert.deepEqual(await within(promise, 'end at the peer'), ['the message', 1000]);
  peer.close();
});

test('a Blob that cannot be read any more fails the connection', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'longwire-blob-'));
  try {
    const file = join(directory, 'changing');
    writeFileSync(file, 'before');
    const blob = await openAsBlob(file);
    writeFileSync(file, 'something else');
    const ws = await open();
    const events = record(ws);
    ws.send(blob);
    ws.send('behind it');
    assert.deepEqual((await events).map(({ type }) => type), ['error', 'close']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('what is neither text nor bytes is sent as its string', async () => {
  const ws = await open();
  const sent = [5, null, undefined, { toString: () => 'object' }, ['a', 'b']];
  const got = [];
  for (const data of sent) {
    ws.send(data);
    got.push((await event(ws, 'message')).data);
  }
  assert.deepEqual(got, ['5', 'null', 'undefined', 'object', 'a,b']);
  assert.throws(() => ws.send(), TypeError);
  ws.close();
});

test('a message over the limit ends the connection with an error, not silently', async () => {
  const ws = await open('/echo', [], { maxMessageSize: 1000 });
  const events = record(ws);
  ws.send('x'.repeat(1001));
  assert.equal(ws.readyState, WebSocket.CLOSING);
  assert.equal(ws.bufferedAmount, 1001);
  const [error, close] = await events;
  assert.equal(error.type, 'error');
  assert.equal(error.error.code, 'LW_ETOOBIG', error.message);
  assert.match(error.message, /at most 1000 bytes, got 1001/);
  assert.equal(close.type, 'close');
});

test('bufferedAmount counts what was sent in this turn, and all that is sent too late', async () => {
  const ws = await open();
  assert.equal(ws.bufferedAmount, 0);
  ws.send('€');
  ws.send(new Uint8Array(200));
  ws.send(new Blob(['four']));
  assert.equal(ws.bufferedAmount, 207);
  const { promise, resolve } = deferred();
  let answers = 0;
  ws.onmessage = () => ++answers === 3 && resolve();
  await within(promise, 'three answers');
  await new Promise(setImmediate);
  assert.equal(ws.bufferedAmount, 0);
  ws.close();
  ws.send('€');
  assert.equal(ws.bufferedAmount, 3);
  await event(ws, 'close');
  ws.send(new ArrayBuffer(10));
  assert.equal(ws.bufferedAmount, 13);
});

test('close takes 1000 and 3000 to 4999, and reasons of 123 bytes', async () => {
  const ws = await open();
  for (const code of [0, 999, 1001, 1005, 2999, 5000, NaN, 'x', -1, 1e9])
    assert.throws(() => ws.close(code), dom('InvalidAccessError'), String(code));
  assert.throws(() => ws.close(1000, '€'.repeat(42)), dom('SyntaxError'));
  assert.equal(ws.readyState, 1);
  ws.close('3000.4', '€'.repeat(41));
  const { code, reason } = await event(ws, 'close');
  assert.deepEqual([code, reason], [3000, '€'.repeat(41)]);
});

test('close without a code sends none', async () => {
  const ws = await open();
  ws.close();
  ws.close();
  const { code, reason, wasClean } = await event(ws, 'close');
  assert.deepEqual([code, reason, wasClean], [1005, '', true]);
});

test('the peer’s close is reported as it came', async () => {
  for (const [query, code, reason] of [
    ['code=1001&reason=bye', 1001, 'bye'],
    ['code=4999&reason=', 4999, ''],
    ['code=0', 1005, ''],
  ]) {
    const events = await record(new WebSocket(`${server.ws}/close?${query}`));
    const close = events.at(-1);
    assert.deepEqual(events.map(({ type }) => type), ['open', 'close']);
    assert.deepEqual([close.code, close.reason, close.wasClean], [code, reason, true]);
  }
});

test('close before it is open: error, then close 1006, and no open', async () => {
  const ws = new WebSocket(`${server.ws}/stall-handshake`);
  const events = record(ws);
  ws.close();
  assert.equal(ws.readyState, 2);
  const all = await events;
  assert.deepEqual(all.map(({ type }) => type), ['error', 'close']);
  assert.deepEqual([all[1].code, all[1].wasClean, ws.readyState], [1006, false, 3]);
});

test('a handshake that fails: error with its cause, then close 1006', async () => {
  for (const [path, cause] of [
    ['/http?status=403', 'LW_ESTATUS'],
    ['/garbage', 'LW_EHANDSHAKE'],
    ['/subprotocol?choose=x', 'LW_EHANDSHAKE'],
  ]) {
    const all = await record(new WebSocket(server.ws + path));
    assert.deepEqual(all.map(({ type }) => type), ['error', 'close'], path);
    assert.ok(all[0].error instanceof LongwireError);
    assert.equal(all[0].error.code, cause);
    assert.deepEqual([all[1].code, all[1].wasClean], [1006, false]);
  }
});

test('a broken protocol fails the connection; a lost one is just not clean', async () => {
  const broken = await record(new WebSocket(`${server.ws}/raw?after=8b00`));
  assert.deepEqual(broken.map(({ type }) => type), ['open', 'error', 'close']);
  assert.equal(broken[1].error.code, 'LW_EPROTO');
  assert.deepEqual([broken[2].code, broken[2].wasClean], [1006, false]);
  const lost = await record(new WebSocket(`${server.ws}/drop`));
  assert.deepEqual(lost.map(({ type }) => type), ['open', 'close']);
  assert.deepEqual([lost[1].code, lost[1].wasClean], [1006, false]);
});

test('handler attributes keep their place, and anything but an object is null', async () => {
  const ws = await open();
  const order = [];
  ws.onmessage = 5;
  assert.equal(ws.onmessage, null);
  ws.onmessage = () => order.push('never');
  ws.addEventListener('message', () => order.push('listener'));
  const handler = function (each) {
    order.push('handler');
    assert.equal(this, ws);
    assert.equal(each.target, ws);
  };
  ws.onmessage = handler;
  assert.equal(ws.onmessage, handler);
  ws.send('');
  await event(ws, 'message');
  ws.onmessage = null;
  ws.send('');
  await event(ws, 'message');
  ws.onmessage = {};
  ws.send('');
  await event(ws, 'message');
  assert.deepEqual(order, ['handler', 'listener', 'listener', 'listener']);
  ws.close();
});

test('wss, with the options of a connection', async () => {
  const ws = new WebSocket(`${server.wss}/need-header?name=x-token&value=t`, [], {
    tls: { caFile: server.ca_file },
    headers: { 'x-token': 't' },
  });
  await event(ws, 'open');
  ws.close();
  assert.equal((await event(ws, 'close')).code, 1005);
});

test('a connection that can take no more is closed as full', async () => {
  const ws = await open('/stall', [], { sendBuffer: 1 << 20, closeTimeout: 100 });
  const events = record(ws);
  const chunk = new Uint8Array(1 << 20);
  for (let i = 0; i < 100 && ws.readyState === 1; i++) ws.send(chunk);
  assert.equal(ws.readyState, 2);
  assert.deepEqual((await events).map(({ type }) => type), ['error', 'close']);
});
