//! From the outbox to the socket, by one thread at a time and without the lock.

use super::{Flushed, PONGS, State, Todo, Writer};
use crate::driver::runtime::lock;
use crate::protocol::frame::OpCode;
use crate::sync::{Instant, MutexGuard};
use crate::transport::link::would_block;

impl Writer {
    /// Writes what is there, unless somebody else does or the socket is full.
    pub(crate) fn flush(&self) -> Todo {
        let mut state = lock(&self.state);
        let requested = std::mem::take(&mut state.requested);
        if state.flushing || state.blocked {
            return Todo::default();
        }
        let (mut state, flushed) = self.flush_locked(state);
        if requested {
            // The burst that asked for it may go on.
            state.last_direct = Some(Instant::now());
        }
        self.after(state, flushed)
    }

    /// The runtime's flush, after the socket became writable.
    pub(crate) fn resume(&self) -> (Flushed, bool) {
        let mut state = lock(&self.state);
        state.requested = false;
        if state.flushing {
            return (Flushed::Done, false);
        }
        state.blocked = false;
        let (mut state, flushed) = self.flush_locked(state);
        let drain = state.take_drain(self.limit);
        self.publish(&state);
        (flushed, drain)
    }

    /// Whether the runtime has to wait until the socket is writable.
    pub(crate) fn is_blocked(&self) -> bool {
        lock(&self.state).blocked
    }

    /// Whether everything has been handed to the kernel.
    pub(crate) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        !state.flushing
            && state.outbox.unsent() == 0
            && !state.link.as_ref().is_some_and(|link| link.has_unsent())
    }

    pub(super) fn after(&self, mut state: MutexGuard<'_, State>, flushed: Flushed) -> Todo {
        let todo = Todo {
            wake: flushed != Flushed::Done,
            drain: state.take_drain(self.limit),
            owed: false,
        };
        self.publish(&state);
        todo
    }

    pub(super) fn flush_locked<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, Flushed) {
        let Some(link) = state.link.clone() else { return (state, Flushed::Done) };
        state.flushing = true;
        let flushed = loop {
            if state.outbox.unsent() <= PONGS
                && let Some(pong) = state.pong.take()
            {
                state.outbox.push(OpCode::Pong, &pong);
            }
            let chunk = state.outbox.take();
            if chunk.is_none() && !link.is_encrypted() {
                break Flushed::Done;
            }
            drop(state);
            let rest = chunk.as_ref().map_or(&[][..], |chunk| chunk.rest());
            let result = link.write(rest);
            state = lock(&self.state);
            let last = chunk.is_none();
            if let Some(chunk) = chunk {
                state.outbox.wrote(chunk, *result.as_ref().unwrap_or(&0));
            }
            match result {
                // Somebody may have appended while the TLS rest was written.
                Ok(_) if last && state.outbox.unsent() == 0 => break Flushed::Done,
                Ok(_) => {}
                Err(error) if would_block(&error) => break Flushed::Blocked,
                Err(_) => break Flushed::Broken,
            }
        };
        state.flushing = false;
        state.blocked = flushed != Flushed::Done;
        (state, flushed)
    }
}
