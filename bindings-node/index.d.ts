/// <reference types="node" />
import { EventEmitter } from 'node:events';
import { Readable, Writable } from 'node:stream';

/** The symbolic names of `docs/errors.md`. */
export type LongwireErrorCode =
  | 'LW_EINVAL'
  | 'LW_EURL'
  | 'LW_ECLOSED'
  | 'LW_EFULL'
  | 'LW_EOFFLINE'
  | 'LW_ETIMEOUT'
  | 'LW_EDNS'
  | 'LW_ECONNECT'
  | 'LW_ETLS'
  | 'LW_ECERT'
  | 'LW_EHANDSHAKE'
  | 'LW_ESTATUS'
  | 'LW_EPROTO'
  | 'LW_EUTF8'
  | 'LW_ETOOBIG'
  | 'LW_ELOST'
  | 'LW_EHEARTBEAT'
  | 'LW_ERESOURCE'
  | 'LW_EBUSY'
  | 'LW_EFORKED'
  | 'LW_EPANIC'
  | 'LW_EUNSUPPORTED'
  | 'LW_EHOOK';

/** Each code with the number that C and Python use for it. */
export const errorCodes: Readonly<Record<LongwireErrorCode, number>>;

/** Header fields with lower-case names; what came more than once is joined by commas. */
export type ResponseHeaders = Record<string, string | string[]>;

export class LongwireError extends Error {
  constructor(code: LongwireErrorCode, message: string);
  readonly code: LongwireErrorCode;
  /** The stable number of `code`. */
  readonly errno: number;
  /** Whether a persistent client tries again after this error. */
  readonly retryable: boolean;
  /** What the server answered, if it refused the handshake (`LW_ESTATUS`). */
  readonly status: number | undefined;
  readonly headers: ResponseHeaders | undefined;
  /** The beginning of the body, at most 4 KiB. */
  readonly body: string | undefined;
  /** What the hook threw, for `LW_EHOOK`. */
  readonly cause?: unknown;
}

/** For `beforeConnect` to throw when another attempt would not help: the client ends. */
export class GiveUp extends Error {}

/** A message: text as a string, binary as a `Buffer`. */
export type Message = string | Buffer;

/**
 * A message in pieces, with `streaming`: strings for text, cut between characters,
 * `Buffer`s for binary. It fails with `LW_ELOST` if its connection is lost before
 * it is complete. The next message comes when this one was read to its end or
 * destroyed, which discards the rest.
 */
export type MessageStream = TextStream | BinaryStream;

export interface TextStream extends Readable {
  readonly isText: true;
  [Symbol.asyncIterator](): NodeJS.AsyncIterator<string>;
}

