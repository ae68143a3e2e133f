//! Reading and delivering, by whichever thread drives.
//!
//! **Only the holder of the reader reads, and only the holder of the reader
//! puts messages into the inbox**; so whoever takes the reader and then looks
//! into the inbox finds everything that came before. Events are delivered
//! without any lock.
//!
//! **What the peer said last is answered after what came before it.** A host
//! replies to its messages when `drive` has returned. So an end that was found
//! behind them is put aside until the host comes back, but not for longer
//! than [`PATIENCE`]: see [`ReaderSlot::Ended`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle::Drive;
use super::scope::Batch;
use super::shared::{Shared, signal};
use crate::connection::reader::{End, Reader, Stop};
use crate::driver::host::{Host, Stored};
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Chunk, Event, Message, Pong};
use crate::protocol::decoder::Item;
use crate::sync::{Instant, coarse_now};
use crate::transport::scratch;

/// How long a host may take to come back before the runtime answers the peer's
/// close frame or violation without it; the guard's tick comes on top.
const PATIENCE: Duration = Duration::from_millis(100);

/// Bytes delivered before the thread's other connections get their turn. What is
/// not compressed comes to less, by the reader's own share.
const FAIR: usize = 4 << 20;

/// Where the reader of the connection of the moment is.
pub(crate) enum ReaderSlot {
    /// No connection.
    Vacant,
    /// Ready to be taken.
    Idle(u64, Box<Reader>),
    /// Somebody is reading the connection with this number.
    Held(u64),
    /// Nothing more is read. The end of this connection was found at this moment and is not
    /// recorded yet, so that the host can reply to what came before.
    Ended(u64, End, Instant),
}

/// What a pump left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The socket is empty.
    Idle,
    /// There is more.
    More,
    /// The peer's side ended; what wants an answer is in the slot until
    /// [`Shared::answer_end`].
    Ended,
    /// Somebody else is reading, or there is no connection.
    Unavailable,
}

/// The reader, for as long as somebody reads.
struct Held<'a> {
    shared: &'a Shared,
    epoch: u64,
    reader: Option<Box<Reader>>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        if std::thread::panicking() {
            // What the buffer held is gone with the stack.
            let error = Error::new(ErrorKind::Panic, "an event handler panicked");
            self.shared.record_end(self.epoch, End::Failed(error));
            return;
        }
        let mut slot = lock(&self.shared.reader);
        // Another connection may have taken the place meanwhile.
        if matches!(*slot, ReaderSlot::Held(epoch) if epoch == self.epoch) {
            *slot = ReaderSlot::Idle(self.epoch, reader);
        }
    }
}

