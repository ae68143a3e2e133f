//! Frames from server to client, put together into messages.
//!
//! **However the input is cut into chunks, the items are the same, and so is
//! the violation that ends them. After a violation or a [`Item::Close`] the
//! decoder yields nothing more.** Only [streaming](Decoder::streaming) shows the cuts, in where the
//! chunks of a message begin and end.
//!
//! A message that lies whole in the input, in one frame, is returned as a
//! slice of that input: nothing is copied and nothing allocated. Anything
//! else is assembled in memory that the decoder owns until the caller takes
//! it. That memory is allocated once, as large as the header announces,
//! if that is within the limit; only fragments make it grow. While much of a
//! frame is missing, [`Decoder::direct`] lends that memory out to be received
//! into.
//!
//! Whatever the peer announces, no more than [`Limits::max_message_size`] is
//! allocated for it at once; fragments and compressed messages can double that, as
//! memory that grows does.

mod check;
mod parts;

use std::mem::{self, MaybeUninit};

use simdutf8::basic;

use super::deflate::Inflater;
use super::frame::OpCode;
use super::memory;
use super::utf8::Utf8Stream;
use super::violation::Violation;
use crate::event::{Chunk, Message, MessageKind};

/// What a peer may ask of our memory and patience.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message, in bytes, over all its fragments.
    pub max_message_size: usize,
    /// The most frames one message may be cut into.
    pub max_fragments: u32,
}

