//! TLS to a proxy, below a link.
//!
//! A link reads and writes its socket itself, on whatever thread, with at most
//! one layer of TLS. Through an `https:` proxy there is another one, the
//! proxy's. So the link gets one end of a pair of sockets, and a task on the
//! runtime carries bytes between the other end and the proxy: a copy more in
//! each direction, and a thread more on the way.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, copy_bidirectional};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::error::{Error, ErrorKind, Result};

/// A socket that leads where `stream` leads. Once its owner has closed it, or
/// its sending side, the rest has `linger` to get through.
pub(super) fn relay<S>(mut stream: S, linger: Duration) -> Result<OwnedFd>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused =
        |error| Error::new(ErrorKind::Resource, format!("cannot make a pair of sockets: {error}"));
    let (ours, theirs) = UnixStream::pair().map_err(refused)?;
    let ours = ours.into_std().map_err(refused)?;
    let theirs = theirs.into_std().map_err(refused)?;
    // A registration of its own, as the copying has the other one.
    let watched = UnixStream::from_std(theirs.try_clone().map_err(refused)?).map_err(refused)?;
    let mut theirs = UnixStream::from_std(theirs).map_err(refused)?;
    tokio::spawn(async move {
        let over = async {
            // What the kernel tells here is that the other end was closed, or its
            // sending side. Reading would find that out too, but not while the
            // proxy takes nothing and earlier bytes are in the way.
            let _ = watched.ready(Interest::PRIORITY).await;
            sleep(linger).await;
        };
        tokio::select! {
            // Its failure ends the link's connection, which is all there is to tell.
            _ = copy_bidirectional(&mut theirs, &mut stream) => {}
            () = over => {}
        }
    });
    Ok(ours.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Blocking;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(LIMIT, test).await.expect("in time") });
    }

    fn relayed(linger: Duration) -> (UnixStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        let link = Blocking::from(relay(near, linger).unwrap());
        (UnixStream::from_std(link).unwrap(), far)
    }

    #[test]
    fn bytes_and_ends_pass_in_both_directions() {
        run(async {
            let (mut link, mut far) = relayed(LIMIT);
            link.write_all(b"there").await.unwrap();
            link.shutdown().await.unwrap();
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"there");
            far.write_all(b"back").await.unwrap();
            drop(far);
            got.clear();
            link.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"back");
        });
    }

    #[test]
    fn a_proxy_that_takes_nothing_is_left_soon_after_the_link() {
        run(async {
            let (mut link, far) = relayed(Duration::from_millis(50));
            // Until everything on the way is full.
            let full = timeout(Duration::from_millis(200), link.write_all(&[0; 8 << 20])).await;
            assert!(full.is_err());
            drop(link);
            // Told by the kernel: whoever read or wrote here would make it end.
            far.ready(Interest::PRIORITY).await.unwrap();
        });
    }
}
