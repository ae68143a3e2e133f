// undici's WebSocket, which is Node's own in a newer version. It always offers permessage-deflate.
import { Agent, WebSocket } from 'undici';
import { runWith } from './whatwg.mjs';

runWith(({ url, ca }) => new WebSocket(url, { dispatcher: new Agent({ connect: { ca } }) }));
