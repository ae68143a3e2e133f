//! Places that a URL can name beside a host and a port: Unix sockets, IPv6
//! addresses; and the user who asks.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::support::peers::read_head;
use crate::support::{LIMIT, Probe, Seen, Server, converse, first_error, once};
use longwire::{Client, Config, ErrorKind, Proxy};

/// A directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("longwire-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sends back what comes, until the client closes.
fn echo(stream: impl Read + Write) {
    let Ok(mut peer) = tungstenite::accept(stream) else { return };
    while let Ok(message) = peer.read() {
        if message.is_text() && peer.send(message).is_err() {
            return;
        }
    }
    let _ = peer.flush();
}

/// The test's own server on a Unix socket.
fn serve(path: &Path, script: impl Fn(UnixStream) + Clone + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, script) = (stream.unwrap(), script.clone());
            thread::spawn(move || script(stream));
        }
    });
}

/// Answers every request with 404, and tells its head.
fn heads(path: &Path) -> Receiver<String> {
    let (asked, requests) = channel();
    serve(path, move |mut stream| {
        asked.send(read_head(&mut stream)).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n");
    });
    requests
}

#[test]
fn unix_sockets_carry_messages() {
    let directory = Directory::new("unix");
    let path = directory.0.join("my socket");
    serve(&path, echo);
    let path = path.display().to_string().replace(' ', "%20");
    for url in [format!("ws+unix:{path}"), format!("ws+unix://{path}:/x?y")] {
        let mut config = once(url);
        // No proxy leads to a socket on this machine.
        config.proxy = Proxy::Url("http://127.0.0.1:9".into());
        for mut probe in Probe::both(&config) {
            converse(&mut probe);
            probe.client.ping(b"there?").unwrap();
            assert_eq!(probe.next(), Seen::Pong(b"there?".to_vec(), true));
            probe.client.close(1000, "").unwrap();
            assert!(matches!(probe.next(), Seen::Closed { code: 1000, clean: true, .. }));
        }
        config.heartbeat.interval = Some(Duration::from_millis(10));
        for mut probe in Probe::both(&config) {
            probe.open();
            assert!(matches!(probe.next(), Seen::Pong(_, true)), "the heartbeat's");
        }
    }
}

#[test]
fn the_heartbeat_beats_on_a_unix_socket() {
    let directory = Directory::new("heartbeat");
    let path = directory.0.join("s");
    serve(&path, echo);
    let mut config = once(format!("ws+unix:{}", path.display()));
    config.heartbeat.interval = Some(Duration::from_millis(10));
    for mut probe in Probe::both(&config) {
        probe.open();
        for _ in 0..3 {
            assert!(matches!(probe.next(), Seen::Pong(_, true)));
        }
    }
}

#[test]
fn the_request_on_a_unix_socket_is_for_localhost() {
    let directory = Directory::new("request");
    let path = directory.0.join("s");
    let requests = heads(&path);
    let (error, _) = first_error(once(format!("ws+unix:{}:/chat?room=1", path.display())));
    assert_eq!(error.refusal().unwrap().status, 404);
    let head = requests.recv_timeout(LIMIT).unwrap();
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\n"), "{head}");
}

#[test]
fn unix_sockets_with_tls() {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let server = Server::start();
    let file = |name: &str| Path::new(&server.ca_file).with_file_name(name);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_file_iter(file("leaf.pem")).unwrap().map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(file("leaf.key")).unwrap(),
        )
        .unwrap();
    let tls = Arc::new(tls);
    let directory = Directory::new("tls");
    let path = directory.0.join("s");
    serve(&path, move |stream| {
        let session = rustls::ServerConnection::new(tls.clone()).unwrap();
        echo(rustls::StreamOwned::new(session, stream));
    });
    let mut config = once(format!("wss+unix:{}", path.display()));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    for mut probe in Probe::both(&config) {
        converse(&mut probe);
    }
    config.tls.server_name = Some("other.example".into());
    assert_eq!(first_error(config).0.kind(), ErrorKind::Certificate);
}

#[test]
fn a_unix_socket_that_is_not_there_is_tried_again() {
    let directory = Directory::new("absent");
    let path = directory.0.join("s");
    let mut config = Config::new(format!("ws+unix:{}", path.display()));
    config.reconnect.as_mut().unwrap().max_delay = Duration::from_millis(5);
    config.reconnect.as_mut().unwrap().min_delay = Duration::from_millis(1);
    let (error, again) = first_error(config.clone());
    assert_eq!((error.kind(), again), (ErrorKind::Connect, true), "{error}");
    let says = format!("cannot connect to the socket {}: ", path.display());
    assert!(error.message().starts_with(&says), "{error}");
    let mut probe = Probe::runtime(config);
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Connect, code: None });
    serve(&path, echo);
    while probe.next() == (Seen::Down { kind: ErrorKind::Connect, code: None }) {}
    probe.text("at last");
    assert_eq!(probe.next(), Seen::Text("at last".into()));
}

#[test]
fn ipv6_addresses_are_dialled_and_named() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("LEFT OUT: this machine has no IPv6");
        return;
    };
    let address = listener.local_addr().unwrap();
    let (asked, hosts) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut beginning = [0; 4096];
            let len = stream.peek(&mut beginning).unwrap();
            asked.send(String::from_utf8_lossy(&beginning[..len]).into_owned()).unwrap();
            thread::spawn(move || echo(stream));
        }
    });
    for mut probe in Probe::both(&once(format!("ws://{address}/"))) {
        converse(&mut probe);
        let head = hosts.recv_timeout(LIMIT).unwrap();
        assert!(head.contains(&format!("\r\nHost: {address}\r\n")), "{head}");
    }
}

#[test]
fn user_and_password_of_the_url_are_sent() {
    let server = Server::start();
    // base64 of "us er:p@ss".
    let path = "/need-header?name=Authorization&value=Basic%20dXMgZXI6cEBzcw%3D%3D";
    let url = server.url(path);
    let config = once(url.replace("//", "//us%20er:p%40ss@"));
    for mut probe in Probe::both(&config) {
        probe.open();
    }
    let (error, _) = first_error(once(url.replace("//", "//us%20er:wrong@")));
    assert_eq!(error.refusal().unwrap().status, 403);

    let mut config = Config::new("ws://user:secret@127.0.0.1/");
    config.headers.push(("authorization".into(), "Bearer x".into()));
    let error = Client::start_hosted(config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("got both"), "{error}");
    assert!(!error.message().contains("secret"), "{error}");
}
