//! The protocol without sockets: every rule, and properties over inputs cut and
//! mangled at random.
//!
//! One program, since linking costs more than compiling.

mod chunking;
mod decoder;
mod deflate;
mod differential;
mod frames;
#[allow(unreachable_pub)] // A library for the fuzzer.
#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;
mod fuzz_corpus;
mod handshake;
mod streams;
mod tungstenite;
mod utf8;
