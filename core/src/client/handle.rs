//! The handle that every face wraps.

use std::os::fd::RawFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::handler::Slot;
use super::lifecycle;
use super::message_writer::MessageWriter;
use super::scope::Place;
use super::shared::{Mode, Shared, signal};
use super::writer::{How, Turn};
use crate::connection::reader::End;
use crate::driver::host::Host;
use crate::driver::runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, MessageKind, State};
use crate::options::Config;
use crate::protocol::frame::is_valid_to_send;
use crate::protocol::handshake::Handshake;
use crate::protocol::target::Target;
use crate::transport::tls::Trust;

/// A WebSocket client: one connection at a time, replaced when it is lost.
///
/// Handles are cheap to clone and may be used from any thread, also from
/// inside an event handler. When the last one is dropped the connection is
/// closed (code 1001) without waiting for the peer.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// `None` in the handle that handlers are given, which keeps nothing alive.
    _owner: Option<Arc<Owner>>,
}

/// Releases the client with the last handle.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        // A forked child has no thread that could do anything, and the
        // connection is the parent's.
        if self.0.check_fork().is_ok() {
            self.0.release();
        }
    }
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

/// How one message is sent; start with the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendOptions {
    /// Whether the message may be compressed, if that was agreed on. Default `true`; `false`
    /// for what is compressed already or secret (RFC 7692 section 8).
    pub compress: bool,
    /// Whether the caller has an event loop, as for [`Client::send_in_turn`]. Default `false`.
    pub in_turn: bool,
    /// Whether it belongs to what is sent from within [`Event::Open`], wherever it is sent from: as
    /// long as that lasts ([`Client::hold`]) it precedes the queue. Default `false`.
    pub ahead: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        SendOptions { compress: true, in_turn: false, ahead: false }
    }
}

impl From<SendOptions> for How {
    fn from(options: SendOptions) -> How {
        let SendOptions { compress, in_turn, ahead } = options;
        How { compress, ahead, turn: if in_turn { Turn::Host } else { Turn::None } }
    }
}

