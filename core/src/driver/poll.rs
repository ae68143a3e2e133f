//! The kernel's side of hosted clients: sets of descriptors that are waited on
//! together, and the signal that such a set can hold.
//!
//! The signal has no descriptor to itself: it is one that is always readable, the same in
//! many sets, and what is turned on and off is the interest in it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// An epoll instance. It is readable, level triggered, while any of its
/// descriptors is.
pub(crate) struct Poll {
    set: OwnedFd,
    signal: Option<Arc<OwnedFd>>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Poll> {
        // SAFETY: epoll_create1 takes no pointers; the result is checked.
        let set = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Poll { set, signal: None })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.set.as_raw_fd()
    }

    /// Adds `fd`, to be told apart from others by `key`.
    pub(crate) fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN | libc::EPOLLRDHUP, key)
    }

    /// A set with a signal, which is not given yet.
    pub(crate) fn with_signal() -> io::Result<Poll> {
        let signal = always_readable()?;
        let poll = Poll { signal: Some(signal.clone()), ..Poll::new()? };
        poll.control(libc::EPOLL_CTL_ADD, signal.as_raw_fd(), 0, 0)?;
        Ok(poll)
    }

    /// Has the set readable until [`Poll::take`].
    pub(crate) fn give(&self) {
        self.turn(libc::EPOLLIN);
    }

    pub(crate) fn take(&self) {
        self.turn(0);
    }

    /// It cannot fail: the descriptor has been in the set since [`Poll::with_signal`].
    fn turn(&self, events: libc::c_int) {
        if let Some(signal) = &self.signal {
            let _ = self.control(libc::EPOLL_CTL_MOD, signal.as_raw_fd(), events, 0);
        }
    }

    fn control(
        &self,
        what: libc::c_int,
        fd: RawFd,
        events: libc::c_int,
        key: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: key };
        // SAFETY: `event` lives during the call.
        match unsafe { libc::epoll_ctl(self.fd(), what, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Without effect on a descriptor that was not added.
    pub(crate) fn remove(&self, fd: RawFd) {
        // SAFETY: no pointers. Fails only if `fd` is not in the set, which is fine.
        unsafe {
            libc::epoll_ctl(self.fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut());
        }
    }

    /// Names to `found` the keys of what is readable, a batch of them.
    pub(crate) fn ready(&self, mut found: impl FnMut(u64)) {
        const BATCH: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // A level-triggered set rotates what it reports, so that a crowd of
        // ready sockets larger than one batch is seen over a few calls.
        let ready =
            // SAFETY: the kernel writes at most BATCH entries into `events`.
            unsafe { libc::epoll_wait(self.fd(), events.as_mut_ptr(), 256, 0) };
        for event in &events[..usize::try_from(ready).unwrap_or(0)] {
            found(event.u64);
        }
    }

    /// Blocks until something is readable. `Ok(false)` when the time passed.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        let time = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: one pollfd and a timespec that live during the call.
        match unsafe { libc::ppoll(&raw mut poll, 1, time, std::ptr::null()) } {
            n if n < 0 => Err(io::Error::last_os_error()),
            n => Ok(n > 0),
        }
    }
}

/// So many sets share one. The kernel follows the ways from a descriptor to all that wait for it, and
/// refuses to put a set into another one when there are too many: 500 for sets in the set of an event
/// loop, 100 if that is in one again, 50 and 10 beyond.
const SHARED_BY: usize = 48;

/// An eventfd that nobody ever reads.
fn always_readable() -> io::Result<Arc<OwnedFd>> {
    static SHARED: Mutex<Weak<OwnedFd>> = Mutex::new(Weak::new());
    // In a forked child it may be locked for ever, by a thread that is not there.
    let mut shared = SHARED.try_lock().ok();
    let known = shared.as_ref().and_then(|shared| shared.upgrade());
    if let Some(known) = known.filter(|known| Arc::strong_count(known) <= SHARED_BY) {
        return Ok(known);
    }
    // SAFETY: eventfd takes no pointers; the result is checked.
    let made = owned(unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    let made = Arc::new(made);
    if let Some(shared) = &mut shared {
        **shared = Arc::downgrade(&made);
    }
    Ok(made)
}

/// A descriptor that a system call has just made, or why it made none.
pub(super) fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sets_with_a_signal_fit_into_another_set() {
        let loops = [Poll::new().unwrap(), Poll::new().unwrap()];
        loops[0].add(loops[1].fd(), 0).unwrap();
        let hosts: Vec<_> = (0..400).map(|_| Poll::with_signal().unwrap()).collect();
        for (host, key) in hosts.iter().zip(0..) {
            loops[1].add(host.fd(), key).unwrap();
        }
        let ready = || {
            let mut found = Vec::new();
            loops[1].ready(|key| found.push(key));
            found
        };
        assert!(!loops[0].wait(Some(Duration::ZERO)).unwrap());
        hosts[7].give();
        assert!(loops[0].wait(None).unwrap());
        assert_eq!(ready(), [7]);
        hosts[7].take();
        assert_eq!(ready(), []);
    }
}
