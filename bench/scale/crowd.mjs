// What the Node programs of the crowd share; what they print and take is in run.py.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const AT_ONCE = 256;
const [base, number] = process.argv.slice(2);
const url = `${base}/hub`;
const count = Number(number);

const print = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const memory = () => {
  const text = readFileSync('/proc/self/smaps_rollup', 'utf8');
  const bytes = (name) => 1024 * Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)[1]);
  return { rss: bytes('Rss'), pss: bytes('Pss') };
};

const cpu = () => {
  const { user, system } = process.cpuUsage();
  return { cpu: (user + system) / 1e6 };
};

const seconds = (begun) => (performance.now() - begun) / 1000;

export const ca = url.startsWith('wss:') ? readFileSync(process.env.BENCH_CA, 'utf8') : undefined;

/** `connect(url, onMessage)` resolves with what has a `send`, once it is open. */
export const run = async (connect) => {
  const crowd = [];
  let heard = 0;
  let allHeard;
  const onMessage = () => {
    heard += 1;
    if (heard === count) allHeard();
  };
  const broadcast = async () => {
    const begun = performance.now();
    heard = 0;
    await new Promise((resolve) => {
      allHeard = resolve;
      crowd[0].send(new Uint8Array(64));
    });
    return { seconds: seconds(begun) };
  };
  let begunConnections = 0;
  const connectSome = async () => {
    while (begunConnections < count) {
      begunConnections += 1;
      crowd.push(await connect(url, onMessage));
    }
  };

  const begun = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, connectSome));
  print({ connected: crowd.length, seconds: seconds(begun) });
  const commands = { memory, cpu, broadcast };
  for await (const command of createInterface({ input: process.stdin })) {
    if (command === 'end') break;
    print(await commands[command]());
  }
  print({});
  // The kernel takes all connections down at once.
  process.exit(0);
};
