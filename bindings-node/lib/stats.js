'use strict';
// The figures of a client at one moment.

/** Bytes on the wire for each byte of messages. */
const ratio = (wire, plain) => (plain > 0 ? wire / plain : null);

/** What `stats()` returns, of what the addon and the client in JavaScript know. */
function statsFrom(native, { state, lastError, inbox }) {
  const { deflated, inflated } = native;
  return {
    state,
    attempt: native.attempt,
    nextRetry: native.nextRetry ?? null,
    lastError,
    connectedFor: native.connectedFor ?? null,
    connectedSince: native.connectedSince === undefined ? null : new Date(native.connectedSince),
    connections: native.connections,
    messagesSent: native.messagesSent,
    messagesReceived: native.messagesReceived,
    bytesSent: native.bytesSent,
    bytesReceived: native.bytesReceived,
    pingsSent: native.pingsSent,
    pongsReceived: native.pongsReceived,
    roundTrip: native.roundTrip ?? null,
    smoothedRoundTrip: native.smoothedRoundTrip ?? null,
    bufferedAmount: native.bufferedAmount,
    inbox: native.inbox + inbox,
    expired: native.expired,
    deflated: { before: deflated[0], after: deflated[1] },
    deflateRatio: ratio(deflated[1], deflated[0]),
    inflated: { before: inflated[0], after: inflated[1] },
    inflateRatio: ratio(inflated[0], inflated[1]),
    stalled: native.stalled ?? null,
  };
}

module.exports = { statsFrom };
