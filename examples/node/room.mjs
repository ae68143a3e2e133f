// A member of a room: says its name and a number every 25 ms, listens to
// everybody, and comes back when the server does.
//
//   node examples/node/room.mjs URL CA_FILE NAME COUNT
//
// It is done when COUNT messages of its own have come back, and then prints one
// line of JSON.

// From an installed package: import { connect } from 'longwire';
import { connect } from '../../bindings-node/index.mjs';

const [url, caFile, name, count] = process.argv.slice(2);
if (count === undefined) {
  console.error('usage: room.mjs URL CA_FILE NAME COUNT');
  process.exit(2);
}

const ws = await connect(url, {
  tls: { caFile },
  reconnect: { minDelay: 100, maxDelay: 1000 },
});

let sent = 0;
let received = 0;
const sentAt = new Map();
const roundTrips = [];

// While the server is away the messages wait, and go out when it is back.
const talking = setInterval(() => {
  sent += 1;
  sentAt.set(sent, performance.now());
  ws.send(`${name} ${sent}`);
}, 25);

for await (const message of ws) {
  received += 1;
  if (!message.startsWith(`${name} `)) continue;
  const number = Number(message.slice(name.length + 1));
  roundTrips.push(performance.now() - sentAt.get(number));
  sentAt.delete(number);
  if (roundTrips.length === Number(count)) break;
}

clearInterval(talking);
await ws.close(1000);

roundTrips.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    language: 'Node',
    url,
    sent,
    received,
    round_trip_us: Math.round(roundTrips[roundTrips.length >> 1] * 1000),
    reconnects: ws.reconnects,
  }),
);
