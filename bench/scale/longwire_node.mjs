// longwire's connect, with an iterator per connection.
import { connect } from '../../bindings-node/index.mjs';
import { ca, run } from './crowd.mjs';

await run(async (url, onMessage) => {
  const ws = await connect(url, { reconnect: false, ...(ca && { tls: { ca } }) });
  (async () => {
    for await (const _ of ws) onMessage();
  })();
  return ws;
});
