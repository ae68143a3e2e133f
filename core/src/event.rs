//! What a client tells its user, in order and one at a time.

use std::time::Duration;

use crate::error::Error;

/// Whether a message is text or binary (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Valid UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Dialling, or in the TLS or WebSocket handshake.
    Connecting = 0,
    /// Messages flow.
    Open = 1,
    /// The connection was lost; the next attempt is waiting for its time.
    Down = 2,
    /// The client is to end: from `close` on, through the closing handshake if
    /// there is a connection. Sends are refused.
    Closing = 3,
    /// Over for good.
    Closed = 4,
}

/// One thing that happened to a client.
///
/// Borrowed data lives as long as the call that delivers the event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An attempt waits for [`crate::Client::proceed`] or [`crate::Client::refuse`], with
    /// [`crate::Config::before_connect`]. Precedes whatever else waits for a host.
    BeforeConnect(&'a Attempt),
    /// A loss waits for [`crate::Client::decide`], with [`crate::Config::should_reconnect`].
    /// Precedes whatever else waits for a host.
    ShouldReconnect(&'a Outage),
    /// The connection is open. What is sent from within this event precedes
    /// whatever was queued while the client was down.
    Open(&'a Opened),
    /// A complete message.
    Message(Message<'a>),
    /// A part of a message, with [`crate::Config::streaming`].
    Chunk(Chunk<'a>),
    /// The answer to a ping of ours, from [`crate::Client::ping`] or the heartbeat.
    Pong(Pong<'a>),
    /// The connection was lost or could not be made; another attempt follows.
    Down(&'a Down),
    /// The send buffer has room again after a send was refused with
    /// [`crate::ErrorKind::Full`].
    Drain,
    /// The last event, exactly once.
    Closed(&'a Closed),
}

/// A message as it came.
#[derive(Debug)]
pub struct Message<'a> {
    kind: MessageKind,
    payload: Payload<'a>,
}

#[derive(Debug)]
pub(crate) enum Payload<'a> {
    /// In the driving thread's read buffer.
    Borrowed(&'a [u8]),
    /// Put together from several reads or fragments; can be taken away.
    Assembled(&'a mut Vec<u8>),
}

impl<'a> Message<'a> {
    pub(crate) fn borrowed(kind: MessageKind, bytes: &'a [u8]) -> Self {
        Message { kind, payload: Payload::Borrowed(bytes) }
    }

    pub(crate) fn assembled(kind: MessageKind, bytes: &'a mut Vec<u8>) -> Self {
        Message { kind, payload: Payload::Assembled(bytes) }
    }

    /// Text or binary.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The payload; for text, valid UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::Borrowed(bytes) => bytes,
            Payload::Assembled(bytes) => bytes,
        }
    }

    /// The payload as a string, if this is a text message.
    pub fn as_text(&self) -> Option<&str> {
        // SAFETY: the decoder delivers a text message only after it has
        // checked every byte of it (RFC 6455 section 8.1).
        (self.kind == MessageKind::Text)
            .then(|| unsafe { std::str::from_utf8_unchecked(self.as_bytes()) })
    }

    /// The payload as owned bytes; costs no copy for messages that were
    /// larger than one read.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.payload {
            Payload::Borrowed(bytes) => bytes.to_vec(),
            Payload::Assembled(bytes) => std::mem::take(bytes),
        }
    }
}

/// A part of a message, as it arrived. Chunks have nothing to do with how the peer cut the message
/// into fragments (RFC 6455 section 5.4).
///
/// A message has one chunk that is `first` and one that is `last`, often the same; any may be
/// empty. A message whose connection is lost meanwhile has no last one: `Down` or `Closed` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// For text, valid UTF-8 over all chunks together; one may end inside a character.
    pub payload: &'a [u8],
    /// A message begins.
    pub first: bool,
    /// The message is complete.
    pub last: bool,
}

/// What the server agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// How many attempts this connection took, counted from 1.
    pub attempt: u32,
    /// How many connections were open before this one.
    pub reconnects: u32,
    /// The subprotocol the server chose among those offered.
    pub subprotocol: Option<String>,
    /// The value of `Sec-WebSocket-Extensions`, empty if there is none.
    pub extensions: String,
    /// Response headers in the order they came, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// How many messages were dropped since the last connection because they had
    /// waited for [`crate::Config::offline_max_age`].
    pub expired: usize,
}

/// An attempt that is about to begin.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the answer has to name.
    pub ask: u64,
    /// Which attempt this is since the last open connection, counted from 1.
    pub attempt: u32,
    /// How many connections were open before.
    pub reconnects: u32,
    /// Why the attempt or connection before came to nothing.
    pub error: Option<Error>,
}

/// A loss, or a failed attempt, about which the user decides.
#[derive(Clone, Debug)]
pub struct Outage {
    /// What the answer has to name.
    pub ask: u64,
    /// What would happen without an answer: whether another attempt follows.
    pub retry: bool,
    /// The cause, and the wait if there is another attempt.
    pub down: Down,
}

/// A pong from the peer.
#[derive(Clone, Copy, Debug)]
pub struct Pong<'a> {
    /// What the ping carried.
    pub payload: &'a [u8],
    /// The time since the ping with this payload was sent; `None` for a pong
    /// nobody asked for.
    pub round_trip: Option<Duration>,
}

/// A connection was lost, or an attempt failed.
#[derive(Clone, Debug)]
pub struct Down {
    /// The cause.
    pub error: Error,
    /// The close code of the peer, if there was a closing handshake.
    pub code: Option<u16>,
    /// Failed attempts since the last stable connection. One that was lost early counts as failed.
    pub attempt: u32,
    /// The wait before the next attempt.
    pub retry_in: Duration,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The peer's close code as it came; 1005 if its close frame had none,
    /// 1006 if there was no close frame (RFC 6455 section 7.1.5).
    pub code: u16,
    /// The peer's reason.
    pub reason: String,
    /// Whether the closing handshake was completed.
    pub clean: bool,
    /// The cause, unless the user closed the client or the peer closed it
    /// with a regular code.
    pub error: Option<Error>,
    /// How many messages never left; [`crate::Client::take_unsent`] returns them.
    pub unsent_messages: usize,
    /// How many bytes these are.
    pub unsent_bytes: usize,
}
