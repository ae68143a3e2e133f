//! Connections through proxies, and proxies that do not play along.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::peers::{answering, carry, drain, http_proxy, listen, read_head, socks_proxy};
use crate::support::{LIMIT, Probe, Seen, Server, converse, first_error, once};
use longwire::{Client, Config, ErrorKind, Proxy};

fn through(proxy: impl Into<String>, url: impl Into<String>) -> Config {
    let mut config = once(url);
    config.proxy = Proxy::Url(proxy.into());
    config
}

/// `host:port` of a URL.
fn place(url: &str) -> String {
    url.split('/').nth(2).unwrap().to_owned()
}

/// A server's URLs, over which its own `/echo` can be talked to.
fn echoes(server: &Server) -> [Config; 2] {
    let mut secure = once(format!("{}/echo", server.wss));
    secure.tls.ca_file = Some(server.ca_file.clone().into());
    [once(server.url("/echo")), secure]
}

#[test]
fn http_tunnels_carry_both_schemes() {
    let server = Server::start();
    let (proxy, requests) = http_proxy(None);
    for mut config in echoes(&server) {
        config.proxy = Proxy::Url(format!("http://Aladdin:open%20sesame@{proxy}"));
        for mut probe in Probe::both(&config) {
            converse(&mut probe);
            let place = place(&config.url);
            assert_eq!(
                requests.recv_timeout(LIMIT).unwrap(),
                format!(
                    "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\
                     Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
                )
            );
            probe.client.close(1000, "").unwrap();
            assert!(matches!(probe.next(), Seen::Closed { code: 1000, clean: true, .. }));
        }
    }
}

