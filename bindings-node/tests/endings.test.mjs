// A client that ends: in every phase of its life, from within everything that the user is called
// for, and with the process or the worker that it is in.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { connect } from 'longwire';
import { ended, run as runProgram } from './support/program.mjs';
import { startServer } from './support/server.mjs';
import { deferred, event, message, within } from './support/wait.mjs';

const reconnect = { minDelay: 1, maxDelay: 10 };
let server, silent;
before(async () => {
  server = await startServer();
  // Takes connections and says nothing: a TLS handshake that does not get anywhere.
  silent = createServer((socket) => socket.on('error', () => {}).resume());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
});
after(async () => {
  await server.stop();
  silent.close();
});

/** An open client whose next attempt goes to `url`, and a promise of that attempt. */
async function leaving(url, options = {}) {
  const begun = deferred();
  let count = 0;
  const ws = await connect(`${server.ws}/echo`, {
    reconnect,
    ...options,
    beforeConnect() {
      if (count++ === 0) return;
      setImmediate(begun.resolve);
      return { url };
    },
  });
  return { ws, begun: begun.promise };
}

const places = {
  'in the handshake': () => `${server.ws}/stall-handshake`,
  'in TLS': () => `wss://127.0.0.1:${silent.address().port}/`,
  // A network of documentation (RFC 5737): refused at once or never answered.
  'while dialling': () => 'ws://192.0.2.1:9/',
};
for (const [where, url] of Object.entries(places)) {
  test(`close ${where}`, async () => {
    const { ws, begun } = await leaving(url());
    ws.reconnect();
    await within(begun, 'attempt');
    ws.send('never');
    const { code, clean, error, unsentMessages } = await within(ws.close(), 'end');
    assert.deepEqual([code, clean, error, unsentMessages], [1006, false, undefined, 1]);
    assert.deepEqual(ws.unsent, ['never']);
    assert.equal(ws.state, 'closed');
  });
}

test('close in the back-off', async () => {
  const ws = await connect(`${server.ws}/drop`, {
    reconnect: { minDelay: 600_000, maxDelay: 600_000 },
  });
  await event(ws, 'down');
  assert.equal((await within(ws.close(), 'end')).code, 1006);
});

for (const [name, hang] of [
  ['beforeConnect', true],
  ['beforeConnect', false],
  ['shouldReconnect', true],
  ['shouldReconnect', false],
]) {
  test(`close from inside ${name}, which ${hang ? 'hangs' : 'answers'}`, async () => {
    let ws;
    const inside = deferred();
    const hook = () => {
      if (ws === undefined) return undefined;
      inside.resolve(ws.close(1000, 'from inside'));
      return hang ? new Promise(() => {}) : undefined;
    };
    ws = await connect(`${server.ws}/drop?after=1`, {
      ...{ reconnect, hookTimeout: 600_000, [name]: hook },
    });
    ws.send('drop me');
    const { error, code } = await within(within(inside.promise, 'call'), 'end');
    assert.equal(code, 1006);
    assert.equal(error, undefined);
    assert.equal(ws.state, 'closed');
  });

  if (hang)
    test(`close while ${name} runs, whose answer comes late`, async () => {
      const [inside, answer] = [deferred(), deferred()];
      let ws;
      const hook = () => {
        if (ws === undefined) return undefined;
        inside.resolve();
        return answer.promise;
      };
      ws = await connect(`${server.ws}/drop?after=1`, { reconnect, [name]: hook });
      ws.send('drop me');
      await within(inside.promise, 'call');
      await within(ws.close(), 'end');
      answer.resolve(undefined);
      await new Promise(setImmediate);
      assert.equal(ws.state, 'closed');
    });
}

for (const name of ['open', 'message', 'pong', 'down', 'close']) {
  test(`close from inside '${name}'`, async () => {
    const ws = await connect(`${server.ws}/drop?after=1`, { reconnect });
    const ends = [];
    ws.on('close', (end) => ends.push(end));
    const inside = new Promise((resolve) => ws.once(name, () => resolve(ws.close())));
    ws.ping();
    ws.send('drop me');
    if (name === 'close') ws.close();
    const end = await within(inside, `close from inside '${name}'`);
    await new Promise(setImmediate);
    assert.deepEqual(ends, [end]);
    assert.equal(end.error, undefined);
  });
}

test('other calls from inside each other', async () => {
  const all = (ws) => {
    ws.stats();
    ws.networkChanged();
    if (ws.state !== 'closed') ws.reconnect();
  };
  let ws, opens = 0;
  const ready = deferred();
  const hook = () => void (ws && all(ws));
  ws = await connect(`${server.ws}/echo`, {
    ...{ reconnect, beforeConnect: hook, shouldReconnect: hook },
    onOpen: async (ws) => {
      ws.stats();
      ws.networkChanged();
      if (opens++ < 5 && opens > 1) ws.reconnect();
      if (opens === 6) ready.resolve();
    },
  });
  ws.on('down', () => ws.stats());
  ws.reconnect();
  await within(ready.promise, 'sixth connection');
  ws.send('still here');
  assert.equal(await message(ws), 'still here');
  await ws.close();
  ws.stats();
});

