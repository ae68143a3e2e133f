// Whatever is wrong gives a clear error with a stable code, and nothing hangs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { X509Certificate, createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Client, LongwireError, connect, errorCodes } from 'longwire';
import { startServer } from './support/server.mjs';
import { message, within } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

async function fails(url, options) {
  try {
    await within(connect(url, options), 'answer');
  } catch (error) {
    return error;
  }
  return assert.fail('it connected');
}

test('the table of errors is the core’s, in the declarations and in the docs too', () => {
  const { errorKinds } = createRequire(import.meta.url)('../lib/native.js');
  const expected = Object.fromEntries(errorKinds.map((row) => [`LW_${row.symbol}`, row.number]));
  assert.ok(errorKinds.length >= 22);
  assert.deepEqual({ ...errorCodes }, expected);
  const declarations = readFileSync(new URL('../index.d.ts', import.meta.url), 'utf8');
  const declared = declarations.match(/'LW_E[A-Z0-9]+'/g).map((quoted) => quoted.slice(1, -1));
  assert.deepEqual([...new Set(declared)].sort(), Object.keys(expected).sort());
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const rows = page.matchAll(/^\| (-\d+) \| `(LW_E[A-Z0-9]+)`/gm);
  const documented = Array.from(rows, ([, number, code]) => [code, Number(number)]);
  assert.deepEqual(Object.fromEntries(documented), expected);
});

for (const url of ['', 'x', 'http://localhost', 'ws://', 'ws:///path', 'ws://host:99999', '//h'])
  test(`URL ${JSON.stringify(url)}`, async () => {
    const error = await fails(url);
    assert.equal(error.code, 'LW_EURL', error.message);
    assert.ok(error instanceof LongwireError);
  });

for (const [name, text] of [['CR', '\r'], ['LF', '\n'], ['NUL', '\0']]) {
  test(`${name} in URL, header and subprotocol`, async () => {
    const url = `${server.ws}/echo`;
    assert.equal((await fails(`${url}${text}x`)).code, 'LW_EURL');
    assert.equal((await fails(url, { headers: { [`x${text}`]: 'v' } })).code, 'LW_EINVAL');
    assert.equal((await fails(url, { headers: { x: `v${text}w` } })).code, 'LW_EINVAL');
    assert.equal((await fails(url, { subprotocols: [`a${text}`] })).code, 'LW_EINVAL');
    assert.equal((await fails(url, { origin: `a${text}` })).code, 'LW_EINVAL');
  });
}

const OPTIONS = [
  [{ heartBeat: 1 }, TypeError, /unknown option heartBeat; expected one of .*heartbeat/],
  [{ tls: { cafile: 'x' } }, TypeError, /unknown option tls\.cafile/],
  [{ heartbeat: { every: 1 } }, TypeError, /unknown option heartbeat\.every/],
  [{ reconnect: { delay: 1 } }, TypeError, /unknown option reconnect\.delay/],
  [{ tls: 'ca' }, TypeError, /tls: expected an object, got "ca"/],
  [{ connectTimeout: '5' }, TypeError, /connectTimeout: expected .*milliseconds, got "5"/],
  [{ connectTimeout: -1 }, RangeError, /connectTimeout: .*got -1/],
  [{ closeTimeout: NaN }, RangeError, /closeTimeout/],
  [{ maxMessageSize: 2 ** 31 }, RangeError, /maxMessageSize: expected an integer from 1 to/],
  [{ maxMessageSize: 1.5 }, RangeError, /maxMessageSize/],
  [{ sendBuffer: 0 }, RangeError, /sendBuffer/],
  [{ offline: 'drop' }, TypeError, /offline: expected 'queue' or 'refuse', got "drop"/],
  [{ headers: ['x'] }, TypeError, /headers: expected pairs/],
  [{ headers: { x: 1 } }, TypeError, /headers\["x"\]: expected a string, got 1/],
  [{ headers: 5 }, TypeError, /headers: expected an object/],
  [{ subprotocols: [1] }, TypeError, /subprotocols: expected a string, got 1/],
  [{ reconnect: { factor: 0 } }, RangeError, /reconnect\.factor/],
  [{ proxy: true }, TypeError, /proxy: expected a URL or false, got true/],
  [{ maxRedirects: -1 }, RangeError, /maxRedirects: .*got -1/],
  [{ compression: 'deflate' }, TypeError, /compression: expected an object or false/],
  [{ compression: { level: 10 } }, RangeError, /compression\.level: .*from 1 to 9, got 10/],
  [{ compression: { memoryLevel: 0 } }, RangeError, /compression\.memoryLevel/],
  [{ compression: { clientMaxWindowBits: 8 } }, RangeError, /clientMaxWindowBits: .*9 to 15/],
  [{ compression: { serverNoContextTakeover: 1 } }, TypeError, /serverNoContextTakeover/],
  [{ compression: { windowBits: 9 } }, TypeError, /unknown option compression\.windowBits/],
  [{ streaming: 1 }, TypeError, /streaming: expected true or false, got 1/],
  [{ tls: { clientKey: 5 } }, TypeError, /tls\.clientKey: expected a string, got 5/],
  [{ tls: { pinnedKeys: [5] } }, TypeError, /tls\.pinnedKeys: expected a string, got 5/],
  [null, TypeError, /expected an object/],
];
for (const [options, Class, says] of OPTIONS) {
  test(`options ${JSON.stringify(options)}`, async () => {
    const error = await fails(`${server.ws}/echo`, options);
    assert.ok(error instanceof Class, `${error}`);
    assert.match(error.message, says);
    assert.equal(error.code, 'LW_EINVAL');
  });
}