export interface BinaryStream extends Readable {
  readonly isText: false;
  [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer>;
}

export type Sendable = string | ArrayBufferLike | ArrayBufferView;

export type HeadersInput =
  | Record<string, string | readonly string[]>
  | Iterable<readonly [string, string | readonly string[]]>;

export interface TlsOptions {
  /** Certificate authorities to trust instead of the system's, as PEM. */
  ca?: string | Uint8Array;
  /** The same in a file. */
  caFile?: string | URL;
  /** `false` accepts any certificate, so that anyone on the way can read and change everything. */
  verify?: boolean;
  /** The name the certificate must carry; the URL's host by default. */
  serverName?: string;
  /** A PEM file with the client's certificate; read anew at each attempt, as is the key. */
  clientCert?: string | URL;
  /** A PEM file with its private key, not encrypted. */
  clientKey?: string | URL;
  /**
   * If there are any, the server's public key must be one of these: `sha256//` and the
   * base64 of the SHA-256 of its SubjectPublicKeyInfo.
   */
  pinnedKeys?: string | Iterable<string>;
}

/** An offer of permessage-deflate, and how to compress. */
export interface CompressionOptions {
  /** Shorter messages are sent as they are. */
  threshold?: number;
  /** From 1, the quickest, to 9, the smallest. */
  level?: number;
  /** From 1, the least memory, to 9, the most. */
  memoryLevel?: number;
  /** `false` keeps what was sent, so that similar messages get smaller, for memory. */
  clientNoContextTakeover?: boolean;
  /** `true` asks the server not to. */
  serverNoContextTakeover?: boolean;
  /** The largest window to compress with, 9 to 15. */
  clientMaxWindowBits?: number;
  /** The largest window the server may compress with, 9 to 15. */
  serverMaxWindowBits?: number;
}

export interface HeartbeatOptions {
  /** Ping after so many milliseconds without anything received. */
  interval?: number;
  /** The connection is lost if nothing comes for so many milliseconds after a ping. */
  timeout?: number;
}

export interface ReconnectOptions {
  /** The shortest wait, in milliseconds. */
  minDelay?: number;
  /** The longest wait, in milliseconds. */
  maxDelay?: number;
  /** How the upper bound grows with each attempt. */
  factor?: number;
  /** Give up after so many failed attempts in a row. */
  maxAttempts?: number;
  /** Give up when there was no stable connection for so many milliseconds. */
  maxTime?: number;
  /** A connection that lived so many milliseconds starts the back-off anew. */
  stableAfter?: number;
  /**
   * A server that says `Retry-After` is not called again earlier, but not later than so many
   * milliseconds for its sake.
   */
  maxRetryAfter?: number;
  /**
   * After the close codes 1012 (restart) and 1013 (try again later) the wait is drawn between
   * these milliseconds.
   */
  restartDelay?: readonly [least: number, most: number];
  /**
   * What is tried again against the rule, or not: HTTP statuses, close codes and codes of
   * errors, as in `{ 403: true, 1008: true, LW_ECERT: false }`.
   */
  retry?: Partial<Record<number | LongwireErrorCode, boolean>>;
}

/** An attempt that is about to begin. */
export interface Attempt {
  /** Which one this is since the last open connection, counted from 1. */
  attempt: number;
  /** How many connections were open before. */
  reconnects: number;
  /** Why the attempt or connection before came to nothing. */
  error: LongwireError | undefined;
}

/** What replaces the options for one attempt; what is absent stays as they say. */
export interface Changes {
  url?: string | URL;
  /** All of them. */
  headers?: HeadersInput;
  /** All of them. */
  subprotocols?: string | Iterable<string>;
}

/** A connection that was lost, or an attempt that failed. */
export interface Outage {
  error: LongwireError;
  /** The close code of the peer, if there was a closing handshake. */
  code: number | undefined;
  /** Failed attempts in a row. */
  attempt: number;
  /** What would happen without an answer: whether another attempt follows. */
  retry: boolean;
  /** The wait until then, in milliseconds. */
  retryIn: number;
}

/** What one connection can be told. Times are milliseconds, sizes are bytes. */
export interface ConnectionOptions {
  headers?: HeadersInput;
  origin?: string;
  tls?: TlsOptions;
  /** What to connect through; `false` for nothing, whatever the environment says. */
  proxy?: string | false;
  /** How many redirects one attempt follows. */
  maxRedirects?: number;
  /** permessage-deflate; `false` for none. */
  compression?: CompressionOptions | boolean;
  /** For one attempt: name lookup, TCP, TLS and the handshake. */
  connectTimeout?: number;
  /** For the closing handshake. */
  closeTimeout?: number;
  heartbeat?: HeartbeatOptions | boolean;
  /** The largest message accepted. */
  maxMessageSize?: number;
  /** The most fragments that one message may come in. */
  maxFragments?: number;
  /** The most bytes that wait to be sent. */
  sendBuffer?: number;
  /** The most bytes of messages that wait to be fetched. */
  receiveBuffer?: number;
}

interface PersistentOptions extends ConnectionOptions {
  /** Subprotocols to offer, most wanted first. */
  subprotocols?: string | Iterable<string>;
  /** How to come back after a loss; `false` for not at all. */
  reconnect?: ReconnectOptions | boolean;
  /**
   * Called before each attempt, which waits for it: for tokens that expire and servers that
   * change. If it throws, the attempt has failed (`LW_EHOOK`, with what was thrown as the
   * `cause`), and others follow as after any failure. `GiveUp` ends the client, and so do changes
   * that cannot be used.
   */
  beforeConnect?: (attempt: Attempt) => MaybePromise<Changes | undefined | void>;
  /**
   * Called after each loss and each failed attempt, once `connect` has resolved: whether another
   * attempt follows. Nothing stands for what `outage.retry` says, and so does an exception, which
   * becomes an `uncaughtException`.
   */
  shouldReconnect?: (outage: Outage) => MaybePromise<boolean | undefined | void>;
  /**
   * The longest that either may take. After it an attempt has failed (`LW_ETIMEOUT`), a loss is
   * dealt with as `outage.retry` says, and the late answer is not heard.
   */
  hookTimeout?: number;
  /** What `send` does while the client is not connected. */
  offline?: 'queue' | 'refuse';
  /** Messages that waited so many milliseconds for a connection are dropped, and counted. */
  offlineMaxAge?: number;
  /**
   * How long messages may wait for a program that takes none, before `consumerAction` is taken:
   * `report` (the default) tells of it in `stats().stalled` and on `longwire:log`, `close` closes
   * the connection with code 1001 and ends the client with `LW_ETIMEOUT`.
   */
  consumerTimeout?: number;
  consumerAction?: 'report' | 'close';
}

type MaybePromise<T> = T | PromiseLike<T>;

/** What is called on each new connection, the first one included, before `open`. */
type OnOpen<M> = (ws: Client<M>) => unknown;

export interface ConnectOptions extends PersistentOptions {
  /**
   * Called on each new connection, the first one included. What it sends from its asynchronous
   * context precedes everything else, which waits until its promise is settled, if it returns one.
   * `connect` resolves after it.
   *
   * What it throws has `connect` reject, and becomes an `uncaughtException` on later connections,
   * unless that connection is gone meanwhile: then it is called again on the next one.
   */
  onOpen?: OnOpen<Message>;
  streaming?: false;
}

/** The same for messages in pieces. */
export interface StreamingOptions extends PersistentOptions {
  /** See `ConnectOptions`. */
  onOpen?: OnOpen<MessageStream>;
  /** Each message is a `MessageStream`, whatever its size: `maxMessageSize` bounds only sends. */
  streaming: true;
}

/** What one message can be told. */
export interface SendOptions {
  /** `false`: as it is, even if compression was agreed on. */
  compress?: boolean;
}

/** What a message in pieces can be told. */
export interface SendStreamOptions extends SendOptions {
  /** Whether it is text; binary otherwise. */
  text?: boolean;
}

export type ClientState = 'connecting' | 'open' | 'down' | 'closing' | 'closed';

export interface Opened {
  /** How many attempts this connection took, counted from 1. */
  attempt: number;
  /** How many connections were open before this one. */
  reconnects: number;
  subprotocol: string | null;
  extensions: string;
  headers: ResponseHeaders;
  /** How many messages were dropped since the last connection because of `offlineMaxAge`. */
  expired: number;
}

export interface Pong {
  payload: Buffer;
  /** Milliseconds since the ping; `undefined` for a pong nobody asked for. */
  roundTrip: number | undefined;
}

export interface Down {
  error: LongwireError;
  /** The close code of the peer, if there was a closing handshake. */
  code: number | undefined;
  /** Failed attempts since the last open connection. */
  attempt: number;
  /** Milliseconds until the next attempt. */
  retryIn: number;
}

export interface Closed {
  /** The peer's code; 1005 if it gave none, 1006 if there was no close frame. */
  code: number;
  reason: string;
  /** Whether the closing handshake was completed. */
  clean: boolean;
  /** The cause, unless the user closed it or the peer did with a regular code. */
  error: LongwireError | undefined;
  /** How many messages never left, and their bytes; `unsent` has them. */
  unsentMessages: number;
  unsentBytes: number;
}

/** Bytes of messages before and after they were compressed, or decompressed. */
export interface Compressed {
  before: number;
  after: number;
}

/**
 * A client at one moment. Counters are over its whole life, all connections together. Times are
 * milliseconds, and `null` stands for what there is none of.
 */
export interface Stats {
  state: ClientState;
  /** The attempt under way or next, counted from 1; while open, how many it took. */
  attempt: number;
  /** The time until that attempt, while `down`. */
  nextRetry: number | null;
  /** Why the latest connection was lost, or the latest attempt failed. */
  lastError: LongwireError | null;
  connectedFor: number | null;
  connectedSince: Date | null;
  /** Connections that were opened. */
  connections: number;
  /** Messages taken by `send`, those that expired or never left included. */
  messagesSent: number;
  messagesReceived: number;
  /** Bytes of frames. */
  bytesSent: number;
  bytesReceived: number;
  /** Those of the heartbeat included. */
  pingsSent: number;
  pongsReceived: number;
  /** The latest round trip of a ping. */
  roundTrip: number | null;
  /** The same smoothed as TCP does it (RFC 6298). */
  smoothedRoundTrip: number | null;
  /** Bytes that wait to be sent. */
  bufferedAmount: number;
  /** Bytes of messages that wait to be taken. */
  inbox: number;
  /** Messages dropped because of `offlineMaxAge`. */
  expired: number;
  /** What was sent compressed, and the bytes on the wire for each byte of it. */
  deflated: Compressed;
  deflateRatio: number | null;
  /** The same of what came. */
  inflated: Compressed;
  inflateRatio: number | null;
  /** For how long nobody has taken messages, once that is longer than `consumerTimeout`. */
  stalled: number | null;
}

/** What `longwire:log` tells those who had subscribed when `connect` was called. */
export interface LogLine {
  client: Client<Message> | Client<MessageStream>;
  level: 'error' | 'warning' | 'info' | 'debug';
  time: Date;
  /** Never with credentials, and never with what messages say. */
  text: string;
}

export interface ClientEvents<M = Message> {
  /**
   * Connected again. What is sent from a listener precedes what was queued meanwhile, unless there
   * is an `onOpen`, whose right that is then.
   */
  open: [opened: Opened];
  /** While there is a listener, the iteration gets no messages. */
  message: [message: M];
  pong: [pong: Pong];
  /** The connection was lost; another attempt follows. */
  down: [down: Down];
  /** There is room to send again, after a `send` threw `LW_EFULL`. */
  drain: [];
  /** The last event, exactly once. */
  close: [closed: Closed];
}

/**
 * A connection that is reopened when it is lost. Iterate over it, or listen to
 * `message`; what neither fetched is kept up to `receiveBuffer`, and then the
 * server has to wait.
 */
export class Client<M = Message> extends EventEmitter<ClientEvents<M>> implements AsyncIterable<M> {
  private constructor();

