//! What the threads of one writer meet in: the standard library's lock,
//! counters and clock. The model in `tests/loom` puts others in their place.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::time::Instant;
