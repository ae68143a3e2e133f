// What the Node programs of the bench share: their command line and what they measure.
//
// A program is called as `PROGRAM WORKLOAD URL COUNT SIZE` and prints one line of JSON, see
// `../python/measuring.py`. Samples go into an array that has its length already.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** How much may wait in a client that shows `bufferedAmount` and never refuses. */
export const HIGH_WATER = 1 << 20;

export { sleep };

/** Microseconds between two events of this process. */
export const now = () => performance.now() * 1000;

/** Nanoseconds of CLOCK_MONOTONIC, the clock of the opponent's stamps. */
const monotonic = () => Number(process.hrtime.bigint());

/** What the program was told: `{ url, count, size, warmUp, isDeflated, caFile, ca }`. */
function taskOf([url, count, size]) {
  const { protocol, searchParams } = new URL(url);
  const caFile = protocol === 'wss:' ? process.env.BENCH_CA : undefined;
  return {
    url,
    count: Number(count),
    size: Number(size),
    warmUp: Math.max(1, Math.floor(Number(count) / 10)),
    isDeflated: searchParams.get('deflate') === '1',
    caFile,
    ca: caFile && readFileSync(caFile),
  };
}

/** The measured part: from where this is made to `finish`. */
export class Span {
  #cpu = process.cpuUsage();
  #begun = now();

  finish(messages, samples = []) {
    const seconds = (now() - this.#begun) / 1e6;
    const { user, system } = process.cpuUsage(this.#cpu);
    return { seconds, cpu: (user + system) / 1e6, messages, samples };
  }
}

/**
 * Takes the tick that is the bytes from `at` on in `buffer`, and is busy for half of `size`
 * microseconds. Returns how long the tick was on its way, in microseconds.
 */
export function tickTaken(buffer, at, size) {
  const come = monotonic();
  const sent = Number(new DataView(buffer, at, 8).getBigUint64(0, true));
  const until = come + size * 500;
  while (monotonic() < until);
  return (come - sent) / 1000;
}

/** `length` is that of all messages. What came compressed has about the length asked for. */
export function checkFlood({ count, size, isDeflated }, length) {
  const wanted = count * size;
  const least = isDeflated ? wanted - 96 * count : wanted;
  if (length < least || length > wanted)
    throw new Error(`expected messages of ${wanted} bytes in all, got ${length}`);
}

/** Each connection gets one message a second: far fewer, and some were lost. */
export function checkMany({ count, size }, messages) {
  if (messages < (count * size) / 2)
    throw new Error(`expected ${count * size} messages, got ${messages}`);
}

/** Does what the command line says with the workloads, which have its names. */
export async function run(workloads) {
  const [workload, ...rest] = process.argv.slice(2);
  const { samples, ...line } = await workloads[workload](taskOf(rest));
  line.peak = process.resourceUsage().maxRSS * 1024;
  if (samples.length > 0) {
    const ordered = Float64Array.from(samples).sort();
    line.p50 = ordered[ordered.length >> 1];
    line.p99 = ordered[Math.floor((ordered.length * 99) / 100)];
  }
  // A client that was closed may take its time for the end of the process.
  process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(0));
}
