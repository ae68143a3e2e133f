//! The protocol without sockets: every rule, and properties over inputs cut and
//! mangled at random.
//!
//! One program, since linking costs more than compiling.

mod chunking;
mod decoder;
mod deflate;
mod frames;
mod handshake;
mod tungstenite;
mod utf8;
