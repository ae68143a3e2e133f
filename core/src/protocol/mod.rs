//! RFC 6455 without sockets, clocks or threads.
//!
//! Bytes go in, items come out; whoever owns the socket moves them. So the
//! same code serves the internal runtime, a foreign event loop, a blocked
//! caller and a fuzzer.
//!
//! A connection begins with a [`target::Target`] and a
//! [`handshake::Handshake`]; afterwards [`decoder::Decoder`] turns what the
//! server sends into messages and control frames, and [`encoder::encode`]
//! makes the frames that go the other way. What the server does wrong is a
//! [`violation::Violation`].

pub(crate) mod authority;
pub mod credentials;
pub mod decoder;
pub mod deflate;
pub mod encoder;
pub(crate) mod entropy;
pub mod frame;
pub mod handshake;
pub mod mask;
pub(crate) mod memory;
pub(crate) mod proxy;
pub(crate) mod redirect;
pub(crate) mod retry_after;
pub mod target;
pub(crate) mod tunnel;
pub mod utf8;
pub mod violation;
