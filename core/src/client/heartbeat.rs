//! Pings of our own, which prove that both directions live.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::scope::Place;
use super::shared::{Shared, coarse_now};
use crate::options::Heartbeat;
use crate::transport::link::Link;
use crate::transport::watch::deadline;

/// When to ping and what a silence means.
pub(crate) struct Beat {
    interval: Option<Duration>,
    timeout: Duration,
    /// When the unanswered ping was sent, by [`coarse_now`]; or later, when
    /// what it waits behind last moved.
    pinged: Option<u64>,
    /// How many bytes the peer's system will have acknowledged when it has the ping.
    ping_end: u64,
    /// Bytes the peer's system had acknowledged when the clock was last looked at.
    acknowledged: u64,
    /// When the clock was last looked at.
    looked: u64,
    count: u32,
}

impl Beat {
    pub(crate) fn new(options: Heartbeat) -> Beat {
        Beat {
            interval: options.interval,
            timeout: options.timeout,
            pinged: None,
            ping_end: 0,
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
        let in_kernel = link.unacknowledged();
        let verdict = self.judge(&Sight {
            now: coarse_now(),
            received: received(shared),
            unread: link.has_unread(),
            on_its_way: in_kernel > 0 || shared.writer.buffered() > 0,
            acknowledged: shared.writer.written().saturating_sub(in_kernel),
        });
        if verdict == Verdict::Ping {
            self.count = self.count.wrapping_add(1);
            let payload = self.count.to_be_bytes();
            shared.pings.sent(&payload);
            // Refused only if the connection is ending, which has its own limit.
            if let Ok(todo) = shared.writer.ping(&payload, Place::Outside, usize::MAX) {
                shared.follow_up(todo);
            }
            self.ping_end = shared.writer.taken();
        }
        verdict == Verdict::Gone
    }

    fn judge(&mut self, sight: &Sight) -> Verdict {
        let Some(interval) = self.interval else { return Verdict::Fine };
        let now = sight.now;
        self.looked = now;
        let quiet_since = |from: u64| Duration::from_nanos(now.saturating_sub(from));
        let before = std::mem::replace(&mut self.acknowledged, sight.acknowledged);
        if let Some(pinged) = self.pinged {
            // Whatever came since came from a living peer, even if the user
            // is too slow to fetch it.
            if sight.received >= pinged || sight.unread {
                self.pinged = None;
            } else if sight.on_its_way && sight.acknowledged > before && before < self.ping_end {
                // A slow upload: the ping waits its turn, and acknowledgements
                // come back. Those for what was sent behind it tell of the
                // peer's system only, which may outlive the peer.
                self.pinged = Some(now);
                return Verdict::Fine;
            } else if quiet_since(pinged) >= self.timeout {
                return Verdict::Gone;
            } else {
                return Verdict::Fine;
            }
        }
        if quiet_since(sight.received) >= interval {
            self.pinged = Some(now);
            return Verdict::Ping;
        }
        Verdict::Fine
    }
}

/// What can be seen of a connection at one moment.
#[derive(Clone, Copy)]
struct Sight {
    now: u64,
    /// When bytes last came.
    received: u64,
    /// Bytes came that nobody has read.
    unread: bool,
    /// Something of ours is not acknowledged.
    on_its_way: bool,
    /// Bytes the peer's system has acknowledged.
    acknowledged: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It is time to ask.
    Ping,
    /// Nobody is there any more.
    Gone,
}

fn received(shared: &Shared) -> u64 {
    shared.received.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Pings after 10 s of silence and waits 5 s for the answer.
    fn beat() -> Beat {
        let (interval, timeout) = (Duration::from_secs(10), Duration::from_secs(5));
        Beat::new(Heartbeat { interval: Some(interval), timeout })
    }

    /// A connection on which nothing happened since the clock was at 0.
    fn silence(seconds: u64) -> Sight {
        let now = seconds * SECOND;
        Sight { now, received: 0, unread: false, on_its_way: false, acknowledged: 0 }
    }

    #[test]
    fn silence_is_asked_about_and_then_given_up() {
        let mut beat = beat();
        assert_eq!(beat.judge(&silence(9)), Verdict::Fine);
        assert_eq!(beat.judge(&silence(10)), Verdict::Ping);
        assert_eq!(beat.judge(&silence(14)), Verdict::Fine);
        assert_eq!(beat.judge(&silence(15)), Verdict::Gone);
    }

    #[test]
    fn an_answer_or_bytes_that_nobody_fetched_prove_a_peer() {
        for unread in [false, true] {
            let mut beat = beat();
            assert_eq!(beat.judge(&silence(10)), Verdict::Ping);
            let received = if unread { 0 } else { 11 * SECOND };
            let expected = if unread { Verdict::Ping } else { Verdict::Fine };
            assert_eq!(beat.judge(&Sight { received, unread, ..silence(15) }), expected);
        }
    }

    #[test]
    fn a_slow_upload_is_no_silence_and_its_end_is() {
        let mut beat = beat();
        beat.ping_end = 100;
        let upload =
            |seconds, acknowledged| Sight { on_its_way: true, acknowledged, ..silence(seconds) };
        assert_eq!(beat.judge(&upload(10, 1)), Verdict::Ping);
        for seconds in (14..60).step_by(4) {
            assert_eq!(beat.judge(&upload(seconds, seconds)), Verdict::Fine, "{seconds}");
        }
        // The last acknowledgement that moved anything came at 58 s.
        assert_eq!(beat.judge(&upload(62, 58)), Verdict::Fine);
        assert_eq!(beat.judge(&upload(63, 58)), Verdict::Gone);
    }

    #[test]
    fn what_is_acknowledged_behind_the_ping_proves_nothing() {
        let mut beat = beat();
        beat.ping_end = 13;
        let sending =
            |seconds| Sight { on_its_way: true, acknowledged: seconds, ..silence(seconds) };
        assert_eq!(beat.judge(&sending(10)), Verdict::Ping);
        // The ping is acknowledged by now, and has its time from here on.
        for seconds in [12, 14, 16, 18] {
            assert_eq!(beat.judge(&sending(seconds)), Verdict::Fine, "{seconds}");
        }
        assert_eq!(beat.judge(&sending(19)), Verdict::Gone);
    }

    #[test]
    fn an_acknowledged_ping_proves_nothing() {
        let mut beat = beat();
        assert_eq!(beat.judge(&silence(10)), Verdict::Ping);
        assert_eq!(beat.judge(&Sight { acknowledged: 10, ..silence(15) }), Verdict::Gone);
    }
}
