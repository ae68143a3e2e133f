//! Who moves the bytes.
//!
//! [`runtime`] owns the threads on which every client is dialled, timed and,
//! by default, driven. [`host`] is the other way to drive: a descriptor that a
//! foreign event loop waits on, and [`guard`], which keeps such connections
//! alive while that loop is blocked; [`poll`] is what both ask of the kernel. [`clock`]
//! notices that the system slept, [`soon`] that a moment has passed, [`fork`] that this process is a copy of the
//! one that made a client.

mod clock;
pub(crate) mod fork;
pub(crate) mod guard;
pub(crate) mod host;
pub(crate) mod poll;
pub(crate) mod runtime;
mod soon;
mod timerfd;
