//! A client's figures and what it never sent, also after its end.

use std::time::UNIX_EPOCH;

use longwire::{Client, MessageKind, Stats};
use napi_derive::napi;

use crate::convert::{Failure, as_milliseconds};

/// What is asked for when the core's client is gone.
pub(crate) struct Remains {
    pub(crate) stats: Stats,
    pub(crate) unsent: Vec<(MessageKind, Vec<u8>)>,
}

impl Remains {
    /// `None` for a client that was made by the parent of this process.
    pub(crate) fn of(client: &Client) -> Option<Remains> {
        Some(Remains { stats: client.stats().ok()?, unsent: client.take_unsent().ok()? })
    }
}

/// The core's `Stats`. Times are milliseconds, pairs are bytes before and after.
#[napi(object)]
pub struct NativeStats {
    pub attempt: u32,
    pub next_retry: Option<f64>,
    pub last_error: Option<Failure>,
    pub connected_for: Option<f64>,
    /// Since the epoch.
    pub connected_since: Option<f64>,
    pub connections: u32,
    pub messages_sent: f64,
    pub messages_received: f64,
    pub bytes_sent: f64,
    pub bytes_received: f64,
    pub pings_sent: f64,
    pub pongs_received: f64,
    pub round_trip: Option<f64>,
    pub smoothed_round_trip: Option<f64>,
    pub buffered_amount: f64,
    pub inbox: f64,
    pub expired: f64,
    pub deflated: Vec<f64>,
    pub inflated: Vec<f64>,
    pub stalled: Option<f64>,
}

impl NativeStats {
    pub(crate) fn from_core(stats: &Stats) -> Self {
        let pair = |(before, after): (u64, u64)| vec![before as f64, after as f64];
        let since = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).ok();
        NativeStats {
            attempt: stats.attempt,
            next_retry: stats.next_retry.map(as_milliseconds),
            last_error: stats.last_error.as_ref().map(Failure::new),
            connected_for: stats.connected_for.map(as_milliseconds),
            connected_since: stats.connected_since.and_then(since).map(as_milliseconds),
            connections: stats.connections,
            messages_sent: stats.messages_sent as f64,
            messages_received: stats.messages_received as f64,
            bytes_sent: stats.bytes_sent as f64,
            bytes_received: stats.bytes_received as f64,
            pings_sent: stats.pings_sent as f64,
            pongs_received: stats.pongs_received as f64,
            round_trip: stats.round_trip.map(as_milliseconds),
            smoothed_round_trip: stats.smoothed_round_trip.map(as_milliseconds),
            buffered_amount: stats.buffered_amount as f64,
            inbox: stats.inbox as f64,
            expired: stats.expired as f64,
            deflated: pair(stats.deflated),
            inflated: pair(stats.inflated),
            stalled: stats.stalled.map(as_milliseconds),
        }
    }
}
