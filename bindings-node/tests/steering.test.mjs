// What a program can say about the life of a client, and ask about it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { LongwireError, connect } from 'longwire';
import { frame, startPeer } from './support/peer.mjs';
import { startServer } from './support/server.mjs';
import { deferred, event, message, until, within } from './support/wait.mjs';

const reconnect = { minDelay: 1, maxDelay: 10 };
const patient = { minDelay: 600_000, maxDelay: 600_000 };
let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** Paths for the attempts of one client, in turn; the last one for all others. */
const paths = (...paths) => {
  let count = 0;
  return () => ({ url: server.ws + paths[Math.min(count++, paths.length - 1)] });
};

test('reconnect() replaces a connection, and keeps what is queued', async () => {
  const peer = await startPeer(async (socket, frames) => {
    for await (const { opcode, payload } of frames) {
      if (opcode !== 8) socket.write(frame(opcode, payload));
      else closes.push(payload.readUInt16BE());
    }
  });
  const closes = [];
  const ws = await connect(peer.url, { reconnect });
  for (let round = 1; round <= 3; round++) {
    const [down, open] = [event(ws, 'down'), event(ws, 'open')];
    ws.reconnect();
    const { error, retryIn } = await down;
    assert.deepEqual([error.code, retryIn], ['LW_ELOST', 0]);
    ws.send(`queued ${round}`);
    await until(() => closes.length === round, `close frame ${round}`);
    assert.equal(closes.at(-1), 1001);
    assert.equal((await open).reconnects, round);
    assert.equal(await message(ws), `queued ${round}`);
  }
  await ws.close();
  peer.stop();
});

for (const hurry of ['reconnect', 'networkChanged']) {
  test(`${hurry}() does not wait for the next attempt`, async () => {
    const ws = await connect(`${server.ws}/drop?after=1`, { reconnect: patient });
    for (let round = 1; round <= 2; round++) {
      const [down, open] = [event(ws, 'down'), event(ws, 'open')];
      ws.send('drop me');
      assert.ok((await down).retryIn > 1000);
      assert.equal(ws.state, 'down');
      ws[hurry]();
      assert.equal((await open).reconnects, round);
    }
    await ws.close();
  });
}

test('networkChanged() asks an open connection for a sign of life', async () => {
  const heartbeat = { interval: 600_000, timeout: 30 };
  const alive = await connect(`${server.ws}/echo`, { heartbeat, reconnect });
  const pong = event(alive, 'pong');
  alive.networkChanged();
  assert.ok((await pong).roundTrip > 0);
  assert.equal(alive.state, 'open');
  await alive.close();
  const dead = await connect(`${server.ws}/stall`, { heartbeat, reconnect });
  const down = event(dead, 'down');
  dead.networkChanged();
  assert.equal((await down).error.code, 'LW_EHEARTBEAT');
  await within(dead.close(), 'end');
});

test('a client that does not reconnect, or is closed, says so', async () => {
  const ws = await connect(`${server.ws}/echo`, { reconnect: false });
  assert.throws(() => ws.reconnect(), { code: 'LW_EUNSUPPORTED' });
  await ws.close();
  assert.throws(() => ws.reconnect(), { code: 'LW_ECLOSED' });
  assert.equal(ws.networkChanged(), undefined);
});

test('Retry-After is obeyed, up to its limit', async () => {
  const busy = '/http?status=503&header=Retry-After:%20600';
  for (const [options, least, most] of [
    [{}, 600_000, 600_100],
    [{ maxRetryAfter: 5000 }, 5000, 5100],
  ]) {
    const ws = await connect(`${server.ws}/echo`, {
      ...{ reconnect: { ...reconnect, ...options }, beforeConnect: paths('/echo', busy, '/echo') },
    });
    const lost = event(ws, 'down');
    ws.reconnect();
    assert.equal((await lost).error.code, 'LW_ELOST');
    const { error, retryIn } = await event(ws, 'down');
    assert.deepEqual([error.status, error.headers['retry-after']], [503, '600']);
    assert.ok(retryIn >= least && retryIn <= most, String(retryIn));
    const { state, nextRetry, attempt } = ws.stats();
    assert.deepEqual([state, attempt], ['down', 2]);
    assert.ok(nextRetry > 0 && nextRetry <= retryIn);
    ws.reconnect();
    await event(ws, 'open');
    await ws.close();
  }
});

test('the codes of a restart have a wait of their own', async () => {
  for (const code of [1012, 1013]) {
    const url = `${server.ws}/close?code=${code}`;
    const one = await connect(url);
    const { retryIn } = await event(one, 'down');
    assert.ok(retryIn >= 5000 && retryIn <= 30_000, String(retryIn));
    await within(one.close(), 'end');
    const other = await connect(url, { reconnect: { ...reconnect, restartDelay: [70, 80] } });
    const down = await event(other, 'down');
    assert.equal(down.code, code);
    assert.ok(down.retryIn >= 70 && down.retryIn <= 80, String(down.retryIn));
    await within(other.close(), 'end');
  }
});

