//! The paths that misbehave, and what misbehaving clients are told.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use common::{Server, after_101, closed, refusal, request, text};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

/// A wait for something that must not come.
const SILENCE: Duration = Duration::from_millis(300);

#[test]
fn drop_ends_without_a_close_frame() {
    let server = Server::start();
    let mut client = server.connect("/drop?after=2");
    for message in ["one", "two"] {
        client.send(Message::text(message)).unwrap();
        assert_eq!(text(&mut client), message);
    }
    let error = client.read().unwrap_err();
    assert!(
        matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
        "{error}"
    );

    let mut tcp = server.connect("/drop").into_inner();
    assert_eq!(tcp.read(&mut [0; 8]).unwrap(), 0, "the end comes in order");
}

#[test]
fn drop_resets_when_asked_to() {
    let server = Server::start();
    let mut tcp = server.connect("/drop?rst=1").into_inner();
    assert_eq!(tcp.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // Below TLS the end is as sudden.
    let mut client = server.connect_tls("/drop?after=1");
    client.send(Message::text("bye")).unwrap();
    assert_eq!(text(&mut client), "bye");
    let error = client.read().unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof),
        "{error:?}"
    );
}

#[test]
fn stall_goes_silent_after_the_handshake() {
    let server = Server::start();
    let mut client = server.connect("/stall");
    client.send(Message::Ping("anybody?".into())).unwrap();
    client.get_ref().set_read_timeout(Some(SILENCE)).unwrap();
    let error = client.read().unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock),
        "{error:?}"
    );
}

