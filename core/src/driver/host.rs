//! A foreign event loop as the driver.
//!
//! A hosted client has one descriptor for its whole life: that of a [`Poll`],
//! which holds the socket of the moment and a signal. It is readable, level
//! triggered, while the socket has bytes or the inbox has events.
//!
//! The promise to keep: **whatever is left for the host to fetch, whether in
//! the socket, in a buffer of ours or in the inbox, the descriptor stays
//! readable until it was fetched.**

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use super::poll::Poll;
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
    /// What it counts for against `receive_buffer`.
    pub(crate) fn bytes(&self) -> usize {
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

/// Where the signal of a host is.
mod signal {
    pub(super) const NONE: u8 = 0;
    /// Somebody is giving it, or taking it back.
    pub(super) const BETWEEN: u8 = 1;
    pub(super) const GIVEN: u8 = 2;
}

/// The host's side of a client.
pub(crate) struct Host {
    poll: Poll,
    /// One of [`signal`]'s.
    signal: AtomicU8,
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
        Ok(Host {
            poll: Poll::with_signal()?,
            signal: AtomicU8::new(signal::NONE),
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
        self.poll.fd()
    }

    /// Has the descriptor readable while `socket` has bytes.
    pub(crate) fn attach(&self, socket: RawFd) -> io::Result<()> {
        self.poll.add(socket, 1)
    }

    /// The opposite of [`Host::attach`]; without effect on a socket that is not attached.
    pub(crate) fn detach(&self, socket: RawFd) {
        self.poll.remove(socket);
    }

    /// Has the descriptor readable until the next [`Host::quiet`].
    pub(crate) fn signal(&self) {
        if self.turn(signal::NONE, signal::BETWEEN) {
            self.poll.give();
            self.signal.store(signal::GIVEN, Ordering::Release);
        }
    }

    /// Takes the signal back. Look into the inbox after this, never before.
    pub(crate) fn quiet(&self) {
        // A signal that is only half given can not be taken back yet. One that comes while this is
        // half done changes nothing: what it tells of is found in the inbox.
        if self.turn(signal::GIVEN, signal::BETWEEN) {
            self.poll.take();
            self.signal.store(signal::NONE, Ordering::SeqCst);
        }
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        self.signal.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
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
        self.poll.wait(timeout)
    }
}

/// Ends a `drive` when dropped.
pub(crate) struct Driving<'a>(&'a Host);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.driving.store(false, Ordering::Release);
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
        assert!(host.turn(signal::NONE, signal::BETWEEN));
        host.quiet();
        host.poll.give();
        host.signal.store(signal::GIVEN, Ordering::Release);
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
