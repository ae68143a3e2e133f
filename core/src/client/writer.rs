//! Sending, on the caller's thread.
//!
//! A sender locks the writer, encodes into the outbox and, if nobody else is
//! flushing, writes to the socket itself. Senders that come meanwhile only
//! append: whoever flushes takes along what it finds (flat combining). The lock
//! is never held during a system call. What the kernel does not take stays for
//! the runtime, which waits until the socket is writable.
//!
//! **Order: messages leave in the order in which their sends took the lock,
//! except that what is sent from within `Open` precedes what was queued while
//! down.** While a message is sent in fragments, whole ones wait behind it.

mod connections;
mod flush;
mod fragments;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use self::fragments::Begun;
use self::queue::Queue;
use super::scope::{self, Place};
use crate::connection::outbox::{HEAP, Outbox, Whole};
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::MessageKind;
use crate::options::Offline;
use crate::protocol::deflate::Deflater;
use crate::protocol::encoder::{close_payload, encoded_len};
use crate::protocol::frame::OpCode;
use crate::sync::{AtomicU32, AtomicUsize, Instant, Mutex, MutexGuard, Ordering};
use crate::transport::link::Link;

/// Sends closer together than this are a burst.
const BURST: Duration = Duration::from_micros(20);
/// So many sends of a burst are written at once; the rest piles up, to be
/// written together.
const BURST_DIRECT: u32 = 2;
/// What has waited for so long, while the sender wrote nothing, is the end of a burst.
pub(crate) const TAIL: Duration = Duration::from_micros(100);
/// So many writes the runtime makes when a burst begins, before it lets it go on.
const FIRST_LOOK: usize = 4;
/// Past so many unsent bytes only the latest ping is answered
/// (RFC 6455 section 5.5.3 allows it), so that a flood of pings costs nothing.
const PONGS: usize = 64 << 10;

pub(crate) struct Writer {
    state: Mutex<State>,
    /// Direct writes since bytes last came or the turn ended.
    burst: AtomicU32,
    /// Not 0: the sender of a burst has written since the runtime last looked.
    moved: AtomicU32,
    /// A copy of what waits, for readers without the lock.
    buffered: AtomicUsize,
    limit: usize,
    /// So much of a burst is written while it goes on.
    heap: usize,
    offline: Offline,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No connection; messages are queued or refused.
    Offline,
    /// `Open` is being delivered, or its handler is not done yet: only what is sent from within
    /// goes out.
    Gated,
    Open,
    /// Our close frame is in the outbox or gone, but another connection will
    /// follow: messages are queued for it or refused.
    Leaving,
    /// Our close frame is in the outbox or gone.
    Closing,
    /// Never again.
    Ended,
}

struct State {
    phase: Phase,
    link: Option<Arc<Link>>,
    /// Counts links.
    epoch: u64,
    outbox: Outbox,
    /// Compresses on the connection of the moment, if that was agreed on.
    deflater: Option<Deflater>,
    /// The message that is being sent in fragments.
    begun: Option<Begun>,
    /// Messages that wait for the next connection, or for the end of `begun`.
    queue: Queue,
    /// The gate stays shut when `Open` has been delivered.
    held: bool,
    /// The answer to the latest ping, while the outbox is too full for it.
    pong: Option<Vec<u8>>,
    flushing: bool,
    /// The socket is full or broken; the runtime goes on.
    blocked: bool,
    /// The runtime was asked to flush.
    requested: bool,
    /// The runtime lets a burst go on.
    let_go_on: bool,
    /// When the runtime last wrote the rest of a burst.
    swept: Option<Instant>,
    drain_owed: bool,
    last_direct: Option<Instant>,
    counts: Counts,
}

/// What went through, over the client's life.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Messages taken.
    pub(crate) messages: u64,
    /// Bytes the kernel took.
    pub(crate) bytes: u64,
    /// Messages that waited for too long.
    pub(crate) expired: u64,
    /// Bytes before and after compression.
    pub(crate) deflated: (u64, u64),
}

/// When a message that was taken leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The caller has no loop: the runtime sees to the end of a burst.
    None,
    /// The caller flushes at the end of its turn.
    Host,
}

