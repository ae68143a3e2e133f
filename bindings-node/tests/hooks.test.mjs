// The user's say before an attempt, and after a loss.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { GiveUp, LongwireError, connect } from 'longwire';
import { startServer } from './support/server.mjs';
import { deferred, event, message, published, uncaught, until, within } from './support/wait.mjs';

const reconnect = { minDelay: 1, maxDelay: 10 };
/** Milliseconds, more than a busy machine takes for an answer. */
const HANGS = 500;
let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** A hook that answers its calls in turn, and what it was called with. */
function inTurn(...answers) {
  const calls = [];
  const hook = (told) => {
    calls.push(told);
    const answer = answers[Math.min(calls.length, answers.length) - 1];
    return typeof answer === 'function' ? answer(told) : answer;
  };
  return { calls, hook };
}

const token = (value) => ({ headers: { 'x-token': value } });
const needs = (value) => `${server.ws}/need-header?name=x-token&value=${value}`;

for (const [kind, wrap] of [
  ['a value', (value) => value],
  ['a promise', async (value) => value],
  ['a thenable', (value) => ({ then: (resolve) => resolve(value) })],
]) {
  test(`beforeConnect brings a token, as ${kind}`, async () => {
    const ws = await within(
      connect(needs('fresh'), { beforeConnect: () => wrap(token('fresh')) }),
      'connection',
    );
    ws.send('hello');
    assert.equal(await message(ws), 'hello');
    await ws.close();
  });
}

test('each attempt is asked about, with what came before it', async () => {
  const { calls, hook } = inTurn(
    undefined,
    { url: new URL(`${server.ws}/http?status=503`) },
    { url: `${server.ws}/subprotocol`, subprotocols: ['v2'] },
  );
  const ws = await connect(`${server.ws}/drop?after=1`, { reconnect, beforeConnect: hook });
  assert.equal(ws.subprotocol, null);
  const open = event(ws, 'open');
  ws.send('drop me');
  assert.equal((await open).attempt, 2);
  assert.equal(ws.subprotocol, 'v2');
  await ws.close();
  const told = calls.map(({ attempt, reconnects, error }) => [attempt, reconnects, error?.code]);
  assert.deepEqual(told, [[1, 0, undefined], [1, 1, 'LW_ELOST'], [2, 1, 'LW_ESTATUS']]);
  assert.ok(calls[2].error instanceof LongwireError);
  assert.equal(calls[2].error.status, 503);
});

test('what is changed is changed for one attempt, and all of it', async () => {
  const { hook } = inTurn(token('once'), null);
  const ws = await connect(`${server.ws}/headers`, {
    headers: { 'x-token': 'always', 'x-other': 'o' },
    reconnect,
    beforeConnect: hook,
  });
  const first = JSON.parse(await message(ws));
  assert.deepEqual([first['x-token'], first['x-other']], ['once', undefined]);
  ws.reconnect();
  const second = JSON.parse(await message(ws));
  assert.deepEqual([second['x-token'], second['x-other']], ['always', 'o']);
  await ws.close();
});

for (const [kind, fail] of [
  ['thrown', (error) => { throw error; }],
  ['rejected', (error) => Promise.reject(error)],
]) {
  test(`an exception of beforeConnect fails the first attempt: ${kind}`, async () => {
    const cause = new RangeError('no token today');
    const refused = connect(`${server.ws}/echo`, { beforeConnect: () => fail(cause) });
    await assert.rejects(within(refused, 'rejection'), (error) => {
      assert.ok(error instanceof LongwireError);
      assert.equal(error.code, 'LW_EHOOK');
      assert.equal(error.errno, -23);
      assert.match(error.message, /no token today/);
      assert.equal(error.cause, cause);
      return true;
    });
  });

  test(`later it is a failed attempt like any other: ${kind}`, async () => {
    const cause = new Error('the key server is away');
    const { calls, hook } = inTurn(undefined, () => fail(cause), undefined);
    const ws = await connect(`${server.ws}/drop?after=1`, { reconnect, beforeConnect: hook });
    const open = event(ws, 'open');
    const downs = [];
    ws.on('down', (down) => downs.push(down));
    ws.send('drop me');
    await open;
    assert.deepEqual(downs.map(({ error }) => error.code), ['LW_ELOST', 'LW_EHOOK']);
    assert.equal(downs[1].error.cause, cause);
    assert.equal(downs[1].error.retryable, true);
    assert.equal(calls[2].error.cause, cause);
    assert.equal(ws.stats().lastError.cause, cause);
    await ws.close();
  });

  test(`GiveUp ends the client: ${kind}`, async () => {
    const cause = new GiveUp('the account is closed');
    const { calls, hook } = inTurn(undefined, () => fail(cause));
    const ws = await connect(`${server.ws}/drop?after=1`, {
      reconnect: { ...reconnect, retry: { LW_EHOOK: true } },
      beforeConnect: hook,
    });
    ws.send('drop me');
    const { error, code, clean } = await within(ws.closed, 'end');
    assert.deepEqual([error.code, error.cause, code, clean], ['LW_EHOOK', cause, 1006, false]);
    assert.equal(error.retryable, false);
    assert.equal(calls.length, 2);
    await assert.rejects(
      (async () => {
        for await (const text of ws) assert.equal(text, 'drop me');
      })(),
      { code: 'LW_EHOOK', cause },
    );
  });
}