#[test]
fn stall_handshake_never_answers() {
    let server = Server::start();
    let mut tcp = server.tcp("ws");
    tcp.write_all(&request("/stall-handshake")).unwrap();
    tcp.set_read_timeout(Some(SILENCE)).unwrap();
    assert_eq!(tcp.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn raw_sends_the_script_and_tells_how_the_client_closed() {
    let server = Server::start();
    // "Hel" + "lo" in two fragments.
    let mut client = server.connect("/raw?after=010348656c80026c6f&id=good");
    assert_eq!(text(&mut client), "Hello");
    let mut result = server.connect("/raw-result?id=good");
    client
        .close(Some(CloseFrame { code: CloseCode::Library(4001), reason: "enough said".into() }))
        .unwrap();
    assert_eq!(closed(&mut client), Some((CloseCode::Library(4001), "enough said".into())));
    assert_eq!(text(&mut result), "4001 enough said");
    assert_eq!(closed(&mut result), Some((CloseCode::Normal, String::new())));

    let mut client = server.connect("/raw?id=no-code");
    client.close(None).unwrap();
    closed(&mut client);
    assert_eq!(text(&mut server.connect("/raw-result?id=no-code")), "1005");

    // A reserved bit: tungstenite gives up without a close frame.
    let mut client = server.connect("/raw?after=c100&id=violated");
    assert!(matches!(client.read(), Err(Error::Protocol(_))));
    drop(client);
    assert_eq!(text(&mut server.connect("/raw-result?id=violated")), "none");
}

#[test]
fn raw_leaves_the_close_frame_to_the_script_that_has_one() {
    let server = Server::start();
    let mut tcp = server.tcp("ws");
    tcp.write_all(&request("/raw?after=8203010203880203e8&with101=1")).unwrap();
    tcp.write_all(b"\x88\x82\0\0\0\0\x03\xe8").unwrap();
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).unwrap();
    assert_eq!(after_101(&bytes), b"\x82\x03\x01\x02\x03\x88\x02\x03\xe8");
}

#[test]
fn raw_puts_the_script_into_the_segment_of_the_101() {
    let server = Server::start();
    let mut tcp = server.tcp("ws");
    tcp.write_all(&request("/raw?after=8103616263&with101=1")).unwrap();
    let mut bytes = [0; 4096];
    let count = tcp.read(&mut bytes).unwrap();
    assert!(
        bytes[..count].ends_with(b"\r\n\r\n\x81\x03abc"),
        "{:?}",
        String::from_utf8_lossy(&bytes[..count])
    );
}

#[test]
fn http_answers_with_any_status_headers_and_body() {
    let server = Server::start();
    let result = server
        .try_connect("/http?status=503&body=busy%20now&header=Retry-After:%207&header=X-Why:full");
    let Err(Error::Http(response)) = result else { panic!("expected an HTTP answer") };
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(response.headers()["x-why"], "full");
    assert_eq!(response.body().as_deref(), Some(b"busy now".as_slice()));
    assert_eq!(refusal(server.try_connect("/http?status=200")), (200, String::new()));
}

#[test]
fn http_can_accept_with_a_handshake_of_the_tests_own() {
    let server = Server::start();
    let start = "/http?status=101&header=Upgrade:websocket&header=Connection:Upgrade&header=Sec-WebSocket-Accept:";
    let wrong =
        server.try_connect(format!("{start}wrong").as_str()).expect_err("tungstenite refuses");
    assert!(
        matches!(wrong, Error::Protocol(ProtocolError::SecWebSocketAcceptKeyMismatch)),
        "{wrong:?}"
    );

    let right = format!("{start}%7Baccept%7D&header=X-Extra:1");
    let (_, response) = server.try_connect(right.as_str()).unwrap();
    assert_eq!(response.headers()["x-extra"], "1");
}

#[test]
fn garbage_is_not_http() {
    let server = Server::start();
    let error = server.try_connect("/garbage").expect_err("no handshake");
    assert!(matches!(error, Error::Protocol(ProtocolError::HttparseError(_))), "{error:?}");
}

#[test]
fn need_header_says_what_came() {
    let server = Server::start();
    let path = "/need-header?name=X-Token&value=s3cret";
    assert_eq!(
        refusal(server.try_connect(path)),
        (403, "expected X-Token: s3cret, got no such header".into())
    );
    let wrong = [("x-token", "guess")];
    assert_eq!(
        refusal(server.try_connect((path, wrong.as_slice()))),
        (403, "expected X-Token: s3cret, got guess".into())
    );
    let right = [("x-token", "s3cret")];
    let (mut client, _) = server.try_connect((path, right.as_slice())).unwrap();
    client.send(Message::text("in")).unwrap();
    assert_eq!(text(&mut client), "in");
}

#[test]
fn wrong_requests_are_refused_with_a_sentence() {
    let server = Server::start();
    for (path, status, sentence) in [
        ("/nowhere", 404, "no such path: /nowhere"),
        ("/push?size=1", 400, "parameter count is missing"),
        (
            "/push?count=-1&size=1",
            400,
            "parameter count should be a whole number in range, got \"-1\"",
        ),
        (
            "/push?count=1&size=1&kind=blob",
            400,
            "parameter kind should be text or binary, got \"blob\"",
        ),
        ("/count?every=0", 400, "parameter every should be at least 1, got 0"),
        (
            "/close?code=70000",
            400,
            "parameter code should be a whole number in range, got \"70000\"",
        ),
        ("/drop?rst=yes", 400, "parameter rst should be 0 or 1, got \"yes\""),
        ("/raw?after=8g", 400, "parameter after should be pairs of hexadecimal digits, got \"8g\""),
        (
            "/raw?after=%C3%A9",
            400,
            "parameter after should be pairs of hexadecimal digits, got \"é\"",
        ),
        ("/raw-result", 400, "parameter id is missing"),
        (
            "/pinger?interval_ms=0&timeout_ms=1",
            400,
            "parameter interval_ms should be at least 1, got 0",
        ),
        ("/http?status=9", 400, "parameter status should be from 100 to 999, got 9"),
        (
            "/http?status=200&header=none",
            400,
            "parameter header should be Name: value, got \"none\"",
        ),
        ("/subprotocol?choose=a%0Ab", 400, "a subprotocol cannot be sent as \"a\\nb\""),
    ] {
        assert_eq!(refusal(server.try_connect(path)), (status, sentence.to_owned()), "{path}");
    }
    for wrong in
        ["GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01 not a request\r\n\r\n"]
    {
        let mut tcp = server.tcp("ws");
        tcp.write_all(wrong.as_bytes()).unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    }
}

#[test]
fn violations_are_answered_with_their_code() {
    let server = Server::start();
    for (frames, code) in [
        (b"\x81\x02hi".as_slice(), 1002u16),         // no mask
        (b"\xc1\x80\0\0\0\0", 1002),                 // reserved bit
        (b"\x83\x80\0\0\0\0", 1002),                 // reserved opcode
        (b"\x09\x80\0\0\0\0", 1002),                 // fragmented ping
        (b"\x89\xfe\0\x7e\0\0\0\0", 1002),           // long ping
        (b"\x80\x80\0\0\0\0", 1002),                 // nothing to continue
        (b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 1002), // nothing continued
        (b"\x81\xfe\0\x01\0\0\0\0", 1002),           // length not minimal
        (b"\x88\x81\0\0\0\0\x03", 1002),             // close of one byte
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),         // close code 1005
        (b"\x81\x81\0\0\0\0\xff", 1007),             // not UTF-8
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),     // reason not UTF-8
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
    ] {
        let mut tcp = server.connect("/echo").into_inner();
        tcp.write_all(frames).unwrap();
        let mut answer = Vec::new();
        let mut head = [0; 4];
        tcp.read_exact(&mut head).unwrap();
        assert_eq!(head[0], 0x88, "{frames:x?}");
        assert_eq!(u16::from_be_bytes([head[2], head[3]]), code, "{frames:x?}");
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        tcp.read_to_end(&mut answer).unwrap();
    }
}
