//! The kernel's side of hosted clients: sets of descriptors that are waited on
//! together, and the signal that such a set can hold.
//!
//! The signal takes no descriptor of its client's: it is one that is always readable, the same in
//! all sets, and what is turned on and off is the interest in it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use once_cell::sync::OnceCell;

/// An epoll instance. It is readable, level triggered, while any of its
/// descriptors is.
pub(crate) struct Poll(OwnedFd);

impl Poll {
    pub(crate) fn new() -> io::Result<Poll> {
        // SAFETY: epoll_create1 takes no pointers; the result is checked.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Poll)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Adds `fd`, to be told apart from others by `key`.
    pub(crate) fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN | libc::EPOLLRDHUP, key)
    }

    /// A set with a signal, which is not given yet.
    pub(crate) fn with_signal() -> io::Result<Poll> {
        let poll = Poll::new()?;
        poll.control(libc::EPOLL_CTL_ADD, always_readable()?, 0, 0)?;
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
        if let Ok(signal) = always_readable() {
            let _ = self.control(libc::EPOLL_CTL_MOD, signal, events, 0);
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

/// An eventfd that nobody ever reads, for as long as the process lives.
fn always_readable() -> io::Result<RawFd> {
    static SIGNAL: OnceCell<OwnedFd> = OnceCell::new();
    let made = SIGNAL.get_or_try_init(|| {
        // SAFETY: eventfd takes no pointers; the result is checked.
        owned(unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
    });
    made.map(AsRawFd::as_raw_fd)
}

/// A descriptor that a system call has just made, or why it made none.
pub(super) fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
