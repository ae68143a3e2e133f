//! One message in several frames (RFC 6455 section 5.4).
//!
//! **Between its first frame and its last no other message goes out**, only control
//! frames; whole messages wait in the queue.

use super::{How, Phase, Place, State, Todo, Writer, closed, full, offline, opcode};
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::MessageKind;
use crate::protocol::encoder::{Frame, encoded_len};
use crate::protocol::frame::OpCode;
use crate::protocol::utf8::Utf8Stream;
use crate::sync::MutexGuard;

/// The message that is being sent.
pub(super) struct Begun {
    kind: MessageKind,
    compress: bool,
    /// Its first frame is in the outbox.
    started: bool,
    /// What the text so far ended in.
    utf8: Utf8Stream,
}

impl Writer {
    /// Begins a message; the answer numbers its connection.
    pub(crate) fn begin(&self, kind: MessageKind, how: How, place: Place) -> Result<u64> {
        let mut state = lock(&self.state);
        if state.begun.is_some() {
            return Err(Error::new(
                ErrorKind::Busy,
                "another message is being sent in fragments and is not finished",
            ));
        }
        match state.phase {
            Phase::Open => {}
            Phase::Gated if state.is_opening(how, place) => {}
            // Nothing was queued that would have to go out first.
            Phase::Gated if state.queue.is_empty() => {}
            Phase::Gated | Phase::Offline | Phase::Leaving => return Err(offline()),
            Phase::Closing | Phase::Ended => return Err(closed()),
        }
        let compress = how.compress && state.deflater.is_some();
        let utf8 = Utf8Stream::default();
        state.begun = Some(Begun { kind, compress, started: false, utf8 });
        Ok(state.epoch)
    }

    /// Sends the next fragment of the message begun on connection `epoch`.
    pub(crate) fn fragment(&self, epoch: u64, payload: &[u8], place: Place) -> Result<Todo> {
        let mut state = lock(&self.state);
        let begun = state.begun(epoch)?;
        let mut utf8 = begun.utf8;
        if begun.kind == MessageKind::Text && utf8.push(payload).is_err() {
            let text = "send: expected text in UTF-8, got other bytes in a fragment of a message";
            return Err(Error::new(ErrorKind::Utf8, text));
        }
        // What waits for the end of this message is not in its way.
        let (waiting, len) = (state.outbox.held(), encoded_len(payload.len()));
        if waiting > 0 && waiting.saturating_add(len) > self.limit {
            state.drain_owed = true;
            return Err(full(waiting, len, self.limit));
        }
        state.begun(epoch)?.utf8 = utf8;
        state.push_fragment(payload, false);
        Ok(self.go_on(state, place))
    }

    /// Sends the last fragment, and what has waited for it.
    pub(crate) fn finish(&self, epoch: u64, place: Place) -> Result<Todo> {
        let mut state = lock(&self.state);
        let begun = state.begun(epoch)?;
        if begun.kind == MessageKind::Text && begun.utf8.finish().is_err() {
            let text = "send: expected text in UTF-8, got a message that ends inside a character";
            return Err(Error::new(ErrorKind::Utf8, text));
        }
        state.push_fragment(b"", true);
        state.counts.messages += 1;
        state.end_begun();
        Ok(self.go_on(state, place))
    }

    /// Gives up the message begun on connection `epoch`. `None` if its beginning is on the way,
    /// so that nothing else can follow on that connection.
    pub(crate) fn give_up(&self, epoch: u64, place: Place) -> Option<Todo> {
        let mut state = lock(&self.state);
        match state.begun(epoch) {
            Ok(begun) if begun.started => None,
            Ok(_) => {
                state.end_begun();
                Some(self.go_on(state, place))
            }
            Err(_) => Some(Todo::default()),
        }
    }

    fn go_on(&self, state: MutexGuard<'_, State>, place: Place) -> Todo {
        if place != Place::Outside {
            super::scope::defer();
        } else if !state.flushing && !state.blocked {
            let (state, flushed) = self.flush_locked(state);
            return self.after(state, flushed);
        }
        self.publish(&state);
        Todo::default()
    }
}

impl State {
    fn begun(&mut self, epoch: u64) -> Result<&mut Begun> {
        match &mut self.begun {
            Some(begun) if self.epoch == epoch => Ok(begun),
            _ if matches!(self.phase, Phase::Closing | Phase::Ended) => Err(closed()),
            _ => Err(Error::new(
                ErrorKind::Lost,
                "the connection was lost before the message was complete",
            )),
        }
    }

    fn end_begun(&mut self) {
        self.begun = None;
        match self.phase {
            Phase::Open => self.release_pending(),
            // What was sent from within `Open` meanwhile precedes the queue.
            Phase::Gated => self.release_ahead(),
            _ => {}
        }
    }

    fn push_fragment(&mut self, payload: &[u8], fin: bool) {
        let Some(begun) = &mut self.begun else { return };
        let first = !std::mem::replace(&mut begun.started, true);
        // A message without pieces is one frame. Compressed, it would be taken
        // for one whose original is kept.
        let compress = begun.compress && !(first && fin);
        let frame = Frame {
            opcode: if first { opcode(begun.kind) } else { OpCode::Continuation },
            fin,
            rsv1: first && compress,
        };
        let outbox = &mut self.outbox;
        match &mut self.deflater {
            Some(deflater) if compress => {
                let totals = &mut self.counts.deflated;
                deflater.fragment(payload, fin, |bytes| {
                    totals.0 += payload.len() as u64;
                    totals.1 += bytes.len() as u64;
                    outbox.push_frame(frame, bytes);
                });
            }
            _ => outbox.push_frame(frame, payload),
        }
    }
}
