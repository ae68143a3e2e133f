//! A moment later: a timer finer than the event loop's, whose grain is a millisecond.
//!
//! Whoever sends without a loop may go on sending or not, and only time tells. A shard has one such
//! timer for all of its clients, made when the first of them needs it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::runtime::{Shard, lock};
use crate::client::Shared;

#[derive(Default)]
pub(crate) struct Soon {
    /// `None` in it if the kernel has no such timer.
    timer: OnceLock<Option<Arc<OwnedFd>>>,
    waiting: Mutex<Vec<Weak<Shared>>>,
}

impl Soon {
    /// Has `client` look at its writer after [`crate::client::TAIL`], or sooner if another waits
    /// already. `false` if that cannot be. Only on the shard's thread.
    pub(super) fn add(&'static self, shard: &Shard, client: Weak<Shared>) -> bool {
        let Some(timer) = self.timer.get_or_init(|| self.start(shard)) else { return false };
        let mut waiting = lock(&self.waiting);
        if waiting.is_empty() && arm(timer, crate::client::TAIL).is_err() {
            return false;
        }
        waiting.push(client);
        true
    }

    fn start(&'static self, shard: &Shard) -> Option<Arc<OwnedFd>> {
        let timer = Arc::new(timer().ok()?);
        // SAFETY: an `OwnedFd` is open as long as it lives and never changes; the `Arc` keeps it.
        let watched = unsafe { AsyncFd::register_with_interest(timer.clone(), Interest::READABLE) };
        let watched = watched.ok()?;
        shard.spawn(self.tell(watched));
        Some(timer)
    }

    async fn tell(&'static self, timer: AsyncFd<Arc<OwnedFd>>) {
        let mut due = Vec::new();
        while let Ok(mut ready) = timer.readable().await {
            ready.clear_ready();
            drain(timer.get_ref());
            std::mem::swap(&mut *lock(&self.waiting), &mut due);
            for client in due.drain(..).filter_map(|client| client.upgrade()) {
                client.look_at_writer();
            }
        }
    }
}

fn timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes no pointers; the result is checked.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `wait` is less than a second.
fn arm(timer: &OwnedFd, wait: Duration) -> io::Result<()> {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let once = libc::timespec { tv_nsec: wait.subsec_nanos().into(), ..never };
    let value = libc::itimerspec { it_interval: never, it_value: once };
    // SAFETY: reads one itimerspec; the old value is not asked for.
    match unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const value, std::ptr::null_mut())
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the count of expirations, so that the timer is not readable any more.
fn drain(timer: &OwnedFd) {
    let mut count = [0_u8; 8];
    // SAFETY: reads at most eight bytes into a local array.
    unsafe { libc::read(timer.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_fires_once_for_each_time_it_is_armed() {
        let timer = timer().unwrap();
        for _ in 0..2 {
            arm(&timer, Duration::from_micros(50)).unwrap();
            let mut poll = libc::pollfd { fd: timer.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd that lives during the call.
            assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 10_000) }, 1);
            drain(&timer);
            // SAFETY: as above.
            assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 0) }, 0);
        }
    }
}
