//! Starts the server and talks to it with tungstenite, which nobody here wrote. Every wait has a limit.

// Each test file takes what it needs of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::client::{IntoClientRequest, client_with_config};
use tungstenite::handshake::client::Response;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) ready: serde_json::Value,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longwire-test-server"))
            .arg("--stdin-guard")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("ready line {line:?}: {error}"));
        Self { ready, child, stdin }
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ready))
    }

    pub(crate) fn port(&self, field: &str) -> u16 {
        self.field(field).rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tcp(&self, field: &str) -> TcpStream {
        let tcp = TcpStream::connect(("127.0.0.1", self.port(field))).unwrap();
        tcp.set_read_timeout(Some(LIMIT)).unwrap();
        tcp.set_write_timeout(Some(LIMIT)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    pub(crate) fn connect(&self, path: &str) -> Client<TcpStream> {
        self.try_connect(path).unwrap_or_else(|error| panic!("{path}: {error}")).0
    }

    pub(crate) fn try_connect(
        &self,
        request: impl IntoRequest,
    ) -> Result<(Client<TcpStream>, Response), Error> {
        shake(request, self.field("ws"), self.tcp("ws"))
    }

    pub(crate) fn connect_tls(
        &self,
        path: &str,
    ) -> Client<StreamOwned<ClientConnection, TcpStream>> {
        let tls = self.tls("wss", "localhost").unwrap();
        shake(path, self.field("wss"), tls).unwrap_or_else(|error| panic!("{path}: {error}")).0
    }

    /// A TLS connection that trusts the server's CA and nobody else.
    pub(crate) fn tls(
        &self,
        field: &str,
        name: &str,
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.field("ca_file")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = self.tcp(field);
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(StreamOwned::new(connection, tcp))
    }

    /// Closes the server's stdin and waits until it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.stdin = None;
        self.wait()
    }

    /// Waits until the server ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let (ended, wait) = mpsc::channel::<()>();
        let pid = self.child.id();
        let guard = std::thread::spawn(move || {
            if wait.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                signal(pid, "KILL");
            }
        });
        let status = self.child.wait().unwrap();
        drop(ended);
        guard.join().unwrap();
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stdin = None;
        self.wait();
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status =
        Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

pub(crate) type Client<S> = WebSocket<S>;

/// A path, or a request with headers that is given its address here.
pub(crate) trait IntoRequest {
    fn at(self, base: &str) -> tungstenite::handshake::client::Request;
}

impl IntoRequest for &str {
    fn at(self, base: &str) -> tungstenite::handshake::client::Request {
        format!("{base}{self}").into_client_request().unwrap()
    }
}

/// A path and headers.
impl IntoRequest for (&str, &[(&'static str, &str)]) {
    fn at(self, base: &str) -> tungstenite::handshake::client::Request {
        let mut request = self.0.at(base);
        for (name, value) in self.1 {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }
}

fn shake<S: Read + Write>(
    request: impl IntoRequest,
    base: &str,
    stream: S,
) -> Result<(Client<S>, Response), Error> {
    match client_with_config(request.at(base), stream, None) {
        Ok(done) => Ok(done),
        Err(HandshakeError::Failure(error)) => Err(error),
        Err(HandshakeError::Interrupted(_)) => {
            panic!("no answer to the handshake within {LIMIT:?}")
        }
    }
}

/// The next text message.
pub(crate) fn text<S: Read + Write>(client: &mut Client<S>) -> String {
    loop {
        match client.read().expect("a message comes") {
            Message::Text(text) => return text.as_str().to_owned(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("expected a text, got {other:?}"),
        }
    }
}

/// Reads up to the close frame and through the end of the connection; its code and reason.
pub(crate) fn closed<S: Read + Write>(client: &mut Client<S>) -> Option<(CloseCode, String)> {
    let frame = loop {
        match client.read().expect("a close frame comes") {
            Message::Close(frame) => break frame,
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    };
    match client.read() {
        Err(Error::ConnectionClosed) => {}
        other => panic!("expected the end in order, got {other:?}"),
    }
    frame.map(|frame| (frame.code, frame.reason.as_str().to_owned()))
}

/// Status and body of a refused handshake.
pub(crate) fn refusal<S>(result: Result<(Client<S>, Response), Error>) -> (u16, String) {
    match result {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(body).into_owned())
        }
        Err(error) => panic!("expected an HTTP answer, got {error}"),
        Ok(_) => panic!("expected a refusal, got a connection"),
    }
}

/// A handshake as bytes, for tests that look below tungstenite.
pub(crate) fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// What the server sent behind its 101.
pub(crate) fn after_101(bytes: &[u8]) -> &[u8] {
    assert!(bytes.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(bytes));
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the head ends");
    &bytes[head + 4..]
}
