//! Frames on their way to the socket: a queue of chunks with a cursor.
//!
//! A chunk begins at a frame boundary and holds whole frames, so what a lost
//! connection did not begin to send can be told from what it did. A partial
//! write moves the cursor, never the bytes.
//!
//! A compressed message may be readable only to the server of this connection,
//! so it is kept as it was as well, until it has left.

use std::collections::VecDeque;

use crate::event::MessageKind;
use crate::protocol::encoder::{Frame, encode, encoded_len};
use crate::protocol::frame::OpCode;
use crate::protocol::{mask, memory};

/// Small frames share a chunk up to this size; it is also the size of a write
/// when a burst has piled up.
const CHUNK: usize = 64 << 10;
/// So much is worth a write while its sender goes on sending.
pub(crate) const HEAP: usize = CHUNK;
/// An idle connection keeps no more than this; larger memory goes back to [`memory`].
const KEPT: usize = 4 << 10;

#[derive(Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    spare: Vec<u8>,
    /// Bytes not yet taken by the kernel, those of a chunk that is out for
    /// writing included.
    unsent: usize,
    /// Bytes of messages that are kept beside their compressed form.
    originals: usize,
    /// Bytes the kernel ever took.
    written: u64,
    keys: mask::Supply,
}

pub(crate) struct Chunk {
    bytes: Vec<u8>,
    sent: usize,
    /// The compressed messages as they were, in their order.
    originals: VecDeque<Vec<u8>>,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) kind: MessageKind,
    pub(crate) bytes: Vec<u8>,
    /// Whether it may be compressed.
    pub(crate) compress: bool,
}

impl Chunk {
    /// What is still to be written.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn held_originals(&self) -> usize {
        self.originals.iter().map(Vec::len).sum()
    }

    /// Whether so many bytes fit without more memory.
    #[inline]
    fn has_room(&self, len: usize) -> bool {
        let wanted = self.bytes.len() + len;
        wanted <= CHUNK && wanted <= self.bytes.capacity()
    }
}

