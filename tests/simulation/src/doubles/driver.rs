//! The runtime is the one that the simulation runs on, and descriptors are
//! numbers that only the world knows the meaning of.

/// One process, which never forks.
pub mod fork {
    use crate::error::Result;

    pub fn generation() -> u32 {
        0
    }

    pub fn check(_: u32) -> Result<()> {
        Ok(())
    }
}

pub mod runtime {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

    use crate::client::Shared;
    use crate::driver::guard::Guard;
    use crate::error::Result;

    pub struct Shard {
        guard: Guard,
    }

    impl Shard {
        pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            tokio::spawn(task);
        }

        /// The world's moments are a millisecond long.
        pub fn soon(&self, client: Weak<Shared>) -> bool {
            self.spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                if let Some(client) = client.upgrade() {
                    client.look_at_writer();
                }
            });
            true
        }

        /// No system sleeps here.
        pub fn register(&self, _: &Arc<Shared>) {}

        pub fn forget(&self, _: &Shared) {}

        pub fn guard(&self) -> &Guard {
            &self.guard
        }
    }

    /// A shard for each client, leaked as the real one is.
    pub fn shard() -> Result<&'static Shard> {
        let guard = Guard::new().expect("the double cannot fail");
        Ok(Box::leak(Box::new(Shard { guard })))
    }

    pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub mod poll {
    use std::collections::BTreeMap;
    use std::io;
    use std::os::fd::RawFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use crate::driver::runtime::lock;
    use crate::world::{Descriptor, world};

    /// Descriptors and their keys.
    pub type Set = Arc<Mutex<BTreeMap<RawFd, u64>>>;

    pub struct Poll {
        fd: RawFd,
        set: Set,
        given: Arc<AtomicBool>,
    }

    impl Poll {
        pub fn new() -> io::Result<Poll> {
            let set = Set::default();
            let fd = world().describe(Descriptor::Poll(set.clone()));
            Ok(Poll { fd, set, given: Arc::default() })
        }

        pub fn with_signal() -> io::Result<Poll> {
            let poll = Poll::new()?;
            poll.add(world().describe(Descriptor::Signal(poll.given.clone())), 0)?;
            Ok(poll)
        }

        pub fn give(&self) {
            self.given.store(true, Ordering::Relaxed);
            world().changed();
        }

        pub fn take(&self) {
            self.given.store(false, Ordering::Relaxed);
        }

        pub fn fd(&self) -> RawFd {
            self.fd
        }

        pub fn add(&self, fd: RawFd, key: u64) -> io::Result<()> {
            lock(&self.set).insert(fd, key);
            world().changed();
            Ok(())
        }

        pub fn remove(&self, fd: RawFd) {
            lock(&self.set).remove(&fd);
        }

        pub fn ready(&self, found: impl FnMut(u64)) {
            let set: Vec<_> = lock(&self.set).iter().map(|(fd, key)| (*fd, *key)).collect();
            let ready = set.into_iter().filter(|(fd, _)| world().is_readable(*fd));
            ready.map(|(_, key)| key).for_each(found);
        }

        /// Nothing blocks in the simulation; its hosts wait by [`crate::world`].
        pub fn wait(&self, _: Option<Duration>) -> io::Result<bool> {
            Ok(world().is_readable(self.fd))
        }
    }
}
