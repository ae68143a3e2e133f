//! Connections come and go; the writer stays, with what it was given.

use std::sync::Arc;

use super::{Phase, Place, Todo, Writer};
use crate::driver::runtime::lock;
use crate::protocol::deflate::Deflater;
use crate::transport::link::Link;

impl Writer {
    /// Puts our close frame behind everything sent so far. `None` for an empty
    /// body. `false` if there was one before, or there is no connection.
    pub(crate) fn close(&self, code: Option<u16>, reason: &str) -> bool {
        let mut state = lock(&self.state);
        if !matches!(state.phase, Phase::Gated | Phase::Open) {
            return false;
        }
        // What waits behind an unfinished message cannot go out any more.
        if state.begun.take().is_none() {
            state.release_pending();
        }
        state.push_close(code, reason);
        state.phase = Phase::Closing;
        self.publish(&state);
        true
    }

    /// The same on a connection that another will follow: what was not begun
    /// waits for that one.
    pub(crate) fn leave(&self, code: Option<u16>, reason: &str) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Gated | Phase::Open) {
            state.begun = None;
            let unsent = state.outbox.retract();
            state.queue.put_back(unsent);
            state.push_close(code, reason);
            state.phase = Phase::Leaving;
            self.publish(&state);
        }
    }

    /// A connection is there. Until [`Writer::ungate`] only what is sent from
    /// within `Open` goes out. The answer numbers the connection and says how many messages have
    /// expired since the last one; `None` if the client was closed while it was being made.
    pub(crate) fn attach(
        &self,
        link: Arc<Link>,
        deflater: Option<Deflater>,
    ) -> Option<(u64, usize)> {
        let mut state = lock(&self.state);
        if state.phase == Phase::Ended {
            return None;
        }
        state.link = Some(link);
        state.deflater = deflater;
        state.held = false;
        state.queue.forget_ahead();
        state.expire();
        let expired = state.queue.take_expired();
        state.epoch += 1;
        state.phase = Phase::Gated;
        state.blocked = false;
        state.requested = false;
        state.let_go_on = false;
        self.new_turn();
        self.publish(&state);
        Some((state.epoch, expired))
    }

    /// `Open` was delivered: the queue follows, unless the gate is held.
    pub(crate) fn ungate(&self, epoch: u64) -> Todo {
        let mut state = lock(&self.state);
        if state.phase == Phase::Gated && state.epoch == epoch && !state.held {
            state.phase = Phase::Open;
            if state.begun.is_none() {
                state.release_pending();
            }
        }
        drop(state);
        self.flush()
    }

    /// The number of the connection that comes next.
    pub(crate) fn next_epoch(&self) -> u64 {
        lock(&self.state).epoch + 1
    }

    /// Keeps the gate shut behind `Open`, until [`Writer::ready`]. The answer numbers the connection;
    /// `None` if no gate is shut.
    pub(crate) fn hold(&self, place: Place) -> Option<u64> {
        let mut state = lock(&self.state);
        // A host that is late may be told of a connection that another has followed.
        let late =
            matches!(place, Place::Inside { opening: Some(epoch), .. } if epoch != state.epoch);
        if state.phase != Phase::Gated || late {
            return None;
        }
        state.held = true;
        Some(state.epoch)
    }

    /// Opens the gate of connection `epoch`, if it is held.
    pub(crate) fn ready(&self, epoch: u64) -> Todo {
        let mut state = lock(&self.state);
        if state.epoch == epoch {
            state.held = false;
        }
        drop(state);
        self.ungate(epoch)
    }

    /// The connection is gone. What did not leave as a whole waits for the next one, or to be
    /// given back. `None` while another thread is inside a write: try again.
    pub(crate) fn detach(&self) -> Option<Todo> {
        let mut state = lock(&self.state);
        if state.flushing {
            return None;
        }
        state.link = None;
        state.deflater = None;
        state.begun = None;
        state.pong = None;
        let unsent = state.outbox.reclaim();
        state.queue.put_back(unsent);
        if matches!(state.phase, Phase::Gated | Phase::Open | Phase::Leaving) {
            state.phase = Phase::Offline;
        }
        // Fragments and control frames, which went with it, may have been in the way.
        let drain = state.phase == Phase::Offline && state.take_drain(self.limit);
        self.publish(&state);
        Some(Todo { drain, ..Todo::default() })
    }

    /// Takes no more messages while there is no connection, because the
    /// client is to end.
    pub(crate) fn refuse(&self) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Offline | Phase::Leaving) {
            state.phase = Phase::Ended;
        }
    }

    /// Nothing will ever be sent again. What never left stays for [`Writer::take_unsent`]; the answer
    /// is how many messages and bytes that is.
    pub(crate) fn end(&self) -> (usize, usize) {
        let mut state = lock(&self.state);
        state.phase = Phase::Ended;
        state.link = None;
        state.deflater = None;
        state.begun = None;
        if !state.flushing {
            let unsent = state.outbox.reclaim();
            state.queue.put_back(unsent);
        }
        let unsent = state.queue.end();
        self.publish(&state);
        unsent
    }
}
