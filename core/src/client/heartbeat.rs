//! Pings of our own, which prove that both directions live.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::scope::Place;
use super::shared::{Shared, coarse_now};
use crate::transport::link::Link;
use crate::transport::watch::deadline;

/// When to ping and what a silence means.
pub(crate) struct Beat {
    interval: Option<Duration>,
    timeout: Duration,
    /// When the unanswered ping was sent, by [`coarse_now`]; or later, when
    /// what it waits behind last moved.
    pinged: Option<u64>,
    /// Bytes the peer's system had acknowledged when the clock was last looked at.
    acknowledged: u64,
    /// When the clock was last looked at.
    looked: u64,
    count: u32,
}

impl Beat {
    pub(crate) fn new(shared: &Shared) -> Beat {
        let options = shared.config.heartbeat;
        Beat {
            interval: options.interval,
            timeout: options.timeout,
            pinged: None,
            acknowledged: 0,
            looked: 0,
            count: 0,
        }
    }

    pub(crate) fn next(&self, shared: &Shared) -> Instant {
        let since = |from: u64, wait: Duration| {
            let passed = Duration::from_nanos(coarse_now().saturating_sub(from));
            deadline(wait.saturating_sub(passed))
        };
        match (self.pinged, self.interval) {
            // The answer may come at any time; the next ping is due as if it had.
            (Some(pinged), Some(interval)) => {
                since(pinged, self.timeout).min(since(self.looked, interval))
            }
            (None, Some(interval)) => since(received(shared), interval),
            (_, None) => deadline(Duration::MAX),
        }
    }

    /// Looks at the clock; `true` if the peer is gone.
    pub(crate) fn tick(&mut self, shared: &Shared, link: &Link) -> bool {
        let Some(interval) = self.interval else { return false };
        let now = coarse_now();
        self.looked = now;
        let quiet_since = |from: u64| Duration::from_nanos(now.saturating_sub(from));
        let in_kernel = link.unacknowledged();
        let on_its_way = in_kernel > 0 || shared.writer.buffered() > 0;
        let acknowledged = shared.writer.written().saturating_sub(in_kernel);
        let before = std::mem::replace(&mut self.acknowledged, acknowledged);
        if let Some(pinged) = self.pinged {
            // Whatever came since came from a living peer, even if the user
            // is too slow to fetch it.
            if received(shared) >= pinged || link.has_unread() {
                self.pinged = None;
            } else if on_its_way && acknowledged > before {
                // A slow upload: the ping waits its turn, and acknowledgements
                // come back.
                self.pinged = Some(now);
                return false;
            } else {
                return quiet_since(pinged) >= self.timeout;
            }
        }
        if quiet_since(received(shared)) >= interval {
            self.count = self.count.wrapping_add(1);
            let payload = self.count.to_be_bytes();
            self.pinged = Some(now);
            shared.pings.sent(&payload);
            // Refused only if the connection is ending, which has its own limit.
            if let Ok(todo) = shared.writer.ping(&payload, Place::Outside, usize::MAX) {
                shared.follow_up(todo);
            }
        }
        false
    }
}

fn received(shared: &Shared) -> u64 {
    shared.received.load(Ordering::Relaxed)
}
