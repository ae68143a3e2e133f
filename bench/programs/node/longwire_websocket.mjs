// longwire's WHATWG interface.
import { WebSocket } from '../../../bindings-node/index.mjs';
import { runWith } from './whatwg.mjs';

runWith(
  ({ url, isDeflated, caFile }) =>
    new WebSocket(url, [], { compression: isDeflated, tls: { caFile } }),
);
