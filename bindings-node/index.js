'use strict';

const { connect, Client } = require('./lib/client.js');
const { WebSocket } = require('./lib/websocket.js');
const { CloseEvent } = require('./lib/close-event.js');
const { LongwireError, errorCodes } = require('./lib/errors.js');
const { GiveUp } = require('./lib/hooks.js');

module.exports = { connect, Client, WebSocket, CloseEvent, GiveUp, LongwireError, errorCodes };
