// Never run: that it compiles, and that each marked line does not, is the test.
import type { Writable } from 'node:stream';
import {
  connect,
  errorCodes,
  Client,
  CloseEvent,
  GiveUp,
  LongwireError,
  WebSocket,
  type Attempt,
  type Changes,
  type Closed,
  type ConnectOptions,
  type LogLine,
  type LongwireErrorCode,
  type Message,
  type MessageStream,
  type Outage,
  type Stats,
  type StreamingOptions,
} from 'longwire';

const options: ConnectOptions = {
  headers: { authorization: 'Bearer x', cookie: ['a=1', 'b=2'] },
  subprotocols: ['v2', 'v1'],
  origin: 'https://example.org',
  tls: {
    ca: new Uint8Array(),
    caFile: new URL('file:///ca.pem'),
    verify: false,
    serverName: 'x',
    clientCert: 'client.pem',
    clientKey: new URL('file:///client.key'),
    pinnedKeys: ['sha256//x'],
  },
  proxy: false,
  maxRedirects: 3,
  compression: {
    threshold: 0,
    level: 9,
    memoryLevel: 9,
    clientNoContextTakeover: false,
    serverNoContextTakeover: true,
    clientMaxWindowBits: 9,
    serverMaxWindowBits: 15,
  },
  streaming: false,
  connectTimeout: 1000,
  closeTimeout: 1000,
  heartbeat: { interval: 1000, timeout: 1000 },
  reconnect: {
    minDelay: 1,
    maxDelay: 2,
    factor: 2,
    maxAttempts: 3,
    maxTime: 4,
    stableAfter: 4,
    maxRetryAfter: 5,
    restartDelay: [1, 2],
    retry: { 403: true, 1008: true, LW_ECERT: false },
  },
  beforeConnect: ({ attempt, reconnects, error }) => {
    if (error?.status === 401) throw new GiveUp('no such user');
    return attempt > reconnects ? { headers: { authorization: 'Bearer y' } } : undefined;
  },
  shouldReconnect: ({ error, code, attempt, retry, retryIn }) =>
    code === 1000 || (error.retryable && attempt + retryIn > 0) || retry,
  hookTimeout: 1000,
  onOpen: (ws) => ws.send('subscribe'),
  offlineMaxAge: 1000,
  consumerTimeout: 1000,
  consumerAction: 'close',
  offline: 'refuse',
  maxMessageSize: 1,
  maxFragments: 1,
  sendBuffer: 1,
  receiveBuffer: 1,
};

export async function persistent(): Promise<Closed> {
  await using ws = await connect(new URL('ws://localhost'), options);
  const also: Client = await connect('ws://localhost', { heartbeat: false, reconnect: false });
  also.ref().unref();
  ws.send('text');
  ws.send('text', { compress: false });
  ws.send(new ArrayBuffer(1));
  ws.send(new DataView(new ArrayBuffer(1)));
  const roundTrip: number = await ws.ping('x');
  const latency: number | null = ws.latency;
  ws.on('open', ({ attempt, headers }) => [attempt + 1, headers['set-cookie']]);
  ws.on('message', (message: Message) => message.length);
  ws.on('down', ({ error, retryIn }) => `${error.code} ${retryIn + 1}`);
  ws.on('close', ({ code, clean }) => (clean ? code : -code));
  for await (const message of ws) {
    if (typeof message === 'string') message.toUpperCase();
    else message.readUInt8(0);
  }
  // @ts-expect-error a client has no number of messages
  ws.count;
  // @ts-expect-error the options are named in camel case
  await connect('ws://localhost', { connect_timeout: 1 });
  // @ts-expect-error neither text nor bytes
  ws.send(1);
  // @ts-expect-error no environment but the default's
  await connect('ws://localhost', { proxy: true });
  // @ts-expect-error there is no such event
  ws.on('error', () => {});
  // @ts-expect-error made by connect only
  new Client();
  console.log(roundTrip, latency, ws.state === 'down', ws.subprotocol?.length);
  return ws.close(1000, 'bye');
}

