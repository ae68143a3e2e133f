// The workloads for the WHATWG interface: `open(task)` makes the WebSocket, of whichever client.
import { HIGH_WATER, Span, checkFlood, checkMany, now, run, sleep, tickTaken } from './measuring.mjs';

export function runWith(open) {
  /** An open WebSocket, with `arraybuffer` for binary messages. */
  const opened = (task) =>
    new Promise((resolve, reject) => {
      const ws = open(task);
      ws.binaryType = 'arraybuffer';
      ws.onopen = () => resolve(ws);
      ws.onerror = ({ error, message }) => reject(error ?? new Error(message ?? 'failed'));
      ws.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
    });

  /** What `take` gives `resolve` to be called with, or the failure of the connection. */
  const until = (ws, take) =>
    new Promise((resolve, reject) => {
      ws.onerror = ({ error, message }) => reject(error ?? new Error(message ?? 'failed'));
      ws.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
      take(resolve);
    });

  async function echo(task) {
    const payload = new Uint8Array(task.size);
    const ws = await opened(task);
    const rounds = (count) => {
      const samples = new Array(count).fill(0);
      let i = 0;
      let begun;
      return until(ws, (resolve) => {
        ws.onmessage = () => {
          samples[i++] = now() - begun;
          if (i === count) return resolve(samples);
          begun = now();
          ws.send(payload);
        };
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
    const ws = await opened(task);
    const span = new Span();
    await until(ws, (resolve) => {
      ws.onmessage = ({ data }) => {
        length += typeof data === 'string' ? data.length : data.byteLength;
        if (--left === 0) resolve();
      };
      ws.send('go');
    });
    const result = span.finish(task.count);
    checkFlood(task, length);
    return result;
  }

  async function sink(task) {
    const payload = new Uint8Array(task.size);
    const ws = await opened(task);
    const span = new Span();
    const done = until(ws, (resolve) => {
      ws.onmessage = resolve;
    });
    for (let i = 0; i < task.count; i++) {
      ws.send(payload);
      // The standard has no event for it.
      while (ws.bufferedAmount > HIGH_WATER) await new Promise(setImmediate);
    }
    await done;
    return span.finish(task.count);
  }

  async function tick(task) {
    const samples = new Array(task.count).fill(0);
    let i = 0;
    const ws = await opened(task);
    const span = new Span();
    await until(ws, (resolve) => {
      ws.onmessage = ({ data }) => {
        samples[i++] = tickTaken(data, 0, task.size);
        if (i === task.count) resolve();
      };
      ws.send('go');
    });
    return span.finish(task.count, samples);
  }

  async function many(task) {
    let come = 0;
    for (let i = 0; i < task.count; i++) {
      const ws = await opened(task);
      ws.onmessage = () => {
        come++;
      };
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
}
