//! Servers that ask who the client is.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::support::{LIMIT, Probe, Seen, Server, TempDir, first_error, once};
use longwire::{Client, Config, Error, ErrorKind};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls::{SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// For the server that demands a certificate, with that of `name` if there is one.
fn config(server: &Server, name: Option<&str>) -> Config {
    let mut config = once(format!("{}/echo", server.wss_client_cert));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    if let Some(name) = name {
        config.tls.client_cert = Some(server.file(&format!("{name}.pem")));
        config.tls.client_key = Some(server.file(&format!("{name}.key")));
    }
    config
}

/// With quick attempts, for files that change meanwhile.
fn persistent(mut config: Config) -> Config {
    let mut reconnect = longwire::Reconnect::default();
    reconnect.min_delay = Duration::from_millis(10);
    reconnect.max_delay = Duration::from_millis(20);
    config.reconnect = Some(reconnect);
    config
}

fn refused(config: Config) -> Error {
    Client::start_hosted(config).map(drop).expect_err("it is wrong")
}

#[test]
fn a_good_certificate_opens_the_door() {
    let server = Server::start();
    for mut probe in Probe::both(&config(&server, Some("client"))) {
        probe.open();
        probe.text("hello");
        assert_eq!(probe.next(), Seen::Text("hello".into()));
    }
}

#[test]
fn a_server_that_is_not_satisfied_says_why() {
    let server = Server::start();
    for (name, alert, says) in [
        (None, "CertificateRequired", "it expects a client certificate (client_cert)"),
        (Some("expired"), "CertificateExpired", "does not accept the client's certificate"),
        (Some("foreign"), "UnknownCA", "does not accept the client's certificate"),
    ] {
        // In TLS 1.3 the alert comes behind the handshake, and may overtake the request.
        for _ in 0..20 {
            let error = first_error(config(&server, name)).0;
            assert_eq!(error.kind(), ErrorKind::Tls, "{name:?}: {error}");
            assert!(error.message().contains(alert), "{name:?}: {error}");
            assert!(error.message().contains(says), "{name:?}: {error}");
            assert!(error.is_retryable());
        }
    }
}

/// Serves one handshake after the other and drops the connection, with a client certificate demanded. Tells
/// which of them resumed a session.
fn demanding(
    server: &Server,
    version: &'static SupportedProtocolVersion,
) -> (String, Receiver<bool>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&server.ca_file).unwrap()).unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let chain = vec![CertificateDer::from_pem_file(server.file("leaf.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(server.file("leaf.key")).unwrap();
    let tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(clients.unwrap())
        .with_single_cert(chain, key);
    let tls = Arc::new(tls.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    let (sender, resumed) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(tls.clone()).unwrap();
            let stream = StreamOwned::new(session, stream.unwrap());
            // The client is told of what fails, and its tests are about that.
            if let Ok(peer) = tungstenite::accept(stream) {
                let kind = peer.get_ref().conn.handshake_kind();
                let _ = sender.send(kind == Some(HandshakeKind::Resumed));
            }
        }
    });
    (url, resumed)
}

#[test]
fn tls_1_2_has_it_within_the_handshake() {
    let server = Server::start();
    let (url, _) = demanding(&server, &version::TLS12);
    let at = |name| {
        let mut config = config(&server, name);
        config.url.clone_from(&url);
        config
    };
    Probe::runtime(at(Some("client"))).open();
    let error = first_error(at(Some("foreign"))).0;
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(error.message().contains("UnknownCA"), "{error}");
    let error = first_error(at(None)).0;
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(error.message().contains("sent the alert"), "{error}");
}

#[test]
fn sessions_are_resumed_while_the_certificate_stays() {
    let server = Server::start();
    let (url, resumed) = demanding(&server, &version::TLS13);
    let mut config = persistent(config(&server, Some("client")));
    config.url = url;
    let _probe = Probe::runtime(config);
    assert_eq!(resumed.recv_timeout(LIMIT), Ok(false));
    assert_eq!(resumed.recv_timeout(LIMIT), Ok(true));
    // Other contents, if only by a line's end, are another certificate, with sessions of its own.
    let renewed = fs::read_to_string(server.file("client.pem")).unwrap() + "\n";
    fs::write(server.file("client.pem"), renewed).unwrap();
    while resumed.recv_timeout(LIMIT).unwrap() {}
    assert_eq!(resumed.recv_timeout(LIMIT), Ok(true));
}

