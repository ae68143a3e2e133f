//! From the outbox to the socket, by one thread at a time and without the lock.

use super::{Extent, FIRST_LOOK, Flushed, PONGS, State, TAIL, Todo, Writer};
use crate::driver::runtime::lock;
use crate::protocol::frame::OpCode;
use crate::sync::{Instant, MutexGuard, Ordering};
use crate::transport::link::would_block;

impl Writer {
    /// Writes what is there, unless somebody else does or the socket is full.
    pub(crate) fn flush(&self) -> Todo {
        let mut state = lock(&self.state);
        let requested = std::mem::take(&mut state.requested);
        state.let_go_on = false;
        if state.flushing || state.blocked {
            return Todo::default();
        }
        let (mut state, flushed) = self.flush_locked(state);
        if requested {
            self.moved.store(0, Ordering::Relaxed);
            // The burst that asked for it may go on.
            state.last_direct = Some(Instant::now());
        }
        self.after(state, flushed)
    }

    /// The runtime's look at what a burst left behind. `true`: the burst seems to go on, and the
    /// runtime looks again after [`TAIL`]. Meanwhile the sender writes whatever becomes a heap.
    pub(crate) fn sweep(&self) -> (Todo, bool) {
        // Without the lock, which the sender takes for each of its messages.
        if self.moved.swap(0, Ordering::Relaxed) > 0 {
            return (Todo::default(), true);
        }
        let mut state = lock(&self.state);
        let encrypted = state.link.as_ref().is_some_and(|link| link.is_encrypted());
        if !state.requested || state.blocked || encrypted {
            drop(state);
            return (self.flush(), false);
        }
        let first_look = !std::mem::replace(&mut state.let_go_on, true);
        let now = Instant::now();
        let hot = |swept: Instant| now.duration_since(swept) < TAIL;
        if state.flushing || (first_look && state.swept.is_some_and(hot)) {
            return (Todo::default(), true);
        }
        // A short burst leaves as a whole.
        let most = if first_look { FIRST_LOOK } else { 0 };
        let most = most.max(state.outbox.chunks());
        let (mut state, flushed) = self.write_chunks(state, Extent::Chunks(most));
        let now = Some(Instant::now());
        (state.last_direct, state.swept) = (now, now);
        let goes_on = flushed == Flushed::Done && state.outbox.unsent() > 0;
        state.requested = goes_on;
        state.let_go_on = goes_on;
        (self.after(state, flushed), goes_on)
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
        state: MutexGuard<'a, State>,
    ) -> (MutexGuard<'a, State>, Flushed) {
        self.write_chunks(state, Extent::All)
    }

    pub(super) fn write_chunks<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut extent: Extent,
    ) -> (MutexGuard<'a, State>, Flushed) {
        let Some(link) = state.link.clone() else { return (state, Flushed::Done) };
        state.flushing = true;
        let flushed = loop {
            if state.outbox.unsent() <= PONGS
                && let Some(pong) = state.pong.take()
            {
                state.outbox.push(OpCode::Pong, &pong);
            }
            let goes_on = match &mut extent {
                Extent::Heaps => self.has_heap(&state),
                Extent::Chunks(left) => {
                    let goes_on = *left > 0;
                    *left = left.saturating_sub(1);
                    goes_on
                }
                Extent::All => true,
            };
            if !goes_on && !link.is_encrypted() {
                break Flushed::Done;
            }
            let chunk = state.outbox.take();
            if chunk.is_none() && !link.is_encrypted() {
                break Flushed::Done;
            }
            drop(state);
            let result = match &chunk {
                Some(chunk) => link.write(chunk.rest()),
                None if link.has_unsent() => link.write(&[]),
                None => Ok(0),
            };
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
