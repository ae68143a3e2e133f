//! Through a proxy: a stream to the target that begins behind the proxy's
//! answer. What a proxy may say without end is bounded by the size of a head
//! or of a SOCKS message, how long it may take by `connect_timeout`.

use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::dial::{owned, tcp};
use super::relay::relay;
use super::session::tls_error;
use super::tls::Trust;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Config, Tls};
use crate::protocol::authority::joined;
use crate::protocol::proxy::{Protocol, ProxyUrl};
use crate::protocol::target::Target;
use crate::protocol::tunnel::Tunnel;

/// The most that user, password and host can be for SOCKS, in bytes.
const MAX_SOCKS_WORDS: usize = 249;

/// A socket that leads to `target` through `proxy`.
pub(super) async fn connect(proxy: &ProxyUrl, target: &Target, config: &Config) -> Result<OwnedFd> {
    match proxy.protocol {
        Protocol::Http => {
            let mut stream = dial(proxy).await?;
            tunnel(&mut stream, proxy, target).await?;
            owned(stream)
        }
        Protocol::Https => {
            let mut stream = tls(proxy, &config.tls).await?;
            tunnel(&mut stream, proxy, target).await?;
            relay(stream, config.close_timeout)
        }
        Protocol::Socks5h => socks(proxy, target, &joined(&target.host, target.port, None)).await,
        Protocol::Socks5 => {
            let mut last = None;
            for address in resolve(target).await? {
                match socks(proxy, target, &address.to_string()).await {
                    // The next address may be the one that works.
                    Err(error) if error.is_retryable() => last = Some(error),
                    result => return result,
                }
            }
            Err(last.unwrap_or_else(|| unresolved(target, "no address")))
        }
    }
}

async fn dial(proxy: &ProxyUrl) -> Result<TcpStream> {
    tcp(&proxy.host, proxy.port, "the proxy ").await
}

fn failed(proxy: &ProxyUrl, error: &io::Error) -> Error {
    Error::new(ErrorKind::Connect, format!("the proxy {proxy}: {error}"))
}

/// TLS to the proxy itself. It is trusted by the same authorities as servers
/// are; what is meant for the server alone does not apply.
async fn tls(proxy: &ProxyUrl, options: &Tls) -> Result<TlsStream<TcpStream>> {
    let options = Tls {
        server_name: None,
        client_cert: None,
        client_key: None,
        pinned_keys: Vec::new(),
        ..options.clone()
    };
    // May read the system's certificates.
    let trust = spawn_blocking(move || Trust::new(&options)).await.map_err(|error| {
        Error::new(ErrorKind::Resource, format!("the certificates cannot be read: {error}"))
    })??;
    let name = ServerName::try_from(proxy.host.clone()).map_err(|_| {
        let what = format!("the proxy {proxy}: expected a host that a certificate can name");
        Error::new(ErrorKind::Invalid, what)
    })?;
    let connector = TlsConnector::from(trust.client_config());
    connector.connect(name, dial(proxy).await?).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let (kind, why) = match inner.map(tls_error) {
            Some(error) => (error.kind(), error.message().to_owned()),
            None => (ErrorKind::Connect, format!("TLS: {error}")),
        };
        Error::new(kind, format!("the proxy {proxy}: {why}"))
    })
}

/// Has the proxy connect `stream` to the target.
async fn tunnel<S>(stream: &mut S, proxy: &ProxyUrl, target: &Target) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut tunnel = Tunnel::new(proxy, target);
    stream.write_all(tunnel.request()).await.map_err(|error| failed(proxy, &error))?;
    stream.flush().await.map_err(|error| failed(proxy, &error))?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await.map_err(|error| failed(proxy, &error))? {
            0 => return Err(tunnel.ended()),
            n => {
                if tunnel.receive(&buffer[..n])?.is_some() {
                    return Ok(());
                }
            }
        }
    }
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let found = lookup_host((target.host.as_str(), target.port)).await;
    found.map(Iterator::collect).map_err(|error| unresolved(target, &error.to_string()))
}

fn unresolved(target: &Target, why: &str) -> Error {
    Error::new(ErrorKind::Dns, format!("cannot resolve {}: {why}", target.host))
}

/// A connection of its own to the proxy, which connects it to `place`.
async fn socks(proxy: &ProxyUrl, target: &Target, place: &str) -> Result<OwnedFd> {
    let uri = |place: &str| {
        format!("tcp://{place}")
            .parse::<http::Uri>()
            .map_err(|error| Error::new(ErrorKind::Url, format!("{place}: {error}")))
    };
    // hyper-util keeps all it says in one buffer of that size.
    let ours = proxy.credentials.as_ref();
    let said = ours.map_or(0, |ours| ours.user().len() + ours.password().len());
    if said + target.host.len() > MAX_SOCKS_WORDS {
        let what = format!(
            "the proxy {proxy}: expected user, password and host of at most {MAX_SOCKS_WORDS} \
             bytes together for SOCKS, got {}",
            said + target.host.len()
        );
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    let ours = joined(&proxy.host, proxy.port, None);
    let mut connector = SocksV5::new(uri(&ours)?, Dialled(Some(dial(proxy).await?)));
    if let Some(credentials) = &proxy.credentials {
        let (user, password) = (credentials.user(), credentials.password());
        connector = connector.with_auth(user.to_owned(), password.to_owned());
    }
    match connector.call(uri(place)?).await {
        Ok(stream) => owned(stream.into_inner()),
        Err(error) => Err(socks_error(proxy, target, &error.to_string())),
    }
}

/// hyper-util keeps the type of its errors to itself: what they say is all
/// there is to tell them apart.
fn socks_error(proxy: &ProxyUrl, target: &Target, said: &str) -> Error {
    let why = said.strip_prefix("SOCKS error: ").unwrap_or(said);
    let authentication = ["authentication", "credentials"].iter().any(|word| why.contains(word));
    let asked = format!("the proxy {proxy}, asked for a connection to {}", target.place());
    let error = |why: &str| Error::new(ErrorKind::Connect, format!("{asked}: {why}"));
    match (authentication, &proxy.credentials) {
        (true, None) => error("it wants a user and a password").into_final(),
        (true, Some(_)) => error(&format!("{why}; it wants other ones or none")).into_final(),
        (false, _) => error(why),
    }
}

/// What SOCKS runs over. It was dialled before, since hyper-util would not
/// say why that failed.
struct Dialled(Option<TcpStream>);

impl Service<http::Uri> for Dialled {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let stream = self.0.take().ok_or_else(|| io::Error::other("called twice"));
        ready(stream.map(TokioIo::new))
    }
}
