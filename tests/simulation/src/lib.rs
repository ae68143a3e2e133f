//! The client in a simulation: the core's own files, run on one thread and in
//! virtual time, against networks, servers and users that are drawn from a
//! seed. A seed replays exactly, so whatever it found can be looked at again.
//!
//! [`doubles`] stands in for sockets, clock and randomness. [`wire`] is the
//! network, [`server`] the peer, [`user`] the program that uses the client;
//! [`plan`] draws what they do. [`witness`] sees everything and holds the client
//! to its promises, and [`watch`] looks for what waits for nothing. [`run`] runs one plan from its beginning to its end.
//!
//! A library without tests of its own, or those of the core's files would be
//! built along with it.
#![allow(dead_code, missing_docs, unreachable_pub)] // The core's files, of which a part is needed.

#[path = "../../../core/src/client"]
mod client {
    pub mod asks;
    pub mod attempt;
    pub mod backoff;
    pub mod consumer;
    pub mod handle;
    pub mod handler;
    pub mod heartbeat;
    pub mod lifecycle;
    pub mod loss;
    pub mod message_writer;
    pub mod pings;
    pub mod policy;
    pub mod reading;
    pub mod scope;
    pub mod serve;
    pub mod shared;
    pub mod stats;
    pub mod steering;
    pub mod writer;

    pub(crate) use shared::Shared;
}
#[path = "../../../core/src/connection/mod.rs"]
mod connection;
pub mod dice;
mod doubles;
#[path = "../../../core/src/driver"]
mod driver {
    pub mod guard;
    pub mod host;

    pub use crate::doubles::driver::{fork, poll, runtime};
}
#[path = "../../../core/src/error.rs"]
pub mod error;
#[path = "../../../core/src/event.rs"]
pub mod event;
#[path = "../../../core/src"]
mod core {
    pub mod options;
}
#[path = "../../../core/src/protocol"]
mod protocol {
    pub mod authority;
    pub mod credentials;
    pub mod decoder;
    pub mod deflate;
    pub mod encoder;
    pub mod frame;
    pub mod handshake;
    pub mod mask;
    pub(crate) mod memory;
    pub mod proxy;
    pub mod redirect;
    pub mod retry_after;
    pub mod target;
    pub mod utf8;
    pub mod violation;

    pub use crate::doubles::entropy;
}
#[path = "../../../core/src/transport"]
mod transport {
    pub mod exchange;
    pub mod scratch;

    pub use crate::doubles::transport::{dial, link, tls, watch};
}
mod messages;
pub mod plan;
pub mod run;
mod server;
mod transcript;
mod user;
mod watch;
mod wire;
mod witness;
mod world;

pub use core::options;

use doubles::sync;
