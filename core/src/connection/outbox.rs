//! Frames on their way to the socket: a queue of chunks with a cursor.
//!
//! A chunk begins at a frame boundary and holds whole frames, so what a lost
//! connection did not begin to send can be told from what it did. A partial
//! write moves the cursor, never the bytes.

use std::collections::VecDeque;

use crate::event::MessageKind;
use crate::protocol::encoder::{encode, encoded_len, parse_own};
use crate::protocol::frame::OpCode;
use crate::protocol::mask;

/// Small frames share a chunk up to this size; it is also the size of a write
/// when a burst has piled up.
const CHUNK: usize = 64 << 10;
/// An idle connection keeps no more than this.
const KEPT: usize = 4 << 10;

#[derive(Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    spare: Vec<u8>,
    /// Bytes not yet taken by the kernel, those of a chunk that is out for
    /// writing included.
    unsent: usize,
    /// Bytes the kernel ever took.
    written: u64,
}

pub(crate) struct Chunk {
    bytes: Vec<u8>,
    sent: usize,
}

impl Chunk {
    /// What is still to be written.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

impl Outbox {
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Appends one frame.
    pub(crate) fn push(&mut self, opcode: OpCode, payload: &[u8]) {
        let len = encoded_len(payload.len());
        let fits = matches!(self.chunks.back(), Some(last) if last.bytes.len() + len <= CHUNK);
        if !fits {
            let bytes = std::mem::take(&mut self.spare);
            self.chunks.push_back(Chunk { bytes, sent: 0 });
        }
        let Some(last) = self.chunks.back_mut() else { return };
        encode(&mut last.bytes, opcode, true, false, mask::next_key(), payload);
        self.unsent += len;
    }

    /// Takes the first chunk out for writing; it comes back by
    /// [`Outbox::wrote`].
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Brings back a chunk of which `n` more bytes were written.
    pub(crate) fn wrote(&mut self, mut chunk: Chunk, n: usize) {
        chunk.sent += n;
        self.unsent -= n;
        self.written += n as u64;
        if chunk.sent < chunk.bytes.len() {
            self.chunks.push_front(chunk);
        } else if self.spare.capacity() == 0 && chunk.bytes.capacity() <= KEPT {
            self.spare = chunk.bytes;
            self.spare.clear();
        }
    }

    /// Empties the outbox of a lost connection. The messages that were not
    /// begun come back in order; a message begun is lost, as is what the
    /// kernel took. Control frames end with their connection.
    pub(crate) fn reclaim(&mut self) -> Vec<(MessageKind, Vec<u8>)> {
        let messages = self.retract();
        self.chunks.clear();
        self.unsent = 0;
        messages
    }

    /// The same for a connection that still has to say goodbye: the frame
    /// that was begun stays, so that another can follow it.
    pub(crate) fn retract(&mut self) -> Vec<(MessageKind, Vec<u8>)> {
        let mut messages = Vec::new();
        for chunk in &mut self.chunks {
            let mut at = 0;
            let mut begun = 0;
            while let Some((opcode, _, key, payload)) = parse_own(&chunk.bytes[at..]) {
                let frame = at;
                let payload = at + payload.start..at + payload.end;
                at = payload.end;
                if frame < chunk.sent {
                    begun = at;
                    continue;
                }
                let kind = match opcode {
                    OpCode::Text => MessageKind::Text,
                    OpCode::Binary => MessageKind::Binary,
                    _ => continue,
                };
                let mut bytes = chunk.bytes[payload].to_vec();
                mask::apply(key, &mut bytes);
                messages.push((kind, bytes));
            }
            self.unsent -= chunk.bytes.len() - begun;
            chunk.bytes.truncate(begun);
        }
        self.chunks.retain(|chunk| !chunk.rest().is_empty());
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_share_a_chunk_and_large_ones_have_their_own() {
        let mut outbox = Outbox::default();
        for _ in 0..10 {
            outbox.push(OpCode::Text, b"tick");
        }
        outbox.push(OpCode::Binary, &[0; CHUNK]);
        assert_eq!(outbox.unsent(), 10 * encoded_len(4) + encoded_len(CHUNK));
        assert_eq!(outbox.take().unwrap().rest().len(), 10 * encoded_len(4));
        assert_eq!(outbox.take().unwrap().rest().len(), encoded_len(CHUNK));
        assert!(outbox.take().is_none());
    }

    #[test]
    fn a_partial_write_moves_the_cursor_and_keeps_the_order() {
        let mut outbox = Outbox::default();
        outbox.push(OpCode::Text, b"first");
        let chunk = outbox.take().unwrap();
        outbox.push(OpCode::Text, b"second");
        let (rest, whole) = (chunk.rest()[3..].to_vec(), outbox.unsent());
        outbox.wrote(chunk, 3);
        assert_eq!(outbox.unsent(), whole - 3);
        assert_eq!(outbox.take().unwrap().rest(), rest);
    }

    #[test]
    fn reclaim_gives_back_what_was_not_begun() {
        let mut outbox = Outbox::default();
        outbox.push(OpCode::Text, b"begun");
        outbox.push(OpCode::Ping, b"");
        outbox.push(OpCode::Text, b"kept");
        let chunk = outbox.take().unwrap();
        outbox.wrote(chunk, 1);
        outbox.push(OpCode::Binary, &[7; 70_000]);
        let messages = outbox.reclaim();
        assert_eq!(
            messages,
            [(MessageKind::Text, b"kept".to_vec()), (MessageKind::Binary, vec![7; 70_000])]
        );
        assert_eq!(outbox.unsent(), 0);
        assert!(outbox.take().is_none());
    }

    #[test]
    fn retract_leaves_the_frame_that_was_begun() {
        let mut outbox = Outbox::default();
        outbox.push(OpCode::Text, b"begun");
        outbox.push(OpCode::Text, b"kept");
        let chunk = outbox.take().unwrap();
        outbox.wrote(chunk, 1);
        outbox.push(OpCode::Binary, &[7; 70_000]);
        let messages = outbox.retract();
        assert_eq!(
            messages,
            [(MessageKind::Text, b"kept".to_vec()), (MessageKind::Binary, vec![7; 70_000])]
        );
        outbox.push(OpCode::Close, b"");
        assert_eq!(outbox.unsent(), encoded_len(5) - 1 + encoded_len(0));
        assert_eq!(outbox.take().unwrap().rest().len(), outbox.unsent());
    }
}
