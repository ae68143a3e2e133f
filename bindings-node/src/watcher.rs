//! Watching descriptors where libuv cannot be used.
//!
//! One thread for the process waits on all of them. When one becomes readable
//! it calls the threadsafe function of the loop concerned, once: the
//! descriptor is looked at again only after the loop has fetched what was there
//! and said so with [`Watcher::rearm`].

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use napi::sys;

/// The thread's set of descriptors.
pub(crate) struct Watcher {
    epoll: RawFd,
    wakes: Mutex<HashMap<RawFd, Wake>>,
}

/// Whom to call, and about which client.
#[derive(Clone, Copy)]
pub(crate) struct Wake {
    pub(crate) function: sys::napi_threadsafe_function,
    pub(crate) client: u32,
}

// SAFETY: a threadsafe function may be called from any thread as long as it is
// not released; `Watcher::forget` precedes that, under the same lock.
unsafe impl Send for Wake {}

impl Watcher {
    /// The process's watcher; the first call starts its thread.
    pub(crate) fn get() -> io::Result<&'static Watcher> {
        static WATCHER: OnceLock<Watcher> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = WATCHER.get() {
            return Ok(watcher);
        }
        // SAFETY: takes no pointers; the result is checked.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        let watcher = WATCHER.get_or_init(|| Watcher { epoll, wakes: Mutex::default() });
        std::thread::Builder::new().name("longwire-watch".into()).spawn(|| watcher.run())?;
        Ok(watcher)
    }

    /// Calls `wake` once when `fd` is readable.
    pub(crate) fn watch(&self, fd: RawFd, wake: Wake) -> io::Result<()> {
        self.wakes().insert(fd, wake);
        self.control(libc::EPOLL_CTL_ADD, fd).inspect_err(|_| {
            self.wakes().remove(&fd);
        })
    }

    /// The same again.
    pub(crate) fn rearm(&self, fd: RawFd) {
        // Cannot fail: the descriptor is in the set.
        let _ = self.control(libc::EPOLL_CTL_MOD, fd);
    }

    /// No call comes for `fd` any more once this returns.
    pub(crate) fn forget(&self, fd: RawFd) {
        let _ = self.control(libc::EPOLL_CTL_DEL, fd);
        self.wakes().remove(&fd);
    }

    fn control(&self, operation: libc::c_int, fd: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLONESHOT) as u32,
            u64: u64::from(fd.unsigned_abs()),
        };
        // SAFETY: `event` lives during the call.
        match unsafe { libc::epoll_ctl(self.epoll, operation, fd, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn wakes(&self) -> MutexGuard<'_, HashMap<RawFd, Wake>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        const BATCH: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        loop {
            // SAFETY: the kernel writes at most BATCH entries into `events`.
            let ready = unsafe {
                libc::epoll_wait(self.epoll, events.as_mut_ptr(), BATCH as libc::c_int, -1)
            };
            let wakes = self.wakes();
            for event in &events[..usize::try_from(ready).unwrap_or(0)] {
                let fd = RawFd::try_from(event.u64).unwrap_or(-1);
                if let Some(wake) = wakes.get(&fd) {
                    // SAFETY: the function is alive, see `Wake`. It fails only
                    // when its environment is ending, which ends the client.
                    unsafe {
                        sys::napi_call_threadsafe_function(
                            wake.function,
                            std::ptr::without_provenance_mut(wake.client as usize),
                            sys::ThreadsafeFunctionCallMode::nonblocking,
                        );
                    }
                }
            }
        }
    }
}
