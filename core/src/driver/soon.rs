//! A moment later: a timer finer than the event loop's, whose grain is a millisecond.
//!
//! Whoever sends without a loop may go on sending or not, and only time tells. A shard has one such
//! timer for all of its clients.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::runtime::lock;
use super::timerfd;
use crate::client::{Shared, TAIL};

#[derive(Default)]
pub(crate) struct Soon {
    /// Not there if the kernel has no such timer.
    timer: OnceLock<Arc<OwnedFd>>,
    waiting: Mutex<Vec<Weak<Shared>>>,
}

impl Soon {
    /// Has `client` look at its writer after [`TAIL`], or sooner if another waits already.
    /// `false` if that cannot be.
    pub(super) fn add(&self, client: Weak<Shared>) -> bool {
        let Some(timer) = self.timer.get() else { return false };
        let mut waiting = lock(&self.waiting);
        if waiting.is_empty() && arm(timer, TAIL).is_err() {
            return false;
        }
        waiting.push(client);
        true
    }

    /// Tells the clients, each time the timer fires.
    pub(super) async fn tell(&self) {
        let Ok(timer) = timerfd::create(libc::CLOCK_MONOTONIC).map(Arc::new) else { return };
        // SAFETY: an `OwnedFd` is open as long as it lives and never changes; the `Arc` keeps it.
        let watched = unsafe { AsyncFd::register_with_interest(timer.clone(), Interest::READABLE) };
        let Ok(watched) = watched else { return };
        self.timer.get_or_init(|| timer);
        let mut due = Vec::new();
        while let Ok(mut ready) = watched.readable().await {
            ready.clear_ready();
            timerfd::drain(watched.get_ref());
            std::mem::swap(&mut *lock(&self.waiting), &mut due);
            for client in due.drain(..).filter_map(|client| client.upgrade()) {
                client.look_at_writer();
            }
        }
    }
}

/// `wait` is less than a second.
fn arm(timer: &OwnedFd, wait: Duration) -> io::Result<()> {
    let when = libc::timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    timerfd::set(timer, 0, when)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_fires_once_for_each_time_it_is_armed() {
        let timer = timerfd::create(libc::CLOCK_MONOTONIC).unwrap();
        for _ in 0..2 {
            arm(&timer, Duration::from_micros(50)).unwrap();
            assert!(timerfd::fires_within(&timer, 10_000));
            timerfd::drain(&timer);
            assert!(!timerfd::fires_within(&timer, 0));
        }
    }
}