test('rules can be changed, by status, close code and error', async () => {
  const retries = async (path, retry) => {
    const ws = await connect(`${server.ws}/echo`, {
      ...{ reconnect: { ...reconnect, retry }, beforeConnect: paths('/echo', path, '/echo') },
    });
    const fate = new Promise((resolve) => {
      ws.on('open', () => resolve(true)).on('close', () => resolve(false));
    });
    ws.reconnect();
    const open = await within(fate, 'open or close');
    await ws.close();
    return open;
  };
  const forbidden = '/http?status=403';
  assert.equal(await retries(forbidden), false);
  assert.equal(await retries(forbidden, { 403: true }), true);
  assert.equal(await retries(forbidden, { LW_ESTATUS: true }), true);
  assert.equal(await retries(forbidden, { LW_ESTATUS: true, 403: false }), false);
  assert.equal(await retries('/garbage', { LW_EHANDSHAKE: true }), true);
  assert.equal(await retries('/http?status=503', { 503: false }), false);
  for (const [code, retry, expected] of [
    [1008, { 1008: true }, 'down'],
    [1001, { 1001: false }, 'close'],
  ]) {
    const ws = await connect(`${server.ws}/close?code=${code}`, {
      reconnect: { ...reconnect, retry },
    });
    await event(ws, expected);
    await within(ws.close(), 'end');
  }
});

test('maxTime is the end of it', async () => {
  const ws = await connect(`${server.ws}/echo`, {
    reconnect: { ...reconnect, maxTime: 60 },
    beforeConnect: paths('/echo', '/http?status=503'),
  });
  ws.reconnect();
  assert.equal((await within(ws.closed, 'end')).error.code, 'LW_ESTATUS');
});

for (const [options, says] of [
  [{ reconnect: { retry: { 99: true } } }, /option reconnect\.retry: .*got "99"/],
  [{ reconnect: { retry: { 600: true } } }, /got "600"/],
  [{ reconnect: { retry: { 5000: true } } }, /got "5000"/],
  [{ reconnect: { retry: { LW_ENOSUCH: true } } }, /got "LW_ENOSUCH"/],
  [{ reconnect: { retry: { toString: true } } }, /got "toString"/],
  [{ reconnect: { retry: { 403: 1 } } }, /reconnect\.retry\.403: expected true or false, got 1/],
  [{ reconnect: { retry: 403 } }, /option reconnect\.retry: expected an object, got 403/],
  [{ reconnect: { restartDelay: 5 } }, /restartDelay: expected a pair \[least, most\], got 5/],
  [{ reconnect: { restartDelay: [1] } }, /restartDelay: expected a pair/],
  [{ reconnect: { restartDelay: [1, -1] } }, /restartDelay\[1\]: expected milliseconds/],
  [{ reconnect: { restartDelay: [2, 1] } }, /restart_min_delay/],
  [{ reconnect: { maxTime: '1' } }, /reconnect\.maxTime: expected a number of milliseconds/],
  [{ reconnect: { maxRetryAfter: -1 } }, /reconnect\.maxRetryAfter/],
  [{ hookTimeout: NaN }, /hookTimeout/],
  [{ offlineMaxAge: -1 }, /offlineMaxAge/],
  [{ consumerTimeout: 0 }, /consumerTimeout: expected at least 1 millisecond, got 0/],
  [{ consumerAction: 'stop' }, /consumerAction: expected 'report' or 'close', got "stop"/],
]) {
  test(`a wrong option says what was expected: ${JSON.stringify(options)}`, async () => {
    await assert.rejects(connect(`${server.ws}/echo`, options), (error) => {
      assert.equal(error.code, 'LW_EINVAL');
      assert.match(error.message, says);
      return true;
    });
  });
}

test('what never left is counted and returned', async () => {
  const ws = await connect(`${server.ws}/drop`, { reconnect: patient });
  await event(ws, 'down');
  const sent = ['text ✓', Buffer.from([0, 255]), '', Buffer.alloc(0), 'x'.repeat(100_000)];
  for (const each of sent) ws.send(each);
  assert.deepEqual(ws.unsent, []);
  const closed = event(ws, 'close');
  const end = await within(ws.close(), 'end');
  assert.equal(end.unsentMessages, sent.length);
  assert.equal(end.unsentBytes, 8 + 2 + 100_000);
  assert.equal(await closed, end);
  assert.equal(ws.unsent.length, sent.length);
  for (const [i, each] of sent.entries()) assert.ok(isDeepStrictEqual(ws.unsent[i], each), `${i}`);
  assert.equal(ws.unsent, ws.unsent);
  assert.equal(ws.stats().messagesSent, sent.length);
});

test('nothing is unsent after a close that waited for it', async () => {
  const ws = await connect(`${server.ws}/echo`);
  ws.send('x');
  const { unsentMessages, unsentBytes } = await ws.close();
  assert.deepEqual([unsentMessages, unsentBytes, ws.unsent], [0, 0, []]);
});