/// What the peer sent.
#[derive(Debug)]
pub enum Item<'a> {
    /// A complete message.
    Message(Message<'a>),
    /// A part of a message, while [streaming](Decoder::streaming).
    Chunk(Chunk<'a>),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// A close frame, with what it says if it says something.
    Close(Option<Close<'a>>),
}

/// What a close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// The code, one that may travel (RFC 6455 section 7.4).
    pub code: u16,
    /// The reason, often empty.
    pub reason: &'a str,
}

/// The decoder of one connection. Small while no message is under way.
#[derive(Debug)]
pub struct Decoder {
    /// The message under way, or the one the caller was just given.
    buffer: Vec<u8>,
    /// The payload of a control frame that came in pieces. Apart from
    /// `buffer`, since control frames may stand between fragments.
    control: Vec<u8>,
    limits: Limits,
    /// Bytes of the current frame's payload that have not come.
    remaining: usize,
    /// Frames of the message under way.
    fragments: u32,
    utf8: Utf8Stream,
    /// The message under way.
    message: Option<MessageKind>,
    stage: Stage,
    /// As much of a header as has come; 10 bytes is the longest, as servers
    /// do not mask.
    head: [u8; 10],
    head_len: u8,
    /// Whether the message under way is compressed.
    compressed: bool,
    /// Whether messages are yielded in chunks.
    streaming: bool,
    /// Whether the message under way has had its first chunk.
    begun: bool,
    /// Decompresses, if that was agreed on: then the first frame of a message
    /// may carry RSV1 (RFC 7692).
    inflater: Option<Box<Inflater>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two messages, with nothing kept: the fast path is open.
    Ready,
    /// Before or inside a header.
    Header,
    /// Inside the payload of a data frame.
    Data { fin: bool },
    /// Inside the payload of a control frame.
    Control { opcode: OpCode },
    /// The caller was given `buffer` and has not called since.
    Delivered,
    /// Failed or closed.
    Done,
}

/// What [`Decoder::advance`] came to. Payloads lie in the input, or else in
/// the decoder.
enum Step<'i> {
    InputTaken,
    Whole(MessageKind, &'i [u8]),
    Assembled(MessageKind),
    Chunk { kind: MessageKind, payload: Option<&'i [u8]>, first: bool, last: bool },
    Control(OpCode, Option<&'i [u8]>),
}

struct Header {
    opcode: OpCode,
    fin: bool,
    rsv1: bool,
    len: u64,
}

/// From this many missing bytes on, receiving into the message's own memory
/// saves more by the copy than it costs by reading nothing else.
const DIRECT_MIN: usize = 16 * 1024;

/// Memory that is kept for the next message instead of being freed.
const KEEP_MAX: usize = 16 * 1024;

impl Decoder {
    /// A decoder that stands right behind the handshake.
    pub fn new(limits: Limits) -> Self {
        Decoder {
            buffer: Vec::new(),
            control: Vec::new(),
            limits,
            remaining: 0,
            fragments: 0,
            utf8: Utf8Stream::default(),
            message: None,
            stage: Stage::Ready,
            head: [0; 10],
            head_len: 0,
            compressed: false,
            streaming: false,
            begun: false,
            inflater: None,
        }
    }

    /// Accepts compressed messages as well.
    #[must_use]
    pub fn inflating(mut self, inflater: Inflater) -> Self {
        self.inflater = Some(Box::new(inflater));
        self
    }

    /// As [`Inflater::take_totals`].
    pub fn take_inflated(&mut self) -> (u64, u64) {
        self.inflater.as_mut().map_or((0, 0), |inflater| inflater.take_totals())
    }

    /// Takes bytes from the front of `input` until an item is complete.
    /// `None` means that all of `input` was taken and no item is complete.
    ///
    /// Memory of an assembled message that the caller did not take is reused
    /// or freed by the next call, or by [`recycle`](Decoder::recycle).
    #[inline]
    pub fn decode<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Item<'a>>, Violation> {
        if self.stage == Stage::Ready
            && let Some((kind, payload, rest)) = whole(input, self.limits.max_message_size)
        {
            *input = rest;
            return Ok(Some(Item::Message(Message::borrowed(kind, payload))));
        }
        self.decode_any(input)
    }

    /// While much of a frame's payload is missing: the memory it belongs
    /// into, so that the caller can receive straight into it. The caller has
    /// no undecoded input left, and reports with
    /// [`direct_filled`](Decoder::direct_filled).
    pub fn direct(&mut self) -> Option<&mut [MaybeUninit<u8>]> {
        let whole = !self.compressed && !self.streaming;
        if !whole || !matches!(self.stage, Stage::Data { .. }) || self.remaining < DIRECT_MIN {
            return None;
        }
        // Should there be no memory, `decode` will say so.
        self.reserve().ok()?;
        self.buffer.spare_capacity_mut().get_mut(..self.remaining)
    }

    /// Goes on after `n` bytes were received into [`direct`](Decoder::direct).
    ///
    /// # Safety
    ///
    /// The first `n` bytes of the slice that the last call of `direct`
    /// returned were initialised, and the decoder was not used since.
    pub unsafe fn direct_filled(&mut self, n: usize) -> Result<Option<Item<'_>>, Violation> {
        let Stage::Data { fin } = self.stage else { return Ok(None) };
        assert!(n <= self.remaining, "more bytes were received than the slice holds");
        let start = self.buffer.len();
        // SAFETY: the caller initialised these `n` bytes; `n` is at most
        // `remaining`, and `direct` gave out that many bytes of capacity.
        unsafe { self.buffer.set_len(start + n) };
        self.remaining -= n;
        match self.data_arrived(start, fin) {
            Ok(Some(kind)) => Ok(Some(Item::Message(Message::assembled(kind, &mut self.buffer)))),
            Ok(None) => Ok(None),
            Err(violation) => {
                self.end();
                Err(violation)
            }
        }
    }

    /// Lets go of a message that was yielded, before the next input comes.
    pub fn recycle(&mut self) {
        if self.stage == Stage::Delivered {
            self.let_go();
        }
    }

    /// Whether a message has begun and is not complete.
    pub fn is_mid_message(&self) -> bool {
        self.message.is_some()
    }

    #[inline(never)]
    fn decode_any<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Item<'a>>, Violation> {
        let step = match self.advance(input) {
            Ok(step) => step,
            Err(violation) => {
                self.end();
                return Err(violation);
            }
        };
        Ok(Some(match step {
            Step::InputTaken => return Ok(None),
            Step::Whole(kind, payload) => Item::Message(Message::borrowed(kind, payload)),
            Step::Assembled(kind) => Item::Message(Message::assembled(kind, &mut self.buffer)),
            Step::Chunk { kind, payload, first, last } => {
                let payload = payload.unwrap_or(&self.buffer);
                Item::Chunk(Chunk { kind, payload, first, last })
            }
            Step::Control(OpCode::Ping, payload) => Item::Ping(payload.unwrap_or(&self.control)),
            Step::Control(OpCode::Close, payload) => {
                // Whether the frame is sound or not, nothing follows it.
                self.stage = Stage::Done;
                self.message = None;
                self.buffer = Vec::new();
                Item::Close(check::close(payload.unwrap_or(&self.control))?)
            }
            Step::Control(_, payload) => Item::Pong(payload.unwrap_or(&self.control)),
        }))
    }

    fn advance<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, Violation> {
        loop {
            match self.stage {
                Stage::Done => {
                    *input = &[];
                    return Ok(Step::InputTaken);
                }
                Stage::Delivered => self.let_go(),
                Stage::Ready | Stage::Header => {
                    let Some(header) = self.header(input)? else { return Ok(Step::InputTaken) };
                    let Header { opcode, fin, len, .. } = header;
                    if opcode.is_control() {
                        // At most 125, as `check::second_byte` saw to.
                        if let Some((payload, rest)) = input.split_at_checked(len as usize) {
                            *input = rest;
                            self.stage = self.between_frames();
                            return Ok(Step::Control(opcode, Some(payload)));
                        }
                        self.control.clear();
                        self.remaining = len as usize;
                        self.stage = Stage::Control { opcode };
                    } else {
                        self.remaining = self.admit(&header)?;
                        self.stage = Stage::Data { fin };
                    }
                }
                Stage::Control { opcode } => {
                    let piece = self.take(input);
                    self.control.extend_from_slice(piece);
                    if self.remaining > 0 {
                        if opcode == OpCode::Close {
                            check::close_so_far(&self.control)?;
                        }
                        return Ok(Step::InputTaken);
                    }
                    self.stage = self.between_frames();
                    return Ok(Step::Control(opcode, None));
                }
                Stage::Data { fin } if self.streaming => {
                    if let Some(step) = self.chunk(input, fin)? {
                        return Ok(step);
                    }
                    if self.remaining > 0 {
                        return Ok(Step::InputTaken);
                    }
                }
                Stage::Data { fin } if self.compressed => {
                    let start = self.buffer.len();
                    self.inflate(input, fin)?;
                    if let Some(kind) = self.data_arrived(start, fin)? {
                        return Ok(Step::Assembled(kind));
                    }
                    if self.remaining > 0 {
                        return Ok(Step::InputTaken);
                    }
                }
                Stage::Data { fin } => {
                    if fin && let Some((kind, payload)) = self.whole(input)? {
                        return Ok(Step::Whole(kind, payload));
                    }
                    if !input.is_empty() {
                        self.reserve()?;
                    }
                    let start = self.buffer.len();
                    let piece = self.take(input);
                    self.buffer.extend_from_slice(piece);
                    if let Some(kind) = self.data_arrived(start, fin)? {
                        return Ok(Step::Assembled(kind));
                    }
                    if self.remaining > 0 {
                        return Ok(Step::InputTaken);
                    }
                }
            }
        }
    }

    /// Gathers a header; `None` when the input ended before it did.
    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Violation> {
        loop {
            let needed = match (self.head_len, self.head[1]) {
                (0 | 1, _) => 2,
                (_, 126) => 4,
                (_, 127) => 10,
                _ => 2,
            };
            if self.head_len == needed {
                break;
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            self.head[usize::from(self.head_len)] = byte;
            self.head_len += 1;
            self.stage = Stage::Header;
            match self.head_len {
                1 => check::first_byte(byte, self.message, self.inflater.is_some())?,
                2 => check::second_byte(self.head[0], byte)?,
                _ => {}
            }
        }
        let [first, second, a, b, c, d, e, f, g, h] = self.head;
        let len = match second {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        check::length(second, len)?;
        self.head_len = 0;
        let opcode = OpCode::from_u8(first & 0x0F).unwrap_or(OpCode::Continuation);
        let (fin, rsv1) = (first & check::FIN != 0, first & check::RSV1 != 0);
        Ok(Some(Header { opcode, fin, rsv1, len }))
    }

    /// Lets a data frame into the message under way, which it may begin;
    /// returns how long its payload is.
    fn admit(&mut self, header: &Header) -> Result<usize, Violation> {
        let max = self.limits.max_message_size;
        match header.opcode {
            OpCode::Text => self.message = Some(MessageKind::Text),
            OpCode::Binary => self.message = Some(MessageKind::Binary),
            _ => {}
        }
        let continues = header.opcode == OpCode::Continuation;
        if !continues {
            self.compressed = header.rsv1;
        }
        // What a compressed message comes to shows as it is decompressed.
        let bounded = !self.streaming && !self.compressed;
        let room = if bounded { max.saturating_sub(self.buffer.len()) } else { usize::MAX };
        let len = usize::try_from(header.len).ok().filter(|len| *len <= room);
        let Some(len) = len else {
            let total = header.len.saturating_add(self.buffer.len() as u64);
            return Err(Violation::too_big(format!(
                "expected messages of at most {max} bytes, got one of {}{total} bytes",
                if header.fin { "" } else { "at least " },
            )));
        };
        if !self.streaming && (continues || !header.fin) {
            self.fragments = self.fragments.saturating_add(1);
            if self.fragments > self.limits.max_fragments {
                return Err(Violation::too_big(format!(
                    "expected messages of at most {} fragments, got one of more",
                    self.limits.max_fragments
                )));
            }
        }
        Ok(len)
    }

    /// The message under way, if it is one frame and all its payload is at the
    /// front of `input`.
    fn whole<'i>(
        &mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<(MessageKind, &'i [u8])>, Violation> {
        if self.fragments > 0 || !self.buffer.is_empty() || input.len() < self.remaining {
            return Ok(None);
        }
        let Some(kind) = self.message.take() else { return Ok(None) };
        let payload = self.take(input);
        if kind == MessageKind::Text && basic::from_utf8(payload).is_err() {
            return Err(check::not_utf8(payload));
        }
        // `direct` may have reserved memory that was not needed after all.
        self.let_go();
        Ok(Some((kind, payload)))
    }

    /// Makes room for the rest of the current frame: exactly for the first, so that a
    /// message in one frame has its final memory; with reserve for fragments.
    fn reserve(&mut self) -> Result<(), Violation> {
        if self.buffer.capacity() == 0 && self.remaining >= DIRECT_MIN {
            // The user may keep it: not much more than is needed.
            self.buffer = memory::take(self.remaining, 2 * self.remaining).unwrap_or_default();
        }
        let reserved = if self.fragments <= 1 {
            self.buffer.try_reserve_exact(self.remaining)
        } else {
            self.buffer.try_reserve(self.remaining)
        };
        reserved.map_err(|_| {
            Violation::too_big(format!("no memory for {} bytes of a message", self.remaining))
        })
    }

    /// The part of the current payload that is at the front of `input`.
    fn take<'i>(&mut self, input: &mut &'i [u8]) -> &'i [u8] {
        let (piece, rest) = input.split_at(self.remaining.min(input.len()));
        *input = rest;
        self.remaining -= piece.len();
        piece
    }

    /// Checks what was added to `buffer` from `start` on; the kind of the
    /// message if that completes it.
    fn data_arrived(&mut self, start: usize, fin: bool) -> Result<Option<MessageKind>, Violation> {
        let Some(kind) = self.message else { return Ok(None) };
        let complete = self.remaining == 0 && fin;
        if kind == MessageKind::Text
            && (self.utf8.push(&self.buffer[start..]).is_err()
                || complete && self.utf8.finish().is_err())
        {
            return Err(check::not_utf8(&self.buffer));
        }
        if complete {
            self.message = None;
            self.fragments = 0;
            self.stage = Stage::Delivered;
            return Ok(Some(kind));
        }
        if self.remaining == 0 {
            self.stage = Stage::Header;
        }
        Ok(None)
    }

    fn between_frames(&self) -> Stage {
        if self.message.is_some() { Stage::Header } else { self.idle() }
    }

    /// Between two messages. The fast path yields nothing but whole ones.
    fn idle(&self) -> Stage {
        if self.streaming { Stage::Header } else { Stage::Ready }
    }

    /// Back between two messages, with little memory kept.
    fn let_go(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() > KEEP_MAX {
            memory::give(mem::take(&mut self.buffer));
        }
        self.stage = self.idle();
    }

    #[cold]
    fn end(&mut self) {
        *self = Decoder { stage: Stage::Done, ..Decoder::new(self.limits) };
    }
}

