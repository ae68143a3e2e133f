// ws, with bufferutil as its documentation advises.
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { HIGH_WATER, Span, checkFlood, checkMany, now, run, sleep, tickTaken } from './measuring.mjs';

async function open({ url, isDeflated, ca }) {
  const ws = new WebSocket(url, { perMessageDeflate: isDeflated, ca });
  await once(ws, 'open');
  return ws;
}

/** What `take` gives `resolve` to be called with, or the failure of the connection. */
const until = (ws, take) =>
  new Promise((resolve, reject) => {
    ws.on('error', reject);
    ws.on('close', (code) => reject(new Error(`closed with ${code}`)));
    take(resolve);
  });

async function echo(task) {
  const payload = new Uint8Array(task.size);
  const ws = await open(task);
  const rounds = (count) => {
    const samples = new Array(count).fill(0);
    let i = 0;
    let begun;
    return until(ws, (resolve) => {
      ws.removeAllListeners('message').on('message', () => {
        samples[i++] = now() - begun;
        if (i === count) return resolve(samples);
        begun = now();
        ws.send(payload);
      });
      begun = now();
      ws.send(payload);
    });
  };
  await rounds(task.warmUp);
  const span = new Span();
  const samples = await rounds(task.count);
  return span.finish(task.count, samples);
}

async function flood(task) {
  let left = task.count;
  let length = 0;
  const ws = await open(task);
  const span = new Span();
  await until(ws, (resolve) => {
    ws.on('message', (data, isBinary) => {
      // Text comes as a Buffer, of which the user makes a string.
      length += isBinary ? data.length : data.toString().length;
      if (--left === 0) resolve();
    });
    ws.send('go');
  });
  const result = span.finish(task.count);
  checkFlood(task, length);
  return result;
}

async function sink(task) {
  const payload = new Uint8Array(task.size);
  const ws = await open(task);
  const span = new Span();
  const done = until(ws, (resolve) => ws.on('message', resolve));
  for (let i = 0; i < task.count; i++) {
    if (ws.bufferedAmount > HIGH_WATER)
      // The callback is called when this message, and so those before it, have gone.
      await new Promise((resolve, reject) => {
        ws.send(payload, (error) => (error ? reject(error) : resolve()));
      });
    else ws.send(payload);
  }
  await done;
  return span.finish(task.count);
}

async function tick(task) {
  const samples = new Array(task.count).fill(0);
  let i = 0;
  const ws = await open(task);
  const span = new Span();
  await until(ws, (resolve) => {
    ws.on('message', (data) => {
      samples[i++] = tickTaken(data.buffer, data.byteOffset, task.size);
      if (i === task.count) resolve();
    });
    ws.send('go');
  });
  return span.finish(task.count, samples);
}

async function many(task) {
  let come = 0;
  for (let i = 0; i < task.count; i++) {
    const ws = await open(task);
    ws.on('message', (data, isBinary) => {
      if (!isBinary) data.toString();
      come++;
    });
  }
  // What came while the others connected is not part of it.
  await sleep(100);
  come = 0;
  const span = new Span();
  await sleep(task.size * 1000);
  const result = span.finish(come);
  checkMany(task, come);
  return result;
}

run({ echo, flood, sink, tick, many });