  readonly url: string;
  readonly state: ClientState;
  /** Bytes that wait to be sent. */
  readonly bufferedAmount: number;
  /** The latest round trip of a ping, in milliseconds. */
  readonly latency: number | null;
  /** Of the latest connection. */
  readonly subprotocol: string | null;
  readonly extensions: string;
  readonly headers: ResponseHeaders;
  /** How often the connection was opened again. */
  readonly reconnects: number;
  /** How it ended; never rejects. */
  readonly closed: Promise<Closed>;
  /** The messages that never left, in order, once it is closed. */
  readonly unsent: Message[];

  /**
   * Sends a string as text and anything else as binary. Throws a
   * `LongwireError`: `LW_EFULL` (nothing was taken, `drain` follows),
   * `LW_ECLOSED`, `LW_ETOOBIG` past `maxMessageSize`, or `LW_EOFFLINE` with
   * `offline: 'refuse'`.
   */
  send(data: Sendable, options?: SendOptions): void;
  /**
   * Begins one message that is sent as it is written, each piece a fragment; `end`
   * completes it. What `send` is given meanwhile waits behind it. Throws
   * `LW_EBUSY` while another one is unfinished, `LW_EOFFLINE` and `LW_ECLOSED`.
   *
   * The stream fails with `LW_ELOST` when the connection is lost. To destroy it once a
   * piece was sent gives the connection up (close code 1011), as nothing else can
   * follow on it.
   */
  createSendStream(options?: SendStreamOptions): Writable;
  /** Resolves to the round trip in milliseconds; rejects when the connection is lost. */
  ping(data?: Sendable): Promise<number>;
  /**
   * Connects anew: at once instead of waiting for the next attempt, or in place of the connection
   * that is open, which is given up (code 1001). An attempt that is under way goes on; if it fails,
   * the next one follows at once.
   * Throws `LW_EUNSUPPORTED` with `reconnect: false`, and `LW_ECLOSED` once closed.
   */
  reconnect(): void;
  /**
   * A hint that another network may be in use. A client that waits for its next attempt makes it
   * at once; an open connection is asked for a sign of life, and lost without one within 5 s.
   */
  networkChanged(): void;
  stats(): Stats;
  /** Begins the closing handshake, after everything sent so far. */
  close(code?: number, reason?: string): Promise<Closed>;
  /** The process lives while the client does; this is the default. */
  ref(): this;
  /** The process may end although the client is open. */
  unref(): this;