/** As `program.mjs` runs it, with what the programs here have in common. */
const run = (program) =>
  runProgram(server.ws, `const reconnect = { minDelay: 1, maxDelay: 10 };
    const hang = () => new Promise(() => {});
    const say = (text) => process.stdout.write(text);
    ${program}`);

test('process.exit from inside a hook, and while it runs', async () => {
  for (const options of [
    `beforeConnect: () => process.exit(3)`,
    `beforeConnect: async () => { await null; process.exit(3); }`,
    `beforeConnect: () => { setImmediate(() => process.exit(3)); return hang(); }`,
    `onOpen: () => process.exit(3)`,
    `onOpen: () => { setImmediate(() => process.exit(3)); return hang(); }`,
  ])
    assert.deepEqual(
      await run(`await connect(url + '/echo', { reconnect, ${options} });`),
      ended(3),
    );
  for (const answer of ['process.exit(3)', '(setImmediate(() => process.exit(3)), hang())'])
    assert.deepEqual(
      await run(`await connect(url + '/drop', { reconnect, shouldReconnect: () => ${answer} });
        await hang();`),
      ended(3),
    );
});

test('the process lives while a hook runs, unless the client is unref', async () => {
  // Nothing but the client keeps these.
  const slow = `let ws, calls = 0;
    ws = await connect(url + '/drop?after=1', {
      reconnect, hookTimeout: 50,
      beforeConnect() {
        if (calls++ === 0) return;
        KEEP
        say('asked ');
        return hang();
      },
    });
    ws.on('down', ({ error }) => { say(error.code + ' '); if (calls > 1) ws.close(); });
    ws.on('close', () => say('closed'));
    ws.send('drop me');`;
  assert.deepEqual(
    await run(slow.replace('KEEP', '')),
    ended(0, 'LW_ELOST asked LW_ETIMEOUT closed'),
  );
  const unref = slow.replace('KEEP', 'ws.unref();').replace('hookTimeout: 50', 'hookTimeout: 1e9');
  const { code, out } = await run(unref);
  assert.equal(code, 0);
  assert.match(out, /asked/);
  assert.doesNotMatch(out, /TIMEOUT|closed/);
});

test('a client that is logged does not keep the process by that', async () => {
  assert.deepEqual(
    await run(`import { subscribe } from 'node:diagnostics_channel';
      subscribe('longwire:log', ({ level }) => level === 'info' && say(level + ' '));
      const ws = await connect(url + '/echo');
      ws.unref();
      setImmediate(() => say('end'));`),
    ended(0, 'info end'),
  );
});

test('a hook that throws does not end the process', async () => {
  assert.deepEqual(
    await run(`const failed = (error) => say(error.code + ' ' + error.cause.message);
      await connect(url + '/echo', {
        async beforeConnect() { throw new Error('on purpose'); },
      }).catch(failed);`),
    ended(0, 'LW_EHOOK on purpose'),
  );
});

const WORKER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const { subscribe } = require('node:diagnostics_channel');
  const { connect } = require('longwire');
  const { url, hook, how } = workerData;
  const end = {
    hang: () => new Promise(() => {}),
    spin() { for (;;); },
    exit: () => process.exit(0),
  }[how];
  subscribe('longwire:log', () => {});
  const inside = () => {
    parentPort.postMessage('inside');
    return how === 'exit' ? new Promise(() => setImmediate(end)) : end();
  };
  const options = { reconnect: { minDelay: 1, maxDelay: 10 } };
  // Many that are still being connected, and one that is asked.
  for (let i = 0; i < 20; i++) connect(url + '/stall-handshake', options).catch(() => {});
  connect(url + '/drop', { ...options, [hook]: inside }).catch(() => {});`;

for (const hook of ['beforeConnect', 'shouldReconnect', 'onOpen'])
  for (const how of ['hang', 'spin', 'exit'])
    test(`a worker that ends while ${hook} runs: ${how}`, async () => {
      const outside = await connect(`${server.ws}/echo`);
      const workers = Array.from({ length: 3 }, () => {
        const workerData = { url: server.ws, hook, how };
        return new Worker(WORKER, { eval: true, workerData });
      });
      await Promise.all(
        workers.map(async (worker) => {
          const exit = within(once(worker, 'exit'), 'end of a worker');
          await within(once(worker, 'message'), 'call of the hook');
          if (how !== 'exit') await worker.terminate();
          assert.deepEqual(await exit, [how === 'exit' ? 0 : 1]);
        }),
      );
      outside.send('still here');
      assert.equal(await message(outside), 'still here');
      await outside.close();
    });

test('clients that nobody holds any more, with a hook that hangs', async () => {
  const { code, signal, out } = await run(`
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 10 }, async () => {
        let calls = 0, seen;
        const asked = new Promise((resolve) => (seen = resolve));
        const ws = await connect(url + '/drop', {
          reconnect,
          beforeConnect: () => (calls++ > 0 ? (seen(), hang()) : undefined),
        });
        await asked;
        ws.unref();
      }));
      await new Promise(setImmediate);
    }
    say('through');`);
  assert.deepEqual({ code, signal, out }, ended(0, 'through'));
});
