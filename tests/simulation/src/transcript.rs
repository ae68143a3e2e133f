//! What a client says, read as a server has to: a request, then masked frames.
//!
//! The transcript is made when the client's system takes the bytes, and read
//! by the server as far as they have come.

use std::collections::VecDeque;
use std::mem;

use crate::event::MessageKind;
use crate::protocol::deflate::Inflater;
use crate::protocol::encoder::Frame;
use crate::protocol::frame::OpCode;
use crate::protocol::mask;

/// One thing the client said.
#[derive(Clone, Debug)]
pub enum Heard {
    Request {
        key: String,
        compression: bool,
    },
    Message {
        kind: MessageKind,
        payload: Vec<u8>,
        fragments: usize,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// 1005 stands for none.
    Close(u16),
    /// What no client may say.
    Wrong(String),
}

#[derive(Default)]
pub struct Transcript {
    bytes: Vec<u8>,
    /// Where `bytes` begins, counted from the first.
    start: usize,
    requested: bool,
    closed: bool,
    wrong: bool,
    inflater: Option<Inflater>,
    message: Option<Begun>,
    /// What was said, and where it ended.
    items: VecDeque<(usize, Heard)>,
}

struct Begun {
    kind: MessageKind,
    compressed: bool,
    payload: Vec<u8>,
    fragments: usize,
}

impl Transcript {
    /// Takes what the client sent; what became complete is put into `complete`.
    pub fn feed(&mut self, bytes: &[u8], complete: &mut Vec<Heard>) {
        self.bytes.extend_from_slice(bytes);
        while let Some((len, heard)) = self.next() {
            self.bytes.drain(..len);
            self.start += len;
            if let Some(heard) = heard {
                self.wrong |= matches!(heard, Heard::Wrong(_));
                complete.push(heard.clone());
                self.items.push_back((self.start, heard));
            }
        }
    }

    /// What ends within the first `heard` bytes and was not asked for before.
    pub fn read_to(&mut self, heard: usize) -> Vec<Heard> {
        let count = self.items.iter().take_while(|(end, _)| *end <= heard).count();
        self.items.drain(..count).map(|(_, item)| item).collect()
    }

    pub fn compressed(&mut self, inflater: Inflater) {
        self.inflater = Some(inflater);
    }

    /// Whether compression was agreed on.
    pub fn is_compressed(&self) -> bool {
        self.inflater.is_some()
    }

    /// Whether a close frame was sent.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a frame is not complete.
    pub fn is_cut(&self) -> bool {
        self.requested && !self.bytes.is_empty()
    }

    fn next(&mut self) -> Option<(usize, Option<Heard>)> {
        if self.wrong || self.bytes.is_empty() {
            return None;
        }
        if !self.requested {
            let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            self.requested = true;
            return Some((end, Some(request(&self.bytes[..end]))));
        }
        let Some((frame, key, range)) = Frame::parse_own(&self.bytes) else {
            // Either too short, or not a frame: no header is longer.
            let wrong = self.bytes.len() >= 14 || self.bytes.len() > 1 && self.bytes[1] < 0x80;
            return wrong.then(|| (0, Some(Heard::Wrong("no masked frame".into()))));
        };
        if self.bytes.len() < range.end {
            return None;
        }
        let mut payload = self.bytes[range.clone()].to_vec();
        mask::apply(key, &mut payload);
        let heard = self.frame(frame, payload);
        let heard = heard.unwrap_or_else(|wrong| Some(Heard::Wrong(wrong)));
        Some((range.end, heard))
    }

    fn frame(&mut self, frame: Frame, payload: Vec<u8>) -> Result<Option<Heard>, String> {
        if self.closed {
            return Err(format!("{:?} after a close frame", frame.opcode));
        }
        if frame.opcode.is_control() && (!frame.fin || frame.rsv1 || payload.len() > 125) {
            return Err(format!("{frame:?} with {} bytes", payload.len()));
        }
        if frame.rsv1 && self.inflater.is_none() {
            return Err("a compressed frame where that was not agreed on".into());
        }
        match frame.opcode {
            OpCode::Ping => return Ok(Some(Heard::Ping(payload))),
            OpCode::Pong => return Ok(Some(Heard::Pong(payload))),
            OpCode::Close => {
                self.closed = true;
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                return Ok(Some(Heard::Close(code)));
            }
            OpCode::Text | OpCode::Binary => {
                let kind = match frame.opcode {
                    OpCode::Text => MessageKind::Text,
                    _ => MessageKind::Binary,
                };
                let begun =
                    Begun { kind, compressed: frame.rsv1, payload: Vec::new(), fragments: 0 };
                if self.message.replace(begun).is_some() {
                    return Err("a message inside another".into());
                }
            }
            OpCode::Continuation => {
                if frame.rsv1 {
                    return Err("a continuation with RSV1".into());
                }
            }
        }
        let Some(begun) = &mut self.message else {
            return Err("a continuation of nothing".into());
        };
        begun.payload.extend_from_slice(&payload);
        begun.fragments += 1;
        if !frame.fin {
            return Ok(None);
        }
        let Some(begun) = self.message.take() else { return Ok(None) };
        self.complete(begun).map(Some)
    }

    fn complete(&mut self, begun: Begun) -> Result<Heard, String> {
        let Begun { kind, compressed, mut payload, fragments } = begun;
        if compressed && let Some(inflater) = &mut self.inflater {
            let bytes = mem::take(&mut payload);
            let broken = |violation| format!("a message that does not decompress: {violation:?}");
            inflater.inflate(&mut &bytes[..], &mut payload, usize::MAX).map_err(broken)?;
            inflater.finish().map_err(broken)?;
        }
        if kind == MessageKind::Text && std::str::from_utf8(&payload).is_err() {
            return Err("text that is not UTF-8".into());
        }
        Ok(Heard::Message { kind, payload, fragments })
    }
}

fn request(head: &[u8]) -> Heard {
    let head = String::from_utf8_lossy(head);
    let value = |wanted: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.next().map(|(_, value)| value.to_owned())
    };
    match value("Sec-WebSocket-Key") {
        Some(key) if head.starts_with("GET /") => {
            Heard::Request { key, compression: value("Sec-WebSocket-Extensions").is_some() }
        }
        _ => Heard::Wrong(format!("no request for a WebSocket: {head:?}")),
    }
}