export async function steered(): Promise<(string | Buffer)[]> {
  const ws = await connect('ws://localhost', {
    beforeConnect: async (attempt: Attempt): Promise<Changes> => ({
      url: new URL(`ws://localhost/${attempt.attempt}`),
      subprotocols: ['v3'],
    }),
    shouldReconnect: async (outage: Outage) => outage.error.status !== 410,
    async onOpen(ws) {
      await ws.ping();
      // @ts-expect-error neither text nor bytes
      ws.send(1);
    },
  });
  ws.reconnect();
  ws.networkChanged();
  const stats: Stats = ws.stats();
  const age: number = Date.now() - (stats.connectedSince?.getTime() ?? 0);
  const saved: number = stats.inflated.after - stats.inflated.before + (stats.deflateRatio ?? 1);
  // @ts-expect-error there may be none
  stats.lastError.code;
  // @ts-expect-error neither yes nor no
  await connect('ws://localhost', { shouldReconnect: () => 'yes' });
  // @ts-expect-error no such change
  await connect('ws://localhost', { beforeConnect: () => ({ origin: 'x' }) });
  // @ts-expect-error no such error
  await connect('ws://localhost', { reconnect: { retry: { LW_ENOSUCH: true } } });
  // @ts-expect-error no pair
  await connect('ws://localhost', { reconnect: { restartDelay: [1] } });
  const { unsentMessages, unsentBytes } = await ws.closed;
  console.log(age, saved, unsentMessages + unsentBytes);
  return ws.unsent;
}

export function logged({ client, level, time, text }: LogLine): string {
  return `${time.toISOString()} ${level === 'warning' ? '!' : ' '} ${client.url}: ${text}`;
}

export async function inPieces(options: StreamingOptions): Promise<void> {
  const ws = await connect('ws://localhost', {
    streaming: true,
    reconnect: false,
    async onOpen(ws) {
      for await (const message of ws) return void message.destroy();
    },
  });
  const sent: Writable = ws.createSendStream({ text: true, compress: false });
  ws.on('message', (message: MessageStream) => message.destroy());
  for await (const message of ws) {
    if (message.isText) for await (const chunk of message) sent.write(chunk.toUpperCase());
    else for await (const chunk of message) sent.write(chunk.readUInt8(0));
    // @ts-expect-error it has no length before it is complete
    message.length;
  }
  // @ts-expect-error no such option
  ws.createSendStream({ binary: true });
  const also: Client<MessageStream> = await connect('ws://localhost', options);
  await also.close();
}

export function whatwg(): void {
  const ws = new WebSocket('wss://localhost', ['a'], { tls: { verify: false } });
  ws.binaryType = 'arraybuffer';
  ws.onopen = function () {
    this.send(new Blob([]));
  };
  ws.onmessage = ({ data, origin }) => [typeof data === 'string' ? data : 'binary', origin];
  ws.addEventListener('close', ({ code, reason, wasClean }) => [code + 1, reason, wasClean]);
  ws.addEventListener('error', { handleEvent: ({ error }) => error?.status });
  const open: boolean = ws.readyState === WebSocket.OPEN;
  // @ts-expect-error read only
  ws.readyState = 1;
  // @ts-expect-error not a binary type
  ws.binaryType = 'string';
  new WebSocket('ws://localhost', [], { compression: false, proxy: 'http://localhost:9' });
  // @ts-expect-error the standard's messages are whole
  new WebSocket('ws://localhost', [], { streaming: true });
  // @ts-expect-error a WebSocket does not reconnect
  new WebSocket('ws://localhost', [], { reconnect: false });
  ws.dispatchEvent(new CloseEvent('close', { code: 1000, wasClean: open }));
}

export function errors(error: unknown): number {
  if (!(error instanceof LongwireError)) return 0;
  const code: LongwireErrorCode = error.code;
  // @ts-expect-error no such code
  if (code === 'LW_ENOSUCH') return 1;
  return errorCodes[code] + error.errno + (error.status ?? 0);
}
