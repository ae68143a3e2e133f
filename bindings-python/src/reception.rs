//! How messages that came in pieces are given away: put together, or piece by piece.
//!
//! **Whoever stops in the middle loses nothing**: what was taken from the inbox
//! and not given away stays with the connection, for the next call. A message of which a piece
//! was given away can only be read on piece by piece, so that nobody takes its rest for a message.

use longwire::{Client, ErrorKind, MessageKind};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::inbox::{Entry, Inbox};
use crate::message::{self, Decode};

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Want {
    /// A whole message.
    Message(Decode),
    /// The next piece of a message, as `(number, piece or None, whether it is the last)`; the
    /// number is that of the message of which the caller has had pieces.
    Piece(Decode, Option<u64>),
}

/// A message of which pieces were taken from the inbox.
pub(crate) struct Partial {
    text: bool,
    held: Held,
    /// The last piece was taken, too.
    complete: bool,
    /// A piece was given away.
    begun: bool,
    /// Nothing of it is left to give.
    given: bool,
}

/// What was taken and not given away.
enum Held {
    One(Py<PyBytes>),
    Many(Vec<u8>),
}

impl Held {
    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match self {
            Held::One(bytes) => bytes.as_bytes(py),
            Held::Many(bytes) => bytes,
        }
    }

    fn add(&mut self, py: Python<'_>, more: Py<PyBytes>) {
        match self {
            Held::Many(bytes) if bytes.is_empty() => *self = Held::One(more),
            Held::Many(bytes) => bytes.extend_from_slice(more.as_bytes(py)),
            Held::One(one) => *self = Held::Many([one.as_bytes(py), more.as_bytes(py)].concat()),
        }
    }
}

/// Whoever has an inbox behind a lock.
pub(crate) trait Source {
    /// Does what is not Python code while the inbox is locked.
    fn inbox<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Inbox) -> T) -> T;

    /// The client, if somebody watches over the program's taking messages.
    fn watched_over(&self) -> Option<&Client>;

    /// Puts what came into the inbox, unless the user closes.
    fn keep(&self, py: Python<'_>, entry: PyResult<Entry>, len: usize) -> PyResult<()> {
        let entry = entry?;
        let kept = self.inbox(py, |inbox| inbox.push(entry, len));
        if let Ok(true) = kept {
            self.note_consumer(py);
        }
        Ok(())
    }

    /// The program took something, or there is something for it to take.
    fn note_consumer(&self, py: Python<'_>) {
        if let Some(client) = self.watched_over() {
            client.note_consumer(!self.inbox(py, |inbox| inbox.is_empty()));
        }
    }
}

/// Takes what is wanted. `None` if it is not there yet.
pub(crate) fn take(
    py: Python<'_>,
    source: &impl Source,
    want: Want,
) -> PyResult<Option<Py<PyAny>>> {
    let (streamed, max, conflict) =
        source.inbox(py, |inbox| (inbox.streamed, inbox.max_message_size, want.conflict(inbox)));
    if let Some(text) = conflict {
        return Err(error::raise_kind(py, ErrorKind::Busy, text));
    }
    loop {
        if let Some(mut partial) = source.inbox(py, |inbox| inbox.partial.take()) {
            let outcome = match want {
                Want::Message(decode) => partial.message(py, decode, max),
                Want::Piece(decode, _) => partial.piece(py, decode, streamed),
            };
            source.inbox(py, |inbox| {
                if partial.given {
                    inbox.streamed += u64::from(partial.begun);
                } else {
                    inbox.partial = Some(partial);
                }
            });
            if !matches!(outcome, Ok(None)) {
                return outcome;
            }
        }
        match source.inbox(py, Inbox::pop_entry) {
            None => return Ok(None),
            Some(Entry::Message(message)) => return want.whole(py, message, streamed).map(Some),
            Some(Entry::Piece { bytes, text, last }) => source.inbox(py, |inbox| {
                let partial = inbox.partial.get_or_insert_with(|| {
                    let held = Held::Many(Vec::new());
                    Box::new(Partial { text, held, complete: false, begun: false, given: false })
                });
                partial.held.add(py, bytes);
                partial.complete = last;
            }),
            Some(Entry::Cut(exception)) => {
                source.inbox(py, |inbox| {
                    let begun = inbox.partial.take().is_some_and(|partial| partial.begun);
                    inbox.streamed += u64::from(begun);
                });
                return Err(PyErr::from_value(exception.into_bound(py)));
            }
        }
    }
}

impl Want {
    /// Why this cannot be asked for at this moment.
    fn conflict(self, inbox: &Inbox) -> Option<&'static str> {
        match self {
            Want::Message(_) if inbox.partial.as_ref().is_some_and(|partial| partial.begun) => {
                Some(
                    "cannot call recv in the middle of a message: \
                     recv_streaming has not read it to its end",
                )
            }
            Want::Piece(_, Some(number)) if number != inbox.streamed => {
                Some("the rest of this message was read by another recv_streaming")
            }
            Want::Message(_) | Want::Piece(..) => None,
        }
    }

    /// Gives away a message that came whole.
    pub(crate) fn whole(
        self,
        py: Python<'_>,
        message: Py<PyAny>,
        streamed: u64,
    ) -> PyResult<Py<PyAny>> {
        match self {
            Want::Message(decode) => decode.apply(py, message),
            Want::Piece(decode, _) => (streamed, decode.apply(py, message)?, true).into_py_any(py),
        }
    }
}

impl Partial {
    /// The whole message; `None` if it is not complete.
    fn message(
        &mut self,
        py: Python<'_>,
        decode: Decode,
        max: usize,
    ) -> PyResult<Option<Py<PyAny>>> {
        let bytes = self.held.bytes(py);
        if bytes.len() > max {
            let text = format!(
                "expected a message of at most {max} bytes, got a larger one; \
                 recv_streaming takes it piece by piece"
            );
            return Err(error::raise_kind(py, ErrorKind::TooBig, &text));
        }
        if !self.complete {
            return Ok(None);
        }
        self.given = true;
        message::to_python(py, self.kind(decode), bytes).map(Some)
    }

    /// What can be given away now; `None` if that is nothing yet.
    fn piece(
        &mut self,
        py: Python<'_>,
        decode: Decode,
        number: u64,
    ) -> PyResult<Option<Py<PyAny>>> {
        let kind = self.kind(decode);
        let bytes = self.held.bytes(py);
        let text = kind == MessageKind::Text && !self.complete;
        let (now, later) = bytes.split_at(bytes.len() - if text { cut_off(bytes) } else { 0 });
        if now.is_empty() && !self.complete {
            return Ok(None);
        }
        // An end without content, as after fragments; but an empty message has one piece.
        let piece = if now.is_empty() && self.begun {
            py.None()
        } else if let (Held::One(whole), MessageKind::Binary) = (&self.held, kind) {
            whole.clone_ref(py).into_any()
        } else {
            message::to_python(py, kind, now)?
        };
        self.held = Held::Many(later.to_vec());
        self.begun = true;
        self.given = self.complete;
        (number, piece, self.complete).into_py_any(py).map(Some)
    }

    fn kind(&self, decode: Decode) -> MessageKind {
        match decode {
            Decode::Str => MessageKind::Text,
            Decode::AsSent if self.text => MessageKind::Text,
            Decode::AsSent | Decode::Bytes => MessageKind::Binary,
        }
    }
}

/// How many bytes at the end are the beginning of a character of UTF-8.
fn cut_off(bytes: &[u8]) -> usize {
    for (back, byte) in (1..=3).zip(bytes.iter().rev()) {
        let len = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if len > back { back } else { 0 };
    }
    0
}
