//! Messages that were decoded and wait to be fetched.
//!
//! Bounded in bytes by two marks: at the high one the descriptor is not
//! watched any more, at the low one it is again. The core bounds what piles up
//! meanwhile, so this is a small hand-over buffer and no second queue.

use std::collections::VecDeque;

use pyo3::prelude::*;

/// The most that is decoded ahead of the reader, unless one message is larger.
const HIGH: usize = 1 << 20;

/// What a message costs beside its payload, roughly.
const OVERHEAD: usize = 96;

/// The most events of one drive, so that a flood leaves the loop its turns.
const BUDGET: usize = 256;

pub(crate) struct Inbox {
    messages: VecDeque<(Py<PyAny>, usize)>,
    bytes: usize,
    high: usize,
    /// The largest message since the last [`Inbox::budget`].
    largest: usize,
}

impl Inbox {
    pub(crate) fn new(receive_buffer: usize) -> Inbox {
        Inbox {
            messages: VecDeque::new(),
            bytes: 0,
            high: receive_buffer.min(HIGH),
            largest: OVERHEAD,
        }
    }

    pub(crate) fn push(&mut self, message: Py<PyAny>, len: usize) {
        let cost = len + OVERHEAD;
        self.bytes += cost;
        self.largest = self.largest.max(cost);
        self.messages.push_back((message, cost));
    }

    pub(crate) fn pop(&mut self) -> Option<Py<PyAny>> {
        let (message, cost) = self.messages.pop_front()?;
        self.bytes -= cost;
        if self.messages.is_empty() && self.messages.capacity() > 4 * BUDGET {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether no more should be decoded for now.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.high
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

    pub(crate) fn clear(&mut self) -> VecDeque<(Py<PyAny>, usize)> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.messages.iter().map(|(message, _)| message)
    }
}