/// The message that lies whole at the front of `bytes` in one frame, and what
/// follows it. `None` for anything else, sound or not.
#[inline(always)]
fn whole(bytes: &[u8], max: usize) -> Option<(MessageKind, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let kind = match first {
        0x81 => MessageKind::Text,
        0x82 => MessageKind::Binary,
        _ => return None,
    };
    let (len, rest) = match second {
        0..=125 => (usize::from(second), rest),
        126 => {
            let (&len, rest) = rest.split_first_chunk()?;
            let len = usize::from(u16::from_be_bytes(len));
            if len < 126 {
                return None;
            }
            (len, rest)
        }
        _ => return None,
    };
    if len > max {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(len)?;
    if kind == MessageKind::Text && basic::from_utf8(payload).is_err() {
        return None;
    }
    Some((kind, payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_messages_little_memory_is_kept() {
        let limits = Limits { max_message_size: 1 << 20, max_fragments: 10 };
        let frame = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0x86, 0xA0][..], &[7; 100_000]].concat();
        // Where the message is cut in two, and whether memory is lent before
        // its second part comes.
        for (cut, lend) in [(10, true), (10, false), (11, true), (60_000, false)] {
            let mut decoder = Decoder::new(limits);
            let (mut first, mut second) = frame.split_at(cut);
            assert!(decoder.decode(&mut first).unwrap().is_none());
            assert_eq!(decoder.direct().filter(|_| lend).is_some(), lend);
            assert!(matches!(decoder.decode(&mut second), Ok(Some(Item::Message(_)))));
            decoder.recycle();
            assert!(decoder.buffer.capacity() <= KEEP_MAX, "{cut}");
        }
    }
}