/// What a call of [`Client::drive`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Everything that was there has been delivered.
    Idle,
    /// The budget was spent; the descriptor stays readable.
    More,
    /// Behind what was delivered came the peer's close frame or a violation. The next call answers it,
    /// after what is sent until then; the descriptor stays readable. Without such a call it is answered all
    /// the same, after about a tenth of a second.
    Ending,
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
        Client::launch(config, || Ok(Mode::Runtime(Slot::new(Box::new(handler)))))
    }

    /// Starts a client that the caller drives from a loop of its own: wait
    /// until [`poll_fd`](Client::poll_fd) is readable, then call
    /// [`drive`](Client::drive).
    pub fn start_hosted(config: Config) -> Result<Client> {
        Client::launch(config, || {
            let host = Host::new().map_err(|error| {
                Error::new(ErrorKind::Resource, format!("cannot create an epoll instance: {error}"))
            })?;
            Ok(Mode::Hosted(host))
        })
    }

    /// The descriptor to wait on (for reading, level-triggered), the same for
    /// the whole life of a hosted client. It belongs to the client: never read or close it, and
    /// stop watching it before dropping the last handle.
    pub fn poll_fd(&self) -> Result<RawFd> {
        self.host().map(Host::fd)
    }

    /// Reads, decodes, answers pings and delivers up to `budget` events to `on_event`, on the calling
    /// thread, which is the host's. Does not block.
    ///
    /// Fails with [`crate::ErrorKind::Busy`] if called while another thread (or a handler further up the stack)
    /// is driving this client.
    pub fn drive<F>(&self, budget: usize, on_event: &mut F) -> Result<Drive>
    where
        F: FnMut(Event<'_>) + ?Sized,
    {
        self.shared.drive(self.host()?, budget, on_event)
    }

    /// Blocks until [`poll_fd`](Client::poll_fd) is readable, at most for `timeout`.
    /// `Ok(false)` when the time passed, and also on EINTR, with
    /// `interrupted` set, so that the caller can look after its signals.
    pub fn wait(&self, timeout: Option<Duration>, interrupted: &mut bool) -> Result<bool> {
        *interrupted = false;
        self.shared.check_fork()?;
        match self.host()?.wait(timeout) {
            Ok(readable) => Ok(readable),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                *interrupted = true;
                Ok(false)
            }
            Err(error) => Err(Error::new(ErrorKind::Resource, format!("ppoll: {error}"))),
        }
    }

    /// Sends a message from the calling thread. Never blocks: what the
    /// kernel does not take is kept, up to `send_buffer` bytes.
    ///
    /// [`crate::ErrorKind::Full`] when the buffer is full (nothing was taken, `Drain` follows),
    /// [`crate::ErrorKind::Closed`] after the close, [`crate::ErrorKind::Offline`] if so configured,
    /// [`crate::ErrorKind::Utf8`] for text that is not UTF-8, [`crate::ErrorKind::TooBig`] past
    /// `max_message_size`.
    pub fn send(&self, kind: MessageKind, payload: &[u8]) -> Result<()> {
        self.send_with(kind, payload, SendOptions::default()).map(drop)
    }

    /// Like [`send`](Client::send), with a choice.
    pub fn send_with(
        &self,
        kind: MessageKind,
        payload: &[u8],
        options: SendOptions,
    ) -> Result<Sent> {
        self.take(kind, payload, options)
    }

    /// Begins a message that is sent piece by piece. Nothing goes out before its first piece.
    ///
    /// [`crate::ErrorKind::Offline`] while not connected, and on a new connection until what was
    /// queued has gone out: such a message is never queued.
    /// [`crate::ErrorKind::Busy`] while another one is unfinished.
    pub fn begin_message(&self, kind: MessageKind, options: SendOptions) -> Result<MessageWriter> {
        self.shared.check_fork()?;
        let epoch = self.shared.writer.begin(kind, options.into(), self.place())?;
        Ok(MessageWriter::new(self.clone(), epoch))
    }

    /// Like [`send`](Client::send), for callers that have an event loop: the first message of a turn
    /// goes out at once, the others wait for the [`flush`](Client::flush)
    /// that the caller owes when it got [`Sent::Deferred`].
    pub fn send_in_turn(&self, kind: MessageKind, payload: &[u8]) -> Result<Sent> {
        self.send_with(kind, payload, SendOptions { in_turn: true, ..SendOptions::default() })
    }

    /// Sends what [`send_in_turn`](Client::send_in_turn) held back, and begins a new turn.
    pub fn flush(&self) {
        if self.shared.check_fork().is_ok() {
            self.shared.writer.new_turn();
            self.shared.follow_up(self.shared.writer.flush());
        }
    }

    /// Sends a ping with at most 125 bytes; the answer is a `Pong` event. Fails when not connected,
    /// and with [`crate::ErrorKind::Full`] as a send does.
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        self.shared.check_fork()?;
        if payload.len() > 125 {
            let text = format!("ping: expected at most 125 bytes, got {}", payload.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let limit = self.shared.config.send_buffer;
        // Noted first: the answer may come before this call goes on.
        self.shared.pings.sent(payload);
        let sent = self.shared.writer.ping(payload, self.place(), limit);
        let todo = sent.inspect_err(|_| self.shared.pings.refused(payload))?;
        self.shared.follow_up(todo);
        Ok(())
    }

    /// Begins the closing handshake, after everything sent so far, and ends
    /// the client's life: it does not reconnect. Later sends are refused.
    ///
    /// `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999, `reason` at most
    /// 123 bytes. 0 is a close frame without code and reason (RFC 6455
    /// section 5.5.1). The `Closed` event follows. Without effect on a client
    /// that is closing already.
    pub fn close(&self, code: u16, reason: &str) -> Result<()> {
        self.shared.check_fork()?;
        if code != 0 && !is_valid_to_send(code) {
            let text = format!(
                "close: expected a code of 1000 to 1003, 1007 to 1014 or 3000 to 4999, got {code}"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if reason.len() > 123 {
            let text =
                format!("close: expected a reason of at most 123 bytes, got {}", reason.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        self.shared.close(code, reason);
        Ok(())
    }

    /// Where the client is in its life.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Bytes that were taken by `send` and not yet by the kernel.
    pub fn buffered_amount(&self) -> usize {
        self.shared.writer.buffered()
    }

    /// The latest round trip measured by a ping.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.pings.round_trip()
    }

    /// Ends the client without waiting: a close frame with 1001 goes out if
    /// the socket takes it at once. After this call has returned no event is delivered any more, except
    /// the one it may have been called from. For a runtime-driven client the handler is dropped before this
    /// returns, or, when called from the handler, right after the handler returns.
    pub fn free(&self) {
        if self.shared.check_fork().is_err() {
            return;
        }
        if let Mode::Runtime(slot) = &self.shared.mode {
            slot.free();
        }
        self.shared.signal(signal::RELEASE);
    }

    /// The same without waiting for a handler that is running on another
    /// thread: for destructors and finalizers. The handler is dropped soon after.
    pub fn release(&self) {
        if self.shared.check_fork().is_ok() {
            self.shared.release();
        }
    }

    fn launch(config: Config, mode: impl FnOnce() -> Result<Mode>) -> Result<Client> {
        config.check()?;
        let target = Target::parse(&config.url)?;
        // The same checks as at each attempt, but now, to the caller's face.
        Handshake::new(&target, &config)?;
        let trust = if target.secure { Some(Trust::new(&config.tls)?) } else { None };
        let shard = runtime::shard()?;
        let shared = Arc::new(Shared::new(config, target, trust, mode()?, shard));
        shard.register(&shared);
        shard.spawn(lifecycle::run(shared.clone()));
        let owner = Arc::new(Owner(shared.clone()));
        Ok(Client { shared, _owner: Some(owner) })
    }

    /// A handle that keeps nothing alive, for the runtime and for handlers.
    pub(crate) fn unowned(shared: Arc<Shared>) -> Client {
        Client { shared, _owner: None }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(super) fn host(&self) -> Result<&Host> {
        self.shared.host().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the internal runtime drives this client; only a hosted one can be polled",
            )
        })
    }

    pub(super) fn place(&self) -> Place {
        self.shared.stage.place()
    }

    fn take(&self, kind: MessageKind, payload: &[u8], options: SendOptions) -> Result<Sent> {
        self.shared.check_fork()?;
        let most = self.shared.config.max_message_size;
        if payload.len() > most {
            let text =
                format!("send: expected a message of at most {most} bytes, got {}", payload.len());
            return Err(Error::new(ErrorKind::TooBig, text));
        }
        if kind == MessageKind::Text
            && let Err(error) = simdutf8::compat::from_utf8(payload)
        {
            let text = format!("send: expected text in UTF-8, got {error}");
            return Err(Error::new(ErrorKind::Utf8, text));
        }
        let place = self.place();
        if (place, options.in_turn) == (Place::Outside, false)
            && let Some(todo) = self.shared.writer.join_burst(kind, payload, options.compress)
        {
            self.shared.follow_up(todo);
            return Ok(Sent::Done);
        }
        self.shared.follow_up(self.shared.writer.make_room(payload.len()));
        let todo = self.shared.writer.send(kind, payload, options.into(), place)?;
        let owed = todo.owed;
        self.shared.follow_up(todo);
        Ok(if owed { Sent::Deferred } else { Sent::Done })
    }

    pub(super) fn write_fragment(&self, epoch: u64, payload: &[u8]) -> Result<()> {
        self.shared.check_fork()?;
        self.shared.follow_up(self.shared.writer.make_room(payload.len()));
        let todo = self.shared.writer.fragment(epoch, payload, self.place())?;
        self.shared.follow_up(todo);
        Ok(())
    }

    pub(super) fn finish_fragments(&self, epoch: u64) -> Result<()> {
        self.shared.check_fork()?;
        let todo = self.shared.writer.finish(epoch, self.place())?;
        self.shared.follow_up(todo);
        Ok(())
    }

    /// The server can make nothing of the rest of a connection on which a
    /// message has no end.
    pub(super) fn give_up_fragments(&self, epoch: u64) {
        if self.shared.check_fork().is_err() {
            return;
        }
        if let Some(todo) = self.shared.writer.give_up(epoch, self.place()) {
            self.shared.follow_up(todo);
        } else {
            let text = "a message that was sent in fragments was given up before its end";
            let error = Error::new(ErrorKind::Lost, text);
            self.shared.record_end(epoch, End::Violation { code: 1011, error });
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("place", &self.shared.target.place())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
