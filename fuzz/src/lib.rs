//! What the fuzzer runs: one module per target, each with a `run` that takes
//! any bytes and panics if a promise of the core does not hold for them.
//!
//! Nothing here knows the fuzzer: a test of the core includes this file and
//! runs the same functions over the corpora, with the stable compiler.

pub mod decoder;
pub mod differential;
pub mod extensions;
pub mod handshake;
pub mod inflate;
mod input;
mod memory;
pub mod round_trip;
