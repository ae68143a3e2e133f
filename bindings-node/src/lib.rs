//! The native half of the Node package.
//!
//! It translates handles, bytes, events and errors, and holds neither protocol
//! nor policy: those are in the core, and what a JavaScript user sees is in
//! `lib/`. The promises: **a message crosses no thread between the socket and
//! JavaScript, a burst of messages crosses the language border in a few calls,
//! and a loop that ends (a worker, the process) ends its connections first.**
//!
//! - [`host`]: one event loop and the clients on it
//! - [`uv`], [`watcher`]: how a loop learns that a client has something to
//!   fetch, through libuv or without it
//! - [`link`]: one client on its loop
//! - [`client`]: the same as JavaScript holds it
//! - [`send`](mod@send): from JavaScript to the socket
//! - [`message`]: messages that are sent piece by piece
//! - [`batch`]: messages and events on their way to JavaScript
//! - [`lines`]: what a client says about itself, on the same way
//! - [`config`]: options, as they come from JavaScript
//! - [`convert`]: events and errors as JavaScript objects
//! - [`stats`]: figures, and what was never sent
//! - [`js`]: the few calls of Node-API that generated code does not cover
#![deny(unsafe_op_in_unsafe_fn)]

mod batch;
mod client;
mod config;
mod convert;
mod host;
mod js;
mod lines;
mod link;
mod message;
mod send;
mod stats;
mod uv;
mod watcher;

use napi_derive::napi;

/// One row of the table of errors.
#[napi(object)]
pub struct ErrorKindRow {
    /// The stable number, negative.
    pub number: i32,
    /// `EURL`, without the prefix that each language puts before it.
    pub symbol: String,
}

/// The core's table of errors, from which `error.code` is made.
#[napi]
pub fn error_kinds() -> Vec<ErrorKindRow> {
    longwire::ErrorKind::ALL
        .iter()
        .map(|kind| ErrorKindRow { number: kind.code(), symbol: kind.symbol().to_owned() })
        .collect()
}
