//! What the handles, the runtime and the host of one client have in common.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::asks::{Answer, Asks};
use super::handler::Slot;
use super::pings::Pings;
use super::reading::ReaderSlot;
use super::scope::Stage;
use super::stats::Notes;
use super::writer::{Todo, Writer};
use crate::connection::reader::End;
use crate::driver::fork;
use crate::driver::host::{Host, Stored};
use crate::driver::runtime::{Shard, lock};
use crate::error::Result;
use crate::event::State;
use crate::options::{Config, Level};
use crate::protocol::decoder::{Decoder, Limits};
use crate::protocol::deflate::{Agreement, Deflater, Inflater};
use crate::protocol::target::Target;
use crate::sync::coarse_now;
use crate::transport::tls::Trust;

/// Who moves the bytes of a client.
pub(crate) enum Mode {
    /// The internal runtime, which calls a handler.
    Runtime(Slot),
    /// A foreign event loop.
    Hosted(Host),
}

/// Requests to the lifecycle task, as bits.
pub(crate) mod signal {
    /// `close` was called.
    pub(crate) const CLOSE: u32 = 1;
    /// Nobody wants the client any more.
    pub(crate) const RELEASE: u32 = 2;
    /// The writer has work for the runtime.
    pub(crate) const WRITE: u32 = 4;
    /// `Drain` is due.
    pub(crate) const DRAIN: u32 = 8;
    /// The peer's side ended, see [`super::Shared::end`].
    pub(crate) const END: u32 = 16;
    /// `reconnect` was called.
    pub(crate) const RECONNECT: u32 = 32;
    /// Another network may be in use, or the system slept.
    pub(crate) const NETWORK: u32 = 64;
    /// A question was delivered or answered.
    pub(crate) const ANSWER: u32 = 128;
}

