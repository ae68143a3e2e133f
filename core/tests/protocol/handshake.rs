//! The opening handshake against every answer a server may think of.

use longwire::protocol::handshake::{Accepted, Handshake};
use longwire::protocol::target::Target;
use longwire::{Config, Error, ErrorKind};
use tungstenite::handshake::derive_accept_key;

fn start_with(change: impl FnOnce(&mut Config)) -> Result<Handshake, Error> {
    let mut config = Config::new("ws://feed.example:8080/ticks?x=1");
    change(&mut config);
    Handshake::new(&Target::parse(&config.url).unwrap(), &config)
}

fn start() -> Handshake {
    start_with(|_| {}).unwrap()
}

fn request_of(handshake: &Handshake) -> Vec<String> {
    let text = std::str::from_utf8(handshake.request()).unwrap();
    let head = text.strip_suffix("\r\n\r\n").expect("a request ends with an empty line");
    head.split("\r\n").map(str::to_owned).collect()
}

fn accept_of(handshake: &Handshake) -> String {
    let lines = request_of(handshake);
    let key = lines.iter().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    derive_accept_key(key.expect("a key").as_bytes())
}

/// A good answer, with `{accept}` filled in where `lines` has it.
fn answer(handshake: &Handshake, lines: &[&str]) -> Vec<u8> {
    let head = lines.join("\r\n") + "\r\n\r\n";
    head.replace("{accept}", &accept_of(handshake)).into_bytes()
}

const GOOD: [&str; 4] = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: {accept}",
];

fn good_with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    GOOD.iter().chain(more).copied().collect()
}

fn good_but(index: usize, line: &str) -> Vec<&str> {
    let mut lines = GOOD.to_vec();
    lines[index] = line;
    lines
}

#[track_caller]
fn accepted(mut handshake: Handshake, lines: &[&str]) -> Accepted {
    let answer = answer(&handshake, lines);
    handshake.receive(&answer).unwrap().expect("a complete answer")
}

