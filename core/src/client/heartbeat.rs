//! Pings of our own, which prove that both directions live.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::scope::Place;
use super::shared::Shared;
use crate::options::Heartbeat;
use crate::sync::coarse_now;
use crate::transport::link::Link;
use crate::transport::watch::deadline;

/// How long an answer may take when there is reason to doubt the connection.
const PROBE: Duration = Duration::from_secs(5);

/// A look at the clock that comes so much later than planned shows that this process, or the
/// whole system, did not run meanwhile. What the peer sent then may be on its way still.
const LATE: Duration = Duration::from_secs(2);

/// When to ping and what a silence means.
pub(crate) struct Beat {
    interval: Option<Duration>,
    timeout: Duration,
    /// When the unanswered ping was sent, by [`coarse_now`]; or later, when
    /// what it waits behind last moved.
    pinged: Option<u64>,
    /// How long its answer may take.
    limit: Duration,
    /// It was sent for [`Beat::probe`].
    probing: bool,
    /// How many bytes had come when it was sent.
    heard: u64,
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
            limit: options.timeout,
            probing: false,
            heard: 0,
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
                since(pinged, self.limit).min(since(self.looked, interval))
            }
            (Some(pinged), None) => since(pinged, self.limit),
            (None, Some(interval)) => since(received(shared), interval),
            (None, None) => deadline(Duration::MAX),
        }
    }

    /// Looks at the clock; `true` if the peer is gone.
    pub(crate) fn tick(&mut self, shared: &Shared, link: &Link) -> bool {
        let in_kernel = link.unacknowledged();
        let verdict = self.judge(&Sight {
            now: coarse_now(),
            received: received(shared),
            heard: heard(shared),
            unread: link.has_unread(),
            on_its_way: in_kernel > 0 || shared.writer.buffered() > 0,
            acknowledged: acknowledged(shared, in_kernel),
        });
        if verdict == Verdict::Ping {
            self.ping(shared);
        }
        verdict == Verdict::Gone
    }

    /// Asks at once whether the peer is still there: the network may have changed. Also
    /// without a heartbeat.
    pub(crate) fn probe(&mut self, shared: &Shared, link: &Link) {
        let heard = heard(shared);
        // One that was answered tells nothing of what changed since.
        if !self.probing || heard > self.heard {
            self.begin_probe(coarse_now(), heard);
            self.acknowledged = acknowledged(shared, link.unacknowledged());
            self.ping(shared);
        }
    }

    /// How long the peer had for its answer.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    fn begin_probe(&mut self, now: u64, heard: u64) {
        self.probing = true;
        self.heard = heard;
        self.limit = self.timeout.min(PROBE);
        (self.pinged, self.looked) = (Some(now), now);
    }

    fn ping(&mut self, shared: &Shared) {
        self.count = self.count.wrapping_add(1);
        let payload = self.count.to_be_bytes();
        shared.pings.sent(&payload);
        // Refused only if the connection is ending, which has its own limit.
        match shared.writer.ping(&payload, Place::Outside, usize::MAX) {
            Ok(todo) => shared.follow_up(todo),
            Err(_) => shared.pings.refused(&payload),
        }
        self.ping_end = shared.writer.taken();
    }

    fn judge(&mut self, sight: &Sight) -> Verdict {
        let now = sight.now;
        let looked = std::mem::replace(&mut self.looked, now);
        let quiet_since = |from: u64| Duration::from_nanos(now.saturating_sub(from));
        let before = std::mem::replace(&mut self.acknowledged, sight.acknowledged);
        if let Some(pinged) = self.pinged {
            // Whatever came since came from a living peer, even if the user
            // is too slow to fetch it.
            if sight.heard > self.heard || sight.unread {
                self.pinged = None;
                self.probing = false;
                self.limit = self.timeout;
            } else if sight.on_its_way && sight.acknowledged > before && before < self.ping_end {
                // A slow upload: the ping waits its turn, and acknowledgements
                // come back. Those for what was sent behind it tell of the
                // peer's system only, which may outlive the peer.
                self.pinged = Some(now);
                return Verdict::Fine;
            } else if quiet_since(pinged) >= self.limit {
                if quiet_since(looked) > self.limit.saturating_add(LATE) {
                    (self.pinged, self.heard) = (Some(now), sight.heard);
                    return Verdict::Ping;
                }
                return Verdict::Gone;
            } else {
                return Verdict::Fine;
            }
        }
        if self.interval.is_some_and(|interval| quiet_since(sight.received) >= interval) {
            (self.pinged, self.heard) = (Some(now), sight.heard);
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
    /// How many came.
    heard: u64,
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

/// Bytes of ours that the peer's system has acknowledged, with so many on their way.
fn acknowledged(shared: &Shared, in_kernel: u64) -> u64 {
    shared.writer.written().saturating_sub(in_kernel)
}

fn heard(shared: &Shared) -> u64 {
    shared.notes.bytes_received.load(Ordering::Relaxed)
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
        Sight { now, received: 0, heard: 0, unread: false, on_its_way: false, acknowledged: 0 }
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
    fn who_did_not_look_for_long_asks_again() {
        let mut beat = beat();
        assert_eq!(beat.judge(&silence(10)), Verdict::Ping);
        assert_eq!(beat.judge(&silence(100)), Verdict::Ping);
        assert_eq!(beat.judge(&silence(104)), Verdict::Fine);
        assert_eq!(beat.judge(&silence(105)), Verdict::Gone);
    }

    #[test]
    fn a_doubt_is_settled_soon_and_without_a_heartbeat() {
        for interval in [None, Some(Duration::from_secs(60))] {
            let mut beat = Beat::new(Heartbeat { interval, timeout: Duration::from_secs(60) });
            beat.begin_probe(30 * SECOND, 0);
            assert_eq!(beat.judge(&silence(34)), Verdict::Fine);
            assert_eq!(beat.judge(&silence(35)), Verdict::Gone);
            beat.begin_probe(40 * SECOND, 0);
            let answered = Sight { received: 41 * SECOND, heard: 6, ..silence(42) };
            assert_eq!(beat.judge(&answered), Verdict::Fine);
            assert_eq!(
                beat.judge(&Sight { received: 41 * SECOND, heard: 6, ..silence(60) }),
                Verdict::Fine
            );
        }
    }

    #[test]
    fn an_answer_or_bytes_that_nobody_fetched_prove_a_peer() {
        for unread in [false, true] {
            let mut beat = beat();
            assert_eq!(beat.judge(&silence(10)), Verdict::Ping);
            let (received, heard) = if unread { (0, 0) } else { (11 * SECOND, 6) };
            let expected = if unread { Verdict::Ping } else { Verdict::Fine };
            assert_eq!(beat.judge(&Sight { received, heard, unread, ..silence(15) }), expected);
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
