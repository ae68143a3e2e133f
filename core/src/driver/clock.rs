//! Notices that the system slept.
//!
//! While it sleeps the monotonic clock stands still, and with it every timer: a connection that died
//! meanwhile would be found out by the heartbeat much later. So each shard has a timer of the wall clock
//! that never fires, but which the kernel cancels when that clock jumps, as it does on
//! waking up (`timerfd_create(2)`, `TFD_TIMER_CANCEL_ON_SET`). Whether it slept, or somebody only set
//! the clock, is seen by the clock that goes on meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::runtime::Shard;
use super::timerfd;
use crate::client::Shared;

/// Two clocks that are read one after another are never further apart for it.
const SHORTEST: Duration = Duration::from_millis(500);

/// Tells the clients of `shard`, each time the system has slept. Ends if the kernel has no such timer.
pub(super) async fn watch(shard: &'static Shard) {
    let Ok(timer) = timerfd::create(libc::CLOCK_REALTIME) else { return };
    // SAFETY: an `OwnedFd` is open as long as it lives and never changes.
    let Ok(timer) = (unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }) else {
        return;
    };
    let mut slept = total_sleep();
    while arm(timer.get_ref()).is_ok() {
        // Armed before the clocks are compared: nothing is missed in between.
        if has_slept(&mut slept, total_sleep()) {
            shard.each_client(Shared::network_changed);
        }
        let Ok(mut ready) = timer.readable().await else { return };
        ready.clear_ready();
        timerfd::drain(timer.get_ref());
    }
}

/// Compares with the value before, and remembers.
fn has_slept(before: &mut Duration, now: Duration) -> bool {
    now.saturating_sub(std::mem::replace(before, now)) > SHORTEST
}

/// How long the system has slept since it was started.
fn total_sleep() -> Duration {
    now(libc::CLOCK_BOOTTIME).saturating_sub(now(libc::CLOCK_MONOTONIC))
}

fn now(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Has the timer wait for a moment that never comes.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = libc::timespec { tv_sec: libc::time_t::MAX, tv_nsec: 0 };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    match timerfd::set(timer, flags, never) {
        // Armed all the same; the clock has jumped in between, which the caller looks at next.
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_told_from_clocks_read_one_after_another() {
        let mut before = Duration::from_secs(100);
        assert!(!has_slept(&mut before, Duration::from_millis(100_001)));
        assert!(has_slept(&mut before, Duration::from_secs(160)));
        assert!(!has_slept(&mut before, Duration::from_secs(160)));
    }

    #[test]
    fn the_kernel_takes_the_timer_and_it_does_not_fire() {
        let timer = timerfd::create(libc::CLOCK_REALTIME).unwrap();
        arm(&timer).unwrap();
        assert!(!timerfd::fires_within(&timer, 20));
    }
}
