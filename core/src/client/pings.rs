//! Pings on their way, and what their answers tell.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::driver::runtime::lock;
use crate::sync::Instant;

/// A peer that answers none of so many pings will not answer the oldest.
const MOST: usize = 64;

#[derive(Default)]
pub(crate) struct Pings {
    waiting: Mutex<VecDeque<(Vec<u8>, Instant)>>,
    /// Nanoseconds; 0 until the first answer.
    round_trip: AtomicU64,
    smoothed: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
}

impl Pings {
    /// Notes a ping that is about to be sent.
    pub(crate) fn sent(&self, payload: &[u8]) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back((payload.to_vec(), Instant::now()));
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a ping that was noted but not sent.
    pub(crate) fn refused(&self, payload: &[u8]) {
        let mut waiting = lock(&self.waiting);
        if let Some(at) = waiting.iter().rposition(|(sent, _)| sent == payload) {
            waiting.remove(at);
            self.sent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The round trip of the ping that `payload` answers. Earlier ones are
    /// answered with it (RFC 6455 section 5.5.3).
    pub(crate) fn answered(&self, payload: &[u8]) -> Option<Duration> {
        let mut waiting = lock(&self.waiting);
        let at = waiting.iter().position(|(sent, _)| sent == payload)?;
        let (_, sent) = waiting.drain(..=at).next_back()?;
        let round_trip = sent.elapsed();
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.round_trip.store(nanos, Ordering::Relaxed);
        let smoothed = match self.smoothed.load(Ordering::Relaxed) {
            0 => nanos,
            // RFC 6298 section 2.3.
            before => before - before / 8 + nanos / 8,
        };
        self.smoothed.store(smoothed, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
        Some(round_trip)
    }

    /// A new connection answers no old pings.
    pub(crate) fn forget(&self) {
        lock(&self.waiting).clear();
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        duration(&self.round_trip)
    }

    /// Of all connections: what is between here and the server seldom changes with one.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        duration(&self.smoothed)
    }

    /// How many were sent, and how many answered.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.answered.load(Ordering::Relaxed))
    }
}

fn duration(nanos: &AtomicU64) -> Option<Duration> {
    match nanos.load(Ordering::Relaxed) {
        0 => None,
        nanos => Some(Duration::from_nanos(nanos)),
    }
}
