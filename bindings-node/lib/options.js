'use strict';
// Checks the user's options and turns them into what the addon takes. An option
// that is not given keeps the core's default.

const { errorCodes, invalid } = require('./errors.js');

/** A longer string cannot be made (V8's `String::kMaxLength`). */
const MAX_MESSAGE = 0x1fffffe8;
/** More milliseconds than 68 years would not fit a timer. */
const MAX_DURATION = 2 ** 31 * 1000;

const show = (value) => (typeof value === 'string' ? JSON.stringify(value) : String(value));

function expected(name, what, value, Class) {
  const came = value === null || typeof value !== 'object' ? show(value) : 'an object';
  return invalid(`option ${name}: expected ${what}, got ${came}`, Class);
}

const duration = (name, value) => {
  if (typeof value !== 'number') throw expected(name, 'a number of milliseconds', value);
  if (!(value >= 0 && value <= MAX_DURATION))
    throw expected(name, `milliseconds from 0 to ${MAX_DURATION}`, value, RangeError);
  return value;
};

const limit = (name, value) => {
  if (duration(name, value) < 1) throw expected(name, 'at least 1 millisecond', value, RangeError);
  return value;
};

const integer = (least, most) => (name, value) => {
  if (typeof value !== 'number') throw expected(name, 'a number', value);
  if (!Number.isInteger(value) || value < least || value > most)
    throw expected(name, `an integer from ${least} to ${most}`, value, RangeError);
  return value;
};

const bytes = integer(1, Number.MAX_SAFE_INTEGER);
const count = integer(1, 0xffffffff);

const string = (name, value) => {
  if (typeof value !== 'string') throw expected(name, 'a string', value);
  return value;
};

const boolean = (name, value) => {
  if (typeof value !== 'boolean') throw expected(name, 'true or false', value);
  return value;
};

const callback = (name, value) => {
  if (typeof value !== 'function') throw expected(name, 'a function', value);
  return value;
};

const pem = (name, value) =>
  value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : string(name, value);

const path = (name, value) =>
  value instanceof URL ? require('node:url').fileURLToPath(value) : string(name, value);

const factor = (name, value) => {
  if (typeof value !== 'number') throw expected(name, 'a number', value);
  if (!(value >= 1 && value <= 1000)) throw expected(name, 'a number from 1 to 1000', value, RangeError);
  return value;
};

const either = (one, other) => (name, value) => {
  if (value !== one && value !== other) throw expected(name, `'${one}' or '${other}'`, value);
  return value;
};

const proxy = (name, value) => {
  if (value !== false && typeof value !== 'string') throw expected(name, 'a URL or false', value);
  return value;
};

function strings(name, value) {
  const list = typeof value === 'string' ? [value] : value;
  if (list === null || typeof list !== 'object' || typeof list[Symbol.iterator] !== 'function')
    throw expected(name, 'a list of strings', value);
  return Array.from(list, (item) => string(name, item));
}

function headers(name, value) {
  if (value === null || typeof value !== 'object')
    throw expected(name, 'an object or a list of pairs', value);
  const pairs = typeof value[Symbol.iterator] === 'function' ? value : Object.entries(value);
  const list = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) throw expected(name, 'pairs of name and value', pair);
    const [key, values] = pair;
    for (const item of Array.isArray(values) ? values : [values])
      list.push([string(name, key), string(`${name}[${show(key)}]`, item)]);
  }
  return list;
}

function range(name, value) {
  if (!Array.isArray(value) || value.length !== 2)
    throw expected(name, 'a pair [least, most]', value);
  return value.map((item, i) => duration(`${name}[${i}]`, item));
}

/** The number by which the core knows what is tried again or not. */
function causeFrom(name, key) {
  if (Object.hasOwn(errorCodes, key)) return errorCodes[key];
  const number = Number(key);
  const isKnown = (number >= 100 && number <= 599) || (number >= 1000 && number <= 4999);
  if (Number.isInteger(number) && isKnown) return number;
  throw invalid(
    `option ${name}: expected HTTP statuses (100 to 599), close codes (1000 to 4999) and ` +
      `codes of errors such as LW_ECERT, got ${show(key)}`,
    RangeError,
  );
}

function retries(name, value) {
  if (value === null || typeof value !== 'object') throw expected(name, 'an object', value);
  return Object.entries(value).map(([key, retry]) => ({
    cause: causeFrom(name, key),
    retry: boolean(`${name}.${key}`, retry),
  }));
}

const TLS = {
  ca: pem,
  caFile: path,
  verify: boolean,
  serverName: string,
  clientCert: path,
  clientKey: path,
  pinnedKeys: strings,
};
const level = integer(1, 9);
const windowBits = integer(9, 15);
const COMPRESSION = {
  threshold: integer(0, Number.MAX_SAFE_INTEGER),
  level,
  memoryLevel: level,
  clientNoContextTakeover: boolean,
  serverNoContextTakeover: boolean,
  clientMaxWindowBits: windowBits,
  serverMaxWindowBits: windowBits,
};
const HEARTBEAT = { interval: duration, timeout: duration };
const RECONNECT = {
  minDelay: duration,
  maxDelay: duration,
  factor,
  maxAttempts: count,
  maxTime: duration,
  stableAfter: duration,
  maxRetryAfter: duration,
  restartDelay: range,
  retry: retries,
};