test('anything can be thrown', async () => {
  const things = ['a string', 7, null, undefined, Object.create(null), Symbol('s'), new Error()];
  for (const thrown of things)
    await assert.rejects(
      within(connect(`${server.ws}/echo`, { beforeConnect: () => { throw thrown; } }), 'rejection'),
      (error) => {
        assert.equal(error.code, 'LW_EHOOK');
        assert.equal(error.cause, thrown);
        return true;
      },
    );
});

for (const [what, answer, says] of [
  ['a number', 5, /beforeConnect: expected an object, got 5/],
  ['an unknown name', { header: {} }, /unknown option beforeConnect\.header/],
  ['a number as URL', { url: 5 }, /beforeConnect\.url: expected a string/],
  ['no URL', { url: 'nowhere' }, /nowhere/],
  ['a header of the handshake', { headers: { upgrade: 'x' } }, /upgrade/i],
  ['a header with a line break', { headers: { x: 'a\nb' } }, /x/],
  ['no subprotocol', { subprotocols: ['a b'] }, /a b/],
]) {
  test(`an answer that cannot be used ends the client: ${what}`, async () => {
    const first = connect(`${server.ws}/echo`, { reconnect, beforeConnect: () => answer });
    await assert.rejects(within(first, 'rejection'), (error) => {
      assert.equal(error.code, 'LW_EHOOK');
      assert.match(error.message, says);
      assert.equal(error.retryable, false);
      return true;
    });
    const { calls, hook } = inTurn(undefined, Promise.resolve(answer));
    const ws = await connect(`${server.ws}/drop`, { reconnect, beforeConnect: hook });
    const { error } = await within(ws.closed, 'end');
    assert.equal(error.code, 'LW_EHOOK');
    assert.ok(error.cause instanceof Error);
    assert.equal(calls.length, 2);
  });
}

test('a hook that hangs is limited, and its late answer is not heard', async () => {
  const late = deferred();
  const { calls, hook } = inTurn(undefined, late.promise, undefined);
  const ws = await connect(`${server.ws}/drop?after=1`, {
    ...{ reconnect, beforeConnect: hook, hookTimeout: HANGS },
  });
  const open = event(ws, 'open');
  const downs = [];
  ws.on('down', (down) => downs.push(down.error.code));
  ws.send('drop me');
  await open;
  assert.deepEqual(downs, ['LW_ELOST', 'LW_ETIMEOUT']);
  assert.equal(calls.length, 3);
  late.reject(new GiveUp('too late'));
  ws.send('x');
  await event(ws, 'open');
  await ws.close();
});

test('what comes late is not the cause of what failed in time', async () => {
  const [late, cause] = [deferred(), new Error('in time')];
  const { hook } = inTurn(undefined, late.promise, () => { throw cause; }, undefined);
  const ws = await connect(`${server.ws}/drop?after=1`, {
    ...{ reconnect, beforeConnect: hook, hookTimeout: HANGS },
  });
  const open = event(ws, 'open');
  ws.send('drop me');
  while ((await event(ws, 'down')).error.code !== 'LW_EHOOK');
  late.reject(new Error('too late'));
  await open;
  assert.equal(ws.stats().lastError.cause, cause);
  await ws.close();
});

test('the first attempt too', async () => {
  const hangs = connect(`${server.ws}/echo`, {
    ...{ beforeConnect: () => new Promise(() => {}), hookTimeout: 10 },
  });
  await assert.rejects(within(hangs, 'rejection'), { code: 'LW_ETIMEOUT', retryable: true });
});

for (const [kind, wrap] of [
  ['a value', (value) => value],
  ['a promise', async (value) => value],
]) {
  test(`shouldReconnect says no, as ${kind}`, async () => {
    const { calls, hook } = inTurn(wrap(false));
    const ws = await connect(`${server.ws}/drop`, { reconnect, shouldReconnect: hook });
    const downs = [];
    ws.on('down', (down) => downs.push(down));
    assert.equal((await within(ws.closed, 'end')).error.code, 'LW_ELOST');
    assert.equal(downs.length, 0);
    const [{ error, ...rest }] = calls;
    assert.ok(error instanceof LongwireError && error.code === 'LW_ELOST');
    assert.equal(typeof rest.retryIn, 'number');
    assert.deepEqual(rest, { code: undefined, attempt: 1, retry: true, retryIn: rest.retryIn });
  });

  test(`shouldReconnect says yes where the rule says no, as ${kind}`, async () => {
    const { calls, hook } = inTurn(wrap(true), wrap(true), wrap(undefined));
    const ws = await connect(`${server.ws}/close?code=1008&reason=go`, {
      ...{ reconnect, shouldReconnect: hook },
    });
    const { error, code } = await within(ws.closed, 'end');
    assert.deepEqual([error.code, code], ['LW_ECLOSED', 1008]);
    assert.deepEqual(calls.map(({ code, retry }) => [code, retry]), Array(3).fill([1008, false]));
  });
}

