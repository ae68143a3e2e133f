//! What the current thread is delivering, so that a send from inside an event
//! is recognised: it may go ahead of the offline queue while the client opens,
//! and it is sent together with the others of the same batch.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// A client, as far as it delivers events.
#[derive(Default)]
pub(crate) struct Stage {
    /// Batches in progress, on whichever threads.
    batches: AtomicU32,
}

#[derive(Clone, Copy)]
struct Scope {
    /// The address of the stage on which events are being delivered.
    stage: usize,
    /// The number of the connection whose `Open` it is.
    opening: Option<u64>,
    /// Messages of this batch that went out at once.
    direct: u32,
    /// Something waits for the end of the batch.
    deferred: bool,
}

const NOTHING: Scope = Scope { stage: 0, opening: None, direct: 0, deferred: false };

thread_local! {
    static CURRENT: Cell<Scope> = const { Cell::new(NOTHING) };
}

/// A batch of events of one client; batches nest when a handler drives
/// another client.
pub(crate) struct Batch<'a> {
    stage: &'a Stage,
    outer: Scope,
}

impl Batch<'_> {
    pub(crate) fn begin(stage: &Stage) -> Batch<'_> {
        let scope = Scope { stage: address(stage), ..NOTHING };
        stage.batches.fetch_add(1, Ordering::Relaxed);
        Batch { stage, outer: CURRENT.with(|current| current.replace(scope)) }
    }

    /// Marks the delivery of a connection's `Open`, the last event of its batch.
    pub(crate) fn opening(&self, connection: u64) {
        update(|scope| scope.opening = Some(connection));
    }

    /// Whether something waits for a flush now.
    pub(crate) fn deferred(&self) -> bool {
        CURRENT.with(Cell::get).deferred
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
        self.stage.batches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a send from this thread relates to the batch in progress.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not inside an event of this client.
    Outside,
    /// Inside one; `first` of its batch, or while this connection's `Open` is delivered.
    Inside { first: bool, opening: Option<u64> },
}

impl Stage {
    #[inline]
    pub(crate) fn place(&self) -> Place {
        // A thread that is inside has counted itself: 0 means outside, without a look at what
        // belongs to the thread.
        if self.batches.load(Ordering::Relaxed) == 0 {
            Place::Outside
        } else {
            self.place_of_thread()
        }
    }

    fn place_of_thread(&self) -> Place {
        let scope = CURRENT.try_with(Cell::get).unwrap_or(NOTHING);
        if scope.stage == address(self) {
            Place::Inside { first: scope.direct == 0, opening: scope.opening }
        } else {
            Place::Outside
        }
    }
}

fn address(stage: &Stage) -> usize {
    std::ptr::from_ref(stage).addr()
}

/// Notes that a message of the batch went out at once.
pub(crate) fn sent_directly() {
    update(|scope| scope.direct += 1);
}

/// Notes that something waits for the end of the batch.
pub(crate) fn defer() {
    update(|scope| scope.deferred = true);
}

fn update(change: impl FnOnce(&mut Scope)) {
    CURRENT.with(|current| {
        let mut scope = current.get();
        change(&mut scope);
        current.set(scope);
    });
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn is_inside(stage: &Stage) -> bool {
        matches!(stage.place(), Place::Inside { .. })
    }

    #[test]
    fn only_the_thread_that_delivers_is_inside() {
        let stage = Stage::default();
        assert!(!is_inside(&stage));
        let batch = Batch::begin(&stage);
        assert!(is_inside(&stage));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!is_inside(&stage)));
        });
        drop(batch);
        assert!(!is_inside(&stage));
    }

    #[test]
    fn a_thread_is_inside_the_innermost_batch_only() {
        let (outer, inner) = (Stage::default(), Stage::default());
        let _outer = Batch::begin(&outer);
        let batch = Batch::begin(&inner);
        assert!(is_inside(&inner) && !is_inside(&outer));
        drop(batch);
        assert!(is_inside(&outer) && !is_inside(&inner));
    }

    #[test]
    fn a_panic_ends_a_batch() {
        let stage = Stage::default();
        let delivery = AssertUnwindSafe(|| {
            let _batch = Batch::begin(&stage);
            std::panic::resume_unwind(Box::new("a handler's"));
        });
        assert!(catch_unwind(delivery).is_err());
        assert_eq!(stage.batches.load(Ordering::Relaxed), 0);
        assert!(!is_inside(&stage));
    }
}
