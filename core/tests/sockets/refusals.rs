//! Attempts that cannot succeed: each a clear error of the right kind.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Probe, Seen, Server, once};
use longwire::{Client, Config, Error, ErrorKind};

/// The error that ends a client whose first attempt fails.
fn failure(config: Config) -> Seen {
    let mut probe = Probe::hosted(config.clone());
    let hosted = probe.next();
    assert_eq!(Probe::runtime(config).next(), hosted);
    hosted
}

fn failed(kind: ErrorKind) -> Seen {
    Seen::Closed { code: 1006, reason: String::new(), clean: false, kind: Some(kind) }
}

fn refused(config: Config) -> Error {
    let error = Client::start_hosted(config.clone()).unwrap_err();
    assert_eq!(Client::start(config, |_, _| {}).unwrap_err().kind(), error.kind());
    error
}

#[test]
fn urls_that_cannot_be_used() {
    for url in [
        "",
        "nonsense",
        "http://example.com/",
        "https://example.com/",
        "ws://",
        "wss://:80/",
        "ws://host:99999/",
        "ws://ho st/",
        "ws://host/\r\nX: y",
        "ws://host/\0",
        "ws://host/#part",
    ] {
        let error = refused(Config::new(url));
        assert_eq!(error.kind(), ErrorKind::Url, "{url:?}: {error}");
        assert!(!error.message().is_empty());
    }
    assert!(refused(Config::new("http://example.com/")).message().contains("ws://"));
}

#[test]
fn headers_and_subprotocols_that_cannot_be_sent() {
    for (name, value) in [
        ("X-A", "b\r\nX-C: d"),
        ("X\r\nY", "z"),
        ("", "x"),
        ("X", "a\0b"),
        ("Sec-WebSocket-Key", "mine"),
        ("Upgrade", "h2c"),
        ("Connection", "close"),
    ] {
        let mut config = Config::new("ws://127.0.0.1/");
        config.headers.push((name.into(), value.into()));
        let error = refused(config);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {error}");
    }
    for subprotocols in [vec!["a b"], vec![""], vec!["x\r\ny"], vec!["chat", "chat"]] {
        let mut config = Config::new("ws://127.0.0.1/");
        config.subprotocols = subprotocols.iter().map(ToString::to_string).collect();
        assert_eq!(refused(config).kind(), ErrorKind::Invalid, "{subprotocols:?}");
    }
    let mut config = Config::new("ws://127.0.0.1/");
    config.origin = Some("http://a\r\nb".into());
    assert_eq!(refused(config).kind(), ErrorKind::Invalid);
}

#[test]
fn a_back_off_that_contradicts_itself() {
    let backwards = |reconnect: &mut longwire::Reconnect| {
        reconnect.min_delay = Duration::from_secs(2);
        reconnect.max_delay = Duration::from_secs(1);
    };
    let changes: [&dyn Fn(&mut longwire::Reconnect); 4] = [
        &backwards,
        &|reconnect| reconnect.factor = f64::NAN,
        &|reconnect| reconnect.factor = f64::INFINITY,
        &|reconnect| reconnect.factor = 0.5,
    ];
    for change in changes {
        let mut config = Config::new("ws://127.0.0.1/");
        change(config.reconnect.as_mut().unwrap());
        assert_eq!(refused(config).kind(), ErrorKind::Invalid);
    }
}

#[test]
fn trust_that_cannot_be_read() {
    let mut config = Config::new("wss://127.0.0.1/");
    config.tls.ca_file = Some("/no/such/file.pem".into());
    let error = refused(config.clone());
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("/no/such/file.pem"), "{error}");
    config.tls.ca_file = None;
    config.tls.ca_pem = Some("not a certificate".into());
    assert_eq!(refused(config.clone()).kind(), ErrorKind::Invalid);
    config.tls.ca_pem = None;
    config.tls.server_name = Some("not a name".into());
    assert_eq!(refused(config).kind(), ErrorKind::Invalid);
}