#[test]
fn what_is_wrong_with_the_files_is_said_at_the_start() {
    let server = Server::start();
    let dir = TempDir::new("client-cert-start");
    let encrypted = dir.write(
        "pkcs8.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let old = dir.write(
        "old.key",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n\
         MIGb\n-----END RSA PRIVATE KEY-----\n",
    );
    let cut = fs::read_to_string(server.file("client.pem")).unwrap();
    let cut = dir.write("cut.pem", &cut[..cut.len() / 2]);
    let key = server.file("client.key");
    let certificate = server.file("client.pem");
    let missing = dir.file("missing");
    let large = dir.write("large.pem", vec![b'\n'; (1 << 20) + 1]);
    let nonsense =
        dir.write("nonsense.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let cases: [(Option<&Path>, Option<&Path>, &str); 12] = [
        (Some(&certificate), None, "expected client_key beside client_cert"),
        (None, Some(&key), "expected client_cert beside client_key"),
        (Some(&missing), Some(&key), "client_cert /"),
        (Some(&certificate), Some(&missing), "client_key /"),
        (Some(&dir.0), Some(&key), "expected a regular file"),
        (Some(&large), Some(&key), "expected at most 1048576 bytes"),
        (Some(&key), Some(&key), "expected at least one PEM certificate"),
        (Some(&cut), Some(&key), "expected the end of CERTIFICATE"),
        (Some(&certificate), Some(&certificate), "expected a PEM private key, found none"),
        (Some(&certificate), Some(&encrypted), "expected a key without a passphrase"),
        (Some(&certificate), Some(&old), "expected a key without a passphrase"),
        (Some(&certificate), Some(&nonsense), "nonsense.key"),
    ];
    for (client_cert, client_key, says) in cases {
        let mut config = config(&server, None);
        config.tls.client_cert = client_cert.map(Into::into);
        config.tls.client_key = client_key.map(Into::into);
        let error = refused(config);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(says), "expected {says:?} in {error}");
    }
    let mut config = config(&server, Some("client"));
    config.tls.client_key = Some(server.file("foreign.key"));
    let error = refused(config);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let says = format!("expected the key of the certificate in {}", certificate.display());
    assert!(error.message().contains(&says), "{error}");
}

/// Waits for the next failed attempt and checks why it failed.
fn down(probe: &mut Probe) {
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Tls, code: None });
}

#[test]
fn replaced_files_are_read_at_the_next_attempt() {
    let server = Server::start();
    let dir = TempDir::new("client-cert-replaced");
    let put = |name: &str| {
        for end in ["pem", "key"] {
            fs::copy(server.file(&format!("{name}.{end}")), dir.file(&format!("mine.{end}")))
                .unwrap();
        }
    };
    put("expired");
    let mut config = persistent(config(&server, None));
    // The server ends the connection after one message, in order.
    config.url = format!("{}/drop?after=1", server.wss_client_cert);
    config.tls.client_cert = Some(dir.file("mine.pem"));
    config.tls.client_key = Some(dir.file("mine.key"));
    for mut probe in Probe::both(&config) {
        put("expired");
        down(&mut probe);
        // Missing, then one of the two, is a failed attempt like another.
        fs::remove_file(dir.file("mine.pem")).unwrap();
        down(&mut probe);
        fs::copy(server.file("client.pem"), dir.file("mine.pem")).unwrap();
        down(&mut probe);
        put("client");
        while let Seen::Down { kind, .. } = probe.next() {
            assert_eq!(kind, ErrorKind::Tls);
        }
        // It is open. A session of the good certificate is no way in for a bad one.
        put("foreign");
        probe.text("echoed before the end");
        assert_eq!(probe.next(), Seen::Text("echoed before the end".into()));
        assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None });
        down(&mut probe);
        probe.client.free();
    }
}