/// How a message is sent.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) compress: bool,
    /// It belongs to what is sent from within `Open`, wherever it comes from.
    pub(crate) ahead: bool,
    pub(crate) turn: Turn,
}

/// What the caller has to see to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Todo {
    /// The runtime has to look at the writer: it is blocked, broken or has a burst to write.
    pub(crate) wake: bool,
    /// `Drain` is due.
    pub(crate) drain: bool,
    /// The caller owes a flush at the end of its turn.
    pub(crate) owed: bool,
}

/// How much of the outbox is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    All,
    /// As long as a heap of it waits; of an encrypted connection, all.
    Heaps,
    /// So many chunks; of an encrypted connection, all.
    Chunks(usize),
}

/// The result of a flush.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    Done,
    Blocked,
    Broken,
}

impl Writer {
    pub(crate) fn new(limit: usize, offline: Offline, max_age: Option<Duration>) -> Writer {
        Writer {
            state: Mutex::new(State {
                phase: Phase::Offline,
                link: None,
                epoch: 0,
                outbox: Outbox::default(),
                deflater: None,
                begun: None,
                queue: Queue::new(max_age),
                held: false,
                pong: None,
                flushing: false,
                blocked: false,
                requested: false,
                let_go_on: false,
                swept: None,
                drain_owed: false,
                last_direct: None,
                counts: Counts::default(),
            }),
            burst: AtomicU32::new(0),
            moved: AtomicU32::new(0),
            buffered: AtomicUsize::new(0),
            limit,
            // Before the buffer is full.
            heap: HEAP.min(limit / 2).max(1),
            offline,
        }
    }

    /// Takes one message, from outside any event and loop, if it only joins what a burst has piled up.
    /// Most sends of a long burst do, and nothing else is to be looked at. `None`: it was not
    /// taken, and goes by [`send`](Writer::send).
    #[inline]
    pub(crate) fn join_burst(
        &self,
        kind: MessageKind,
        payload: &[u8],
        compress: bool,
    ) -> Option<Todo> {
        if self.burst.load(Ordering::Relaxed) < BURST_DIRECT {
            return None;
        }
        let mut state = lock(&self.state);
        let len = encoded_len(payload.len());
        let joins = state.requested
            && state.phase == Phase::Open
            && state.begun.is_none()
            && !state.flushing
            && !state.blocked
            && state.waiting() + len <= self.limit;
        if !joins {
            return None;
        }
        state.counts.messages += 1;
        state.push(kind, payload, compress);
        if self.has_heap(&state) {
            return Some(self.pile_up(state));
        }
        self.publish(&state);
        Some(Todo::default())
    }

    /// Takes one message or refuses it as a whole.
    pub(crate) fn send(
        &self,
        kind: MessageKind,
        payload: &[u8],
        how: How,
        place: Place,
    ) -> Result<Todo> {
        let How { compress, turn, .. } = how;
        let mut state = lock(&self.state);
        let opening = state.is_opening(how, place);
        let queue = match state.phase {
            Phase::Open => false,
            Phase::Gated => !opening,
            Phase::Offline | Phase::Leaving if self.offline == Offline::Refuse => {
                return Err(offline());
            }
            Phase::Offline | Phase::Leaving => true,
            Phase::Closing | Phase::Ended => return Err(closed()),
        } || state.begun.is_some();
        let len = encoded_len(payload.len());
        if state.link.is_none() && state.waiting() + len > self.limit {
            state.expire();
        }
        // What was queued comes behind what `Open` sends, and is not in its way, as long as that is
        // not sent again and again on connections that take nothing.
        let passes = opening && state.waiting() + len <= self.limit.saturating_mul(2);
        let waiting = if passes { state.ahead_of_the_queue() } else { state.waiting() };
        if waiting > 0 && waiting + len > self.limit {
            state.drain_owed = true;
            return Err(full(waiting, len, self.limit));
        }
        state.counts.messages += 1;
        if queue {
            let message = Whole { kind, bytes: payload.to_vec(), compress };
            if opening {
                state.queue.push_ahead(message);
            } else {
                state.queue.push(message);
            }
            self.publish(&state);
            return Ok(Todo::default());
        }
        state.push(kind, payload, compress);
        if state.flushing || state.blocked {
            self.publish(&state);
            return Ok(Todo::default());
        }
        let direct = match (place, turn) {
            (Place::Inside { first, .. }, _) => first,
            (Place::Outside, Turn::Host) => self.burst.load(Ordering::Relaxed) == 0,
            (Place::Outside, Turn::None) => !state.requested && self.begins_burst(&mut state),
        };
        if direct {
            self.burst.fetch_add(1, Ordering::Relaxed);
            if place != Place::Outside {
                scope::sent_directly();
            }
            let (mut state, flushed) = self.flush_locked(state);
            if (place, turn) == (Place::Outside, Turn::None) {
                // A slow write is no pause of the sender's.
                state.last_direct = Some(Instant::now());
            }
            return Ok(self.after(state, flushed));
        }
        let mut todo = Todo::default();
        match (place, turn) {
            (Place::Inside { .. }, _) => scope::defer(),
            (Place::Outside, Turn::Host) => todo.owed = true,
            (Place::Outside, Turn::None) => return Ok(self.pile_up(state)),
        }
        self.publish(&state);
        Ok(todo)
    }

