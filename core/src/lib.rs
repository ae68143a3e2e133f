//! longwire: a WebSocket client that stays connected.
//!
//! A [`Client`] holds one connection at a time and replaces it when it is
//! lost. Messages are sent from any thread, on that thread, without waiting;
//! what comes is delivered as [`Event`]s, in order and one at a time.
//!
//! ```
//! use std::sync::mpsc;
//! use longwire::{Client, Config, Event, MessageKind};
//!
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! # let url = format!("ws://{}/", listener.local_addr().unwrap());
//! # std::thread::spawn(move || {
//! #     let mut peer = tungstenite::accept(listener.accept().unwrap().0).unwrap();
//! #     while let Ok(message) = peer.read() {
//! #         if message.is_text() { peer.send(message).unwrap(); }
//! #     }
//! # });
//! let (answers, answer) = mpsc::channel();
//! let client = Client::start(Config::new(url), move |client, event| match event {
//!     // What is sent from here precedes whatever was queued before.
//!     Event::Open(_) => client.send(MessageKind::Text, b"hello").unwrap(),
//!     Event::Message(message) => {
//!         answers.send(message.as_text().unwrap().to_owned()).unwrap();
//!     }
//!     Event::Down(down) => eprintln!("{}; again in {:?}", down.error, down.retry_in),
//!     _ => {}
//! })?;
//! assert_eq!(answer.recv().unwrap(), "hello");
//! client.close(1000, "done")?;
//! # Ok::<(), longwire::Error>(())
//! ```
//!
//! # Who drives
//!
//! [`Client::start`] leaves the driving to the internal runtime: one thread of
//! the library's own, on which the handler is called. [`Client::start_hosted`]
//! makes a client for a program with an event loop of its own: it waits on
//! [`Client::poll_fd`] and calls [`Client::drive`], and messages are read,
//! decoded and handed over right there, without a hop between threads. While
//! such a host is blocked the runtime answers pings in its place and keeps
//! what comes, within [`Config::receive_buffer`].
//!
//! # Endings
//!
//! Every client ends with exactly one [`Event::Closed`], after [`Client::close`],
//! after an error that no further attempt can mend, or at the end of the
//! runtime ([`shutdown`]); only a client whose last handle was dropped, or
//! that was freed, ends without events.
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(target_os = "linux"))]
compile_error!("longwire drives sockets by epoll and eventfd: only Linux is supported so far");

mod client;
mod connection;
mod driver;
mod error;
mod event;
mod options;
pub mod protocol;
mod sync;
mod transport;

pub use client::{Client, Drive, MessageWriter, SendOptions, Sent, Stats};
pub use driver::runtime::shutdown;
pub use error::{Error, ErrorKind, Refusal, Result};
pub use event::{
    Attempt, Chunk, Closed, Down, Event, Message, MessageKind, Opened, Outage, Pong, State,
};
pub use options::{
    Cause, Changes, Compression, Config, ConsumerAction, Heartbeat, Level, Line, Log, Offline,
    Proxy, Reconnect, Tls,
};