#[test]
fn the_server_behind_the_tunnel_is_named_in_ascii() {
    let server = Server::start();
    let (proxy, requests) = http_proxy(Some(place(&server.ws)));
    let mut probe =
        Probe::runtime(through(format!("http://{proxy}"), "ws://bücher.example/headers"));
    probe.open();
    let Seen::Text(headers) = probe.next() else { panic!("expected a text") };
    assert!(headers.contains(r#""host":"xn--bcher-kva.example""#), "{headers}");
    let head = requests.recv_timeout(LIMIT).unwrap();
    assert!(head.starts_with("CONNECT xn--bcher-kva.example:80 HTTP/1.1\r\n"), "{head}");
}

/// An `https:` proxy before the HTTP proxy `inner`: it only takes off its TLS.
fn behind_tls(inner: String, certificates: &str) -> String {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let file = |name: &str| std::path::Path::new(certificates).with_file_name(name);
    let chain = CertificateDer::pem_file_iter(file("leaf.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(file("leaf.key")).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (acceptor, inner) = (acceptor.clone(), inner.clone());
                tokio::spawn(async move {
                    let Ok(mut near) = acceptor.accept(near).await else { return };
                    let mut far = tokio::net::TcpStream::connect(inner).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    format!("https://localhost:{}", address.port())
}

#[test]
fn tunnels_in_tls_carry_both_schemes() {
    let server = Server::start();
    let (inner, requests) = http_proxy(None);
    let proxy = behind_tls(inner, &server.ca_file);
    for mut config in echoes(&server) {
        config.tls.ca_file = Some(server.ca_file.clone().into());
        config.proxy = Proxy::Url(proxy.replace("//", "//user:pass@"));
        for mut probe in Probe::both(&config) {
            converse(&mut probe);
            let head = requests.recv_timeout(LIMIT).unwrap();
            assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
            probe.client.close(1000, "bye").unwrap();
            assert!(matches!(probe.next(), Seen::Closed { code: 1000, clean: true, .. }));
        }
    }
}

#[test]
fn what_is_sent_last_passes_the_relay() {
    let server = Server::start();
    let (inner, _requests) = http_proxy(None);
    let [mut config, _] = echoes(&server);
    config.url = server.url("/raw?id=last");
    config.tls.ca_file = Some(server.ca_file.clone().into());
    config.proxy = Proxy::Url(behind_tls(inner, &server.ca_file));
    let mut probe = Probe::runtime(config);
    probe.open();
    // Closed with 1001 by the drop of the last handle, and gone at once.
    drop(probe);
    let mut result = Probe::runtime(once(server.url("/raw-result?id=last")));
    result.open();
    assert_eq!(result.next(), Seen::Text("1001".into()));
}

#[test]
fn a_proxy_in_tls_has_to_prove_who_it_is() {
    let server = Server::start();
    let (inner, _requests) = http_proxy(None);
    let proxy = behind_tls(inner, &server.ca_file);
    // The system does not know the authority.
    let mut config = Config::new(server.url("/echo"));
    config.proxy = Proxy::Url(proxy.clone());
    let (error, again) = first_error(config.clone());
    assert_eq!((error.kind(), again), (ErrorKind::Certificate, false), "{error}");
    assert!(error.message().starts_with(&format!("the proxy {proxy}: ")), "{error}");
    // What names the server does not name the proxy.
    config.tls.ca_file = Some(server.ca_file.clone().into());
    config.tls.server_name = Some("other.example".into());
    converse(&mut Probe::runtime(config.clone()));
    // A proxy that speaks no TLS.
    config.proxy =
        Proxy::Url(format!("https://localhost:{}", place(&server.ws).split(':').nth(1).unwrap()));
    let (error, again) = first_error(config);
    assert_eq!((error.kind(), again), (ErrorKind::Tls, true), "{error}");
}

#[test]
fn the_status_of_a_refusal_decides_whether_it_is_final() {
    for (answer, says, again) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication", false),
        ("HTTP/1.0 403 Filtered\r\nContent-Length: 2\r\n\r\nno", "403 Forbidden", false),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", true),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "503", true),
    ] {
        let (proxy, _requests) = answering(answer);
        let mut config = Config::new("wss://server.example/secret");
        config.proxy = Proxy::Url(format!("http://user:secret@{proxy}"));
        let (error, tried_again) = first_error(config);
        assert_eq!((error.kind(), tried_again), (ErrorKind::Connect, again), "{error}");
        assert!(error.message().contains(says), "{error}");
        assert!(error.message().contains("tunnel to server.example:443"), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error}");
    }
}

#[test]
fn proxies_that_answer_nonsense() {
    let endless = listen(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Another: header\r\n").is_ok() {}
    });
    let (garbage, _) = answering("SSH-2.0-OpenSSH\r\n");
    let (silent, _) = answering("");
    let (cut, _) = answering("HTTP/1.1 200 Connection est");
    let (eager, _) = answering("HTTP/1.1 200 OK\r\n\r\nand more");
    for (proxy, says) in [
        (endless, "at most 65536 bytes"),
        (garbage, "got \"SSH-2.0-OpenSSH"),
        (silent, "ended after 0 bytes"),
        (cut, "ended after 27 bytes"),
        (eager, "got 8 bytes"),
    ] {
        let (error, _) = first_error(through(format!("http://{proxy}"), "ws://server.example/"));
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn socks_proxies_that_answer_nonsense() {
    for (said, says) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "parsing"),
        (b"", "io error"),
        (b"\x05", "io error"),
        (b"\x04\x00", "parsing"),
        (b"\x05\x00\x05\x00\x00\x09\x00\x00", "parsing"),
        (b"\x05\x00\x05\x63\x00\x01", "parsing"),
    ] {
        let proxy = listen(move |mut stream| {
            let _ = stream.write_all(said);
            let _ = stream.shutdown(Shutdown::Write);
            drain(stream);
        });
        let (error, _) = first_error(through(format!("socks5h://{proxy}"), "ws://server.example/"));
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn a_proxy_that_never_answers_is_given_up_in_time() {
    let mute = listen(drain);
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let mut config = through(format!("{scheme}://user:secret@{mute}"), "ws://127.0.0.1:9/");
        config.connect_timeout = Duration::from_millis(100);
        let started = Instant::now();
        let (error, _) = first_error(config);
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let says = format!("no connection to 127.0.0.1:9 through the proxy {scheme}://{mute}");
        assert!(error.message().starts_with(&says), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_proxy_that_is_not_there_is_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let mut config = Config::new("ws://127.0.0.1:9/");
        config.proxy = Proxy::Url(format!("{scheme}://{closed}"));
        let (error, again) = first_error(config.clone());
        assert_eq!((error.kind(), again), (ErrorKind::Connect, true), "{error}");
        let says = format!("cannot connect to the proxy {closed}: ");
        assert!(error.message().starts_with(&says), "{error}");
        config.proxy = Proxy::Url(format!("{scheme}://no-such-host.invalid"));
        let (error, again) = first_error(config);
        assert_eq!((error.kind(), again), (ErrorKind::Dns, true), "{error}");
        assert!(error.message().contains("no-such-host.invalid"), "{error}");
    }
}

#[test]
fn socks_proxies_get_names_or_addresses_as_told() {
    let server = Server::start();
    let login = Some(("user", "p@ss"));
    for mut config in echoes(&server) {
        config.url = config.url.replace("127.0.0.1", "localhost");
        let named = place(&config.url);
        let destination = named.replace("localhost", "127.0.0.1");
        for (wanted, given) in [(None, ""), (login, "user:p%40ss@")] {
            let (proxy, requests) = socks_proxy(destination.clone(), wanted);
            config.proxy = Proxy::Url(format!("socks5h://{given}{proxy}"));
            for mut probe in Probe::both(&config) {
                converse(&mut probe);
                assert_eq!(requests.recv_timeout(LIMIT).unwrap(), format!("name {named}"));
            }
            config.proxy = Proxy::Url(format!("socks5://{given}{proxy}"));
            for mut probe in Probe::both(&config) {
                converse(&mut probe);
                let request = requests.recv_timeout(LIMIT).unwrap();
                assert!(!request.contains("localhost"), "{request}");
            }
        }
    }
}

#[test]
fn socks_proxies_refuse_credentials_for_good() {
    let login = Some(("user", "pass"));
    for (wanted, given, says) in [
        (login, "user:secret@", "credentials not accepted"),
        (login, "", "it wants a user and a password"),
        (None, "user:secret@", "it wants other ones or none"),
    ] {
        let (proxy, _requests) = socks_proxy("127.0.0.1:9".into(), wanted);
        let mut config = Config::new("ws://127.0.0.1:9/");
        for scheme in ["socks5", "socks5h"] {
            config.proxy = Proxy::Url(format!("{scheme}://{given}{proxy}"));
            let (error, again) = first_error(config.clone());
            assert_eq!((error.kind(), again), (ErrorKind::Connect, false), "{error}");
            assert!(error.message().contains(says), "{error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }
}

#[test]
fn socks_proxies_that_cannot_connect_are_tried_again() {
    let proxy = listen(|mut stream| {
        let mut greeting = [0; 3];
        let _ = std::io::Read::read_exact(&mut stream, &mut greeting);
        let _ = stream.write_all(&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
        let _ = stream.shutdown(Shutdown::Write);
        drain(stream);
    });
    for scheme in ["socks5", "socks5h"] {
        let mut config = Config::new("ws://127.0.0.1:9/");
        config.proxy = Proxy::Url(format!("{scheme}://{proxy}"));
        let (error, again) = first_error(config);
        assert_eq!((error.kind(), again), (ErrorKind::Connect, true), "{error}");
        assert!(error.message().ends_with("connection refused"), "{error}");
    }
}

#[test]
fn urls_of_proxies_that_cannot_be_used() {
    for url in ["", "proxy:3128", "socks4://proxy", "http://", "http://u:secret@p:x", "ws://p"] {
        let mut config = Config::new("ws://127.0.0.1/");
        config.proxy = Proxy::Url(url.into());
        let error = Client::start_hosted(config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
        assert!(error.message().starts_with("proxy: expected"), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
    }
}

#[test]
fn a_lost_connection_is_replaced_through_the_proxy() {
    let server = Server::start();
    let (cut, cuts) = std::sync::mpsc::channel::<TcpStream>();
    let destination = place(&server.ws);
    let proxy = listen(move |mut near| {
        read_head(&mut near);
        let far = TcpStream::connect(&destination).unwrap();
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        cut.send(near.try_clone().unwrap()).unwrap();
        carry(near, far);
    });
    for proxy in [format!("http://{proxy}"), behind_tls(proxy, &server.ca_file)] {
        let mut config = through(proxy, server.url("/echo"));
        config.tls.ca_file = Some(server.ca_file.clone().into());
        let mut reconnect = longwire::Reconnect::default();
        reconnect.min_delay = Duration::from_millis(1);
        reconnect.max_delay = Duration::from_millis(5);
        config.reconnect = Some(reconnect);
        // One after the other, or the cut would not know whom it hits.
        for start in [Probe::runtime, Probe::hosted] {
            let mut probe = start(config.clone());
            converse(&mut probe);
            cuts.recv_timeout(LIMIT).unwrap().shutdown(Shutdown::Both).unwrap();
            assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None });
            converse(&mut probe);
            cuts.recv_timeout(LIMIT).unwrap();
        }
    }
}

/// Runs again as its own child, as the environment belongs to a whole process.
#[test]
fn the_environment_names_the_proxy() {
    const URL: &str = "LONGWIRE_REACH_URL";
    if let Ok(url) = std::env::var(URL) {
        let (error, again) = first_error(Config::new(url));
        println!("{:?} {again} {error}", error.kind());
        return;
    }
    let (proxy, requests) = answering("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let run = |url: &str, environment: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "reach_proxies::the_environment_names_the_proxy", "--nocapture"]);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        let output = command.env(URL, url).envs(environment.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let url = format!("http://user:secret@{proxy}");
    for (scheme, variable) in [("ws", "HTTP_PROXY"), ("wss", "https_proxy"), ("wss", "ALL_PROXY")] {
        let said = run(&format!("{scheme}://127.0.0.1:9/"), &[(variable, &url)]);
        assert!(said.contains("Connect true the proxy http://") && said.contains("502"), "{said}");
        let head = requests.recv_timeout(LIMIT).unwrap();
        assert!(head.contains("Basic dXNlcjpzZWNyZXQ="), "{head}");
    }
    let said = run("ws://127.0.0.1:9/", &[("http_proxy", &url), ("NO_PROXY", "127.0.0.0/8")]);
    assert!(said.contains("Connect true cannot connect to 127.0.0.1:9"), "{said}");
    let said = run("ws://127.0.0.1:9/", &[("ALL_PROXY", "socks4://user:secret@127.0.0.1:9")]);
    assert!(said.contains("Invalid false ALL_PROXY: expected"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
