//! The user's event handler of a runtime-driven client.
//!
//! It runs on one thread at a time, never under a lock, and is dropped exactly
//! once, after its last call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use super::handle::Client;
use crate::driver::runtime::lock;
use crate::event::Event;

pub(crate) type Handler = Box<dyn FnMut(&Client, Event<'_>) + Send>;

pub(crate) struct Slot {
    state: Mutex<State>,
    idle: Condvar,
    /// The handler is not to be called any more.
    gone: AtomicBool,
}

struct State {
    handler: Option<Handler>,
    running: Option<ThreadId>,
}

/// Whether a handler panicked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fine,
    Panicked,
}

impl Slot {
    pub(crate) fn new(handler: Handler) -> Slot {
        Slot {
            state: Mutex::new(State { handler: Some(handler), running: None }),
            idle: Condvar::new(),
            gone: AtomicBool::new(false),
        }
    }

    /// Lends the handler to `work`. A handler that panics is gone.
    pub(crate) fn lend<R>(
        &self,
        client: &Client,
        work: impl FnOnce(&mut Lent<'_>) -> R,
    ) -> (R, Outcome) {
        let handler = {
            let mut state = lock(&self.state);
            state.running = Some(thread::current().id());
            state.handler.take()
        };
        let mut lent = Lent { slot: self, client, handler, outcome: Outcome::Fine };
        let result = work(&mut lent);
        (result, lent.outcome)
    }

    /// No event is delivered after this, except one that is under way.
    /// The handler is dropped here, or by the thread that is running it.
    pub(crate) fn release(&self) {
        self.gone.store(true, Ordering::Release);
        let mut state = lock(&self.state);
        let Some(handler) = state.handler.take() else { return };
        // Whoever frees meanwhile waits until it is dropped.
        state.running = Some(thread::current().id());
        drop(state);
        drop(handler);
        lock(&self.state).running = None;
        self.idle.notify_all();
    }

    /// The same, and waits for a handler that runs on another thread.
    pub(crate) fn free(&self) {
        self.release();
        let me = thread::current().id();
        let mut state = lock(&self.state);
        while state.running.is_some_and(|running| running != me) {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The handler, for as long as somebody delivers.
pub(crate) struct Lent<'a> {
    slot: &'a Slot,
    client: &'a Client,
    handler: Option<Handler>,
    outcome: Outcome,
}

impl Lent<'_> {
    /// Calls the handler, unless it is gone.
    #[inline]
    pub(crate) fn deliver(&mut self, event: Event<'_>) {
        if self.slot.gone.load(Ordering::Acquire) {
            return;
        }
        let Some(handler) = &mut self.handler else { return };
        if catch_unwind(AssertUnwindSafe(|| handler(self.client, event))).is_err() {
            self.slot.gone.store(true, Ordering::Release);
            self.outcome = Outcome::Panicked;
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut handler = self.handler.take();
        let mut state = lock(&self.slot.state);
        if !self.slot.gone.load(Ordering::Acquire) {
            state.handler = handler.take();
            state.running = None;
            return;
        }
        drop(state);
        // Dropping it runs foreign code: not under the lock, but before
        // anybody is told that the handler is idle.
        drop(handler);
        lock(&self.slot.state).running = None;
        self.slot.idle.notify_all();
    }
}
