//! From a URL to an open connection: resolve, race the addresses, pass the
//! proxy, TLS, handshake. Runs on the runtime; dropping the future abandons
//! the attempt.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::link::{Handshake as TlsHandshake, Link, lost};
use super::proxy;
use super::scratch;
use super::tls::Trust;
use super::watch::Watch;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Config;
use crate::protocol::authority::joined;
use crate::protocol::proxy::ProxyUrl;
use crate::protocol::target::Target;

/// An older family of addresses gets this much of a head start before the
/// other one is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection to the target, with TLS finished if it is a secure one. Both
/// directions are registered with the runtime.
pub(crate) async fn connect(
    target: &Target,
    proxy: Option<&ProxyUrl>,
    trust: Option<&Trust>,
    config: &Config,
) -> Result<Watch> {
    let socket = match (&target.socket, proxy) {
        (Some(path), _) => unix(path).await?,
        (None, Some(proxy)) => proxy::connect(proxy, target, config).await?,
        (None, None) => owned(tcp(&target.host, target.port, "").await?)?,
    };
    let session = match trust {
        Some(trust) => Some(trust.session(&target.host).await?),
        None => None,
    };
    let link = Arc::new(Link::new(socket, session));
    let ready = Watch::link(link.clone())?;
    loop {
        match scratch::with(|scratch| link.tls_handshake(scratch))? {
            TlsHandshake::Done => return Ok(ready),
            TlsHandshake::WantsRead => {
                ready.readable().await.map_err(|error| lost(&error))?.clear_ready();
            }
            TlsHandshake::WantsWrite => {
                ready.writable().await.map_err(|error| lost(&error))?.clear_ready();
            }
        }
    }
}

/// A TCP connection; `whose` is for messages.
pub(super) async fn tcp(host: &str, port: u16, whose: &str) -> Result<TcpStream> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector.set_happy_eyeballs_timeout(Some(HEAD_START));
    let place = joined(host, port, None);
    let uri = format!("tcp://{place}")
        .parse()
        .map_err(|error| Error::new(ErrorKind::Url, format!("{place}: {error}")))?;
    match connector.call(uri).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(connect_error(host, &format!("{whose}{place}"), &error)),
    }
}

/// Takes a socket away from the runtime.
pub(super) fn owned(stream: TcpStream) -> Result<OwnedFd> {
    stream.into_std().map(OwnedFd::from).map_err(|error| lost(&error))
}

async fn unix(path: &Path) -> Result<OwnedFd> {
    let stream = UnixStream::connect(path).await.and_then(UnixStream::into_std);
    stream.map(OwnedFd::from).map_err(|error| {
        let what = format!("cannot connect to the socket {}: {error}", path.display());
        Error::new(ErrorKind::Connect, what)
    })
}

fn connect_error(host: &str, place: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(|cause| cause.source()) {
        cause = Some(inner);
    }
    let why = cause.map_or_else(|| error.to_string(), ToString::to_string);
    if error.to_string().starts_with("dns") {
        Error::new(ErrorKind::Dns, format!("cannot resolve {host}: {why}"))
    } else {
        Error::new(ErrorKind::Connect, format!("cannot connect to {place}: {why}"))
    }
}
