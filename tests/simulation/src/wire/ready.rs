//! Who waits for a socket, and what they know of it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::Socket;
use crate::driver::runtime::lock;

impl Socket {
    pub fn register(self: &Arc<Self>) -> Arc<Registration> {
        let registration = Arc::new(Registration::default());
        lock(&self.registrations).push(Arc::downgrade(&registration));
        let mut state = lock(&self.state);
        let (readable, writable) = (state.is_readable(), state.broken || self.has_room(&state));
        state.wants_room |= !writable;
        let over = |way| state.is_over(way);
        let mut ways = registration.ways();
        for (way, ready) in [(Way::Read, readable), (Way::Write, writable)] {
            ways[way as usize].ready = ready;
            ways[way as usize].over = over(way);
        }
        drop(ways);
        drop(state);
        registration
    }

    pub(super) fn edge(&self, way: Way) {
        let over = lock(&self.state).is_over(way);
        lock(&self.registrations).retain(|registration| {
            let Some(registration) = registration.upgrade() else { return false };
            registration.set(way, over);
            true
        });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Read = 0,
    Write = 1,
}

/// What one watch of a socket knows.
#[derive(Default)]
pub struct Registration {
    ways: Mutex<[Readiness; 2]>,
    /// Who waits for which way.
    wakers: Mutex<[Option<Waker>; 2]>,
}

#[derive(Clone, Copy, Default)]
pub struct Readiness {
    ready: bool,
    /// For good: tokio keeps in mind that a way has ended.
    over: bool,
    /// Counts what was told.
    edges: u64,
}

impl Registration {
    fn ways(&self) -> MutexGuard<'_, [Readiness; 2]> {
        lock(&self.ways)
    }

    fn set(&self, way: Way, over: bool) {
        let mut ways = self.ways();
        let readiness = &mut ways[way as usize];
        readiness.ready = true;
        readiness.over |= over;
        readiness.edges += 1;
        drop(ways);
        if let Some(waker) = lock(&self.wakers)[way as usize].take() {
            waker.wake();
        }
    }

    pub fn clear(&self, way: Way, seen: u64) {
        let readiness = &mut self.ways()[way as usize];
        readiness.ready &= readiness.edges != seen || readiness.over;
    }

    /// Whether this way is ready, and has `cx` woken when it is; the answer is for
    /// [`Registration::clear`]. One task waits for each way.
    pub fn poll(&self, way: Way, cx: &mut Context<'_>) -> Poll<u64> {
        lock(&self.wakers)[way as usize] = Some(cx.waker().clone());
        let readiness = self.ways()[way as usize];
        if readiness.ready { Poll::Ready(readiness.edges) } else { Poll::Pending }
    }
}
