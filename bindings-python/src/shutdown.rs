//! The end of the interpreter.
//!
//! By the time `atexit` comes, all threads but the main one and daemons are
//! done. A daemon that waits in `recv` then must not be woken, only to print a
//! traceback while everything around it is being taken down: it stays where it
//! is until the process ends.

use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;

/// The thread that ends it all.
static OVER: OnceLock<ThreadId> = OnceLock::new();

/// Ends all clients of this process, waiting at most `limit` seconds.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>, limit: f64) {
    let _ = OVER.set(thread::current().id());
    let limit = Duration::try_from_secs_f64(limit).unwrap_or_default();
    py.detach(|| longwire::shutdown(limit));
}

/// Never returns once the interpreter ends, unless it is ended by this very
/// thread. To be called detached.
pub(crate) fn stay_if_over() {
    if let Some(over) = OVER.get()
        && *over != thread::current().id()
    {
        loop {
            thread::park();
        }
    }
}
