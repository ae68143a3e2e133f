//! Messages that are not delivered as they lie in the input: compressed ones,
//! and those that are yielded in chunks.

use super::super::violation::Violation;
use super::{Decoder, Stage, Step, check};
use crate::event::MessageKind;

/// The most that one chunk decompresses to.
const CHUNK: usize = 64 * 1024;

impl Decoder {
    /// Yields the parts of messages as they come, as [`Item::Chunk`](super::Item::Chunk), however large the whole is
    /// or how many fragments it has.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.streaming = true;
        self.stage = self.idle();
        self
    }

    /// Whether [`decode`](Decoder::decode) has more to yield even without input.
    pub fn has_more(&self) -> bool {
        // Decompressed as far as there was room.
        self.streaming && self.compressed && self.buffer.len() == CHUNK
    }

    /// Decompresses what is at the front of `input` of the current payload.
    pub(super) fn inflate(&mut self, input: &mut &[u8], fin: bool) -> Result<(), Violation> {
        let mut piece = self.take(input);
        let Some(inflater) = &mut self.inflater else { return Ok(()) };
        let (start, max) = (self.buffer.len(), self.limits.max_message_size);
        let mut outcome = inflater.inflate(&mut piece, &mut self.buffer, max.saturating_add(1));
        if self.buffer.len() > max {
            outcome = Err(Violation::too_big(format!(
                "expected messages of at most {max} bytes, got one that decompresses to more"
            )));
        } else if outcome.is_ok() && fin && self.remaining == 0 {
            outcome = inflater.finish();
        }
        outcome.map_err(|violation| self.earlier(start, violation))
    }

    /// What came out before a violation counts first: otherwise it would depend
    /// on the cuts of the input which violation is found.
    fn earlier(&mut self, start: usize, violation: Violation) -> Violation {
        if self.message == Some(MessageKind::Text) && self.utf8.push(&self.buffer[start..]).is_err()
        {
            return check::not_utf8(&self.buffer);
        }
        violation
    }

    /// The next chunk of the message under way; `None` if nothing of it came.
    pub(super) fn chunk<'i>(
        &mut self,
        input: &mut &'i [u8],
        fin: bool,
    ) -> Result<Option<Step<'i>>, Violation> {
        let Some(kind) = self.message else { return Ok(None) };
        let payload = if self.compressed {
            self.inflate_chunk(input, fin).map_err(|violation| self.earlier(0, violation))?;
            None
        } else {
            Some(self.take(input))
        };
        let ended = self.remaining == 0 && !self.has_more();
        let last = ended && fin;
        let bytes = payload.unwrap_or(&self.buffer);
        if kind == MessageKind::Text
            && (self.utf8.push(bytes).is_err() || last && self.utf8.finish().is_err())
        {
            return Err(Violation::utf8("expected UTF-8 in a text message, got other bytes"));
        }
        if ended {
            self.stage = if last { Stage::Delivered } else { Stage::Header };
        }
        if bytes.is_empty() && !last {
            return Ok(None);
        }
        let first = !std::mem::replace(&mut self.begun, !last);
        if last {
            self.message = None;
        }
        Ok(Some(Step::Chunk { kind, payload, first, last }))
    }

    /// Decompresses into an empty buffer, as much as fits into a chunk.
    fn inflate_chunk(&mut self, input: &mut &[u8], fin: bool) -> Result<(), Violation> {
        let Some(inflater) = &mut self.inflater else { return Ok(()) };
        self.buffer.clear();
        let mut piece = &input[..self.remaining.min(input.len())];
        let before = piece.len();
        inflater.inflate(&mut piece, &mut self.buffer, CHUNK)?;
        let taken = before - piece.len();
        *input = &input[taken..];
        self.remaining -= taken;
        if fin && self.remaining == 0 && self.buffer.len() < CHUNK {
            inflater.finish()?;
        }
        Ok(())
    }
}