    /// A burst goes on: its sender writes what makes a heap, as another thread would only move it from
    /// processor to processor. The runtime sees to the rest.
    fn pile_up<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Todo {
        if self.has_heap(&state) {
            let (written, flushed) = self.write_chunks(state, Extent::Heaps);
            state = written;
            if state.requested {
                self.moved.store(1, Ordering::Relaxed);
            }
            if flushed != Flushed::Done {
                return self.after(state, flushed);
            }
        }
        let rest = state.outbox.unsent() > 0;
        let wake = rest && !std::mem::replace(&mut state.requested, true);
        Todo { wake, ..self.after(state, Flushed::Done) }
    }

    /// Whether so much waits that it is worth a write of its own.
    fn has_heap(&self, state: &State) -> bool {
        state.outbox.unsent() >= self.heap
    }

    /// Writes what waits for the end of a turn or batch, if it is in the way
    /// of `len` bytes: only what the kernel does not take makes a buffer full.
    pub(crate) fn make_room(&self, len: usize) -> Todo {
        let waiting = self.buffered();
        if waiting == 0 || waiting.saturating_add(encoded_len(len)) <= self.limit {
            return Todo::default();
        }
        self.flush()
    }

    /// Whether a send outside any loop may be written at once.
    fn begins_burst(&self, state: &mut State) -> bool {
        let now = Instant::now();
        if state.last_direct.is_none_or(|last| now.duration_since(last) > BURST) {
            self.burst.store(0, Ordering::Relaxed);
        }
        state.last_direct = Some(now);
        self.burst.load(Ordering::Relaxed) < BURST_DIRECT
    }

    /// Bytes came or the host's turn ended: the next send goes out at once.
    pub(crate) fn new_turn(&self) {
        self.burst.store(0, Ordering::Relaxed);
    }

    /// Queues a ping and flushes, unless more than `limit` bytes would wait.
    pub(crate) fn ping(&self, payload: &[u8], place: Place, limit: usize) -> Result<Todo> {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Open | Phase::Gated => {}
            Phase::Offline | Phase::Leaving => return Err(offline()),
            Phase::Closing | Phase::Ended => return Err(closed()),
        }
        let (waiting, len) = (state.waiting(), encoded_len(payload.len()));
        if waiting > 0 && waiting.saturating_add(len) > limit {
            state.drain_owed = true;
            return Err(full(waiting, len, limit));
        }
        state.outbox.push(OpCode::Ping, payload);
        if place != Place::Outside {
            scope::defer();
        } else if !state.flushing && !state.blocked {
            let (state, flushed) = self.flush_locked(state);
            return Ok(self.after(state, flushed));
        }
        self.publish(&state);
        Ok(Todo::default())
    }

    /// Queues the answer to a ping; the driving thread flushes after its batch.
    pub(crate) fn pong(&self, payload: &[u8]) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Gated | Phase::Open) {
            if state.outbox.unsent() <= PONGS {
                state.outbox.push(OpCode::Pong, payload);
            } else {
                state.pong = Some(payload.to_vec());
            }
            self.publish(&state);
        }
    }

    /// The messages that never left, once.
    pub(crate) fn take_unsent(&self) -> Vec<Whole> {
        lock(&self.state).queue.take_unsent()
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = lock(&self.state);
        Counts { bytes: state.outbox.written(), ..state.counts }
    }

    /// Bytes taken and not yet handed to the kernel.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    /// Bytes the kernel ever took.
    pub(crate) fn written(&self) -> u64 {
        lock(&self.state).outbox.written()
    }

    /// The same, and what the outbox holds for it.
    pub(crate) fn taken(&self) -> u64 {
        let state = lock(&self.state);
        state.outbox.written() + state.outbox.unsent() as u64
    }

    fn publish(&self, state: &State) {
        self.buffered.store(state.waiting(), Ordering::Relaxed);
    }
}