  /** Ends when the connection is closed; throws if that was for an error. */
  [Symbol.asyncIterator](): AsyncIterableIterator<M>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a connection that is reopened when it is lost. Rejects with a
 * `LongwireError` if the first attempt fails, with what `onOpen` throws on the first
 * connection, and with a `TypeError` or `RangeError` for a wrong option.
 *
 * `node:diagnostics_channel` has `longwire:log` (see `LogLine`), `longwire:open`,
 * `longwire:down` and `longwire:closed`, each with the `client` and the details of the event.
 */
export function connect(url: string | URL, options?: ConnectOptions): Promise<Client>;
export function connect(
  url: string | URL,
  options: StreamingOptions,
): Promise<Client<MessageStream>>;

export interface CloseEventInit {
  bubbles?: boolean;
  cancelable?: boolean;
  composed?: boolean;
  wasClean?: boolean;
  code?: number;
  reason?: string;
}

/** The global `CloseEvent` where there is one. */
export class CloseEvent extends Event {
  constructor(type: string, init?: CloseEventInit);
  readonly wasClean: boolean;
  readonly code: number;
  readonly reason: string;
}

/** The `error` event; the standard's has no `error` and no `message`. */
export interface WebSocketErrorEvent extends Event {
  readonly error?: LongwireError;
  readonly message?: string;
}

export interface WebSocketMessageEvent extends Event {
  readonly data: string | ArrayBuffer | Blob | Buffer;
  readonly origin: string;
}

export interface WebSocketEventMap {
  open: Event;
  message: WebSocketMessageEvent;
  error: WebSocketErrorEvent;
  close: CloseEvent;
}

type Listener<K extends keyof WebSocketEventMap> =
  | ((this: WebSocket, event: WebSocketEventMap[K]) => unknown)
  | { handleEvent(event: WebSocketEventMap[K]): unknown };

interface ListenerOptions {
  capture?: boolean;
  once?: boolean;
  passive?: boolean;
  signal?: AbortSignal;
}

/** https://websockets.spec.whatwg.org; it does not reconnect. */
export class WebSocket extends EventTarget {
  constructor(
    url: string | URL,
    protocols?: string | Iterable<string>,
    options?: ConnectionOptions,
  );

  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSING: 2;
  static readonly CLOSED: 3;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;

