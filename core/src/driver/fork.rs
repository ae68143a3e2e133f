//! Generations of this process.
//!
//! Threads do not survive `fork`, so a client is bound to the process that
//! made it. The handler that runs in a forked child touches atomics only:
//! anything else may be locked by a thread that no longer exists.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::mask;

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Counts the forks between the process that loaded the library and this one.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Fails if this process is not the one of `generation`.
pub(crate) fn check(made_in: u32) -> Result<()> {
    if made_in == generation() { Ok(()) } else { Err(forked()) }
}

#[cold]
fn forked() -> Error {
    Error::new(
        ErrorKind::Forked,
        "the client was made before fork(); a child process has to make its own",
    )
}

/// Has the handler installed, once.
pub(crate) fn watch() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: `in_child` is async-signal-safe: it only writes atomics.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    super::runtime::forget();
    mask::forked();
}
