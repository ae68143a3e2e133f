//! The persistent client.
//!
//! [`handle`] is what users hold, [`shared`] what the handle, the runtime and
//! the host have in common, [`lifecycle`] the task that dials, serves and
//! comes back, as [`policy`] says; [`asks`] are the user's say in it.
//! [`writer`] and [`reading`] are the two directions; [`handler`] and
//! [`scope`] keep the order of events.

mod asks;
mod attempt;
mod backoff;
mod consumer;
mod handle;
mod handler;
mod heartbeat;
mod lifecycle;
mod loss;
mod message_writer;
mod pings;
mod policy;
mod reading;
mod scope;
mod serve;
mod shared;
mod stats;
mod steering;
mod writer;

pub use handle::{Client, Drive, SendOptions, Sent};
pub use message_writer::MessageWriter;
pub(crate) use shared::Shared;
pub use stats::Stats;
pub(crate) use writer::TAIL;
