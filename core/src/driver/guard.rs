//! Keeps hosted connections alive while their host is blocked.
//!
//! All sockets of hosted clients on a shard are in one [`Poll`]. Every
//! [`TICK`] one call says which of them have bytes that nobody fetched. If the
//! host did not drive such a client since the last tick, the runtime reads in
//! its place: pings are answered, messages wait in the inbox in order.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::poll::Poll;
use super::runtime::{Shard, lock};
use crate::client::Shared;

/// How long bytes may lie in the socket before the runtime looks after them
/// (at most twice this).
const TICK: Duration = Duration::from_millis(50);

pub(crate) struct Guard {
    poll: Poll,
    watched: Mutex<HashMap<u64, Weak<Shared>>>,
    /// Clients that hold bytes which their socket does not show any more.
    hidden: Mutex<HashSet<u64>>,
    next: AtomicU64,
    ticking: AtomicBool,
}

impl Guard {
    pub(crate) fn new() -> io::Result<Guard> {
        Ok(Guard {
            poll: Poll::new()?,
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
        if let Err(error) = self.poll.add(socket, key) {
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
        self.poll.remove(socket);
        lock(&self.watched).remove(&key);
    }

    /// Looks at each client once: a second look would find that its host has done nothing since
    /// the first. `hidden` is empty, before and afterwards: memory from tick to tick.
    fn look(&self, hidden: &mut HashSet<u64>) {
        std::mem::swap(&mut *lock(&self.hidden), hidden);
        self.poll.ready(|key| {
            if let Some(client) = self.client(key) {
                client.stand_in();
                if hidden.remove(&key) && client.has_hidden() {
                    self.remember(key);
                }
            }
        });
        for key in hidden.drain() {
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
    let mut hidden = HashSet::new();
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        guard.look(&mut hidden);
        if lock(&guard.watched).is_empty() {
            guard.ticking.store(false, Ordering::Release);
            // Somebody may have come between the look and the store.
            if lock(&guard.watched).is_empty() || guard.ticking.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}
