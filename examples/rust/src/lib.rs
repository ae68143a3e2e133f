//! Nothing to use: this compiles the Rust programs in the documentation, as
//! doc-tests, so that they stay true.

#[doc = include_str!("../../../README.md")]
mod readme {}
