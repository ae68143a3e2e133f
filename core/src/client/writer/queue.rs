//! Messages that wait for a connection.
//!
//! **In order, and those sent from within `Open` first.** Nothing is dropped but what has waited for
//! `max_age`, and that is counted.

use std::collections::VecDeque;
use std::time::Duration;

use crate::connection::outbox::Whole;
use crate::protocol::encoder::encoded_len;
use crate::sync::Instant;

pub(super) struct Queue {
    messages: VecDeque<Waiting>,
    /// What they will take in the outbox.
    bytes: usize,
    /// How many of them, the first ones, were sent from within `Open`.
    ahead: usize,
    max_age: Option<Duration>,
    /// Expired since the last connection.
    expired: usize,
    /// What never left, once no connection can follow.
    unsent: Vec<Whole>,
}

struct Waiting {
    message: Whole,
    /// Not noted if it does not matter.
    since: Option<Instant>,
}

impl Queue {
    pub(super) fn new(max_age: Option<Duration>) -> Queue {
        Queue {
            messages: VecDeque::new(),
            bytes: 0,
            ahead: 0,
            max_age,
            expired: 0,
            unsent: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The part of it that was sent from within `Open`.
    pub(super) fn bytes_ahead(&self) -> usize {
        let ahead = self.messages.iter().take(self.ahead);
        ahead.map(|waiting| encoded_len(waiting.message.bytes.len())).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Puts a message behind all others.
    pub(super) fn push(&mut self, message: Whole) {
        let waiting = self.waiting(message);
        self.messages.push_back(waiting);
    }

    /// Puts a message behind those that were sent from within `Open`.
    pub(super) fn push_ahead(&mut self, message: Whole) {
        let waiting = self.waiting(message);
        self.messages.insert(self.ahead, waiting);
        self.ahead += 1;
    }

    /// Has messages that were taken before all others wait again.
    pub(super) fn put_back(&mut self, messages: Vec<Whole>) {
        for message in messages.into_iter().rev() {
            let waiting = self.waiting(message);
            self.messages.push_front(waiting);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Whole> {
        let Some(waiting) = self.messages.pop_front() else {
            self.messages = VecDeque::new();
            return None;
        };
        self.ahead = self.ahead.saturating_sub(1);
        self.bytes -= encoded_len(waiting.message.bytes.len());
        Some(waiting.message)
    }

    /// The next message that was sent from within `Open`.
    pub(super) fn pop_ahead(&mut self) -> Option<Whole> {
        if self.ahead == 0 { None } else { self.pop() }
    }

    /// What was sent from within an earlier `Open` waits like everything else.
    pub(super) fn forget_ahead(&mut self) {
        self.ahead = 0;
    }

    /// Drops what has waited for too long. How many messages these were.
    pub(super) fn expire(&mut self) -> u64 {
        let Some(max_age) = self.max_age else { return 0 };
        let now = Instant::now();
        let before = self.messages.len();
        let bytes = &mut self.bytes;
        self.messages.retain(|waiting| {
            let stays = waiting.since.is_none_or(|since| now.duration_since(since) < max_age);
            if !stays {
                *bytes -= encoded_len(waiting.message.bytes.len());
            }
            stays
        });
        let expired = before - self.messages.len();
        self.expired += expired;
        expired as u64
    }

    /// How many have expired since the last call.
    pub(super) fn take_expired(&mut self) -> usize {
        std::mem::take(&mut self.expired)
    }

    /// No connection will follow. How many messages never left, and their bytes.
    pub(super) fn end(&mut self) -> (usize, usize) {
        self.ahead = 0;
        self.bytes = 0;
        let left = std::mem::take(&mut self.messages);
        self.unsent.extend(left.into_iter().map(|waiting| waiting.message));
        (self.unsent.len(), self.unsent.iter().map(|message| message.bytes.len()).sum())
    }

    pub(super) fn take_unsent(&mut self) -> Vec<Whole> {
        std::mem::take(&mut self.unsent)
    }

    fn waiting(&mut self, message: Whole) -> Waiting {
        self.bytes += encoded_len(message.bytes.len());
        Waiting { message, since: self.max_age.map(|_| Instant::now()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MessageKind;

    fn text(text: &str) -> Whole {
        Whole { kind: MessageKind::Text, bytes: text.into(), compress: true }
    }

    fn drained(queue: &mut Queue) -> Vec<String> {
        let messages = std::iter::from_fn(|| queue.pop());
        messages.map(|message| String::from_utf8(message.bytes).unwrap()).collect()
    }

    #[test]
    fn what_was_sent_from_within_open_goes_first_and_in_order() {
        let mut queue = Queue::new(None);
        queue.push(text("c"));
        queue.push_ahead(text("a"));
        queue.push_ahead(text("b"));
        queue.push(text("d"));
        assert_eq!((queue.bytes_ahead(), queue.bytes()), (2 * encoded_len(1), 4 * encoded_len(1)));
        assert_eq!(drained(&mut queue), ["a", "b", "c", "d"]);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn what_comes_back_from_a_lost_connection_goes_first() {
        let mut queue = Queue::new(None);
        queue.push(text("c"));
        queue.put_back(vec![text("a"), text("b")]);
        assert_eq!(queue.bytes(), 3 * encoded_len(1));
        assert_eq!(drained(&mut queue), ["a", "b", "c"]);
    }

    #[test]
    fn only_what_is_too_old_expires() {
        let mut queue = Queue::new(Some(Duration::from_secs(3600)));
        queue.push(text("young"));
        assert_eq!((queue.expire(), queue.take_expired()), (0, 0));
        queue.max_age = Some(Duration::ZERO);
        assert_eq!((queue.expire(), queue.bytes()), (1, 0));
        assert_eq!((queue.take_expired(), queue.take_expired()), (1, 0));
    }

    #[test]
    fn what_never_left_can_be_taken_once() {
        let mut queue = Queue::new(None);
        queue.push(text("one"));
        queue.push(text("three"));
        assert_eq!(queue.end(), (2, 8));
        assert_eq!(queue.bytes(), 0);
        assert_eq!(queue.take_unsent(), [text("one"), text("three")]);
        assert!(queue.take_unsent().is_empty());
    }
}
