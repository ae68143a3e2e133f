// Says hello, prints what comes back, and says goodbye.
//
//   node examples/node/echo.mjs [URL] [CA_FILE]

// From an installed package: import { connect } from 'longwire';
import { connect } from '../../bindings-node/index.mjs';

const [url = 'ws://127.0.0.1:8080/echo', caFile] = process.argv.slice(2);

const ws = await connect(url, { tls: { caFile } });
ws.send('hello');
for await (const message of ws) {
  console.log(`the server says: ${message}`);
  break;
}
console.log(`one round trip takes ${(await ws.ping()).toFixed(3)} ms`);
await ws.close();
