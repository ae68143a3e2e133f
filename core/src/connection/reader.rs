//! Bytes in, items out, on whichever thread drives.

use std::mem;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::protocol::decoder::{Close, Decoder, Item};
use crate::protocol::violation::Violation;
use crate::transport::link::{Got, Link};
use crate::transport::scratch::Scratch;

/// Bytes read before other connections of the same thread get their turn.
const FAIR: usize = 1 << 20;
/// After a message of so much, little is read at first: enough for the head of another, whose rest
/// then comes straight into its memory. What is copied there costs more than a system call.
const LARGE: usize = 128 << 10;
const LARGE_HEAD: usize = 4 << 10;

/// The reading half of a connection.
pub(crate) struct Reader {
    link: Arc<Link>,
    decoder: Decoder,
    /// Bytes that came but were not decoded: behind the handshake's answer, or
    /// left by a spent budget (the scratch buffer belongs to the thread).
    left: Vec<u8>,
    /// How many of them were decoded since.
    left_taken: usize,
    /// A large message has just ended; the next one may be large as well.
    after_large: bool,
}

/// Where a read stopped.
pub(crate) enum Stop {
    /// The socket is empty.
    Idle,
    /// There may be more; the budget or the fair share was spent.
    More,
    /// Nothing can follow.
    End(End),
}

/// How the peer's side ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The TCP stream ended without a close frame.
    Eof,
    /// A close frame; 1005 if it was empty.
    Close { code: u16, reason: String },
    /// The peer broke the protocol; it is told so with this code.
    Violation { code: u16, error: Error },
    /// The connection failed.
    Failed(Error),
}

/// What [`Reader::read`] hands over, and the answer: whether to go on.
pub(crate) trait Sink {
    /// Takes one item; `false` stops the reading after it.
    fn item(&mut self, item: Item<'_>) -> bool;
}

impl<F: FnMut(Item<'_>) -> bool> Sink for F {
    fn item(&mut self, item: Item<'_>) -> bool {
        self(item)
    }
}

impl Reader {
    pub(crate) fn new(link: Arc<Link>, decoder: Decoder, early: Vec<u8>) -> Reader {
        Reader { link, decoder, left: early, left_taken: 0, after_large: false }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Whether bytes wait here that the socket does not show.
    pub(crate) fn has_left(&self) -> bool {
        !self.left.is_empty() || self.decoder.has_more() || self.link.is_at_end()
    }

    /// As [`Decoder::take_inflated`].
    pub(crate) fn take_inflated(&mut self) -> (u64, u64) {
        self.decoder.take_inflated()
    }

    /// Reads and decodes until the socket is empty, the sink says stop, or a
    /// fair share was read. The number is 0 if no byte came, else how many at least.
    pub(crate) fn read(&mut self, scratch: &mut Scratch, sink: &mut impl Sink) -> (Stop, usize) {
        if self.has_left() {
            let mut left = mem::take(&mut self.left);
            let mut rest = &left[mem::take(&mut self.left_taken)..];
            let stop = self.decode(&mut rest, sink);
            let len = rest.len();
            if len > 0 {
                self.left_taken = left.len() - len;
                self.left = left;
            } else if left.capacity() > scratch.spare.capacity() {
                left.clear();
                scratch.spare = left;
            }
            if let Some(stop) = stop {
                return (stop, 0);
            }
        }
        let mut total = 0;
        loop {
            if total >= FAIR {
                return (Stop::More, total);
            }
            if let Some(stop) = self.read_once(scratch, sink, &mut total) {
                return (stop, total);
            }
        }
    }

    /// `None`: the socket may have more.
    fn read_once(
        &mut self,
        scratch: &mut Scratch,
        sink: &mut impl Sink,
        total: &mut usize,
    ) -> Option<Stop> {
        let mut left = mem::take(&mut scratch.spare);
        // The rest of a large message comes straight into its memory.
        let target = self.decoder.direct().unwrap_or_default();
        let most = if self.after_large { LARGE_HEAD } else { usize::MAX };
        let stop = match self.link.read_into(target, scratch, most) {
            Ok(Got::Bytes { direct, bytes, more }) => {
                *total += (direct + bytes.len()).max(1);
                self.after_large = false;
                let mut rest = bytes;
                let mut stop = if direct > 0 { self.filled(direct, sink) } else { None };
                if stop.is_none() {
                    stop = self.decode(&mut rest, sink);
                }
                left.extend_from_slice(rest);
                stop.or(if more { None } else { Some(Stop::Idle) })
            }
            Ok(Got::Nothing) => Some(Stop::Idle),
            Ok(Got::End) => Some(Stop::End(End::Eof)),
            Err(error) => Some(Stop::End(End::Failed(error))),
        };
        if left.is_empty() {
            scratch.spare = left;
        } else {
            self.left = left;
        }
        stop
    }

    /// `n` bytes were read into what the decoder gave for them. `None`: go on.
    fn filled(&mut self, n: usize, sink: &mut impl Sink) -> Option<Stop> {
        // SAFETY: the link wrote the first `n` bytes of what `direct` gave.
        let stop = match unsafe { self.decoder.direct_filled(n) } {
            Ok(None) => return None,
            Ok(Some(item)) => {
                self.after_large =
                    matches!(&item, Item::Message(message) if message.as_bytes().len() >= LARGE);
                if sink.item(item) { None } else { Some(Stop::More) }
            }
            Err(violation) => return Some(Stop::End(violation.into())),
        };
        // The next bytes may be long in coming.
        self.decoder.recycle();
        stop
    }

    /// `None`: all of `bytes` was decoded.
    fn decode(&mut self, bytes: &mut &[u8], sink: &mut impl Sink) -> Option<Stop> {
        loop {
            match self.decoder.decode(bytes) {
                Ok(Some(Item::Close(close))) => {
                    return Some(Stop::End(close.as_ref().into()));
                }
                Ok(Some(item)) => {
                    if !sink.item(item) {
                        self.decoder.recycle();
                        return Some(Stop::More);
                    }
                }
                Ok(None) => return None,
                Err(violation) => return Some(Stop::End(violation.into())),
            }
        }
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> End {
        End::Violation { code: violation.close_code(), error: violation.into() }
    }
}

impl From<Option<&Close<'_>>> for End {
    fn from(close: Option<&Close<'_>>) -> End {
        match close {
            Some(close) => End::Close { code: close.code, reason: close.reason.to_owned() },
            None => End::Close { code: 1005, reason: String::new() },
        }
    }
}

impl End {
    /// Whether the peer is told something, and can still be told something else before.
    pub(crate) fn wants_answer(&self) -> bool {
        matches!(self, End::Close { .. } | End::Violation { .. })
    }

    /// What went wrong, if anything did.
    pub(crate) fn error(&self) -> Option<Error> {
        match self {
            End::Eof => Some(Error::new(
                ErrorKind::Lost,
                "the server ended the TCP connection without a closing handshake",
            )),
            End::Close { .. } => None,
            End::Violation { error, .. } | End::Failed(error) => Some(error.clone()),
        }
    }
}