/// What is meant for the next wait between attempts, if not for the connection of the moment.
pub(crate) const HINTS: u32 = signal::RECONNECT | signal::NETWORK;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) target: Target,
    pub(crate) trust: Option<Trust>,
    pub(crate) mode: Mode,
    pub(crate) shard: &'static Shard,
    pub(crate) writer: Writer,
    pub(crate) stage: Stage,
    pub(crate) reader: Mutex<ReaderSlot>,
    pub(crate) pings: Pings,
    pub(crate) asks: Asks,
    pub(crate) notes: Notes,
    /// When bytes last came, by [`coarse_now`].
    pub(crate) received: AtomicU64,
    /// The guard's key for the connection of the moment.
    pub(crate) watch_key: AtomicU64,
    /// What `close` asked for.
    pub(crate) close: Mutex<Option<(u16, String)>>,
    /// How the connection with this number ended.
    end: Mutex<(u64, Option<End>)>,
    generation: u32,
    state: AtomicU8,
    signals: AtomicU32,
    notify: Notify,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        target: Target,
        trust: Option<Trust>,
        mode: Mode,
        shard: &'static Shard,
    ) -> Shared {
        Shared {
            writer: Writer::new(config.send_buffer, config.offline, config.offline_max_age),
            stage: Stage::default(),
            config,
            target,
            trust,
            mode,
            shard,
            reader: Mutex::new(ReaderSlot::Vacant),
            pings: Pings::default(),
            asks: Asks::default(),
            notes: Notes::default(),
            received: AtomicU64::new(coarse_now()),
            watch_key: AtomicU64::new(0),
            close: Mutex::new(None),
            end: Mutex::new((0, None)),
            generation: fork::generation(),
            state: AtomicU8::new(State::Connecting as u8),
            signals: AtomicU32::new(0),
            notify: Notify::new(),
        }
    }

    /// Fails in a forked child, where none of this works.
    pub(crate) fn check_fork(&self) -> Result<()> {
        fork::check(self.generation)
    }

    /// The decoder of a connection with this agreement on compression.
    pub(crate) fn decoder(&self, deflate: Option<&Agreement>) -> Decoder {
        let mut decoder = Decoder::new(Limits {
            max_message_size: self.config.max_message_size,
            max_fragments: self.config.max_fragments,
        });
        if let Some(agreement) = deflate {
            decoder = decoder.inflating(Inflater::new(agreement));
        }
        if self.config.streaming { decoder.streaming() } else { decoder }
    }

    /// What compresses on such a connection, if anything may.
    pub(crate) fn deflater(&self, deflate: Option<&Agreement>) -> Option<Deflater> {
        Deflater::new(self.config.compression.as_ref()?, deflate?)
    }

    pub(crate) fn host(&self) -> Option<&Host> {
        match &self.mode {
            Mode::Hosted(host) => Some(host),
            Mode::Runtime(_) => None,
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Connecting,
            1 => State::Open,
            2 => State::Down,
            3 => State::Closing,
            _ => State::Closed,
        }
    }

    /// From `Closing` there is no way but to `Closed`, and from there none.
    pub(crate) fn set_state(&self, state: State) {
        let (next, closing) = (state as u8, State::Closing as u8);
        let allowed = |now: u8| now < closing || next > now;
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |now| allowed(now).then_some(next));
    }

    /// Sends signals to the lifecycle task.
    pub(crate) fn signal(&self, signals: u32) {
        // Notified only by whoever sets a new bit: the task clears them all
        // when it wakes.
        if self.signals.fetch_or(signals, Ordering::AcqRel) & signals != signals {
            self.notify.notify_one();
        }
    }

    /// Whether some came that nobody took.
    pub(crate) fn has_signals(&self) -> bool {
        self.signals.load(Ordering::Relaxed) != 0
    }

    /// Takes the signals that came. `RELEASE` stays: it outlasts whatever
    /// else ends the connection of the moment.
    pub(crate) fn take_signals(&self) -> u32 {
        if !self.has_signals() {
            return 0;
        }
        self.signals.fetch_and(signal::RELEASE, Ordering::AcqRel)
    }

    /// Nobody waits for the answer to the question of the moment any more, but for one that came just now.
    pub(crate) fn withdraw(&self) -> Option<Answer> {
        if let Mode::Hosted(host) = &self.mode {
            host.take_ask();
        }
        self.asks.end()
    }

    /// Forgets signals that are meant for a moment that has passed.
    pub(crate) fn forget_signals(&self, signals: u32) {
        self.signals.fetch_and(!signals, Ordering::AcqRel);
    }

    /// Whether the user wants no events any more.
    pub(crate) fn is_released(&self) -> bool {
        self.signals.load(Ordering::Acquire) & signal::RELEASE != 0
    }

    /// Whether `close` or `release` was called.
    pub(crate) fn is_told_to_stop(&self) -> bool {
        lock(&self.close).is_some() || self.is_released()
    }

    /// Waits for a signal.
    pub(crate) fn signaled(&self) -> Notified<'_> {
        self.notify.notified()
    }

    /// Waits until the client is to end: `close` or `release` was called.
    pub(crate) async fn told_to_stop(&self) {
        while !self.is_told_to_stop() {
            self.signaled().await;
        }
    }

    /// From now on connection `epoch` may end.
    pub(crate) fn begin(&self, epoch: u64) {
        *lock(&self.end) = (epoch, None);
    }

    /// Notes how the peer's side of connection `epoch` ended, unless another has taken its place. The
    /// first cause counts.
    pub(crate) fn record_end(&self, epoch: u64, end: End) {
        let mut current = lock(&self.end);
        if current.0 == epoch {
            current.1.get_or_insert(end);
            drop(current);
            self.signal(signal::END);
        }
    }

    pub(crate) fn take_end(&self) -> Option<End> {
        lock(&self.end).1.take()
    }

    /// Sees to what a send or flush left to do; whether a flush is owed is the
    /// caller's business.
    pub(crate) fn follow_up(&self, todo: Todo) {
        if todo.wake {
            self.signal(signal::WRITE);
        }
        if todo.drain {
            match &self.mode {
                Mode::Hosted(host) => host.post(Stored::Drain),
                Mode::Runtime(_) => self.signal(signal::DRAIN),
            }
        }
    }

    /// Has the lifecycle task look at the writer.
    pub(crate) fn look_at_writer(&self) {
        self.signal(signal::WRITE);
    }

    /// The connection of the moment, or the wait for the next one, may mean nothing any more.
    pub(crate) fn network_changed(&self) {
        self.signal(signal::NETWORK);
    }

    pub(crate) fn log(&self, level: Level, text: impl FnOnce() -> String) {
        if let Some(log) = &self.config.log {
            log.write(level, text);
        }
    }

    /// Sends our close frame, if there is a connection to send it on, and has
    /// the lifecycle end. 0 stands for no code. The first call counts.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        {
            let mut close = lock(&self.close);
            if close.is_some() || self.state() == State::Closed {
                return;
            }
            *close = Some((code, reason.to_owned()));
        }
        self.set_state(State::Closing);
        self.send_close();
        self.signal(signal::CLOSE);
    }

    /// Puts the frame that [`Shared::close`] asked for behind what was sent.
    pub(crate) fn send_close(&self) {
        let Some((code, reason)) = lock(&self.close).clone() else { return };
        if self.writer.close((code != 0).then_some(code), &reason) {
            self.follow_up(self.writer.flush());
        } else {
            self.writer.refuse();
        }
    }

    /// The user wants no events any more.
    pub(crate) fn release(&self) {
        if let Mode::Runtime(slot) = &self.mode {
            slot.release();
        }
        self.signal(signal::RELEASE);
    }
}
