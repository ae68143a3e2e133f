//! Frames as bytes: what a client sent, decoded strictly; what the server says, encoded.
//!
//! No I/O here. [`Inbox`] is filled by the connection and yields whole messages and control frames, with payloads that lie in
//! it; [`Outbox`] collects bytes until the connection writes them. The rules of RFC 6455 for a server are enforced: a client
//! that breaks one gets a [`Violation`], so that a test cannot pass with a client that is wrong.

use std::ops::Range;

/// Longest message that is accepted.
const MAX_MESSAGE: u64 = 256 << 20;
/// Memory beyond this is given back once a buffer is empty.
const RETAINED: usize = 32 << 20;

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// What the client did wrong, with the close code it is told.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Violation {
    fn protocol(reason: impl Into<String>) -> Self {
        Self { code: 1002, reason: reason.into() }
    }
}

/// A whole message or a control frame. Its payload is [`Inbox::payload`] until the inbox is filled again.
#[derive(Debug)]
pub(crate) struct Frame {
    /// `TEXT` or `BINARY` for a message, also one that came in fragments.
    pub(crate) opcode: u8,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Buffer(Range<usize>),
    Fragments,
}

/// Bytes from the client, and the message whose fragments are still coming.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` begins.
    start: usize,
    /// Unread bytes that the next frame takes, as far as known.
    needed: usize,
    fragments: Vec<u8>,
    /// The opcode of the message in `fragments`, until its last fragment came.
    fragmented: Option<u8>,
}

impl Inbox {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// How many bytes are missing to the next whole frame, as far as known.
    pub(crate) fn missing(&self) -> usize {
        self.needed.saturating_sub(self.unread().len())
    }

    /// The buffer to append to. Payloads handed out before are gone.
    pub(crate) fn refill(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > RETAINED {
            self.buffer = Vec::new();
        }
        &mut self.buffer
    }

    pub(crate) fn payload(&self, frame: &Frame) -> &[u8] {
        match &frame.place {
            Place::Buffer(range) => &self.buffer[range.clone()],
            Place::Fragments => &self.fragments,
        }
    }