test('what is too old is dropped and counted', async () => {
  const ws = await connect(`${server.ws}/drop`, { reconnect: patient, offlineMaxAge: 0 });
  assert.equal(ws.stats().expired, 0);
  await event(ws, 'down');
  ws.send('old');
  ws.send('old');
  const open = event(ws, 'open');
  ws.reconnect();
  assert.equal((await open).expired, 2);
  assert.equal(ws.stats().expired, 2);
  assert.equal((await within(ws.close(), 'end')).unsentMessages, 0);
  const young = await connect(`${server.ws}/drop`, { reconnect: patient, offlineMaxAge: 600_000 });
  await event(young, 'down');
  young.send('young');
  assert.equal((await within(young.close(), 'end')).unsentMessages, 1);
});

test('stats: the figures of a life', async () => {
  const before = Date.now();
  const ws = await connect(`${server.ws}/echo`, {
    ...{ reconnect: patient, beforeConnect: paths('/echo', '/http?status=503', '/echo') },
  });
  const fresh = ws.stats();
  assert.deepEqual(
    [fresh.state, fresh.attempt, fresh.connections, fresh.nextRetry, fresh.lastError],
    ['open', 1, 1, null, null],
  );
  assert.deepEqual([fresh.roundTrip, fresh.smoothedRoundTrip, fresh.stalled], [null, null, null]);
  assert.ok(fresh.connectedFor >= 0);
  assert.ok(fresh.connectedSince instanceof Date);
  assert.ok(fresh.connectedSince >= before - 1 && fresh.connectedSince <= Date.now());
  for (const text of ['one', 'two', 'three']) {
    ws.send(text);
    await message(ws);
  }
  const roundTrip = await ws.ping();
  const busy = ws.stats();
  assert.deepEqual([busy.messagesSent, busy.messagesReceived], [3, 3]);
  // Frames: two bytes of header, and the client's have a mask of four.
  assert.equal(busy.bytesReceived, 3 * 2 + 11 + 2 + 10);
  assert.equal(busy.bytesSent, 3 * 6 + 11 + 6 + 10);
  assert.deepEqual([busy.pingsSent, busy.pongsReceived], [1, 1]);
  assert.deepEqual([busy.roundTrip, busy.smoothedRoundTrip], [roundTrip, roundTrip]);
  assert.deepEqual([busy.bufferedAmount, busy.inbox, busy.expired], [0, 0, 0]);
  assert.deepEqual([busy.deflated, busy.deflateRatio], [{ before: 0, after: 0 }, null]);
  assert.deepEqual([busy.inflated, busy.inflateRatio], [{ before: 0, after: 0 }, null]);
  ws.reconnect();
  while ((await event(ws, 'down')).error.code !== 'LW_ESTATUS');
  ws.send('waits');
  const down = ws.stats();
  assert.deepEqual([down.state, down.attempt, down.connections], ['down', 2, 1]);
  assert.deepEqual([down.connectedFor, down.connectedSince], [null, null]);
  assert.ok(down.nextRetry > 0 && down.nextRetry <= 600_000);
  assert.ok(down.lastError instanceof LongwireError && down.lastError.status === 503);
  assert.ok(down.bufferedAmount > 5);
  ws.reconnect();
  await event(ws, 'open');
  assert.deepEqual([ws.stats().connections, ws.stats().attempt], [2, 2]);
  await ws.close();
  const over = ws.stats();
  assert.deepEqual([over.state, over.connections, over.messagesSent], ['closed', 2, 4]);
  assert.equal(over.connectedFor, null);
  assert.equal(over.roundTrip, roundTrip);
});

test('stats: messages that nobody took', async () => {
  const ws = await connect(`${server.ws}/push?count=10&size=100&window=10`, { reconnect: false });
  const got = deferred();
  ws.once('message', () => got.resolve());
  await within(got.promise, 'message');
  await within(ws.closed, 'end');
  assert.equal(ws.stats().messagesReceived, 10);
  assert.ok(ws.stats().inbox >= 900);
  let count = 0;
  for await (const text of ws) count += text.length;
  assert.equal(count, 900);
  assert.equal(ws.stats().inbox, 0);
});

test('stats: compression', async () => {
  const extensions = 'permessage-deflate; client_no_context_takeover; server_no_context_takeover';
  // Sends back what came, compressed as it is.
  const peer = await startPeer(
    async (socket, frames) => {
      for await (const { opcode, payload, rsv1 } of frames)
        socket.write(frame(opcode, payload, { rsv1 }));
    },
    { extensions },
  );
  const ws = await connect(peer.url, {
    ...{ compression: { serverNoContextTakeover: true }, reconnect: false },
  });
  const text = 'the same again and again; '.repeat(1000);
  ws.send(text);
  assert.equal(await message(ws), text);
  const { deflated, deflateRatio, inflated, inflateRatio } = ws.stats();
  assert.equal(deflated.before, text.length);
  assert.ok(deflated.after > 0 && deflated.after < 500);
  assert.equal(deflateRatio, deflated.after / deflated.before);
  assert.equal(inflated.after, text.length);
  assert.equal(inflated.before, deflated.after);
  assert.equal(inflateRatio, deflateRatio);
  await ws.close();
  peer.stop();
});
