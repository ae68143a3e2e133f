//! Messages that were decoded and wait to be fetched, whole or in pieces.
//!
//! Bounded in bytes by two marks: at the high one the descriptor is not
//! watched any more, at the low one it is again. The core bounds what piles up
//! meanwhile, so this is a small hand-over buffer and no second queue.

use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::reception::Partial;

/// The most that is decoded ahead of the reader, unless one message is larger.
const HIGH: usize = 1 << 20;

/// What a message costs beside its payload, roughly.
const OVERHEAD: usize = 96;

/// The most events of one drive, so that a flood leaves the loop its turns.
const BUDGET: usize = 256;

/// What came.
pub(crate) enum Entry {
    /// A whole message.
    Message(Py<PyAny>),
    /// A part of one, as it came; text may be cut inside a character.
    Piece { bytes: Py<PyBytes>, text: bool, last: bool },
    /// The message before has no end: the exception that says so.
    Cut(Py<PyAny>),
}

/// What [`Inbox::pop`] found.
pub(crate) enum Popped {
    Nothing,
    Message(Py<PyAny>),
    /// Something that [`crate::reception::take`] is for.
    Other,
}

pub(crate) struct Inbox {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    high: usize,
    /// The largest entry since the last [`Inbox::budget`].
    largest: usize,
    /// The latest message lacks its last piece.
    unfinished: bool,
    /// The user closes: what comes from now on is not kept.
    closing: bool,
    /// The message of which pieces were taken, but not the last one, or not all of them given away.
    pub(crate) partial: Option<Box<Partial>>,
    /// Counts the messages that were given away piece by piece.
    pub(crate) streamed: u64,
    /// The largest message that is put together.
    pub(crate) max_message_size: usize,
}

impl Inbox {
    pub(crate) fn new(config: &longwire::Config) -> Inbox {
        Inbox {
            entries: VecDeque::new(),
            bytes: 0,
            high: config.receive_buffer.min(HIGH),
            largest: OVERHEAD,
            unfinished: false,
            closing: false,
            partial: None,
            streamed: 0,
            max_message_size: config.max_message_size,
        }
    }

    /// Keeps what came, and says whether it is the only thing there; or gives it back.
    pub(crate) fn push(&mut self, entry: Entry, len: usize) -> Result<bool, Entry> {
        if self.closing {
            return Err(entry);
        }
        self.unfinished = matches!(entry, Entry::Piece { last: false, .. });
        let cost = len + OVERHEAD;
        self.bytes += cost;
        self.largest = self.largest.max(cost);
        self.entries.push_back((entry, cost));
        Ok(self.entries.len() == 1)
    }

    /// Messages of up to so many bytes came and are not kept here: [`Inbox::budget`] bounds them as well.
    pub(crate) fn passed(&mut self, len: usize) {
        self.largest = self.largest.max(len + OVERHEAD);
    }

    /// Keeps nothing of what comes from now on.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Takes a whole message, if that comes next.
    pub(crate) fn pop(&mut self) -> Popped {
        match self.entries.front() {
            None if self.partial.is_none() => Popped::Nothing,
            Some((Entry::Message(_), _)) => match self.pop_entry() {
                Some(Entry::Message(message)) => Popped::Message(message),
                _ => Popped::Nothing,
            },
            _ => Popped::Other,
        }
    }

    /// Takes what comes next.
    pub(crate) fn pop_entry(&mut self) -> Option<Entry> {
        let (entry, cost) = self.entries.pop_front()?;
        self.bytes -= cost;
        if self.entries.is_empty() && self.entries.capacity() > 4 * BUDGET {
            self.entries = VecDeque::new();
        }
        Some(entry)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of messages that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes - self.entries.len() * OVERHEAD
    }

    /// Whether the latest message lacks its last piece.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Whether no more should be decoded for now.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.high && !self.closing
    }

    /// Whether it is time to decode again after [`Inbox::is_full`].
    pub(crate) fn has_room(&self) -> bool {
        self.bytes <= self.high / 2
    }

    /// How many events the next drive may deliver: as many messages like the
    /// largest of the last one as there is room for, and at least one.
    pub(crate) fn budget(&mut self) -> usize {
        let room = self.high.saturating_sub(self.bytes) / self.largest;
        self.largest = OVERHEAD;
        room.clamp(1, BUDGET)
    }

    pub(crate) fn clear(&mut self) -> VecDeque<(Entry, usize)> {
        self.bytes = 0;
        std::mem::take(&mut self.entries)
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.entries.iter().filter_map(|(entry, _)| match entry {
            Entry::Message(object) | Entry::Cut(object) => Some(object),
            // Bytes refer to nothing.
            Entry::Piece { .. } => None,
        })
    }
}