impl Outbox {
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// The memory that messages take here: those not yet sent, and the
    /// originals of compressed ones.
    pub(crate) fn held(&self) -> usize {
        self.unsent + self.originals
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Appends one frame that is not compressed, and not a fragment.
    #[inline]
    pub(crate) fn push(&mut self, opcode: OpCode, payload: &[u8]) {
        self.push_frame(Frame::whole(opcode), payload);
    }

    /// Appends one frame.
    #[inline]
    pub(crate) fn push_frame(&mut self, frame: Frame, payload: &[u8]) {
        self.append(frame, payload);
    }

    /// Appends a whole message that was `original` before it was compressed.
    pub(crate) fn push_compressed(&mut self, opcode: OpCode, compressed: &[u8], original: &[u8]) {
        let frame = Frame { rsv1: true, ..Frame::whole(opcode) };
        self.append(frame, compressed).originals.push_back(original.to_vec());
        self.originals += original.len();
    }

    #[inline]
    fn append(&mut self, frame: Frame, payload: &[u8]) -> &mut Chunk {
        let len = encoded_len(payload.len());
        self.unsent += len;
        let key = self.keys.take();
        if !self.chunks.back().is_some_and(|last| last.has_room(len)) {
            self.prepare_chunk(len);
        }
        let chunk = self.chunks.back_mut().expect("a chunk is prepared");
        encode(&mut chunk.bytes, frame, key, payload);
        chunk
    }

    /// Has the last chunk take `len` bytes more, or begins one. Little memory is left to the encoder.
    fn prepare_chunk(&mut self, len: usize) {
        let fits = matches!(self.chunks.back(), Some(last) if last.bytes.len() + len <= CHUNK);
        if !fits {
            let bytes = std::mem::take(&mut self.spare);
            self.chunks.push_back(Chunk { bytes, sent: 0, originals: VecDeque::new() });
        }
        let last = self.chunks.len() - 1;
        let bytes = &self.chunks[last].bytes;
        let wanted = bytes.len() + len;
        if wanted > bytes.capacity().max(KEPT) {
            // Small frames that have become many are likely to fill a chunk.
            let wanted = if bytes.is_empty() { wanted } else { CHUNK };
            let taken = memory::take(wanted, usize::MAX);
            let mut larger = taken.unwrap_or_else(|| Vec::with_capacity(wanted));
            larger.extend_from_slice(bytes);
            let smaller = std::mem::replace(&mut self.chunks[last].bytes, larger);
            self.keep(smaller);
        }
    }

    /// Takes the first chunk out for writing; it comes back by
    /// [`Outbox::wrote`].
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// How many chunks wait.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Brings back a chunk of which `n` more bytes were written.
    pub(crate) fn wrote(&mut self, mut chunk: Chunk, n: usize) {
        chunk.sent += n;
        self.unsent -= n;
        self.written += n as u64;
        if chunk.sent < chunk.bytes.len() {
            self.chunks.push_front(chunk);
            return;
        }
        self.originals -= chunk.held_originals();
        self.keep(chunk.bytes);
    }

    /// Keeps memory for the next frames, here or for all connections.
    fn keep(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() > KEPT {
            memory::give(bytes);
        } else if self.spare.capacity() == 0 {
            bytes.clear();
            self.spare = bytes;
        }
    }

    /// Empties the outbox of a lost connection. The messages that did not leave
    /// as a whole come back in order: the peer has no use for a part of one. What the kernel took is
    /// lost, as are fragments. Control frames end with their connection.
    pub(crate) fn reclaim(&mut self) -> Vec<Whole> {
        let messages = self.retract_from(|start, end, sent| start < sent && end <= sent);
        self.chunks.clear();
        (self.unsent, self.originals) = (0, 0);
        messages
    }

    /// The same for a connection that still has to say goodbye: the frame
    /// that was begun stays, so that another can follow it.
    pub(crate) fn retract(&mut self) -> Vec<Whole> {
        self.retract_from(|start, _, sent| start < sent)
    }

    /// `stays` says of a frame, by where it begins and ends and how far the chunk was sent, whether it has to
    /// stay.
    fn retract_from(&mut self, stays: impl Fn(usize, usize, usize) -> bool) -> Vec<Whole> {
        let mut messages = Vec::new();
        for chunk in &mut self.chunks {
            let (mut at, mut begun) = (0, 0);
            let mut staying = VecDeque::new();
            while let Some((frame, key, payload)) = Frame::parse_own(&chunk.bytes[at..]) {
                let start = at;
                let payload = at + payload.start..at + payload.end;
                at = payload.end;
                let original = if frame.rsv1 && frame.fin && frame.opcode != OpCode::Continuation {
                    chunk.originals.pop_front()
                } else {
                    None
                };
                if stays(start, at, chunk.sent) {
                    begun = at;
                    staying.extend(original);
                    continue;
                }
                self.originals -= original.as_ref().map_or(0, Vec::len);
                let kind = match frame.opcode {
                    OpCode::Text if frame.fin => MessageKind::Text,
                    OpCode::Binary if frame.fin => MessageKind::Binary,
                    _ => continue,
                };
                let compress = original.is_some();
                let bytes = original.unwrap_or_else(|| {
                    let mut bytes = chunk.bytes[payload].to_vec();
                    mask::apply(key, &mut bytes);
                    bytes
                });
                messages.push(Whole { kind, bytes, compress });
            }
            chunk.originals = staying;
            let kept = begun.max(chunk.sent);
            self.unsent -= chunk.bytes.len() - kept;
            chunk.bytes.truncate(kept);
        }
        let originals = &mut self.originals;
        self.chunks.retain(|chunk| {
            let stays = !chunk.rest().is_empty();
            if !stays {
                *originals -= chunk.held_originals();
            }
            stays
        });
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(kind: MessageKind, bytes: &[u8]) -> Whole {
        Whole { kind, bytes: bytes.to_vec(), compress: false }
    }

    #[test]
    fn compressed_messages_come_back_as_they_were_and_fragments_do_not() {
        let mut outbox = Outbox::default();
        outbox.push_compressed(OpCode::Text, b"begun, compressed", b"begun");
        outbox.push_compressed(OpCode::Text, b"kept, compressed", b"kept");
        outbox.push(OpCode::Binary, b"plain");
        outbox.push_frame(Frame { fin: false, ..Frame::whole(OpCode::Text) }, b"a fragment");
        outbox.push_frame(Frame::whole(OpCode::Continuation), b"the last");
        assert_eq!(outbox.held(), outbox.unsent() + 9);
        let chunk = outbox.take().unwrap();
        outbox.wrote(chunk, 1);
        let kept = Whole { compress: true, ..whole(MessageKind::Text, b"kept") };
        assert_eq!(outbox.retract(), [kept, whole(MessageKind::Binary, b"plain")]);
        // That of the message that was begun, should it not leave as a whole.
        assert_eq!(outbox.held(), outbox.unsent() + 5);
    }

    #[test]
    fn a_compressed_message_that_stayed_because_it_was_begun_comes_back_as_it_was() {
        let mut outbox = Outbox::default();
        outbox.push_compressed(OpCode::Text, b"gone, compressed", b"gone");
        outbox.push_compressed(OpCode::Text, b"begun, compressed", b"begun");
        let chunk = outbox.take().unwrap();
        outbox.wrote(chunk, encoded_len(16) + 3);
        assert_eq!(outbox.retract(), []);
        assert_eq!(outbox.held(), outbox.unsent() + 9);
        let begun = Whole { compress: true, ..whole(MessageKind::Text, b"begun") };
        assert_eq!(outbox.reclaim(), [begun]);
        assert_eq!(outbox.held(), 0);
    }

    #[test]
    fn an_original_goes_when_its_message_had_left_and_what_followed_comes_back() {
        let mut outbox = Outbox::default();
        outbox.push_compressed(OpCode::Text, b"gone, compressed", b"gone");
        outbox.push_compressed(OpCode::Text, b"kept, compressed", b"kept");
        let chunk = outbox.take().unwrap();
        outbox.wrote(chunk, encoded_len(16));
        let kept = Whole { compress: true, ..whole(MessageKind::Text, b"kept") };
        assert_eq!(outbox.retract(), [kept]);
        assert_eq!((outbox.unsent(), outbox.held()), (0, 0));
    }

    #[test]
    fn originals_go_with_their_chunk() {
        let mut outbox = Outbox::default();
        outbox.push_compressed(OpCode::Text, b"compressed", b"as it was");
        let chunk = outbox.take().unwrap();
        let n = chunk.rest().len();
        outbox.wrote(chunk, n);
        assert_eq!(outbox.held(), 0);
    }

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
    fn reclaim_gives_back_what_did_not_leave_as_a_whole() {
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
            [
                whole(MessageKind::Text, b"begun"),
                whole(MessageKind::Text, b"kept"),
                whole(MessageKind::Binary, &[7; 70_000])
            ]
        );
        assert_eq!(outbox.unsent(), 0);
        assert!(outbox.take().is_none());
    }

    #[test]
    fn what_has_left_as_a_whole_is_not_reclaimed() {
        let mut outbox = Outbox::default();
        outbox.push(OpCode::Text, b"gone");
        outbox.push(OpCode::Text, b"kept");
        let chunk = outbox.take().unwrap();
        outbox.wrote(chunk, encoded_len(4));
        assert_eq!(outbox.reclaim(), [whole(MessageKind::Text, b"kept")]);
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
            [whole(MessageKind::Text, b"kept"), whole(MessageKind::Binary, &[7; 70_000])]
        );
        outbox.push(OpCode::Close, b"");
        assert_eq!(outbox.unsent(), encoded_len(5) - 1 + encoded_len(0));
        assert_eq!(outbox.take().unwrap().rest().len(), outbox.unsent());
    }
}
