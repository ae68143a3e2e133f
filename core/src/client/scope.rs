//! What the current thread is delivering, so that a send from inside an event
//! is recognised: it may go ahead of the offline queue while the client opens,
//! and it is sent together with the others of the same batch.

use std::cell::Cell;

#[derive(Clone, Copy)]
struct Scope {
    /// The address of the client whose events are being delivered.
    client: usize,
    /// The number of the connection whose `Open` it is.
    opening: Option<u64>,
    /// Messages of this batch that went out at once.
    direct: u32,
    /// Something waits for the end of the batch.
    deferred: bool,
}

const NOTHING: Scope = Scope { client: 0, opening: None, direct: 0, deferred: false };

thread_local! {
    static CURRENT: Cell<Scope> = const { Cell::new(NOTHING) };
}

/// A batch of events of one client; batches nest when a handler drives
/// another client.
pub(crate) struct Batch {
    outer: Scope,
}

impl Batch {
    pub(crate) fn begin<T>(client: *const T) -> Batch {
        let scope = Scope { client: client.addr(), ..NOTHING };
        Batch { outer: CURRENT.with(|current| current.replace(scope)) }
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

impl Drop for Batch {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
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

pub(crate) fn place<T>(client: *const T) -> Place {
    let scope = CURRENT.try_with(Cell::get).unwrap_or(NOTHING);
    if scope.client == client.addr() {
        Place::Inside { first: scope.direct == 0, opening: scope.opening }
    } else {
        Place::Outside
    }
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
