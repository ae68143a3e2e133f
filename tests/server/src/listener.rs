//! The four ports, the sockets behind them, and TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::Certificates;
use crate::connection::Connection;
use crate::endpoints::{self, Shared};

const BACKLOG: u32 = 4096;
/// How long accepting rests when the system refuses (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bound sockets: from here on clients can connect.
pub(crate) struct Listeners {
    ws: TcpListener,
    wss: (TcpListener, Arc<ServerConfig>),
    wss_bad_name: (TcpListener, Arc<ServerConfig>),
    wss_client_cert: (TcpListener, Arc<ServerConfig>),
}

impl Listeners {
    pub(crate) fn bind(
        port: u16,
        tls_port: u16,
        certificates: &Certificates,
    ) -> Result<Self, String> {
        Ok(Self {
            ws: listen(port)?,
            wss: (listen(tls_port)?, certificates.localhost()),
            wss_bad_name: (listen(0)?, certificates.other_name()),
            wss_client_cert: (listen(0)?, certificates.client_cert()),
        })
    }

    pub(crate) fn ws_port(&self) -> u16 {
        port_of(&self.ws)
    }

    pub(crate) fn wss_port(&self) -> u16 {
        port_of(&self.wss.0)
    }

    pub(crate) fn wss_bad_name_port(&self) -> u16 {
        port_of(&self.wss_bad_name.0)
    }

    pub(crate) fn wss_client_cert_port(&self) -> u16 {
        port_of(&self.wss_client_cert.0)
    }

    /// Accepts on all ports from now on, until the runtime ends.
    pub(crate) fn serve(self) {
        let shared = Arc::new(Shared::default());
        tokio::spawn(accept_all(self.ws, None, Arc::clone(&shared)));
        for (listener, config) in [self.wss, self.wss_bad_name, self.wss_client_cert] {
            tokio::spawn(accept_all(
                listener,
                Some(TlsAcceptor::from(config)),
                Arc::clone(&shared),
            ));
        }
    }
}

/// `SO_REUSEADDR`, so that a server started again gets its port although connections of the one before linger.
fn listen(port: u16) -> Result<TcpListener, String> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error: io::Error| format!("cannot listen on 127.0.0.1:{port}: {error}"))
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().map_or(0, |address| address.port())
}

async fn accept_all(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                eprintln!("longwire-test-server: cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A connection that fails is the client's to report; here it only ends.
            let Ok(stream) = establish(tcp, tls).await else { return };
            let _ = endpoints::serve(Connection::new(stream), &shared).await;
        });
    }
}

async fn establish(tcp: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Stream> {
    tcp.set_nodelay(true)?;
    Ok(match tls {
        None => Stream::Plain(tcp),
        Some(tls) => Stream::Tls(Box::new(tls.accept(tcp).await?)),
    })
}

/// A client's byte stream.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The TCP connection itself, below TLS.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_mut().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Allows as many open files as the system lets this process have: each connection is one.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid `rlimit` for the call to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid `rlimit`; a refusal leaves the limit as it was, which serves smaller tests.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}