test('arguments that are not what the methods take', async () => {
  assert.throws(() => new Client(), { code: 'LW_EINVAL' });
  await assert.rejects(connect(5), { code: 'LW_EINVAL' });
  await assert.rejects(connect(), { code: 'LW_EINVAL' });
  const ws = await connect(`${server.ws}/echo`);
  for (const data of [undefined, null, 5, {}, [1], Symbol('s')])
    assert.throws(() => ws.send(data), { code: 'LW_EINVAL' });
  for (const options of [null, 'compress', { compress: 1 }, { compres: false }])
    assert.throws(() => ws.send('x', options), { code: 'LW_EINVAL' });
  assert.throws(() => ws.ping('x'.repeat(126)), { code: 'LW_EINVAL' });
  for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1, 70_000, 1.5, '1000'])
    assert.throws(() => ws.close(code), { code: 'LW_EINVAL' }, String(code));
  assert.throws(() => ws.close(1000, 'x'.repeat(124)), { code: 'LW_EINVAL' });
  assert.throws(() => ws.close(1000, 5), { code: 'LW_EINVAL' });
  ws.send('still open');
  assert.equal(await message(ws), 'still open');
  await ws.close();
});

test('what must not be sent is refused, up to the byte', async () => {
  const ws = await connect(`${server.ws}/echo`, { maxMessageSize: 1000 });
  assert.ok((await within(ws.ping(Buffer.alloc(125)), 'pong')) > 0);
  assert.throws(() => ws.ping(Buffer.alloc(126)), /at most 125 bytes, got 126/);
  ws.send('x'.repeat(1000));
  assert.equal((await message(ws)).length, 1000);
  for (const data of ['x'.repeat(1001), 'é'.repeat(501), Buffer.alloc(1001)])
    assert.throws(() => ws.send(data), { code: 'LW_ETOOBIG' });
  assert.throws(() => ws.close(3000, 'é'.repeat(62)), { code: 'LW_EINVAL' });
  assert.equal((await ws.close(3000, 'é'.repeat(61) + 'x')).code, 3000);
  for (const code of [1001, 1003, 1007, 1014, 4999])
    assert.equal((await (await connect(`${server.ws}/echo`)).close(code)).code, code);
});

test('a port that refuses', async () => {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  const error = await fails(`ws://127.0.0.1:${port}`);
  assert.equal(error.code, 'LW_ECONNECT', error.message);
  assert.equal(error.retryable, true);
});

test('a host that does not resolve', async () => {
  const error = await fails('ws://no-such-host.invalid');
  assert.equal(error.code, 'LW_EDNS', error.message);
});

test('a server that refuses says how', async () => {
  const error = await fails(`${server.ws}/http?status=403&body=no%20entry&header=X-Why:%20rules`);
  assert.equal(error.code, 'LW_ESTATUS');
  assert.deepEqual([error.status, error.body, error.headers['x-why']], [403, 'no entry', 'rules']);
  assert.match(error.message, /101.*403/);
  assert.equal((await fails(`${server.ws}/http?status=200`)).status, 200);
});

