//! The handle that every face wraps.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::error::Result;
use crate::event::{Event, MessageKind, State};
use crate::options::Config;

/// A WebSocket client: one connection at a time, replaced when it is lost.
///
/// Handles are cheap to clone and may be used from any thread, also from
/// inside an event handler. When the last one is dropped the connection is
/// closed (code 1001) without waiting for the peer.
#[derive(Clone)]
pub struct Client {
    shared: std::sync::Arc<()>,
}

/// What became of a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Handed to the kernel, or on its way there without further help.
    Done,
    /// Held back to go out together with what follows. Returned only by
    /// [`Client::send_in_turn`]: the caller owes a [`Client::flush`] at the end of this turn
    /// of its event loop.
    Deferred,
}

/// What a call of [`Client::drive`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Everything that was there has been delivered.
    Idle,
    /// The budget was spent; the descriptor stays readable.
    More,
    /// `Closed` was delivered, now or before: no event will ever come.
    Finished,
}

impl Client {
    /// Starts a client that the internal runtime drives: `handler` is called
    /// on the runtime's thread, one event at a time, in order, and never under a lock. It must not
    /// block. It gets a handle to send with.
    ///
    /// Returns at once. Fails only for what is wrong with `config` itself
    /// ([`ErrorKind::Url`], [`ErrorKind::Invalid`]), or if no thread can be
    /// started; everything else comes as an event.
    ///
    /// [`ErrorKind::Url`]: crate::ErrorKind::Url
    /// [`ErrorKind::Invalid`]: crate::ErrorKind::Invalid
    pub fn start<H>(config: Config, handler: H) -> Result<Client>
    where
        H: FnMut(&Client, Event<'_>) + Send + 'static,
    {
        todo!()
    }

    /// Starts a client that the caller drives from a loop of its own: wait
    /// until [`poll_fd`](Client::poll_fd) is readable, then call
    /// [`drive`](Client::drive).
    pub fn start_hosted(config: Config) -> Result<Client> {
        todo!()
    }

    /// The descriptor to wait on (for reading, level-triggered), the same for
    /// the whole life of a hosted client. It belongs to the client: never read or close it, and
    /// stop watching it before dropping the last handle.
    pub fn poll_fd(&self) -> Result<RawFd> {
        todo!()
    }

    /// Reads, decodes, answers pings and delivers up to `budget` events to `on_event`, on the calling
    /// thread, which is the host's. Does not block.
    ///
    /// Fails with [`crate::ErrorKind::Busy`] if called while another thread (or a handler further up the stack)
    /// is driving this client.
    pub fn drive(&self, budget: usize, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Drive> {
        todo!()
    }

    /// Blocks until [`poll_fd`](Client::poll_fd) is readable, at most for `timeout`.
    /// `Ok(false)` when the time passed, and also on EINTR, with
    /// `interrupted` set, so that the caller can look after its signals.
    pub fn wait(&self, timeout: Option<Duration>, interrupted: &mut bool) -> Result<bool> {
        todo!()
    }

    /// Sends a message from the calling thread. Never blocks: what the
    /// kernel does not take is kept, up to `send_buffer` bytes.
    ///
    /// [`crate::ErrorKind::Full`] when the buffer is full (nothing was taken, `Drain` follows),
    /// [`crate::ErrorKind::Closed`] after the close, [`crate::ErrorKind::Offline`] if so configured,
    /// [`crate::ErrorKind::Utf8`] for text that is not UTF-8.
    pub fn send(&self, kind: MessageKind, payload: &[u8]) -> Result<()> {
        todo!()
    }

    /// Like [`send`](Client::send), for callers that have an event loop: the first message of a turn
    /// goes out at once, the others wait for the [`flush`](Client::flush)
    /// that the caller owes when it got [`Sent::Deferred`].
    pub fn send_in_turn(&self, kind: MessageKind, payload: &[u8]) -> Result<Sent> {
        todo!()
    }

    /// Sends what [`send_in_turn`](Client::send_in_turn) held back, and begins a new turn.
    pub fn flush(&self) {
        todo!()
    }

    /// Sends a ping with at most 125 bytes; the answer is a `Pong` event. Fails when not connected.
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        todo!()
    }

    /// Begins the closing handshake, after everything sent so far, and ends the client's life: it does not
    /// reconnect. `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999, `reason` at most 123 bytes. The
    /// `Closed` event follows. Without effect on a client that is closing already.
    pub fn close(&self, code: u16, reason: &str) -> Result<()> {
        todo!()
    }

    /// Where the client is in its life.
    pub fn state(&self) -> State {
        todo!()
    }

    /// Bytes that were taken by `send` and not yet by the kernel.
    pub fn buffered_amount(&self) -> usize {
        todo!()
    }

    /// The latest round trip measured by a ping.
    pub fn round_trip(&self) -> Option<Duration> {
        todo!()
    }

    /// Ends the client without waiting: a close frame with 1001 goes out if
    /// the socket takes it at once. After this call has returned no event is delivered any more, except
    /// the one it may have been called from. For a runtime-driven client the handler is dropped before this
    /// returns, or, when called from the handler, right after the handler returns.
    pub fn free(&self) {
        todo!()
    }

    /// The same without waiting for a handler that is running on another
    /// thread: for destructors and finalizers. The handler is dropped soon after.
    pub fn release(&self) {
        todo!()
    }
}

/// Ends all clients of this process and stops the runtime's threads, at most
/// for `limit`. For hosts that unload or finalise; later clients start a
/// new runtime.
pub fn shutdown(limit: Duration) {
    todo!()
}
