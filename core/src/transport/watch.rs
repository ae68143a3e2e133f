//! Readiness of sockets and of time, by the runtime's event loop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::time::Instant;

use super::link::Link;
use crate::error::{Error, ErrorKind, Result};

/// A link that the runtime watches.
pub(crate) struct Watch(AsyncFd<Registered>);

/// That a direction is ready, until it is said to be not.
pub(crate) type Ready<'a> = AsyncFdReadyGuard<'a, Registered>;

pub(crate) struct Registered {
    link: Arc<Link>,
    /// Another descriptor of the link's socket, to be registered beside the first.
    duplicate: Option<OwnedFd>,
}

impl AsRawFd for Registered {
    fn as_raw_fd(&self) -> RawFd {
        self.duplicate.as_ref().map_or_else(|| self.link.fd(), AsRawFd::as_raw_fd)
    }
}

impl Watch {
    /// Watches both directions of a link.
    pub(crate) fn link(link: Arc<Link>) -> Result<Watch> {
        let both = Interest::READABLE | Interest::WRITABLE;
        Watch::register(Registered { link, duplicate: None }, both)
    }

    /// Watches a link, whoever else does, by a descriptor of its own.
    pub(crate) fn duplicate(link: &Arc<Link>, interest: Interest) -> Result<Watch> {
        let duplicate = link.duplicate().map_err(|error| unwatchable(&error))?;
        Watch::register(Registered { link: link.clone(), duplicate: Some(duplicate) }, interest)
    }

    fn register(registered: Registered, interest: Interest) -> Result<Watch> {
        // SAFETY: the link owns its socket and never changes it, and `Registered` keeps
        // it, or the duplicate, open as long as it is registered.
        let registered = unsafe { AsyncFd::register_with_interest(registered, interest) };
        registered.map(Watch).map_err(|error| unwatchable(&error))
    }

    /// What is watched.
    pub(crate) fn watched(&self) -> &Arc<Link> {
        &self.0.get_ref().link
    }

    pub(crate) async fn readable(&self) -> io::Result<Ready<'_>> {
        self.0.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<Ready<'_>> {
        self.0.writable().await
    }

    /// The same for the one task that waits like this, which is registered once and not for each
    /// wait.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
        self.0.poll_read_ready(cx)
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
        self.0.poll_write_ready(cx)
    }
}

pub(crate) fn unwatchable(error: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Resource, format!("cannot watch the socket: {error}"))
}

/// The moment after `wait`, however long that is.
pub(crate) fn deadline(wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Instant::now() + wait.min(YEAR)
}
