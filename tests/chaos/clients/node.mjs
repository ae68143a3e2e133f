// The Node package as clients of the chaos run.
//
//   node node.mjs WS WSS CA_FILE FIRST COUNT PACE_MS
//
// README.md says what they do and what they report.

import { createInterface } from 'node:readline';
import { connect } from '../../../bindings-node/index.mjs';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz'.repeat(2400);
const SETTLE_LIMIT = 30_000;
/** So much slower is the talk when it is to come to its end. */
const UNHURRIED = 10;
const TICK = 5;
/** So many complaints of a client are kept. */
const COMPLAINTS = 5;

function filled(head, start, number) {
  let length = (number * 13) % 100;
  if (number % 97 === 0) length = 20_000 + ((number * 7919) % 40_000);
  else if (number % 19 === 0) length = 1000 + ((number * 31) % 7000);
  return head + ALPHABET.slice(start % 26, (start % 26) + length);
}

/** One client: numbered messages up, numbered answers down. */
class Talker {
  #ws;
  #changed;
  #open = false;
  /** Connection, sent when it was lost (-1: it was not), first and last answer, first and last number acknowledged. */
  #rows = [];
  #sent = 0;
  /** The last that was not refused. */
  #taken = 0;
  #heard = 0;
  #acked = 0;
  #answers = 0;
  #unsent = [];
  #full = false;
  #downs = {};
  #failures = {};
  #closed = 0;
  #end = {};
  #wrong = [];
  /** What has to be acknowledged until the client may fall silent. */
  #mark = Infinity;
  #due = Infinity;

  constructor(number, changed) {
    this.number = number;
    this.#changed = changed;
  }