  readonly url: string;
  readonly readyState: 0 | 1 | 2 | 3;
  readonly bufferedAmount: number;
  readonly protocol: string;
  readonly extensions: string;
  /** `nodebuffer` is ours: a `Buffer`, without a copy. */
  binaryType: 'blob' | 'arraybuffer' | 'nodebuffer';

  onopen: ((this: WebSocket, event: Event) => unknown) | null;
  onmessage: ((this: WebSocket, event: WebSocketMessageEvent) => unknown) | null;
  onerror: ((this: WebSocket, event: WebSocketErrorEvent) => unknown) | null;
  onclose: ((this: WebSocket, event: CloseEvent) => unknown) | null;

  send(data: Sendable | Blob): void;
  close(code?: number, reason?: string): void;

  addEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: Listener<K> | null,
    options?: ListenerOptions | boolean,
  ): void;
  addEventListener(
    type: string,
    listener: ((event: Event) => unknown) | { handleEvent(event: Event): unknown } | null,
    options?: ListenerOptions | boolean,
  ): void;
  removeEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: Listener<K> | null,
    options?: { capture?: boolean } | boolean,
  ): void;
  removeEventListener(
    type: string,
    listener: ((event: Event) => unknown) | { handleEvent(event: Event): unknown } | null,
    options?: { capture?: boolean } | boolean,
  ): void;
}