#[track_caller]
fn broken(mut handshake: Handshake, lines: &[&str]) -> String {
    let answer = answer(&handshake, lines);
    let error = handshake.receive(&answer).expect_err("the answer breaks RFC 6455");
    assert_eq!(error.kind(), ErrorKind::Handshake, "{error}");
    error.message().to_owned()
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; \
     client_max_window_bits";

#[test]
fn the_request_is_what_the_rfc_asks_for() {
    let handshake = start();
    let lines = request_of(&handshake);
    assert_eq!(lines[0], "GET /ticks?x=1 HTTP/1.1");
    for line in [
        "Host: feed.example:8080",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        OFFER,
    ] {
        assert!(lines.iter().any(|l| l == line), "{line} in {lines:?}");
    }
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert_ne!(request_of(&start()), lines, "each request has a key of its own");
}

#[test]
fn what_the_user_adds_follows_in_order_and_as_written() {
    let handshake = start_with(|config| {
        config.subprotocols = vec!["ticks.v2".into(), "ticks.v1".into()];
        config.origin = Some("https://feed.example".into());
        config.headers = vec![
            ("X-Second".into(), "2".into()),
            ("Host".into(), "other.example".into()),
            ("Authorization".into(), "Bearer x".into()),
            ("x-first".into(), "ä".into()),
            ("X-Second".into(), "again".into()),
        ];
    })
    .unwrap();
    let lines = request_of(&handshake);
    assert_eq!(lines[1], "Host: other.example");
    assert_eq!(
        lines[6..],
        [
            "Sec-WebSocket-Protocol: ticks.v2, ticks.v1",
            OFFER,
            "Origin: https://feed.example",
            "X-Second: 2",
            "Authorization: Bearer x",
            "x-first: ä",
            "X-Second: again",
        ]
    );
}

#[test]
fn no_header_can_end_its_line() {
    for (name, value) in [
        ("X", "a\r\nEvil: 1"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "\u{7f}"),
        ("X\r\nEvil", "1"),
        ("X Y", "1"),
        ("X:", "1"),
        ("X\0", "1"),
        ("", "1"),
        ("Ä", "1"),
        ("Host", ""),
        ("Host", "a\nb"),
        ("Host", "ä"),
        ("Upgrade", "x"),
        ("CONNECTION", "close"),
        ("Sec-WebSocket-Key", "x"),
        ("sec-websocket-protocol", "x"),
        ("Sec-WebSocket-Extensions", "x"),
        ("Sec-WebSocket-Whatever", "x"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
    ] {
        let error = start_with(|config| config.headers.push((name.into(), value.into())))
            .expect_err(&format!("{name:?}: {value:?}"));
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {value:?}");
        let message = error.message().to_lowercase();
        let named = format!("{name:?}").to_lowercase();
        assert!(message.contains(&named), "{message} names {name:?}");
        assert!(!message.contains("evil: 1"), "{message} quotes the value");
    }
    let host = |config: &mut Config| {
        config.headers = vec![("Host".into(), "a".into()), ("host".into(), "b".into())];
    };
    assert_eq!(start_with(host).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn an_origin_is_one_line_and_given_once() {
    for origin in ["https://a\r\nEvil: 1", "a\0", "a\n"] {
        let error = start_with(|config| config.origin = Some(origin.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("origin"), "{error}");
    }
    let error = start_with(|config| {
        config.origin = Some("https://a".into());
        config.headers.push(("Origin".into(), "https://b".into()));
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn subprotocols_are_tokens_and_differ() {
    for list in [&[""][..], &["a b"], &["a,b"], &["a\r\nb"], &["ä"], &["a\0"], &["a", "b", "A"]] {
        let error = start_with(|config| {
            config.subprotocols = list.iter().map(|s| (*s).to_owned()).collect();
        })
        .expect_err(&format!("{list:?}"));
        assert_eq!(error.kind(), ErrorKind::Invalid, "{list:?}");
        assert!(error.message().contains("Sec-WebSocket-Protocol"), "{error}");
    }
}

#[test]
fn a_good_answer_opens_and_what_follows_it_is_kept() {
    let mut handshake = start();
    let mut bytes = answer(&handshake, &good_with(&["X-Node: 7", "Set-Cookie: a", "X-Node: 8"]));
    bytes.extend_from_slice(&[0x81, 2, b'h', b'i', 0x82]);
    let accepted = handshake.receive(&bytes).unwrap().unwrap();
    assert_eq!(accepted.leftover, [0x81, 2, b'h', b'i', 0x82]);
    assert_eq!((accepted.subprotocol, accepted.extensions.as_str()), (None, ""));
    let of = |name: &str| {
        let values = accepted.headers.iter().filter(|(n, _)| n == name);
        values.map(|(_, v)| v.as_slice()).collect::<Vec<_>>()
    };
    assert_eq!(of("x-node"), [b"7", b"8"]);
    assert_eq!(of("set-cookie"), [b"a"]);
    assert_eq!(of("upgrade"), [b"websocket"]);
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    let mut handshake = start();
    let mut bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".to_vec();
    bytes.extend(answer(&handshake, &GOOD));
    let (last, all_but_last) = bytes.split_last().unwrap();
    for byte in all_but_last {
        assert_eq!(handshake.receive(&[*byte]).unwrap(), None);
    }
    let accepted = handshake.receive(&[*last]).unwrap().unwrap();
    assert_eq!(accepted.leftover, b"");
    assert!(accepted.headers.iter().all(|(name, _)| name != "link"));
}

#[test]
fn interim_responses_are_skipped() {
    let lines = [
        "HTTP/1.1 100 Continue",
        "",
        "HTTP/1.1 103 Early Hints",
        "Link: </style.css>",
        "",
        "HTTP/1.1 102 Processing",
        "",
    ];
    accepted(start(), &[&lines[..], &GOOD].concat());
}

#[test]
fn header_names_and_tokens_match_in_any_case() {
    for connection in [
        "Connection: upgrade",
        "Connection: keep-alive, Upgrade",
        "connection:UPGRADE,keep-alive",
        "Connection: , upgrade ,",
        "Connection: keep-alive\r\nConnection: Upgrade",
    ] {
        accepted(start(), &good_but(2, connection));
    }
    accepted(start(), &good_but(1, "UPGRADE:   WebSocket  "));
    accepted(start(), &good_but(3, "sec-websocket-accept: {accept}"));
    accepted(start(), &good_but(0, "HTTP/1.1 101 Sure"));
    accepted(start(), &good_but(0, "HTTP/1.1 101"));
}

#[test]
fn upgrade_must_be_websocket_once() {
    for line in [
        "X: y",
        "Upgrade: h2c",
        "Upgrade: websocket2",
        "Upgrade:",
        "Upgrade: websocket, h2c",
        "Upgrade: websocket\r\nUpgrade: websocket",
    ] {
        let message = broken(start(), &good_but(1, line));
        assert!(message.to_lowercase().contains("upgrade"), "{message}");
    }
}

#[test]
fn connection_must_say_upgrade() {
    for line in ["X: y", "Connection: close", "Connection: upgraded", "Connection: keep-alive"] {
        let message = broken(start(), &good_but(2, line));
        assert!(message.contains("\"Connection: Upgrade\""), "{message}");
    }
}

#[test]
fn accept_must_be_right_and_stand_once() {
    for line in [
        "X: y",
        "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "Sec-WebSocket-Accept:",
        "Sec-WebSocket-Accept: {accept}x",
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Accept: {accept}",
    ] {
        let message = broken(start(), &good_but(3, line));
        assert!(message.to_lowercase().contains("sec-websocket-accept"), "{message}");
    }
}

#[test]
fn a_subprotocol_must_have_been_offered() {
    let offering =
        || start_with(|config| config.subprotocols = vec!["a.v1".into(), "a.v2".into()]).unwrap();
    assert_eq!(accepted(offering(), &GOOD).subprotocol, None);
    let chosen = accepted(offering(), &good_with(&["Sec-WebSocket-Protocol: a.v2"]));
    assert_eq!(chosen.subprotocol.as_deref(), Some("a.v2"));
    for line in [
        "Sec-WebSocket-Protocol: b",
        "Sec-WebSocket-Protocol: A.V2",
        "Sec-WebSocket-Protocol: a.v1, a.v2",
        "Sec-WebSocket-Protocol:",
        "Sec-WebSocket-Protocol: a.v1\r\nSec-WebSocket-Protocol: a.v1",
    ] {
        broken(offering(), &good_with(&[line]));
    }
    let message = broken(start(), &good_with(&["Sec-WebSocket-Protocol: a.v1"]));
    assert!(message.contains("no subprotocol was offered"), "{message}");
}

#[test]
fn an_extension_nobody_offered_is_refused() {
    let without = || start_with(|config| config.compression = None).unwrap();
    assert!(!request_of(&without()).contains(&OFFER.to_owned()));
    let message = broken(without(), &good_with(&["Sec-WebSocket-Extensions: permessage-deflate"]));
    assert!(message.contains("expected no extension"), "{message}");
    for line in [
        "Sec-WebSocket-Extensions: x-foo; bar=1, permessage-deflate",
        "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: x",
        "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate",
    ] {
        let message = broken(start(), &good_with(&[line]));
        assert!(message.contains("permessage-deflate in the answer, got"), "{message}");
    }
    accepted(start(), &good_with(&["Sec-WebSocket-Extensions:"]));
}

#[test]
fn what_is_not_http_is_refused_at_once_and_quoted() {
    for (bytes, quoted) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH-2.0-OpenSSH_9.2\\r\\n"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "\\x15\\x03\\x01"),
        (b"h", "\"h\""),
        (b"\r\nHTTP/1.1 101 X\r\n\r\n", "\\r\\nHTTP"),
        (b"HTTQ", "HTTQ"),
    ] {
        let error = start().receive(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Handshake);
        assert!(error.message().contains(quoted), "{error} quotes {quoted}");
    }
}

#[test]
fn a_malformed_head_is_refused() {
    for head in [
        "HTTP/2 101 X\r\n\r\n",
        "HTTP/1.1 1x1 X\r\n\r\n",
        "HTTP/1.1 000 X\r\n\r\n",
        "HTTP/1.1 101 X\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 X\r\nName : x\r\n\r\n",
        "HTTP/1.1 101 X\r\nA: \0\r\n\r\n",
        "HTTP/\n\n",
    ] {
        let error = start().receive(head.as_bytes()).expect_err(head);
        assert_eq!(error.kind(), ErrorKind::Handshake, "{head:?}: {error}");
    }
    let message = broken(start(), &good_but(0, "HTTP/1.0 101 Switching Protocols"));
    assert!(message.contains("HTTP/1.0"), "{message}");
    let many = (0..200).map(|i| format!("X-{i}: 1")).collect::<Vec<_>>().join("\r\n");
    assert!(broken(start(), &good_with(&[&many])).contains("headers"));
}

#[test]
fn headers_without_end_are_refused() {
    let error = {
        let mut handshake = start();
        handshake.receive(b"HTTP/1.1 101 X\r\nA: ").unwrap();
        (0..1000).find_map(|_| handshake.receive(&[b'x'; 100]).err()).expect("a limit")
    };
    assert_eq!(error.kind(), ErrorKind::Handshake);
    assert!(error.message().contains("65536"), "{error}");

    let mut handshake = start();
    let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    let error = (0..10_000).find_map(|_| handshake.receive(hint).err()).expect("a limit");
    assert_eq!(error.kind(), ErrorKind::Handshake);

    // What follows a short head is no header, however much it is.
    let mut handshake = start();
    let mut bytes = answer(&handshake, &GOOD);
    bytes.extend_from_slice(&[0; 200_000]);
    assert_eq!(handshake.receive(&bytes).unwrap().unwrap().leftover.len(), 200_000);
}

#[test]
fn a_refusal_carries_status_headers_and_body() {
    let mut handshake = start();
    let head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\nX-Why: token\r\n\r\n";
    assert_eq!(handshake.receive(head).unwrap(), None);
    assert_eq!(handshake.receive(b"Token expired\r\n").unwrap(), None);
    let error = handshake.receive(b"Get a new one, and more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status);
    assert_eq!(
        error.message(),
        "expected status 101, the server answered 403 Forbidden: Token expired"
    );
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.status, 403);
    assert_eq!(refusal.body, b"Token expired\r\nGet a new");
    assert!(refusal.headers.contains(&("x-why".into(), b"token".to_vec())));
    assert!(!error.is_retryable());
}

#[test]
fn a_refusal_waits_for_no_body_of_unknown_length() {
    for (answer, body) in [
        ("HTTP/1.1 503 X\r\n\r\n", ""),
        ("HTTP/1.1 503 X\r\n\r\nbusy", "busy"),
        ("HTTP/1.1 503 X\r\nContent-Length: x\r\n\r\nbusy", "busy"),
        ("HTTP/1.1 503 X\r\nContent-Length: 9\r\nContent-Length: 9\r\n\r\nbusy", "busy"),
        ("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", ""),
        ("HTTP/1.1 204 X\r\nContent-Length: 9\r\n\r\n", ""),
        ("HTTP/1.0 404 Not Found\r\nServer: old\r\n\r\nhere", "here"),
        ("HTTP/1.1 200 OK\n\nbare line feeds", "bare line feeds"),
        (
            "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n3;x=y\r\n, a",
            "busy, a",
        ),
        ("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", "no"),
        ("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nno", ""),
    ] {
        let error = start().receive(answer.as_bytes()).expect_err(answer);
        assert_eq!(error.kind(), ErrorKind::Status, "{answer:?}");
        assert_eq!(error.refusal().unwrap().body, body.as_bytes(), "{answer:?}");
    }
}

#[test]
fn of_a_large_body_only_the_beginning_is_kept() {
    for length in ["", "Content-Length: 1000000\r\n"] {
        let mut handshake = start();
        let mut answer = format!("HTTP/1.1 200 OK\r\n{length}\r\n").into_bytes();
        answer.extend_from_slice(&[b'x'; 5000]);
        let error = handshake.receive(&answer).unwrap_err();
        assert_eq!(error.refusal().unwrap().body.len(), 4096);
        assert!(error.message().len() < 300, "{error}");
    }
}

#[test]
fn a_redirect_says_where_to() {
    let error = start()
        .receive(b"HTTP/1.1 301 X\r\nLocation: wss://new.example/\r\n\r\n<html>")
        .unwrap_err();
    assert!(error.message().ends_with("301 Moved Permanently: wss://new.example/"), "{error}");
}

#[test]
fn an_early_end_is_reported_with_what_is_there() {
    let error = start().end(false);
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.message().ends_with("the connection ended after 0 bytes"), "{error}");

    let mut handshake = start();
    handshake.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 ").unwrap();
    assert!(handshake.end(false).message().ends_with("ended after 34 bytes"));

    let mut handshake = start();
    handshake.receive(b"HTTP/1.1").unwrap();
    let error = handshake.end(true);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("8 bytes"), "{error}");

    for ended_by_timeout in [false, true] {
        let mut handshake = start();
        handshake.receive(b"HTTP/1.1 503 X\r\nContent-Length: 100\r\n\r\nsoon").unwrap();
        let error = handshake.end(ended_by_timeout);
        assert_eq!(error.refusal().unwrap().body, b"soon");
        assert!(error.is_retryable());
    }
}
