// How long a process and a worker live, and how they end with open connections.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { connect } from 'longwire';
import { ended, run as runProgram } from './support/program.mjs';
import { startServer } from './support/server.mjs';
import { event, message, within } from './support/wait.mjs';

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

const run = (program) => runProgram(server.ws, program);

test('the process lives while a client is open', async () => {
  assert.deepEqual(
    await run(`const ws = await connect(url + '/push?count=3&size=4');
      ws.on('message', (text) => process.stdout.write(text[0]));
      ws.on('close', () => process.stdout.write('.'));`),
    ended(0, '012.'),
  );
});

test('a client whose reading is paused keeps the process alive as well', async () => {
  assert.deepEqual(
    await run(`const ws = await connect(url + '/push?count=300&size=100000', { receiveBuffer: 1 });
      const server = new WebSocket(url + '/echo');
      server.onopen = () => server.close();
      server.onclose = async () => {
        let count = 0;
        for await (const text of ws) count++;
        process.stdout.write(String(count));
      };`),
    ended(0, '300'),
  );
});

test('unref lets the process end; ref takes it back', async () => {
  assert.deepEqual(await run(`(await connect(url + '/echo')).unref();`), ended(0));
  assert.deepEqual(
    await run(`const ws = await connect(url + '/push?count=2&size=4');
      ws.unref().ref().on('message', (text) => process.stdout.write(text[0]));`),
    ended(0, '01'),
  );
});

test('what was sent just before the end goes out', async () => {
  const room = await connect(`${server.ws}/room`);
  const texts = Array.from({ length: 50 }, (_, i) => String(i));
  assert.deepEqual(
    await run(`const ws = await connect(url + '/room');
      for (let i = 0; i < 50; i++) ws.send(String(i));
      ws.unref();`),
    ended(0),
  );
  for (const text of texts) assert.equal(await message(room), text);
  assert.deepEqual(
    await run(`const ws = await connect(url + '/room');
      for (let i = 0; i < 50; i++) ws.send(String(i));
      process.exit(7);`),
    ended(7),
  );
  for (const text of texts) assert.equal(await message(room), text);
  await room.close();
});

test('process.exit with open connections, from anywhere', async () => {
  for (const place of [
    `process.exit(3);`,
    `ws.on('message', () => process.exit(3)); ws.send('now');`,
    `ws.send('now'); for await (const text of ws) process.exit(3);`,
    `new WebSocket(url + '/echo').onopen = () => process.exit(3);`,
    `process.exitCode = 3; ws.on('message', () => ws.close()); ws.send('now');`,
  ])
    assert.deepEqual(await run(`const ws = await connect(url + '/echo'); ${place}`), ended(3));
});

test('an exception that nobody catches ends the process as it should', async () => {
  const { code, signal } = await run(`
    process.on('uncaughtExceptionMonitor', () => process.stdout.write('seen'));
    console.error = () => {};
    process.on('uncaughtException', () => process.exit(4));
    const ws = await connect(url + '/echo');
    ws.on('message', () => { throw new Error('on purpose'); });
    ws.send('now');`);
  assert.deepEqual({ code, signal }, { code: 4, signal: null });
});

test('a connection that fails does not keep the process', async () => {
  assert.deepEqual(
    await run(`await connect(url + '/http?status=404').catch((error) => {
      process.stdout.write(error.code);
    });`),
    ended(0, 'LW_ESTATUS'),
  );
});

const WORKER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const { connect, WebSocket } = require('longwire');
  (async () => {
    const ws = await connect(workerData.url + '/echo');
    const flood = await connect(workerData.url + '/push?count=100000000&size=100');
    flood.on('message', () => {});
    const socket = new WebSocket(workerData.url + '/echo');
    socket.onopen = () => ws.send('hello');
    ws.on('message', (text) => {
      parentPort.postMessage(text);
      if (workerData.end === 'spin in a listener') for (;;);
    });
    parentPort.on('message', () => {
      if (workerData.end === 'exit') process.exit(0);
      if (workerData.end === 'spin') for (;;);
      if (workerData.end === 'close') {
        parentPort.close();
        for (const each of [ws, flood, socket]) each.close();
      }
    });
  })();`;

for (const end of ['terminate', 'exit', 'spin', 'spin in a listener', 'close']) {
  test(`workers with open connections: ${end}`, async () => {
    const outside = await connect(`${server.ws}/echo`);
    const url = server.ws;
    for (let round = 0; round < 3; round++) {
      const workers = Array.from(
        { length: 3 },
        () => new Worker(WORKER, { eval: true, workerData: { url, end } }),
      );
      await Promise.all(
        workers.map(async (worker) => {
          const [text] = await within(once(worker, 'message'), 'message of a worker');
          assert.equal(text, 'hello');
          const exit = within(once(worker, 'exit'), 'end of a worker');
          worker.postMessage('end');
          const itself = end === 'exit' || end === 'close';
          if (!itself) await worker.terminate();
          assert.deepEqual(await exit, [itself ? 0 : 1]);
        }),
      );
    }
    // The process and its other loop are as they were.
    outside.send('still here');
    assert.equal(await message(outside), 'still here');
    await outside.close();
  });
}

test('a loop that ends while the connection is down', async () => {
  assert.deepEqual(
    await run(`const ws = await connect(url + '/drop', { reconnect: { minDelay: 60000, maxDelay: 60000 } });
      ws.on('down', () => { ws.send('queued'); process.exit(5); });`),
    ended(5),
  );
});

test('many connections at once', async () => {
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => connect(`${server.ws}/echo`)),
  );
  clients.forEach((client, i) => client.send(String(i)));
  const answers = await Promise.all(clients.map(message));
  assert.deepEqual(answers, clients.map((_, i) => String(i)));
  const closes = Promise.all(clients.map((client) => event(client, 'close')));
  for (const client of clients) client.close();
  await closes;
});