test('a server that answers garbage, or nothing', async () => {
  assert.equal((await fails(`${server.ws}/garbage`)).code, 'LW_EHANDSHAKE');
  const error = await fails(`${server.ws}/stall-handshake`, { connectTimeout: 100 });
  assert.equal(error.code, 'LW_ETIMEOUT', error.message);
});

test('a certificate for another host, or from nobody we know', async () => {
  const tls = { caFile: server.ca_file };
  assert.equal((await fails(`${server.wss_bad_name}/echo`, { tls })).code, 'LW_ECERT');
  assert.equal((await fails(`${server.wss}/echo`)).code, 'LW_ECERT');
});

test('the same certificates, with what makes them good', async () => {
  const ca = readFileSync(server.ca_file);
  for (const [url, tls] of [
    [server.wss, { ca }],
    [server.wss, { ca: ca.toString() }],
    [server.wss_bad_name, { ca, serverName: 'other.example' }],
    [server.wss_bad_name, { verify: false }],
  ]) {
    const ws = await connect(`${url}/echo`, { tls });
    ws.send('safe');
    assert.equal(await message(ws), 'safe');
    await ws.close();
  }
});

test('a CA file that is not there, and one that is none', async () => {
  const missing = await fails(`${server.wss}/echo`, { tls: { caFile: '/no/such/file.pem' } });
  assert.match(missing.message, /\/no\/such\/file\.pem/);
  assert.ok(missing instanceof LongwireError);
  assert.ok((await fails(`${server.wss}/echo`, { tls: { ca: 'none' } })) instanceof LongwireError);
});

test('a server that demands a client certificate', async () => {
  const url = `${server.wss_client_cert}/echo`;
  const file = (name) => new URL(name, pathToFileURL(server.ca_file));
  const tls = { caFile: server.ca_file };
  const as = (name) => ({ ...tls, clientCert: file(`${name}.pem`), clientKey: file(`${name}.key`) });
  const ws = await connect(url, { tls: as('client') });
  ws.send('known');
  assert.equal(await message(ws), 'known');
  await ws.close();
  for (const [options, says] of [
    [tls, /CertificateRequired: it expects a client certificate/],
    [as('expired'), /CertificateExpired/],
    [as('foreign'), /UnknownCA/],
  ]) {
    const error = await fails(url, { tls: options });
    assert.equal(error.code, 'LW_ETLS', error.message);
    assert.match(error.message, says);
  }
  const { clientCert } = as('client');
  const half = await fails(url, { tls: { ...tls, clientCert } });
  assert.equal(half.code, 'LW_EINVAL');
  assert.match(half.message, /expected client_key beside client_cert/);
});

test('a key that is pinned, and one that is not', async () => {
  const tls = { caFile: server.ca_file };
  const other = `sha256//${Buffer.alloc(32).toString('base64')}`;
  const error = await fails(`${server.wss}/echo`, { tls: { ...tls, pinnedKeys: [other] } });
  assert.equal(error.code, 'LW_ECERT', error.message);
  const { publicKey } = new X509Certificate(
    readFileSync(new URL('leaf.pem', pathToFileURL(server.ca_file))),
  );
  const digest = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' }));
  const pin = `sha256//${digest.digest('base64')}`;
  assert.ok(error.message.endsWith(pin), error.message);
  const ws = await connect(`${server.wss}/echo`, { tls: { ...tls, pinnedKeys: [other, pin] } });
  await ws.close();
  const malformed = await fails(`${server.wss}/echo`, { tls: { pinnedKeys: 'sha256//x' } });
  assert.equal(malformed.code, 'LW_EINVAL');
});

test('a message over the limit, and bytes that are no WebSocket', async () => {
  const options = { reconnect: false };
  const big = await connect(`${server.ws}/push?count=1&size=2000`, {
    ...options,
    maxMessageSize: 1000,
  });
  await assert.rejects(within(big[Symbol.asyncIterator]().next(), 'end'), { code: 'LW_ETOOBIG' });
  const raw = await connect(`${server.ws}/raw?after=8b00`, options);
  await assert.rejects(within(raw[Symbol.asyncIterator]().next(), 'end'), { code: 'LW_EPROTO' });
  const utf8 = await connect(`${server.ws}/raw?after=8102c328`, options);
  await assert.rejects(within(utf8[Symbol.asyncIterator]().next(), 'end'), { code: 'LW_EUTF8' });
  assert.equal((await utf8.closed).error.code, 'LW_EUTF8');
  // The error is thrown once; the end is the end.
  assert.equal((await utf8[Symbol.asyncIterator]().next()).done, true);
});
