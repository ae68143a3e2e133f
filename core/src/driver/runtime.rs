//! The internal runtime: tokio `current_thread` shards on threads of ours.
//!
//! It is made when the first client is started and never dropped: a look-up
//! stuck in `getaddrinfo` would block the drop. [`shutdown`] ends it within a
//! limit; a client started later gets a new one.

use std::collections::HashMap;
use std::future::Future;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::guard::Guard;
use super::soon::Soon;
use crate::client::Shared;
use crate::error::{Error, ErrorKind, Result};

/// One thread with its event loop; a client stays on its shard.
pub(crate) struct Shard {
    handle: Handle,
    guard: Guard,
    soon: Soon,
    clients: std::sync::Mutex<HashMap<usize, Weak<Shared>>>,
    stop: std::sync::Mutex<Option<oneshot::Sender<()>>>,
    stopped: std::sync::Mutex<mpsc::Receiver<()>>,
    thread: ThreadId,
}

// Leaked on purpose, see the module's text. A null pointer means that there is
// no runtime in this process yet.
static RUNTIME: AtomicPtr<OnceCell<Shard>> = AtomicPtr::new(ptr::null_mut());

impl Shard {
    /// Runs `task` on this shard.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// The watch over connections whose host does not fetch their bytes.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Has a client look at its writer in a moment. `false` if that cannot be.
    pub(crate) fn soon(&self, client: Weak<Shared>) -> bool {
        self.soon.add(client)
    }

    /// Has [`Shard::each_client`] know a client, until [`Shard::forget`].
    pub(crate) fn register(&self, client: &Arc<Shared>) {
        lock(&self.clients).insert(Arc::as_ptr(client).addr(), Arc::downgrade(client));
    }

    pub(crate) fn forget(&self, client: &Shared) {
        lock(&self.clients).remove(&std::ptr::from_ref(client).addr());
    }

    pub(super) fn each_client(&self, tell: impl Fn(&Shared)) {
        let clients: Vec<_> = lock(&self.clients).values().filter_map(Weak::upgrade).collect();
        clients.iter().for_each(|client| tell(client));
    }

    fn start() -> Result<Shard> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .thread_name("longwire-dns")
            .build()
            .map_err(|error| resource("an event loop", &error))?;
        let guard = Guard::new().map_err(|error| resource("an epoll instance", &error))?;
        let handle = runtime.handle().clone();
        let (stop, wait) = oneshot::channel();
        let (done, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("longwire".into())
            .spawn(move || {
                // Either way the shard has to end: told to, or forgotten.
                let _ = runtime.block_on(wait);
                runtime.shutdown_background();
                let _ = done.send(());
            })
            .map_err(|error| resource("a thread", &error))?;
        Ok(Shard {
            handle,
            guard,
            soon: Soon::default(),
            clients: std::sync::Mutex::default(),
            stop: std::sync::Mutex::new(Some(stop)),
            stopped: std::sync::Mutex::new(stopped),
            thread: thread.thread().id(),
        })
    }
}

fn resource(what: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Resource, format!("cannot create {what} for the runtime: {error}"))
}

/// The shard for a new client.
pub(crate) fn shard() -> Result<&'static Shard> {
    super::fork::watch();
    let mut cell = RUNTIME.load(Ordering::Acquire);
    if cell.is_null() {
        let fresh = Box::into_raw(Box::new(OnceCell::new()));
        cell = match RUNTIME.compare_exchange(
            ptr::null_mut(),
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: `fresh` came from `Box::into_raw` above and was not published.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        };
    }
    // SAFETY: a published cell is never freed.
    let cell = unsafe { &*cell };
    let mut fresh = false;
    let shard = cell.get_or_try_init(|| {
        fresh = true;
        Shard::start()
    })?;
    if fresh {
        shard.spawn(super::clock::watch(shard));
        shard.spawn(shard.soon.tell());
    }
    Ok(shard)
}

/// In a forked child: the runtime belongs to the parent.
pub(super) fn forget() {
    RUNTIME.store(ptr::null_mut(), Ordering::Release);
}

/// What was shut down: never freed, since clients may still refer to it, and
/// kept here so that leak checkers see that somebody does.
static RETIRED: std::sync::Mutex<Vec<&OnceCell<Shard>>> = std::sync::Mutex::new(Vec::new());

/// Ends all clients of this process and stops the runtime's threads, waiting
/// at most for `limit`.
///
/// For hosts that unload or finalise; clients started later get a new runtime.
/// Hosted clients find their `Closed` event, handlers are called with it
/// on the runtime's thread before this returns; a handler that calls this
/// itself does not wait.
pub fn shutdown(limit: Duration) {
    let started = Instant::now();
    let cell = RUNTIME.swap(ptr::null_mut(), Ordering::AcqRel);
    if cell.is_null() {
        return;
    }
    // SAFETY: a published cell is never freed.
    let cell = unsafe { &*cell };
    lock(&RETIRED).push(cell);
    let Some(shard) = cell.get() else { return };
    if let Some(stop) = lock(&shard.stop).take() {
        let _ = stop.send(());
        if shard.thread == thread::current().id() {
            return;
        }
        let left = limit.saturating_sub(started.elapsed());
        let _ = lock(&shard.stopped).recv_timeout(left);
    }
}

/// A lock whose holder panicked is still a lock: what it protects is kept
/// consistent by the code that holds it, not by the absence of panics.
pub(crate) fn lock<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