const group = (table) => (name, value) => check(table, value, `${name}.`);
const groupOrFalse = (table) => (name, value) => {
  if (value === false || value === true) return value;
  if (value === null || typeof value !== 'object') throw expected(name, 'an object or false', value);
  return check(table, value, `${name}.`);
};

/** Options of one connection. */
const CONNECTION = {
  headers,
  origin: string,
  tls: group(TLS),
  proxy,
  maxRedirects: integer(0, 0xffffffff),
  compression: groupOrFalse(COMPRESSION),
  connectTimeout: duration,
  closeTimeout: duration,
  heartbeat: groupOrFalse(HEARTBEAT),
  maxMessageSize: integer(1, MAX_MESSAGE),
  maxFragments: count,
  sendBuffer: bytes,
  receiveBuffer: bytes,
};

/** Options of the persistent client. */
const CLIENT = {
  ...CONNECTION,
  subprotocols: strings,
  reconnect: groupOrFalse(RECONNECT),
  beforeConnect: callback,
  shouldReconnect: callback,
  hookTimeout: duration,
  onOpen: callback,
  offline: either('queue', 'refuse'),
  offlineMaxAge: duration,
  consumerTimeout: limit,
  consumerAction: either('report', 'close'),
  streaming: boolean,
};

/** What `beforeConnect` may return. */
const CHANGES = {
  url: (name, value) => (value instanceof URL ? value.href : string(name, value)),
  headers,
  subprotocols: strings,
};

/** Options of one message. */
const SEND = { compress: boolean };
/** The same of one that is sent in pieces. */
const SEND_STREAM = { ...SEND, text: boolean };

function check(table, options, prefix = '') {
  if (options === null || typeof options !== 'object')
    throw expected(prefix.slice(0, -1) || 'object', 'an object', options);
  const checked = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(table, name))
      throw invalid(
        `unknown option ${prefix}${name}; expected one of ${Object.keys(table).join(', ')}`,
      );
    if (value !== undefined) checked[name] = table[name](prefix + name, value);
  }
  return checked;
}

const changesFrom = (answer) => check(CHANGES, answer ?? {}, 'beforeConnect.');

/** What `NativeHost.start` takes, of checked options. */
function nativeConfig(url, options, log = false) {
  const tls = options.tls ?? {};
  const heartbeat = options.heartbeat ?? true;
  const reconnect = options.reconnect ?? true;
  const compression = options.compression ?? true;
  return {
    url,
    headers: options.headers ?? [],
    subprotocols: options.subprotocols ?? [],
    origin: options.origin,
    caFile: tls.caFile,
    caPem: tls.ca,
    verify: tls.verify,
    serverName: tls.serverName,
    clientCert: tls.clientCert,
    clientKey: tls.clientKey,
    pinnedKeys: tls.pinnedKeys ?? [],
    proxy: options.proxy,
    maxRedirects: options.maxRedirects,
    compression: compression !== false,
    threshold: compression.threshold,
    level: compression.level,
    memoryLevel: compression.memoryLevel,
    clientNoContextTakeover: compression.clientNoContextTakeover,
    serverNoContextTakeover: compression.serverNoContextTakeover,
    clientMaxWindowBits: compression.clientMaxWindowBits,
    serverMaxWindowBits: compression.serverMaxWindowBits,
    connectTimeout: options.connectTimeout,
    closeTimeout: options.closeTimeout,
    heartbeat: heartbeat !== false && heartbeat.interval !== 0,
    heartbeatInterval: heartbeat.interval,
    heartbeatTimeout: heartbeat.timeout,
    reconnect: reconnect !== false,
    minDelay: reconnect.minDelay,
    maxDelay: reconnect.maxDelay,
    factor: reconnect.factor,
    maxAttempts: reconnect.maxAttempts,
    maxTime: reconnect.maxTime,
    stableAfter: reconnect.stableAfter,
    maxRetryAfter: reconnect.maxRetryAfter,
    restartMinDelay: reconnect.restartDelay?.[0],
    restartMaxDelay: reconnect.restartDelay?.[1],
    exceptions: reconnect.retry ?? [],
    beforeConnect: options.beforeConnect !== undefined,
    shouldReconnect: options.shouldReconnect !== undefined,
    hookTimeout: options.hookTimeout,
    refuseOffline: options.offline === 'refuse',
    offlineMaxAge: options.offlineMaxAge,
    consumerTimeout: options.consumerTimeout,
    holds: options.onOpen !== undefined,
    closeStalled: options.consumerAction === 'close',
    log,
    streaming: options.streaming,
    maxMessageSize: options.maxMessageSize,
    maxFragments: options.maxFragments,
    sendBuffer: options.sendBuffer,
    receiveBuffer: options.receiveBuffer,
  };
}

module.exports = { CLIENT, CONNECTION, SEND, SEND_STREAM, changesFrom, check, nativeConfig };
