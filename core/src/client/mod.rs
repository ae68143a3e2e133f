//! The persistent client.

mod handle;

pub use handle::{Client, Drive, Sent};
