//! Readiness of sockets and of time, by the runtime's event loop.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::link::Link;
use crate::error::{Error, ErrorKind, Result};

/// A link that is registered with the runtime.
pub(crate) struct Registered(pub(crate) Arc<Link>);

impl AsRawFd for Registered {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd()
    }
}

/// Both directions of a link.
pub(crate) fn link(link: Arc<Link>) -> Result<AsyncFd<Registered>> {
    let both = Interest::READABLE | Interest::WRITABLE;
    // SAFETY: the link owns its socket and never changes it; the `Arc` inside
    // `Registered` keeps it open as long as it is registered.
    unsafe { AsyncFd::register_with_interest(Registered(link), both) }
        .map_err(|error| unwatchable(&error))
}

/// Another registration of a link's socket, by a descriptor of its own.
pub(crate) fn duplicate(link: &Link, interest: Interest) -> Result<AsyncFd<OwnedFd>> {
    let duplicate = link.duplicate().map_err(|error| unwatchable(&error))?;
    // SAFETY: an `OwnedFd` is open as long as it lives and never changes.
    unsafe { AsyncFd::register_with_interest(duplicate, interest) }
        .map_err(|error| unwatchable(&error))
}

pub(crate) fn unwatchable(error: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Resource, format!("cannot watch the socket: {error}"))
}

/// The moment after `wait`, however long that is.
pub(crate) fn deadline(wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Instant::now() + wait.min(YEAR)
}
