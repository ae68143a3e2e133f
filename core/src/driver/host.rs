//! A foreign event loop as the driver.
//!
//! A hosted client has one descriptor for its whole life: an epoll instance
//! that holds the socket of the moment and an eventfd. It is readable, level
//! triggered, while the socket has bytes or the inbox has events.
//!
//! The promise to keep: **whatever is left for the host to fetch, whether in
//! the socket, in a buffer of ours or in the inbox, the descriptor stays
//! readable until it was fetched.**

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Attempt, Closed, Down, MessageKind, Opened, Outage};

/// An event that waits for the host, with what it owns.
#[derive(Debug)]
pub(crate) enum Stored {
    /// The connection with this number is open.
    Open(u64, Opened),
    Message(MessageKind, Vec<u8>),
    Chunk {
        kind: MessageKind,
        payload: Vec<u8>,
        first: bool,
        last: bool,
    },
    Pong(Vec<u8>, Option<Duration>),
    Down(Down),
    Drain,
    Closed(Closed),
    BeforeConnect(Attempt),
    ShouldReconnect(Outage),
}

impl Stored {
    fn bytes(&self) -> usize {
        match self {
            Stored::Message(_, bytes)
            | Stored::Chunk { payload: bytes, .. }
            | Stored::Pong(bytes, _) => bytes.len() + 32,
            _ => 0,
        }
    }
}

#[derive(Default)]
struct Inbox {
    events: VecDeque<Stored>,
    bytes: usize,
}

/// The host's side of a client.
pub(crate) struct Host {
    epoll: OwnedFd,
    event: OwnedFd,
    signaled: AtomicBool,
    inbox: Mutex<Inbox>,
    /// A question, which precedes what is in the inbox.
    ask: Mutex<Option<Stored>>,
    /// Whether the host holds messages that its program has not taken.
    pub(crate) holding: AtomicBool,
    /// Counts what its program took of them.
    pub(crate) taken: AtomicU32,
    /// Counts calls of `drive`, so that the guard sees a host that is alive.
    pub(crate) drives: AtomicU32,
    /// Somebody is inside `drive`.
    driving: AtomicBool,
    /// The value of `drives` when the guard last looked.
    pub(crate) seen: AtomicU32,
    /// `Closed` was delivered.
    pub(crate) finished: AtomicBool,
}

impl Host {
    pub(crate) fn new() -> io::Result<Host> {
        let epoll = epoll_create()?;
        // SAFETY: eventfd takes no pointers; the result is checked.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        epoll_add(&epoll, event.as_raw_fd(), 0)?;
        Ok(Host {
            epoll,
            event,
            signaled: AtomicBool::new(false),
            inbox: Mutex::default(),
            ask: Mutex::default(),
            holding: AtomicBool::new(false),
            taken: AtomicU32::new(0),
            drives: AtomicU32::new(0),
            driving: AtomicBool::new(false),
            seen: AtomicU32::new(0),
            finished: AtomicBool::new(false),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Has the descriptor readable while `socket` has bytes.
    pub(crate) fn attach(&self, socket: RawFd) -> io::Result<()> {
        epoll_add(&self.epoll, socket, 1)
    }

    /// The opposite of [`Host::attach`]; without effect on a socket that is not attached.
    pub(crate) fn detach(&self, socket: RawFd) {
        epoll_remove(&self.epoll, socket);
    }

    /// Has the descriptor readable until the next [`Host::quiet`].
    pub(crate) fn signal(&self) {
        if !self.signaled.swap(true, Ordering::AcqRel) {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: writes eight bytes from a local array. It cannot fail:
            // the counter is never near its maximum.
            unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), 8) };
        }
    }

    /// Takes the signal back. Look into the inbox after this, never before.
    pub(crate) fn quiet(&self) {
        if self.signaled.load(Ordering::Acquire) {
            let mut count = [0_u8; 8];
            // SAFETY: reads at most eight bytes into a local array.
            let n = unsafe { libc::read(self.event.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
            // A signal that is only half given can not be taken back yet.
            if n == 8 {
                self.signaled.store(false, Ordering::SeqCst);
            }
        }
    }

    /// Begins a `drive`, of which there is one at a time.
    pub(crate) fn begin_drive(&self) -> Result<Driving<'_>> {
        if self.driving.swap(true, Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Busy,
                "the client is being driven already, by another thread or further up the stack",
            ));
        }
        Ok(Driving(self))
    }

    /// Puts an event behind all others.
    pub(crate) fn post(&self, event: Stored) {
        let mut inbox = lock(&self.inbox);
        inbox.bytes += event.bytes();
        inbox.events.push_back(event);
        drop(inbox);
        self.signal();
    }

    /// The program took a message; `holding`: others wait for it with the host.
    pub(crate) fn note_consumer(&self, holding: bool) {
        self.holding.store(holding, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the host asked something before it is told anything else.
    pub(crate) fn ask(&self, question: Stored) {
        *lock(&self.ask) = Some(question);
        self.signal();
    }

    pub(crate) fn take_ask(&self) -> Option<Stored> {
        lock(&self.ask).take()
    }

    pub(crate) fn take(&self) -> Option<Stored> {
        let mut inbox = lock(&self.inbox);
        let event = inbox.events.pop_front()?;
        inbox.bytes -= event.bytes();
        if inbox.events.is_empty() && inbox.events.capacity() > 64 {
            inbox.events = VecDeque::new();
        }
        Some(event)
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.inbox).events.is_empty()
    }

    /// Bytes of messages that wait in the inbox.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.inbox).bytes
    }

    /// Blocks until the descriptor is readable. `Ok(false)` when the time passed.
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

/// Ends a `drive` when dropped.
pub(crate) struct Driving<'a>(&'a Host);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.driving.store(false, Ordering::Release);
    }
}

pub(super) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: epoll_create1 takes no pointers; the result is checked.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn epoll_add(epoll: &OwnedFd, fd: RawFd, key: u64) -> io::Result<()> {
    let mut event =
        libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLRDHUP) as u32, u64: key };
    // SAFETY: `event` lives during the call.
    match unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn epoll_remove(epoll: &OwnedFd, fd: RawFd) {
    // SAFETY: no pointers. Fails only if `fd` is not in the set, which is fine.
    unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_taken_back_while_it_is_given_does_not_stay() {
        let host = Host::new().unwrap();
        let readable = || host.wait(Some(Duration::ZERO)).unwrap();
        // What `signal` does, with `quiet` between its two steps.
        assert!(!host.signaled.swap(true, Ordering::AcqRel));
        host.quiet();
        let one = 1_u64.to_ne_bytes();
        // SAFETY: as in `signal`.
        unsafe { libc::write(host.event.as_raw_fd(), one.as_ptr().cast(), 8) };
        assert!(readable());
        host.quiet();
        assert!(!readable());
        host.signal();
        host.signal();
        assert!(readable());
        host.quiet();
        assert!(!readable());
    }
}