  async connect(url, caFile) {
    this.#ws = await connect(url, {
      tls: { caFile },
      connectTimeout: 2000,
      heartbeat: { interval: 1000, timeout: 1000 },
      reconnect: { minDelay: 50, maxDelay: 1000, stableAfter: 500 },
      sendBuffer: 32 << 10,
    });
    this.#opened(this.#ws);
    this.#ws.on('open', (opened) => this.#opened(opened));
    this.#ws.on('message', (message) => this.#take(message));
    this.#ws.on('down', ({ error }) => this.#down(error));
    this.#ws.on('drain', () => {
      if (!this.#full) this.#complain('drain, but nothing was refused');
      this.#full = false;
      this.#changed();
    });
    this.#ws.on('close', ({ code, clean, error }) => {
      this.#closed += 1;
      this.#open = false;
      this.#end = { code, clean };
      if (error) this.#complain(`the end: ${error.message}`);
    });
  }

  talk(at) {
    this.#due = at;
  }

  settle() {
    this.#mark = this.#sent;
  }

  /** Says what is due. */
  tick(now, pace) {
    // After a long pause there is nothing to be caught up with.
    if (now > this.#due + 1000) this.#due = now;
    for (; this.#due <= now && this.#acked <= this.#mark; this.#due += pace) this.#say();
  }

  get settled() {
    return this.#acked > this.#mark && this.#acked === this.#taken && this.#open && !this.#full;
  }

  close() {
    this.#due = Infinity;
    return this.#ws.close();
  }

  report() {
    return {
      number: this.number,
      sent: this.#sent,
      answers: this.#answers,
      unsent: this.#unsent,
      connections: this.#rows,
      downs: this.#downs,
      failures: this.#failures,
      closed: this.#closed,
      ...this.#end,
      wrong: this.#wrong,
    };
  }

  #complain(what) {
    if (this.#wrong.length < COMPLAINTS) this.#wrong.push(what);
  }

  #say() {
    this.#sent += 1;
    const text = filled(`${this.#sent} `, this.#sent, this.#sent);
    if (this.#send(this.#sent % 2 === 1 ? text : Buffer.from(text))) this.#taken = this.#sent;
    else this.#unsent.push(this.#sent);
  }

  /** Whether there was room. */
  #send(message) {
    try {
      this.#ws.send(message);
      return true;
    } catch (error) {
      if (error.code !== 'LW_EFULL') throw error;
      this.#full = true;
      return false;
    }
  }

  #opened({ headers, reconnects }) {
    if (this.#open || this.#closed) this.#complain('open, but it was open or closed');
    this.#open = true;
    const name = headers['x-connection'];
    // Refused only if that connection is gone by now and the queue is full; else the server will miss it.
    this.#send(`hello ${name} ${this.#heard}`);
    if (reconnects !== this.#rows.length)
      this.#complain(`${this.#rows.length + 1} connections, ${reconnects} reconnects`);
    this.#rows.push([Number(name), -1, 0, 0, 0, 0]);
  }

  #down({ code }) {
    if (this.#closed) this.#complain('down after the end');
    const counts = this.#open ? this.#downs : this.#failures;
    counts[code] = (counts[code] ?? 0) + 1;
    if (this.#open) this.#rows.at(-1)[1] = this.#sent;
    this.#open = false;
  }

  #take(message) {
    const text = message.toString();
    const [connection, heard, acked] = text.split(' ', 3).map(Number);
    const head = `${connection} ${heard} ${acked} `;
    const isText = typeof message === 'string';
    if (text !== filled(head, heard, acked) || isText !== (acked % 2 === 1))
      this.#complain(`answer ${heard} is not what was sent`);
    const row = this.#rows.at(-1);
    const follows = row[3] === 0 || heard === row[3] + 1;
    const current = this.#open && row[0] === connection;
    if (!current || heard <= this.#heard || acked <= this.#acked || !follows)
      this.#complain(`${head}after ${this.#heard} and ${this.#acked} on connection ${row[0]}`);
    if (acked > this.#sent) this.#complain(`${acked} is acknowledged and was never sent`);
    this.#answers += 1;
    this.#heard = heard;
    this.#acked = acked;
    row.splice(2, 4, row[2] || heard, heard, row[4] || acked, acked);
    this.#changed();
  }
}

const [ws, wss, caFile, ...numbers] = process.argv.slice(2);
const [first, count, haste] = numbers.map(Number);
let pace = haste;
/** Resolves when the line has left: a pipe takes no more than 64 KB of it at once. */
const say = (line) =>
  new Promise((resolve) => {
    process.stdout.write(`${JSON.stringify(line)}\n`, resolve);
  });

let changed = () => {};
const talkers = Array.from({ length: count }, (_, i) => new Talker(first + i, () => changed()));
const unsettled = () => talkers.filter((one) => !one.settled).map(({ number }) => number);

function settle() {
  pace = haste * UNHURRIED;
  talkers.forEach((one) => one.settle());
  return new Promise((resolve) => {
    const limit = setTimeout(resolve, SETTLE_LIMIT);
    changed = () => {
      if (!talkers.every((one) => one.settled)) return;
      clearTimeout(limit);
      changed = () => {};
      resolve();
    };
  });
}

// One after another, as a first attempt that fails is the end.
for (const one of talkers) await one.connect(`${one.number % 3 ? ws : wss}/${one.number}`, caFile);
await say({ open: count });

let ticking;
for await (const word of createInterface({ input: process.stdin })) {
  if (word === 'talk') {
    const now = performance.now();
    talkers.forEach((one, place) => one.talk(now + (pace * place) / count));
    ticking = setInterval(() => {
      const now = performance.now();
      talkers.forEach((one) => one.tick(now, pace));
    }, TICK);
    await say({ talking: count });
  } else if (word === 'settle') {
    await settle();
    await say({ unsettled: unsettled() });
  } else if (word === 'close') {
    clearInterval(ticking);
    await Promise.all(talkers.map((one) => one.close()));
    await say({ clients: talkers.map((one) => one.report()) });
    break;
  }
}
// Without the last word, nobody is there any more.
process.exit();