impl Shared {
    fn hold(&self) -> Option<Held<'_>> {
        let mut slot = lock(&self.reader);
        let ReaderSlot::Idle(epoch, _) = *slot else { return None };
        match std::mem::replace(&mut *slot, ReaderSlot::Held(epoch)) {
            ReaderSlot::Idle(_, reader) => Some(Held { shared: self, epoch, reader: Some(reader) }),
            _ => None,
        }
    }

    /// Reads until the socket is empty or a fair share was read.
    pub(crate) fn pump(&self, emit: impl FnMut(Event<'_>)) -> Pumped {
        let Some(mut held) = self.hold() else { return Pumped::Unavailable };
        let mut bytes = 0_usize;
        let pumped = self.pump_held(&mut held, emit, |len| {
            bytes = bytes.saturating_add(len);
            bytes < FAIR
        });
        if pumped == Pumped::Ended {
            self.answer_end();
        }
        pumped
    }

    /// `more` is told how long each payload was, and asked whether to go on. Both are
    /// inlined: a message costs less than an indirect call that carries it.
    fn pump_held(
        &self,
        held: &mut Held<'_>,
        mut emit: impl FnMut(Event<'_>),
        mut more: impl FnMut(usize) -> bool,
    ) -> Pumped {
        let Some(reader) = &mut held.reader else { return Pumped::Unavailable };
        let batch = Batch::begin(&self.stage);
        let (mut answers, mut messages) = (false, 0);
        let (stop, received) = scratch::with(|scratch| {
            reader.read(scratch, &mut |item: Item<'_>| match item {
                Item::Message(message) => {
                    messages += 1;
                    let len = message.as_bytes().len();
                    emit(Event::Message(message));
                    more(len)
                }
                Item::Chunk(chunk) => {
                    messages += u64::from(chunk.last);
                    emit(Event::Chunk(chunk));
                    more(chunk.payload.len())
                }
                Item::Ping(payload) => {
                    self.writer.pong(payload);
                    answers = true;
                    true
                }
                Item::Pong(payload) => {
                    let round_trip = self.pings.answered(payload);
                    emit(Event::Pong(Pong { payload, round_trip }));
                    more(0)
                }
                // The reader ends with it.
                Item::Close(_) => false,
            })
        });
        if received > 0 {
            self.received.store(coarse_now(), Ordering::Relaxed);
            self.writer.new_turn();
        }
        self.note_received(received, messages, reader.take_inflated());
        let flush = answers || batch.deferred() || reader.link().is_encrypted();
        drop(batch);
        if flush {
            self.follow_up(self.writer.flush());
        }
        match stop {
            Stop::Idle => Pumped::Idle,
            Stop::More => Pumped::More,
            Stop::End(end) => {
                if let Some(host) = self.host() {
                    host.detach(reader.link().fd());
                }
                // Never read again, so it does not go back. The end of a
                // connection that was given up is nobody's business any more.
                held.reader = None;
                let mut slot = lock(&self.reader);
                if matches!(*slot, ReaderSlot::Held(epoch) if epoch == held.epoch) {
                    *slot = ReaderSlot::Vacant;
                    if end.wants_answer() {
                        *slot = ReaderSlot::Ended(held.epoch, end, Instant::now());
                    } else {
                        self.record_end(held.epoch, end);
                    }
                }
                Pumped::Ended
            }
        }
    }

    fn note_received(&self, bytes: usize, messages: u64, inflated: (u64, u64)) {
        let notes = &self.notes;
        notes.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
        notes.messages_received.fetch_add(messages, Ordering::Relaxed);
        if inflated != (0, 0) {
            notes.inflated[0].fetch_add(inflated.0, Ordering::Relaxed);
            notes.inflated[1].fetch_add(inflated.1, Ordering::Relaxed);
        }
    }

    /// The host's turn: what waits in the inbox, then the socket.
    pub(crate) fn drive<F: FnMut(Event<'_>) + ?Sized>(
        &self,
        host: &Host,
        budget: usize,
        on_event: &mut F,
    ) -> Result<Drive> {
        self.check_fork()?;
        let _turn = host.begin_drive()?;
        host.drives.fetch_add(1, Ordering::Relaxed);
        self.writer.new_turn();
        if host.finished.load(Ordering::Acquire) || self.is_released() {
            return Ok(Drive::Finished);
        }
        let mut bytes = 0_usize;
        let mut on_event = |event: Event<'_>| {
            if !self.is_released() {
                on_event(event);
            }
        };
        let budget = budget.max(1);
        let mut left = budget;
        host.quiet();
        if let Some(ask) = host.take_ask() {
            self.deliver(ask, &mut on_event);
            left -= 1;
            if left == 0 {
                host.signal();
                return Ok(Drive::More);
            }
        }
        let held = loop {
            // First the reader, then the inbox: see the module's text. The
            // reader goes back before the event is delivered, so that the guard
            // can stand in for a handler that takes long.
            let held = self.hold();
            let Some(stored) = host.take() else { break held };
            drop(held);
            let last = matches!(stored, Stored::Closed(_));
            bytes = bytes.saturating_add(stored.bytes());
            self.deliver(stored, &mut on_event);
            left -= 1;
            if last {
                host.finished.store(true, Ordering::Release);
                return Ok(Drive::Finished);
            }
            if left == 0 {
                host.signal();
                return Ok(Drive::More);
            }
        };
        let Some(mut held) = held else { return Ok(self.last_word(host, left < budget)) };
        let pumped = self.pump_held(&mut held, on_event, |len| {
            left = left.saturating_sub(1);
            bytes = bytes.saturating_add(len);
            // A host may keep what it is given, and compressed messages come to
            // much more than was read.
            left > 0 && bytes < self.config.receive_buffer
        });
        if pumped == Pumped::Ended {
            return Ok(self.last_word(host, left < budget));
        }
        let hidden = held.reader.as_ref().is_some_and(|reader| reader.has_left());
        if hidden {
            self.shard.guard().remember(self.watch_key.load(Ordering::Relaxed));
        }
        if pumped == Pumped::More || hidden {
            host.signal();
            return Ok(Drive::More);
        }
        Ok(Drive::Idle)
    }

    /// Answers the peer's last word if there is one. If events came `before` it
    /// in the same drive, the host replies to them first.
    fn last_word(&self, host: &Host, before: bool) -> Drive {
        if !before {
            self.answer_end();
        } else if self.is_ending() {
            self.put_aside(host);
            return Drive::Ending;
        }
        Drive::Idle
    }

    /// Has an end wait for the next `drive`, and the guard look after it.
    fn put_aside(&self, host: &Host) {
        self.shard.guard().remember(self.watch_key.load(Ordering::Relaxed));
        host.signal();
    }

    /// Whether an end was found that is to be answered.
    fn is_ending(&self) -> bool {
        matches!(&*lock(&self.reader), ReaderSlot::Ended(..))
    }

    /// Has the lifecycle deal with an end that was found.
    pub(crate) fn answer_end(&self) {
        let mut slot = lock(&self.reader);
        match std::mem::replace(&mut *slot, ReaderSlot::Vacant) {
            ReaderSlot::Ended(epoch, end, _) => self.record_end(epoch, end),
            other => *slot = other,
        }
    }

    /// Delivers a question that waits for the host, and nothing else. Whether there was one.
    pub(crate) fn drive_questions(
        &self,
        host: &Host,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool> {
        self.check_fork()?;
        let _turn = host.begin_drive()?;
        let Some(ask) = host.take_ask() else { return Ok(false) };
        if !self.is_released() {
            self.deliver(ask, on_event);
        }
        Ok(true)
    }

    fn question_delivered(&self) {
        self.asks.deliver();
        self.signal(signal::ANSWER);
    }

    /// Hands one stored event over. After `Open` the queue may follow.
    pub(crate) fn deliver(&self, mut stored: Stored, emit: &mut dyn FnMut(Event<'_>)) {
        let batch = Batch::begin(&self.stage);
        match &mut stored {
            Stored::Open(epoch, opened) => {
                batch.opening(*epoch);
                emit(Event::Open(opened));
                drop(batch);
                self.follow_up(self.writer.ungate(*epoch));
                return;
            }
            Stored::BeforeConnect(attempt) => {
                self.question_delivered();
                emit(Event::BeforeConnect(attempt));
            }
            Stored::ShouldReconnect(outage) => {
                self.question_delivered();
                emit(Event::ShouldReconnect(outage));
            }
            Stored::Message(kind, bytes) => emit(Event::Message(Message::assembled(*kind, bytes))),
            Stored::Chunk { kind, payload, first, last } => {
                emit(Event::Chunk(Chunk { kind: *kind, payload, first: *first, last: *last }));
            }
            Stored::Pong(payload, round_trip) => {
                emit(Event::Pong(Pong { payload, round_trip: *round_trip }));
            }
            Stored::Down(down) => emit(Event::Down(down)),
            Stored::Drain => emit(Event::Drain),
            Stored::Closed(closed) => emit(Event::Closed(closed)),
        }
        let flush = batch.deferred();
        drop(batch);
        if flush {
            self.follow_up(self.writer.flush());
        }
    }

    /// The guard's turn: reads in place of a host that does not.
    pub(crate) fn stand_in(&self) {
        let Some(host) = self.host() else { return };
        if self.is_kept_waiting() {
            return self.answer_end();
        }
        let drives = host.drives.load(Ordering::Relaxed);
        if host.seen.swap(drives, Ordering::Relaxed) == drives {
            self.read_into_inbox(host, drives);
        }
    }

    /// Whether there is something to look after that the socket does not show.
    pub(crate) fn has_hidden(&self) -> bool {
        match &*lock(&self.reader) {
            ReaderSlot::Idle(_, reader) => reader.has_left(),
            // Whoever holds the reader may leave something behind.
            ReaderSlot::Ended(..) | ReaderSlot::Held(_) => true,
            ReaderSlot::Vacant => false,
        }
    }

    /// Whether an end has waited for the host for too long.
    fn is_kept_waiting(&self) -> bool {
        matches!(&*lock(&self.reader), ReaderSlot::Ended(_, _, since) if since.elapsed() >= PATIENCE)
    }

    /// Takes the reader away. Whether somebody is reading at this moment.
    pub(crate) fn take_reader(&self) -> bool {
        let reader = std::mem::replace(&mut *lock(&self.reader), ReaderSlot::Vacant);
        matches!(reader, ReaderSlot::Held(_))
    }

    /// Reads what came for a host on a connection that is given up. That is
    /// little, hence there is always room for it.
    pub(crate) fn read_rest(&self) {
        if let (Some(host), Some(mut held)) = (self.host(), self.hold()) {
            self.pump_held(&mut held, |event| store(host, event), |_| true);
        }
        self.answer_end();
    }

    /// Reads what is there, as far as the inbox has room, and until the host, which has driven so many
    /// times, does so again: what comes without end would keep this thread from its other clients.
    fn read_into_inbox(&self, host: &Host, drives: u32) {
        let room = self.config.receive_buffer;
        let go_on = || host.waiting() < room && host.drives.load(Ordering::Relaxed) == drives;
        while go_on() {
            let Some(mut held) = self.hold() else { return };
            let pumped = self.pump_held(&mut held, |event| store(host, event), |_| go_on());
            match pumped {
                Pumped::More => {}
                Pumped::Ended if host.waiting() > 0 => return self.put_aside(host),
                Pumped::Ended => return self.answer_end(),
                Pumped::Idle | Pumped::Unavailable => return,
            }
        }
        // Bytes that were decoded no further are not in the socket any more.
        self.shard.guard().remember(self.watch_key.load(Ordering::Relaxed));
        host.signal();
    }
}

/// Only what a reader emits comes here.
fn store(host: &Host, event: Event<'_>) {
    match event {
        Event::Message(message) => {
            host.post(Stored::Message(message.kind(), message.into_bytes()));
        }
        Event::Chunk(Chunk { kind, payload, first, last }) => {
            host.post(Stored::Chunk { kind, payload: payload.to_vec(), first, last });
        }
        Event::Pong(Pong { payload, round_trip }) => {
            host.post(Stored::Pong(payload.to_vec(), round_trip));
        }
        Event::Open(_)
        | Event::Down(_)
        | Event::Drain
        | Event::Closed(_)
        | Event::BeforeConnect(_)
        | Event::ShouldReconnect(_) => {}
    }
}
