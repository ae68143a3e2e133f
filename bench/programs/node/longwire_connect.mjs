// longwire's persistent client, iterated over.
import { once } from 'node:events';
import { connect } from '../../../bindings-node/index.mjs';
import { HIGH_WATER, Span, checkFlood, checkMany, now, run, sleep, tickTaken } from './measuring.mjs';

const open = ({ url, isDeflated, caFile }) =>
  connect(url, { compression: isDeflated, sendBuffer: 2 * HIGH_WATER, tls: { caFile } });

async function echo(task) {
  const payload = new Uint8Array(task.size);
  const samples = new Array(task.count).fill(0);
  const ws = await open(task);
  const messages = ws[Symbol.asyncIterator]();
  for (let i = 0; i < task.warmUp; i++) {
    ws.send(payload);
    await messages.next();
  }
  const span = new Span();
  for (let i = 0; i < task.count; i++) {
    const begun = now();
    ws.send(payload);
    await messages.next();
    samples[i] = now() - begun;
  }
  return span.finish(task.count, samples);
}

async function flood(task) {
  let left = task.count;
  let length = 0;
  const ws = await open(task);
  const span = new Span();
  ws.send('go');
  for await (const message of ws) {
    length += message.length;
    if (--left === 0) break;
  }
  const result = span.finish(task.count);
  checkFlood(task, length);
  return result;
}

async function sink(task) {
  const payload = new Uint8Array(task.size);
  const ws = await open(task);
  const span = new Span();
  for (let i = 0; i < task.count; i++) {
    try {
      ws.send(payload);
    } catch (error) {
      if (error.code !== 'LW_EFULL') throw error;
      await once(ws, 'drain');
      ws.send(payload);
    }
  }
  for await (const _ of ws) break;
  return span.finish(task.count);
}

async function tick(task) {
  const samples = new Array(task.count).fill(0);
  let i = 0;
  const ws = await open(task);
  const span = new Span();
  ws.send('go');
  for await (const message of ws) {
    samples[i++] = tickTaken(message.buffer, message.byteOffset, task.size);
    if (i === task.count) break;
  }
  return span.finish(task.count, samples);
}

async function many(task) {
  let come = 0;
  for (let i = 0; i < task.count; i++) {
    const ws = await open(task);
    (async () => {
      for await (const _ of ws) come++;
    })();
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
