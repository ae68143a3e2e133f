//! longwire: a WebSocket client that stays connected.
#![deny(unsafe_op_in_unsafe_fn)]

mod client;
mod connection;
mod driver;
mod error;
mod event;
mod options;
pub mod protocol;
mod transport;

pub use client::{Client, Drive, Sent};
pub use driver::runtime::shutdown;
pub use error::{Error, ErrorKind, Refusal, Result};
pub use event::{Closed, Down, Event, Message, MessageKind, Opened, Pong, State};
pub use options::{Config, Heartbeat, Offline, Reconnect, Tls};
