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
}

impl Pings {
    /// Notes a ping that is about to be sent.
    pub(crate) fn sent(&self, payload: &[u8]) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back((payload.to_vec(), Instant::now()));
    }

    /// Forgets a ping that was noted but not sent.
    pub(crate) fn refused(&self, payload: &[u8]) {
        let mut waiting = lock(&self.waiting);
        if let Some(at) = waiting.iter().rposition(|(sent, _)| sent == payload) {
            waiting.remove(at);
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
        Some(round_trip)
    }

    /// A new connection answers no old pings.
    pub(crate) fn forget(&self) {
        lock(&self.waiting).clear();
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}
