//! A model of the writer: the core's own files, with loom's threads around
//! them, loom's lock and counters inside, and a socket that fills up on demand.
//! loom runs each scenario in every order in which its threads can take their
//! steps, up to so many preemptions (`LOOM_MAX_PREEMPTIONS`).
//!
//! A library without tests of its own, or those of the core's files would be
//! built along with it.
#![allow(dead_code, missing_docs, unreachable_pub)] // The core's files, of which a part is needed.

#[path = "../../../core/src/client"]
mod client {
    pub mod scope;
    pub mod writer;
}
#[path = "../../../core/src/connection"]
mod connection {
    pub mod outbox;
}
mod doubles;
#[path = "../../../core/src/error.rs"]
mod error;
#[path = "../../../core/src/event.rs"]
mod event;
#[path = "../../../core/src/protocol"]
mod protocol {
    pub mod deflate;
    pub mod encoder;
    pub mod entropy;
    pub mod frame;
    pub mod mask;
    pub(crate) mod memory;
    pub mod utf8;
    pub mod violation;
}
pub mod scenarios;

use doubles::{driver, options, sync, transport};
