// Conversations with servers nobody here wrote, see tests/interop of the repository.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket, connect } from 'longwire';
import { startServer } from '../support/server.mjs';
import { deferred, event, message, within } from '../support/wait.mjs';

const directory = new URL('../../../tests/interop/', import.meta.url);
const python = process.env.LONGWIRE_PYTHON ?? 'python3';
const running = [];

/** Starts one of the programs; ends with its stdin. */
async function start(command, program, ...args) {
  const child = spawn(command, [fileURLToPath(new URL(program, directory)), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  running.push(child);
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`${program} ended with ${code}`);
  });
  const lines = createInterface({ input: child.stdout });
  const [line] = await within(Promise.race([once(lines, 'line'), failed]), `start of ${program}`);
  failed.catch(() => {});
  return JSON.parse(line);
}

const servers = {};
let testServer;
before(async () => {
  servers.websockets = await start(python, 'websockets_server.py');
  servers.ws = await start(process.execPath, 'ws_server.mjs');
  testServer = await startServer();
  const args = ['--upstream', servers.ws.ws, '--dir', testServer.ca_file.replace(/\/ca\.pem$/, '')];
  servers.nginx = await start(python, 'nginx.py', ...args);
});
after(async () => {
  for (const child of running) {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
  }
  await testServer.stop();
});

for (const name of ['websockets', 'ws', 'nginx']) {
  test(`${name}: connect`, async () => {
    const { ws: plain, wss, ca_file: caFile } = servers[name];
    const ws = await connect(wss ?? plain, { tls: { caFile } });
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 500_000]) {
      const [text, binary] = ['é'.repeat(size), Buffer.alloc(size, 'binary')];
      ws.send(text);
      ws.send(binary);
      assert.ok((await message(ws)) === text, `text of ${size}`);
      assert.ok((await message(ws)).equals(binary), `binary of ${size}`);
    }
    for (let i = 0; i < 1000; i++) ws.send(String(i));
    for (let i = 0; i < 1000; i++) assert.equal(await message(ws), String(i));
    assert.ok((await within(ws.ping(), 'pong')) > 0);
    const { code, clean } = await within(ws.close(1000, 'bye'), 'close');
    assert.deepEqual({ code, clean }, { code: 1000, clean: true });
  });

  test(`${name}: WebSocket`, async () => {
    const { ws: plain, wss, ca_file: caFile } = servers[name];
    const ws = new WebSocket(wss ?? plain, [], { tls: { caFile } });
    ws.binaryType = 'arraybuffer';
    await event(ws, 'open');
    const { promise, resolve } = deferred();
    const got = [];
    ws.onmessage = ({ data }) => got.push(data) === 2 && resolve();
    ws.send('text');
    ws.send(new Uint8Array([1, 2]));
    await within(promise, 'two answers');
    assert.deepEqual(got, ['text', new Uint8Array([1, 2]).buffer]);
    ws.close(1000, 'bye');
    const { code, wasClean } = await event(ws, 'close');
    assert.deepEqual([code, wasClean], [1000, true]);
  });
}