impl State {
    /// Whether this is within the `Open` of the connection that is there. It may be that of one
    /// that was lost before its host looked.
    fn is_opening(&self, how: How, place: Place) -> bool {
        let delivered = match place {
            Place::Inside { opening, .. } => opening,
            Place::Outside => None,
        };
        self.phase == Phase::Gated && (how.ahead || delivered == Some(self.epoch))
    }

    fn waiting(&self) -> usize {
        self.outbox.held() + self.queue.bytes()
    }

    /// The part of it that was sent from within `Open`, and control frames.
    fn ahead_of_the_queue(&self) -> usize {
        self.outbox.held() + self.queue.bytes_ahead()
    }

    /// Puts our close frame into the outbox, and before it the pong that was
    /// held back: nothing may follow a close frame.
    fn push_close(&mut self, code: Option<u16>, reason: &str) {
        if let Some(pong) = self.pong.take() {
            self.outbox.push(OpCode::Pong, &pong);
        }
        let body = code.map(|code| close_payload(code, reason)).unwrap_or_default();
        self.outbox.push(OpCode::Close, &body);
    }

    /// Puts a whole message into the outbox, compressed if it may be and if
    /// it is worth it.
    #[inline]
    fn push(&mut self, kind: MessageKind, payload: &[u8], compress: bool) {
        let opcode = opcode(kind);
        let outbox = &mut self.outbox;
        match &mut self.deflater {
            Some(deflater) if compress && deflater.is_worth(payload.len()) => {
                let totals = &mut self.counts.deflated;
                deflater.message(payload, |compressed| match compressed {
                    Some(compressed) => {
                        totals.0 += payload.len() as u64;
                        totals.1 += compressed.len() as u64;
                        outbox.push_compressed(opcode, compressed, payload);
                    }
                    None => outbox.push(opcode, payload),
                });
            }
            _ => outbox.push(opcode, payload),
        }
    }

    /// Drops what has waited for too long.
    fn expire(&mut self) {
        self.counts.expired += self.queue.expire();
    }

    fn release_pending(&mut self) {
        while let Some(message) = self.queue.pop() {
            self.push(message.kind, &message.bytes, message.compress);
        }
    }

    /// What was sent from within `Open` goes out, and nothing else.
    fn release_ahead(&mut self) {
        while let Some(message) = self.queue.pop_ahead() {
            self.push(message.kind, &message.bytes, message.compress);
        }
    }

    fn take_drain(&mut self, limit: usize) -> bool {
        // What waits for the end of a message in fragments must not be in its way.
        let waiting = if self.begun.is_some() { self.outbox.held() } else { self.waiting() };
        let due = self.drain_owed && waiting <= limit / 2;
        if due {
            self.drain_owed = false;
        }
        due
    }
}

fn opcode(kind: MessageKind) -> OpCode {
    match kind {
        MessageKind::Text => OpCode::Text,
        MessageKind::Binary => OpCode::Binary,
    }
}

#[cold]
fn offline() -> Error {
    Error::new(ErrorKind::Offline, "not connected at the moment")
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connection is closing or closed; nothing can be sent")
}

#[cold]
fn full(waiting: usize, len: usize, limit: usize) -> Error {
    Error::new(
        ErrorKind::Full,
        format!(
            "the send buffer is full: {waiting} bytes wait, {len} more would pass the limit of {limit}"
        ),
    )
}