test('a 403 that passes is tried again as the hook says', async () => {
  const { hook } = inTurn(token('good'), token('stale'), token('good'));
  const { calls, hook: should } = inTurn(({ error }) => error.status === 403);
  const hooks = { beforeConnect: hook, shouldReconnect: should };
  const ws = await connect(needs('good'), { reconnect, ...hooks });
  const open = event(ws, 'open');
  ws.reconnect();
  assert.equal((await open).attempt, 2);
  assert.equal(calls.length, 1);
  assert.deepEqual([calls[0].error.status, calls[0].retry], [403, false]);
  await ws.close();
});

test('what is no answer, and an exception, are told, and the rule decides', async () => {
  const thrown = new Error('on purpose');
  for (const [answer, expected] of [
    ['yes', { code: 'LW_EINVAL', message: /^shouldReconnect: expected true, .* got 'yes'/ }],
    [() => { throw thrown; }, { message: 'on purpose' }],
    [() => Promise.reject(thrown), { message: 'on purpose' }],
  ]) {
    const { hook } = inTurn(answer, undefined);
    const ws = await connect(`${server.ws}/drop?after=1`, { reconnect, shouldReconnect: hook });
    const [told, open] = [uncaught(), event(ws, 'open')];
    ws.send('drop me');
    const error = await told;
    assert.throws(() => { throw error; }, expected);
    await open;
    await ws.close();
  }
});

test('a shouldReconnect that hangs: the rule decides', async () => {
  const ws = await connect(`${server.ws}/drop?after=1`, {
    ...{ reconnect, shouldReconnect: () => new Promise(() => {}), hookTimeout: HANGS },
  });
  const open = event(ws, 'open');
  ws.send('drop me');
  await open;
  await ws.close();
});

test('shouldReconnect has no say in the first attempt', async () => {
  const { calls, hook } = inTurn(true);
  for (const options of [{}, { beforeConnect: () => { throw new Error('no'); } }])
    await assert.rejects(
      within(
        connect(`${server.ws}/http?status=503`, { reconnect, shouldReconnect: hook, ...options }),
        'rejection',
      ),
      { code: options.beforeConnect ? 'LW_EHOOK' : 'LW_ESTATUS' },
    );
  assert.equal(calls.length, 0);
});

for (const options of [{}, { streaming: true }]) {
  test(`hooks are called although no message is taken: ${JSON.stringify(options)}`, async (t) => {
    const refused = { url: `${server.ws}/http?status=503` };
    const { calls, hook } = inTurn(undefined, refused, undefined, refused);
    const { calls: outages, hook: should } = inTurn(true, false);
    const log = published(t, 'log');
    const ws = await connect(`${server.ws}/push?count=100000&size=1000`, {
      ...{ receiveBuffer: 1, reconnect, beforeConnect: hook, shouldReconnect: should, ...options },
    });
    const drop = (each) => options.streaming && each.on('error', () => {}).destroy();
    await until(() => ws.stats().inbox > 0, 'message that nobody takes');
    // A refusal, another connection, another refusal; nobody reads meanwhile.
    ws.reconnect();
    await log.next(({ client, text }) => client === ws && /^open: attempt 2/.test(text));
    assert.equal(calls.length, 3);
    ws.reconnect();
    const { error } = await within(ws.closed, 'end');
    assert.equal(error.code, 'LW_ESTATUS');
    assert.deepEqual(outages.map((outage) => outage.error.status), [503, 503]);
    const rest = async () => {
      for await (const each of ws) drop(each);
    };
    await assert.rejects(within(rest(), 'end of the iteration'), { code: 'LW_ESTATUS' });
  });
}

test('hooks are functions', async () => {
  for (const name of ['beforeConnect', 'shouldReconnect', 'onOpen'])
    await assert.rejects(connect(`${server.ws}/echo`, { [name]: {} }), {
      ...{ name: 'TypeError', message: `option ${name}: expected a function, got an object` },
    });
});

test('GiveUp is an error by its name, in both module systems', () => {
  const cause = new Error('x');
  const error = new GiveUp('reason', { cause });
  assert.deepEqual([error.name, error.message, error.cause], ['GiveUp', 'reason', cause]);
  assert.ok(error instanceof Error);
  assert.equal(createRequire(import.meta.url)('longwire').GiveUp, GiveUp);
});
