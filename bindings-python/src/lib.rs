//! `longwire._longwire`: the native half of the Python package.
//!
//! It translates handles, bytes, events and errors; protocol and policy live
//! in the core. Two classes carry the hot path, so that no Python frame runs
//! between the socket and the awaiting task:
//!
//! - [`asyncio::AsyncConnection`], driven by the event loop that watches its descriptor;
//! - [`sync::SyncConnection`], driven by whichever thread waits.
//!
//! What they promise: **no thread of the runtime ever attaches to the
//! interpreter**, and **no Python code runs while one of our locks is held**.

mod asyncio;
mod awaitable;
mod config;
mod driver;
mod error;
mod event;
mod fragments;
mod inbox;
mod log;
mod message;
mod on_message;
mod reception;
mod sending;
mod shutdown;
mod steering;
mod sync;
mod turns;
mod waiter;

use pyo3::prelude::*;

#[pymodule(name = "_longwire")]
mod native {
    use longwire::ErrorKind;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::asyncio::AsyncConnection;
    #[pymodule_export]
    use crate::config::Config;
    #[pymodule_export]
    use crate::fragments::Fragments;
    #[pymodule_export]
    use crate::shutdown::shutdown;
    #[pymodule_export]
    use crate::sync::SyncConnection;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let kinds: Vec<(i32, &str)> =
            ErrorKind::ALL.iter().map(|kind| (kind.code(), kind.symbol())).collect();
        module.add("ERROR_KINDS", kinds)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