    /// The next message or control frame, if it is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Violation> {
        loop {
            let Some((head, range)) = self.next_raw()? else { return Ok(None) };
            let (last, opcode) = (head & 0x80 != 0, head & 0x0f);
            let frame = match opcode {
                0 => {
                    let Some(opcode) = self.fragmented else {
                        return Err(Violation::protocol(
                            "continuation frame without a message to continue",
                        ));
                    };
                    self.append_fragment(range)?;
                    if !last {
                        continue;
                    }
                    self.fragmented = None;
                    Frame { opcode, place: Place::Fragments }
                }
                TEXT | BINARY => {
                    if self.fragmented.is_some() {
                        return Err(Violation::protocol(
                            "new message before the last fragment of the one before",
                        ));
                    }
                    if !last {
                        self.fragmented = Some(opcode);
                        self.fragments.clear();
                        self.append_fragment(range)?;
                        continue;
                    }
                    Frame { opcode, place: Place::Buffer(range) }
                }
                _ => Frame { opcode, place: Place::Buffer(range) },
            };
            if frame.opcode == TEXT && std::str::from_utf8(self.payload(&frame)).is_err() {
                return Err(Violation { code: 1007, reason: "text message is not UTF-8".into() });
            }
            return Ok(Some(frame));
        }
    }

    fn append_fragment(&mut self, range: Range<usize>) -> Result<(), Violation> {
        if (self.fragments.len() + range.len()) as u64 > MAX_MESSAGE {
            return Err(too_big());
        }
        self.fragments.extend_from_slice(&self.buffer[range]);
        Ok(())
    }

    /// The next frame's first byte and where its payload lies, unmasked.
    fn next_raw(&mut self) -> Result<Option<(u8, Range<usize>)>, Violation> {
        let unread = &self.buffer[self.start..];
        self.needed = 2;
        let &[head, second, ref rest @ ..] = unread else { return Ok(None) };
        check_head(head, second)?;
        let (extra, length) = match (second & 0x7f, rest) {
            (126, &[a, b, ..]) => (2, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => {
                (8, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            (126 | 127, _) => return Ok(None),
            (length, _) => (0, u64::from(length)),
        };
        if (extra == 2 && length < 126) || (extra == 8 && length <= 0xffff) {
            return Err(Violation::protocol(format!(
                "length {length} is not in its shortest form"
            )));
        }
        if length > MAX_MESSAGE {
            return Err(too_big());
        }
        let from = self.start + 2 + extra + 4;
        let to = from + length as usize;
        self.needed = to - self.start;
        if self.buffer.len() < to {
            return Ok(None);
        }
        let mask = [0, 1, 2, 3].map(|i| self.buffer[from - 4 + i]);
        unmask(&mut self.buffer[from..to], mask);
        self.start = to;
        Ok(Some((head, from..to)))
    }
}

fn too_big() -> Violation {
    Violation { code: 1009, reason: format!("message exceeds {MAX_MESSAGE} bytes") }
}

fn check_head(head: u8, second: u8) -> Result<(), Violation> {
    let opcode = head & 0x0f;
    if head & 0x70 != 0 {
        return Err(Violation::protocol("reserved bit set without an extension"));
    }
    if !matches!(opcode, 0 | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(Violation::protocol(format!("reserved opcode {opcode}")));
    }
    if opcode >= CLOSE && (head & 0x80 == 0 || second & 0x7f > 125) {
        return Err(Violation::protocol("control frame fragmented or longer than 125 bytes"));
    }
    if second & 0x80 == 0 {
        return Err(Violation::protocol("frame without a mask"));
    }
    Ok(())
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The code and reason in a close frame's payload, whatever they are; no code when there are not two bytes for it.
pub(crate) fn close_payload(payload: &[u8]) -> (Option<u16>, &[u8]) {
    match payload {
        &[high, low, ref reason @ ..] => (Some(u16::from_be_bytes([high, low])), reason),
        _ => (None, &[]),
    }
}

/// The code and reason in a close frame's payload, if they may be sent; no code when it is empty.
pub(crate) fn parse_close(payload: &[u8]) -> Result<(Option<u16>, String), Violation> {
    let (code, reason) = close_payload(payload);
    match code {
        None if payload.is_empty() => return Ok((None, String::new())),
        None => return Err(Violation::protocol("close frame of one byte")),
        Some(1000..=1003 | 1007..=1014 | 3000..=4999) => {}
        Some(code) => {
            return Err(Violation::protocol(format!("close code {code} must not be sent")));
        }
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok((code, reason.into())),
        Err(_) => Err(Violation { code: 1007, reason: "close reason is not UTF-8".into() }),
    }
}

/// Bytes for the client that were not written yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: Vec<u8>,
    written: usize,
}

impl Outbox {
    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// Notes that `count` bytes were written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written == self.buffer.len() {
            self.written = 0;
            self.buffer.clear();
            if self.buffer.capacity() > RETAINED {
                self.buffer = Vec::new();
            }
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.frame(TEXT, text.as_bytes());
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        self.frame(BINARY, bytes);
    }

    /// Without a code the frame has no payload.
    pub(crate) fn close(&mut self, code: Option<u16>, reason: &str) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(reason.as_bytes());
        }
        self.frame(CLOSE, &payload);
    }

    pub(crate) fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.head(opcode, payload.len());
        self.buffer.extend_from_slice(payload);
    }

    /// A frame of `length` bytes that begins with `start`, cut where it does not fit, and goes on with `filler`.
    pub(crate) fn padded_frame(&mut self, opcode: u8, start: &[u8], length: usize, filler: u8) {
        self.head(opcode, length);
        let end = self.buffer.len() + length;
        self.buffer.extend_from_slice(&start[..start.len().min(length)]);
        self.buffer.resize(end, filler);
    }

    fn head(&mut self, opcode: u8, length: usize) {
        self.buffer.push(0x80 | opcode);
        match length {
            0..=125 => self.buffer.push(length as u8),
            126..=0xffff => {
                self.buffer.push(126);
                self.buffer.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                self.buffer.push(127);
                self.buffer.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
    }
}
