//! Keeps hosted connections alive while their host is blocked.
//!
//! All sockets of hosted clients on a shard are in one epoll instance. Every
//! [`TICK`] one call says which of them have bytes that nobody fetched. If the
//! host did not drive such a client since the last tick, the runtime reads in
//! its place: pings are answered, messages wait in the inbox in order.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::host::{epoll_add, epoll_create, epoll_remove};
use super::runtime::{Shard, lock};
use crate::client::Shared;

/// How long bytes may lie in the socket before the runtime looks after them
/// (at most twice this).
const TICK: Duration = Duration::from_millis(50);

pub(crate) struct Guard {
    epoll: OwnedFd,
    watched: Mutex<HashMap<u64, Weak<Shared>>>,
    /// Clients that hold bytes which their socket does not show any more.
    hidden: Mutex<HashSet<u64>>,
    next: AtomicU64,
    ticking: AtomicBool,
}

impl Guard {
    pub(super) fn new() -> io::Result<Guard> {
        Ok(Guard {
            epoll: epoll_create()?,
            watched: Mutex::default(),
            hidden: Mutex::default(),
            next: AtomicU64::new(1),
            ticking: AtomicBool::new(false),
        })
    }

    /// Watches `socket` for `client`; the answer is the key for [`Guard::forget`].
    pub(crate) fn watch(
        &self,
        shard: &'static Shard,
        socket: RawFd,
        client: Weak<Shared>,
    ) -> io::Result<u64> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.watched).insert(key, client);
        if let Err(error) = epoll_add(&self.epoll, socket, key) {
            lock(&self.watched).remove(&key);
            return Err(error);
        }
        if !self.ticking.swap(true, Ordering::AcqRel) {
            shard.spawn(self::tick(shard));
        }
        Ok(key)
    }

    /// Looks after this client at the next tick even if its socket is empty.
    pub(crate) fn remember(&self, key: u64) {
        lock(&self.hidden).insert(key);
    }

    /// Has to be called before `socket` is closed.
    pub(crate) fn forget(&self, key: u64, socket: RawFd) {
        epoll_remove(&self.epoll, socket);
        lock(&self.watched).remove(&key);
    }

    fn look(&self) {
        const BATCH: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        // A level-triggered set rotates what it reports, so that a crowd of
        // ready sockets larger than one batch is seen over a few ticks.
        let ready =
            // SAFETY: the kernel writes at most BATCH entries into `events`.
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 256, 0) };
        for event in &events[..usize::try_from(ready).unwrap_or(0)] {
            if let Some(client) = self.client(event.u64) {
                client.stand_in();
            }
        }
        let hidden = std::mem::take(&mut *lock(&self.hidden));
        for key in hidden {
            if let Some(client) = self.client(key)
                && client.has_hidden()
            {
                client.stand_in();
                self.remember(key);
            }
        }
    }

    fn client(&self, key: u64) -> Option<Arc<Shared>> {
        lock(&self.watched).get(&key).and_then(Weak::upgrade)
    }
}

async fn tick(shard: &'static Shard) {
    let guard = shard.guard();
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        guard.look();
        if lock(&guard.watched).is_empty() {
            guard.ticking.store(false, Ordering::Release);
            // Somebody may have come between the look and the store.
            if lock(&guard.watched).is_empty() || guard.ticking.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}
