//! The paths that flood, and the one that demands pongs.

mod common;

use std::io::{Read, Write};

use common::{Server, after_101, closed, request, text};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

#[test]
fn push_numbers_pads_and_closes() {
    let server = Server::start();
    let mut client = server.connect("/push?count=20000&size=32");
    for number in 0..20_000 {
        assert_eq!(text(&mut client), format!("{:.<32}", format!("{number} ")));
    }
    assert_eq!(closed(&mut client), Some((CloseCode::Normal, String::new())));
}

#[test]
fn push_sends_binary_of_exactly_the_size() {
    let server = Server::start();
    for size in [0, 1, 2, 125, 126, 65_535, 65_536, 1 << 20] {
        let mut client = server.connect_tls(&format!("/push?count=3&size={size}&kind=binary"));
        for number in 0..3 {
            let Message::Binary(bytes) = client.read().unwrap() else { panic!("expected binary") };
            let expected = format!("{number} {}", ".".repeat(size));
            assert_eq!(bytes, &expected.as_bytes()[..size]);
        }
        closed(&mut client);
    }
}

#[test]
fn push_stays_within_the_window() {
    let server = Server::start();
    let mut client = server.connect("/push?count=7&size=8&window=3");
    for number in 0..3 {
        assert!(text(&mut client).starts_with(&format!("{number} ")));
    }
    // Only the pong comes: no message overtakes it, for none was allowed.
    client.send(Message::Ping("anything else?".into())).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("anything else?".into()));
    client.send(Message::text("more")).unwrap();
    for number in 3..6 {
        assert!(text(&mut client).starts_with(&format!("{number} ")));
    }
    client.send(Message::text("more")).unwrap();
    assert!(text(&mut client).starts_with("6 "));
    assert_eq!(closed(&mut client), Some((CloseCode::Normal, String::new())));
}

#[test]
fn a_close_ends_a_push() {
    let server = Server::start();
    let mut client = server.connect("/push?count=1000000000&size=1000&kind=binary");
    assert!(client.read().unwrap().is_binary());
    client.close(None).unwrap();
    let mut last = client.read();
    while matches!(last, Ok(Message::Binary(_))) {
        last = client.read();
    }
    assert!(matches!(last, Ok(Message::Close(_))), "{last:?}");
}

#[test]
fn pinger_counts_and_lets_live_who_answers() {
    let server = Server::start();
    let mut client =
        server.connect("/pinger?interval_ms=10&timeout_ms=10000&messages=20&spread_ms=200");
    for number in 0..20 {
        assert_eq!(text(&mut client), number.to_string());
    }
    client.send(Message::text("done")).unwrap();
    let report = text(&mut client);
    let [word, pings, pongs] = report.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{report}")
    };
    let (pings, pongs): (u64, u64) = (pings.parse().unwrap(), pongs.parse().unwrap());
    assert_eq!(word, "alive");
    assert!(pings > 1 && pongs >= 1 && pongs <= pings, "{report}");
    assert_eq!(closed(&mut client), Some((CloseCode::Normal, String::new())));
}

#[test]
fn pinger_drops_who_is_silent() {
    let server = Server::start();
    let mut tcp = server.tcp("ws");
    tcp.write_all(&request("/pinger?interval_ms=10&timeout_ms=50")).unwrap();
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).expect("the connection ends in order");
    let frames = after_101(&bytes);
    assert_eq!(frames[..3], [0x89, 1, b'0'], "first comes a ping");
    assert!(!frames.contains(&0x88), "and no close frame at all: {frames:?}");
}

#[test]
fn the_room_waits_for_nobody() {
    let server = Server::start();
    let (mut talker, mut sleeper) = (server.connect("/room"), server.connect("/room"));
    let message = "z".repeat(100_000);
    // More than the kernel takes for a member who does not read.
    for _ in 0..300 {
        talker.send(Message::text(message.clone())).unwrap();
        assert_eq!(text(&mut talker), message);
    }
    for _ in 0..300 {
        assert_eq!(text(&mut sleeper), message);
    }
}
