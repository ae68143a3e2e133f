'use strict';
// What `node:diagnostics_channel` tells of clients. Without a subscriber nothing
// is put together.

const { channel } = require('node:diagnostics_channel');

const channels = {
  log: channel('longwire:log'),
  open: channel('longwire:open'),
  down: channel('longwire:down'),
  closed: channel('longwire:closed'),
};

/** By the number of the core's `Level`. */
const LEVELS = [undefined, 'error', 'warning', 'info', 'debug'];

/** `name` is that of a channel, `details` belong to the event of `client`. */
function publish(name, client, details) {
  if (channels[name].hasSubscribers) channels[name].publish({ client, ...details });
}

function publishLines(client, lines) {
  for (const { level, time, text } of lines)
    publish('log', client, { level: LEVELS[level], time: new Date(time), text });
}

module.exports = { isLogged: () => channels.log.hasSubscribers, publish, publishLines };
