// A server of raw frames, for what the test server does not do.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** A frame from a server: without a mask. */
export function frame(opcode, payload, { fin = true, rsv1 = false } = {}) {
  const body = Buffer.from(payload);
  const length = body.length;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  head[1] = head.length === 2 ? length : head.length === 4 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, body]);
}

/** What a client sends, frame by frame; the bytes come from `take(n)`. */
async function* frames(take) {
  for (;;) {
    const head = await take(2);
    if (head === null) return;
    let length = head[1] & 0x7f;
    if (length === 126) length = (await take(2)).readUInt16BE();
    else if (length === 127) length = Number((await take(8)).readBigUInt64BE());
    const mask = await take(4);
    const payload = Buffer.from(await take(length));
    for (let i = 0; i < length; i++) payload[i] ^= mask[i % 4];
    yield { fin: head[0] >= 0x80, rsv1: (head[0] & 0x40) !== 0, opcode: head[0] & 15, payload };
  }
}

/**
 * `serve(socket, frames)` runs for each connection after the handshake, in which
 * the peer agrees to `extensions`. `{ url, stop }`
 */
export async function startPeer(serve, { extensions } = {}) {
  const sockets = new Set();
  const server = createServer(async (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const chunks = socket[Symbol.asyncIterator]();
    let held = Buffer.alloc(0);
    const more = async () => {
      const { value, done } = await chunks.next().catch(() => ({ done: true }));
      if (!done) held = Buffer.concat([held, value]);
      return !done;
    };
    const take = async (n) => {
      while (held.length < n) if (!(await more())) return null;
      const taken = held.subarray(0, n);
      held = held.subarray(n);
      return taken;
    };
    while (!held.includes('\r\n\r\n')) if (!(await more())) return;
    const end = held.indexOf('\r\n\r\n') + 4;
    const key = /sec-websocket-key: *(\S+)/i.exec(held.subarray(0, end))[1];
    held = held.subarray(end);
    const accept = createHash('sha1').update(key + GUID).digest('base64');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        (extensions ? `Sec-WebSocket-Extensions: ${extensions}\r\n` : '') +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    await serve(socket, frames(take));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${server.address().port}/`,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