#[test]
fn ports_and_names_that_lead_nowhere() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(failure(once(format!("ws://{closed}/"))), failed(ErrorKind::Connect));
    assert_eq!(failure(once("ws://no-such-host.invalid/")), failed(ErrorKind::Dns));
}

#[test]
fn a_persistent_client_says_down_and_tries_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = Config::new(format!("ws://{address}/"));
    let reconnect = config.reconnect.as_mut().unwrap();
    reconnect.min_delay = Duration::from_millis(1);
    reconnect.max_delay = Duration::from_millis(5);
    reconnect.max_attempts = Some(3);
    let mut probe = Probe::runtime(config);
    let down = Seen::Down { kind: ErrorKind::Connect, code: None };
    assert_eq!(probe.next(), down);
    assert_eq!(probe.next(), down);
    assert_eq!(probe.next(), failed(ErrorKind::Connect));
}

#[test]
fn servers_that_refuse() {
    let server = Server::start();
    for status in [200, 301, 401, 403, 404] {
        // Final, so that even a persistent client gives up.
        let config = Config::new(server.url(&format!("/http?status={status}&body=sorry")));
        assert_eq!(failure(config), failed(ErrorKind::Status), "{status}");
    }
    let (sender, events) = std::sync::mpsc::channel();
    let config = once(server.url("/http?status=403&body=sorry&header=X-Why:%20because"));
    let _client = Client::start(config, move |_, event| {
        if let longwire::Event::Closed(closed) = event {
            let _ = sender.send(closed.error.clone());
        }
    })
    .unwrap();
    let error = events.recv_timeout(crate::support::LIMIT).unwrap().unwrap();
    let refusal = error.refusal().unwrap();
    assert_eq!((refusal.status, refusal.body.as_slice()), (403, &b"sorry"[..]));
    assert!(refusal.headers.contains(&("x-why".into(), b"because".to_vec())));
    assert!(error.message().contains("403"), "{error}");
    // 503 is not final.
    let mut probe = Probe::runtime(Config::new(server.url("/http?status=503")));
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Status, code: None });
}

#[test]
fn servers_that_answer_nonsense_or_nothing() {
    let server = Server::start();
    assert_eq!(failure(once(server.url("/garbage"))), failed(ErrorKind::Handshake));
    assert_eq!(
        failure(once(server.url("/subprotocol?choose=unasked"))),
        failed(ErrorKind::Handshake)
    );
    let mut config = once(server.url("/stall-handshake"));
    config.connect_timeout = Duration::from_millis(100);
    let started = Instant::now();
    assert!(matches!(
        failure(config),
        Seen::Closed { kind: Some(ErrorKind::Timeout | ErrorKind::Handshake), .. }
    ));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn certificates_that_prove_nothing() {
    let server = Server::start();
    let url = format!("{}/echo", server.wss);
    // Signed by an authority the system does not know.
    assert_eq!(failure(once(&url)), failed(ErrorKind::Certificate));
    // For another host.
    let mut config = once(format!("{}/echo", server.wss_bad_name));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    assert_eq!(failure(config.clone()), failed(ErrorKind::Certificate));
    // Which is fine if that host is the one that is meant.
    config.tls.server_name = Some("other.example".into());
    Probe::runtime(config.clone()).open();
    // Nobody looks.
    config.tls = longwire::Tls::default();
    config.tls.verify = false;
    Probe::runtime(config.clone()).open();
    // TLS to a server that speaks none.
    config.url = server.url("/echo").replace("ws://", "wss://");
    assert_eq!(failure(config), failed(ErrorKind::Tls));
}

#[test]
fn ca_pem_is_as_good_as_ca_file() {
    let server = Server::start();
    let mut config = once(format!("{}/echo", server.wss));
    config.tls.ca_pem = Some(std::fs::read_to_string(&server.ca_file).unwrap());
    Probe::hosted(config).open();
}
