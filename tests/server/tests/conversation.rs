//! The paths that behave.

mod common;

use std::io::Write;

use common::{Server, closed, text};
use tungstenite::Message;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

#[test]
fn echo_returns_what_came_over_ws_and_wss() {
    let server = Server::start();
    let messages = [
        Message::text(""),
        Message::text("grüße"),
        Message::binary(vec![7; 125]),
        Message::binary(vec![8; 126]),
        Message::binary(vec![9; 65_536]),
        Message::text("x".repeat(3 << 20)),
    ];
    let (mut plain, mut tls) = (server.connect("/echo"), server.connect_tls("/echo"));
    for message in messages {
        plain.send(message.clone()).unwrap();
        assert_eq!(plain.read().unwrap(), message);
        tls.send(message.clone()).unwrap();
        assert_eq!(tls.read().unwrap(), message);
    }
}

#[test]
fn echo_keeps_order_in_a_burst_and_answers_pings() {
    let server = Server::start();
    let mut client = server.connect("/echo");
    for number in 0..1000 {
        client.write(Message::text(number.to_string())).unwrap();
    }
    client.write(Message::Ping("mark".into())).unwrap();
    client.flush().unwrap();
    for number in 0..1000 {
        assert_eq!(client.read().unwrap(), Message::text(number.to_string()));
    }
    assert_eq!(client.read().unwrap(), Message::Pong("mark".into()));
}

#[test]
fn echo_joins_fragments_around_a_ping() {
    let server = Server::start();
    let mut client = server.connect("/echo");
    let part = |bytes: &'static [u8], opcode, last| {
        Message::Frame(Frame::message(bytes, OpCode::Data(opcode), last))
    };
    client.send(part(b"one \xc3", Data::Text, false)).unwrap();
    client.send(Message::Ping("between".into())).unwrap();
    client.send(part(b"\xa9", Data::Continue, false)).unwrap();
    client.send(part(b"", Data::Continue, true)).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("between".into()));
    assert_eq!(client.read().unwrap(), Message::text("one é"));
}

#[test]
fn echo_understands_frames_that_trickle_in() {
    let server = Server::start();
    let mut client = server.connect("/echo");
    let mut frames = b"\x81\xfe\x00\x80\x01\x02\x03\x04".to_vec();
    frames.extend((0..128).map(|at| b'x' ^ (at % 4 + 1)));
    frames.extend_from_slice(b"\x89\x81\x00\x00\x00\x00!");
    for byte in frames {
        client.get_mut().write_all(&[byte]).unwrap();
    }
    assert_eq!(text(&mut client), "x".repeat(128));
    assert_eq!(client.read().unwrap(), Message::Pong("!".into()));
}

#[test]
fn a_close_is_answered_with_its_own_code() {
    let server = Server::start();
    let mut client = server.connect("/echo");
    client.close(Some(CloseFrame { code: CloseCode::Away, reason: "leaving".into() })).unwrap();
    assert_eq!(closed(&mut client), Some((CloseCode::Away, "leaving".into())));

    let mut client = server.connect_tls("/echo");
    client.close(None).unwrap();
    assert_eq!(closed(&mut client), None);
}

#[test]
fn count_acknowledges_every_nth() {
    let server = Server::start();
    let mut client = server.connect("/count?every=3");
    for message in ["a", "bb", "ccc", "d", "e", "f"] {
        client.send(Message::text(message)).unwrap();
    }
    assert_eq!(text(&mut client), "3 6");
    assert_eq!(text(&mut client), "6 9");

    let mut client = server.connect("/count");
    client.send(Message::binary(vec![0; 10])).unwrap();
    assert_eq!(text(&mut client), "1 10");
}

#[test]
fn order_accepts_the_row_and_names_the_gap() {
    let server = Server::start();
    let mut client = server.connect("/order");
    for number in ["0", "1", "3"] {
        client.send(Message::text(number)).unwrap();
    }
    assert_eq!(text(&mut client), "0");
    assert_eq!(text(&mut client), "1");
    assert_eq!(closed(&mut client), Some((CloseCode::Policy, "expected 2 got 3".into())));
}

#[test]
fn close_sends_the_code_and_reason_asked_for() {
    let server = Server::start();
    assert_eq!(
        closed(&mut server.connect("/close?code=4001&reason=so%20it%20is")),
        Some((CloseCode::Library(4001), "so it is".into()))
    );
    assert_eq!(
        closed(&mut server.connect("/close?code=1012")),
        Some((CloseCode::Restart, String::new()))
    );
    assert_eq!(closed(&mut server.connect("/close?code=0")), None);
}

#[test]
fn headers_come_back_as_json() {
    let server = Server::start();
    let headers = [("x-one", "1"), ("x-two", "a"), ("x-two", "b")];
    let (mut client, _) = server.try_connect(("/headers", headers.as_slice())).unwrap();
    let got: serde_json::Value = serde_json::from_str(&text(&mut client)).unwrap();
    assert_eq!(got["x-one"], "1");
    assert_eq!(got["x-two"], "a, b");
    assert_eq!(got["upgrade"], "websocket");
    client.send(Message::text("and echo")).unwrap();
    assert_eq!(text(&mut client), "and echo");
}

#[test]
fn subprotocol_is_the_first_offered_or_the_one_chosen() {
    let server = Server::start();
    let offer = [("sec-websocket-protocol", "soap, wamp")];
    let (mut client, response) = server.try_connect(("/subprotocol", offer.as_slice())).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "soap");
    client.send(Message::text("hello")).unwrap();
    assert_eq!(text(&mut client), "hello");

    let (_, response) = server.try_connect(("/subprotocol?choose=wamp", offer.as_slice())).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "wamp");

    let (_, response) = server.try_connect("/subprotocol").unwrap();
    assert!(!response.headers().contains_key("sec-websocket-protocol"));

    // One that was not offered is what a client has to refuse.
    let error = server
        .try_connect(("/subprotocol?choose=mqtt", offer.as_slice()))
        .expect_err("tungstenite refuses");
    assert!(error.to_string().to_lowercase().contains("subprotocol"), "{error}");
}

#[test]
fn the_room_spans_ws_and_wss() {
    let server = Server::start();
    let (mut plain, mut tls) = (server.connect("/room"), server.connect_tls("/room"));
    plain.send(Message::text("from ws")).unwrap();
    assert_eq!(text(&mut plain), "from ws");
    assert_eq!(text(&mut tls), "from ws");
    tls.send(Message::text("from wss")).unwrap();
    assert_eq!(text(&mut plain), "from wss");
    assert_eq!(text(&mut tls), "from wss");

    plain.close(None).unwrap();
    closed(&mut plain);
    tls.send(Message::text("alone")).unwrap();
    assert_eq!(text(&mut tls), "alone");
    tls.send(Message::binary(vec![1])).unwrap();
    assert_eq!(closed(&mut tls), Some((CloseCode::Unsupported, "the room takes text only".into())));
}
