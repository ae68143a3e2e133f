//! What can be asked of a client at any moment, from any thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::shared::Shared;
use crate::driver::host::Host;
use crate::driver::runtime::lock;
use crate::error::Error;
use crate::event::State;
use crate::sync::Instant;

/// A client at one moment. Counters are over its whole life, all connections together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Where it is in its life.
    pub state: State,
    /// The attempt that is under way or, while [`State::Down`], is waiting for its time: counted from 1 since
    /// the last open connection. While open, how many attempts it took.
    pub attempt: u32,
    /// The time until that attempt, while [`State::Down`].
    pub next_retry: Option<Duration>,
    /// Why the latest connection was lost, or the latest attempt failed.
    pub last_error: Option<Error>,
    /// How long the connection has been open.
    pub connected_for: Option<Duration>,
    /// When it was opened, by the system's clock.
    pub connected_since: Option<SystemTime>,
    /// Connections that were opened.
    pub connections: u32,
    /// Messages taken by `send`; those that expired or were returned unsent included.
    pub messages_sent: u64,
    /// Messages that came, whole or in pieces.
    pub messages_received: u64,
    /// Bytes of frames handed to the kernel or to TLS.
    pub bytes_sent: u64,
    /// Bytes of frames that came.
    pub bytes_received: u64,
    /// Pings sent, those of the heartbeat included.
    pub pings_sent: u64,
    /// Pongs that answered one of them.
    pub pongs_received: u64,
    /// The latest round trip of a ping.
    pub round_trip: Option<Duration>,
    /// The round trip smoothed as TCP does it (RFC 6298: 7/8 old, 1/8 new).
    pub smoothed_round_trip: Option<Duration>,
    /// Bytes that were taken by `send` and not yet by the kernel.
    pub buffered_amount: usize,
    /// Bytes of messages that wait for the host.
    pub inbox: usize,
    /// Messages dropped because they had waited for `offline_max_age`.
    pub expired: u64,
    /// Bytes of messages before they were compressed, and after.
    pub deflated: (u64, u64),
    /// Bytes of compressed messages that came, and what they were.
    pub inflated: (u64, u64),
    /// For how long messages have waited for a host that fetches none, once that is longer than
    /// `consumer_timeout`.
    pub stalled: Option<Duration>,
}

/// What the lifecycle and the reading thread note.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) messages_received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) inflated: [AtomicU64; 2],
    moment: Mutex<Moment>,
}

#[derive(Default)]
struct Moment {
    attempt: u32,
    connections: u32,
    next_retry: Option<Instant>,
    last_error: Option<Error>,
    since: Option<(Instant, SystemTime)>,
    stalled: Option<Instant>,
}

impl Notes {
    pub(crate) fn attempting(&self, attempt: u32) {
        let mut moment = lock(&self.moment);
        moment.attempt = attempt;
        moment.next_retry = None;
    }

    pub(crate) fn opened(&self) {
        let mut moment = lock(&self.moment);
        moment.connections = moment.connections.saturating_add(1);
        moment.since = Some((Instant::now(), SystemTime::now()));
    }

    /// A connection or an attempt ended.
    pub(crate) fn lost(&self, error: Option<Error>) {
        let mut moment = lock(&self.moment);
        moment.since = None;
        moment.stalled = None;
        if error.is_some() {
            moment.last_error = error;
        }
    }

    pub(crate) fn waiting(&self, attempt: u32, wait: Duration) {
        let mut moment = lock(&self.moment);
        moment.attempt = attempt;
        moment.next_retry = Instant::now().checked_add(wait);
    }

    pub(crate) fn stalled(&self, since: Option<Instant>) {
        lock(&self.moment).stalled = since;
    }

    /// Why the latest connection or attempt came to nothing.
    pub(crate) fn last_error(&self) -> Option<Error> {
        lock(&self.moment).last_error.clone()
    }
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        let notes = &self.notes;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sending = self.writer.counts();
        let (pings_sent, pongs_received) = self.pings.counts();
        let moment = lock(&notes.moment);
        let state = self.state();
        Stats {
            state,
            attempt: moment.attempt,
            next_retry: moment
                .next_retry
                .filter(|_| state == State::Down)
                .map(|at| at.saturating_duration_since(Instant::now())),
            last_error: moment.last_error.clone(),
            connected_for: moment.since.map(|(since, _)| since.elapsed()),
            connected_since: moment.since.map(|(_, since)| since),
            connections: moment.connections,
            messages_sent: sending.messages,
            messages_received: count(&notes.messages_received),
            bytes_sent: sending.bytes,
            bytes_received: count(&notes.bytes_received),
            pings_sent,
            pongs_received,
            round_trip: self.pings.round_trip(),
            smoothed_round_trip: self.pings.smoothed(),
            buffered_amount: self.writer.buffered(),
            inbox: self.host().map_or(0, Host::waiting),
            expired: sending.expired,
            deflated: sending.deflated,
            inflated: (count(&notes.inflated[0]), count(&notes.inflated[1])),
            stalled: moment.stalled.map(|since| since.elapsed()),
        }
    }
}
