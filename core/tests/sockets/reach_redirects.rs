//! Redirects: which are followed, and what goes along.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::peers::{answering, drain, listen, read_head};
use crate::support::{LIMIT, Probe, Seen, Server, converse, first_error, once};
use longwire::{Config, ErrorKind};

fn following(most: u32, url: impl Into<String>) -> Config {
    let mut config = once(url);
    config.max_redirects = most;
    config
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn http(url: &str) -> String {
    url.replacen("ws", "http", 1)
}

/// The headers that the server at the end of `config`'s way gets, as JSON.
fn headers(config: &Config) -> String {
    let mut probe = Probe::runtime(config.clone());
    probe.open();
    let Seen::Text(headers) = probe.next() else { panic!("expected a text") };
    headers
}

#[test]
fn each_kind_is_followed_to_another_server_and_on_the_same_one() {
    let server = Server::start();
    for status in [301, 302, 303, 307, 308] {
        for location in [http(&server.url("/echo")), server.url("/echo")] {
            let (other, requests) = answering(redirect(status, &location));
            for mut probe in Probe::both(&following(1, format!("ws://{other}/x"))) {
                converse(&mut probe);
                let head = requests.recv_timeout(LIMIT).unwrap();
                assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
            }
        }
        let url = server.url(&format!("/http?status={status}&header=Location:%20echo"));
        converse(&mut Probe::runtime(following(1, url)));
    }
}

#[test]
fn none_is_followed_unless_told() {
    let server = Server::start();
    let mut config = Config::new(server.url("/http?status=302&header=Location:%20/echo"));
    let (error, again) = first_error(config.clone());
    assert_eq!((error.kind(), again), (ErrorKind::Status, false));
    assert_eq!(error.message(), "expected status 101, the server answered 302 Found: /echo");
    // Nor anything else that has a location, or a redirect that has none.
    config.max_redirects = 5;
    for (status, says) in [(300, "300"), (304, "304"), (201, "201"), (302, "header location")] {
        let header = if status == 302 { "X" } else { "Location" };
        config.url = server.url(&format!("/http?status={status}&header={header}:%20/echo"));
        let (error, again) = first_error(config.clone());
        assert_eq!((error.kind(), again), (ErrorKind::Status, false));
        assert!(error.message().contains(says), "{error}");
        assert_eq!(error.refusal().unwrap().status, status);
    }
}

#[test]
fn a_loop_ends_at_the_limit_and_the_next_attempt_starts_anew() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let address = listen(move |mut stream| {
        let path = read_head(&mut stream).split(' ').nth(1).unwrap().to_owned();
        // The first of each attempt is the URL that the client was given.
        if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(4) {
            assert_eq!(path, "/start");
        }
        let _ = stream.write_all(redirect(302, "/again").as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        drain(stream);
    });
    for _ in 0..2 {
        let (error, again) = first_error(following(3, format!("ws://{address}/start")));
        assert_eq!((error.kind(), again), (ErrorKind::Status, false));
        assert!(
            error.message().starts_with("expected at most 3 redirects, got one more"),
            "{error}"
        );
        assert_eq!(error.refusal().unwrap().status, 302);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 8);
}

#[test]
fn a_lost_connection_is_replaced_from_the_first_url_on() {
    let server = Server::start();
    let (first, requests) = answering(redirect(307, &http(&server.url("/drop?after=1"))));
    let mut config = following(1, format!("ws://{first}/"));
    config.reconnect = Config::new("").reconnect;
    let mut probe = Probe::runtime(config);
    for _ in 0..2 {
        probe.open();
        requests.recv_timeout(LIMIT).unwrap();
        probe.text("x");
        assert_eq!(probe.next(), Seen::Text("x".into()));
        assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None });
    }
}

#[test]
fn credentials_go_to_their_own_origin_only() {
    let server = Server::start();
    let personal = [("Cookie", "id=secret"), ("X-Trace", "17")];
    let own = server.url("/http?status=302&header=Location:%20/headers");
    let (other, _requests) = answering(redirect(302, &http(&server.url("/headers"))));
    for (url, kept) in [(own, true), (format!("ws://{other}/"), false)] {
        let with = |url: String, more: Option<(&str, &str)>| {
            let mut config = following(2, url);
            for (name, value) in personal.into_iter().chain(more) {
                config.headers.push((name.into(), value.into()));
            }
            config
        };
        let in_url = headers(&with(url.replace("//", "//user:secret@"), None));
        let in_header = headers(&with(url, Some(("authorization", "Basic dXNlcjpzZWNyZXQ="))));
        for got in [in_url, in_header] {
            assert_eq!(got.contains(r#""authorization":"Basic dXNlcjpzZWNyZXQ=""#), kept, "{got}");
            assert_eq!(got.contains("authorization"), kept, "{got}");
            assert_eq!(got.contains(r#""cookie":"id=secret""#), kept, "{got}");
            assert!(got.contains(r#""x-trace":"17""#), "{got}");
            let host = server.ws.split("//").nth(1).unwrap();
            assert!(got.contains(&format!(r#""host":"{host}""#)), "{got}");
        }
    }
}

#[test]
fn from_no_tls_to_tls_but_never_back() {
    let server = Server::start();
    let (plain, _) = answering(redirect(301, &http(&format!("{}/echo", server.wss))));
    let mut config = following(1, format!("ws://{plain}/"));
    // Trust is needed only now, and it is the one that was given.
    config.tls.ca_file = Some(server.ca_file.clone().into());
    config.tls.server_name = Some("name.of.the.first.example".into());
    converse(&mut Probe::runtime(config.clone()));
    config.tls.ca_file = None;
    assert_eq!(first_error(config.clone()).0.kind(), ErrorKind::Certificate);
    config.tls.ca_file = Some("/no/such/file.pem".into());
    let (error, _) = first_error(config.clone());
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");

    let location = server.url("/echo").replace(':', "%3A");
    config.url = format!("{}/http?status=302&header=Location:%20{location}", server.wss);
    config.tls.ca_file = Some(server.ca_file.clone().into());
    config.tls.server_name = None;
    let (error, again) = first_error(config);
    assert_eq!((error.kind(), again), (ErrorKind::Status, false));
    assert!(error.message().contains("stay with TLS"), "{error}");
}

#[test]
fn nothing_leads_to_a_unix_socket() {
    let (first, _requests) = answering(redirect(302, "ws+unix:/run/docker.sock:/"));
    let (error, again) = first_error(following(5, format!("ws://{first}/")));
    assert_eq!((error.kind(), again), (ErrorKind::Status, false));
    assert!(error.message().contains("got \"ws+unix\""), "{error}");
}

#[test]
fn the_whole_way_is_one_attempt_in_time() {
    let mute = listen(drain);
    let (first, _requests) = answering(redirect(302, &format!("http://{mute}/")));
    let mut config = following(5, format!("ws://{first}/"));
    config.connect_timeout = Duration::from_millis(200);
    let started = Instant::now();
    let (error, _) = first_error(config);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
