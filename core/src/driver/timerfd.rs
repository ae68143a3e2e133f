//! Timers of the kernel as descriptors (`timerfd_create(2)`), for what the event loop's own cannot do.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::poll::owned;

/// A timer of this clock that is not set.
pub(super) fn create(clock: libc::clockid_t) -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes no pointers; the result is checked.
    owned(unsafe { libc::timerfd_create(clock, flags) })
}

/// Has it fire once.
pub(super) fn set(timer: &OwnedFd, flags: libc::c_int, when: libc::timespec) -> io::Result<()> {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::itimerspec { it_interval: never, it_value: when };
    let old = std::ptr::null_mut();
    // SAFETY: reads one itimerspec; the old value is not asked for.
    match unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, &raw const value, old) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes that it fired, or was cancelled, so that it is not readable any more.
pub(super) fn drain(timer: &OwnedFd) {
    let mut count = [0_u8; 8];
    // SAFETY: reads at most eight bytes into a local array.
    unsafe { libc::read(timer.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
}

/// Whether it is readable within so many milliseconds.
#[cfg(test)]
pub(super) fn fires_within(timer: &OwnedFd, ms: libc::c_int) -> bool {
    let mut poll = libc::pollfd { fd: timer.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives during the call.
    unsafe { libc::poll(&raw mut poll, 1, ms) == 1 }
}
