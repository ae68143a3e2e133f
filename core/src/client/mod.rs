//! The persistent client.
//!
//! [`handle`] is what users hold, [`shared`] what the handle, the runtime and
//! the host have in common, [`lifecycle`] the task that dials, serves and
//! comes back. [`writer`] and [`reading`] are the two directions; [`handler`]
//! and [`scope`] keep the order of events.

mod attempt;
mod backoff;
mod handle;
mod handler;
mod heartbeat;
mod lifecycle;
mod message_writer;
mod pings;
mod reading;
mod scope;
mod serve;
mod shared;
mod writer;

pub use handle::{Client, Drive, SendOptions, Sent};
pub use message_writer::MessageWriter;
pub(crate) use shared::Shared;
