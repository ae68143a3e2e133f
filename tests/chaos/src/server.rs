//! The WebSocket server: tungstenite's, so that nobody of ours judges our frames.
//!
//! A client says who it is by the path of its URL, and gets the name of its connection in the header `X-Connection`. Dropping the server
//! is its death: its listeners and all its connections are gone at once, and what was not in the ledger never will be.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

use crate::ledger::{Fate, Ledger};
use crate::port::Port;

const READ_SIZE: usize = 16 << 10;

pub(crate) type Ends = (SocketAddr, SocketAddr);

/// What outlives a server's death.
pub(crate) struct Desk {
    pub(crate) plain: Port,
    pub(crate) secure: Port,
    tls: TlsAcceptor,
    /// The certificate that clients are to trust, as PEM.
    pub(crate) certificate: String,
    pub(crate) ledger: RefCell<Ledger>,
    /// What will have happened to a connection, by its ends: the proxy's and the server's.
    pub(crate) fates: RefCell<HashMap<Ends, Fate>>,
}

impl Desk {
    pub(crate) fn open() -> Result<Self, String> {
        let port = || Port::reserve().map_err(|error| format!("no port: {error}"));
        let (tls, certificate) = tls().map_err(|error| format!("no certificate: {error}"))?;
        Ok(Self {
            plain: port()?,
            secure: port()?,
            tls,
            certificate,
            ledger: RefCell::default(),
            fates: RefCell::default(),
        })
    }

    /// What tungstenite says about a client, whose bytes may be cut short but never wrong.
    fn complain(&self, client: u32, error: &dyn Display) -> io::Error {
        self.ledger.borrow_mut().complain(client, error.to_string());
        io::ErrorKind::InvalidData.into()
    }
}

fn tls() -> Result<(TlsAcceptor, String), Box<dyn std::error::Error>> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(std::sync::Arc::new(config)), made.cert.pem()))
}

/// A server that lives until it is dropped.
pub(crate) struct Server(JoinSet<()>);

impl Server {
    pub(crate) fn start(desk: &Rc<Desk>) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        tasks.spawn_local(accept(desk.plain.listen()?, None, Rc::clone(desk)));
        tasks.spawn_local(accept(desk.secure.listen()?, Some(desk.tls.clone()), Rc::clone(desk)));
        Ok(Self(tasks))
    }

    /// Ends it, and returns when nothing of it is left.
    pub(crate) async fn kill(mut self) {
        self.0.shutdown().await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Rc<Desk>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                let Ok(local) = stream.local_addr() else { continue };
                let ends = (peer, local);
                let (tls, desk) = (tls.clone(), Rc::clone(&desk));
                connections.spawn_local(async move {
                    // How a connection ends is for the ledger's readers to judge, by what arrived.
                    let _ = match tls {
                        None => serve(stream, ends, &desk).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, ends, &desk).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one client until its connection ends.
#[expect(clippy::result_large_err, reason = "the callback's error is tungstenite's")]
async fn serve<S>(mut stream: S, ends: Ends, desk: &Desk) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; READ_SIZE];
    let mut pipe = Pipe::default();
    while !pipe.input.windows(4).any(|window| window == b"\r\n\r\n") {
        pipe.fill(&mut stream, &mut buffer).await?;
    }
    let (mut client, mut connection) = (0, 0);
    let mut socket = tungstenite::accept_hdr(pipe, |request: &Request, mut response: Response| {
        client = request.uri().path().trim_start_matches('/').parse().unwrap_or_default();
        let fate = desk.fates.borrow_mut().remove(&ends).unwrap_or_default();
        connection = desk.ledger.borrow_mut().open(client, fate);
        response.headers_mut().insert("x-connection", connection.into());
        Ok(response)
    })
    // Who it was is not known then; no client has the number 0.
    .map_err(|error| desk.complain(0, &error))?;
    loop {
        let read = read_all(&mut socket, |payload, is_text| {
            desk.ledger.borrow_mut().arrive(client, connection, payload, is_text)
        });
        let output = std::mem::take(&mut socket.get_mut().output);
        stream.write_all(&output).await?;
        stream.flush().await?;
        if let Err(error) = read {
            if !matches!(error, tungstenite::Error::ConnectionClosed) {
                desk.complain(client, &error);
            }
            return stream.shutdown().await;
        }
        socket.get_mut().fill(&mut stream, &mut buffer).await?;
    }
}

/// Answers everything that is there.
fn read_all(
    socket: &mut WebSocket<Pipe>,
    mut answer: impl FnMut(&[u8], bool) -> Option<String>,
) -> tungstenite::Result<()> {
    loop {
        let reply = match socket.read() {
            Ok(Message::Text(text)) => answer(text.as_bytes(), true).map(Message::text),
            Ok(Message::Binary(bytes)) => answer(&bytes, false).map(Message::binary),
            Ok(_) => None,
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return socket.flush();
            }
            Err(error) => return Err(error),
        };
        if let Some(reply) = reply {
            socket.write(reply)?;
        }
    }
}

/// What tungstenite takes for a socket that never blocks.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Pipe {
    /// Waits for more to read.
    async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut [u8],
    ) -> io::Result<()> {
        match stream.read(buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = buffer.len().min(self.input.len());
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
