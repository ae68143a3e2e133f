//! The persistent client.
//!
//! [`handle`] is what users hold, [`shared`] what the handle, the runtime and
//! the host have in common, [`lifecycle`] the task that dials, serves and
//! comes back. [`writer`] and [`reading`] are the two directions; [`handler`]
//! and [`scope`] keep the order of events.

mod backoff;
mod handle;
mod handler;
mod heartbeat;
mod lifecycle;
mod pings;
mod reading;
mod scope;
mod serve;
mod shared;
mod writer;

pub use handle::{Client, Drive, Sent};
pub(crate) use shared::Shared;
