//! The peer's close frame and its violations are answered after what a host
//! replied to the messages before them, however late it replies, but within a
//! moment.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{LIMIT, Seen, once};
use longwire::{Client, Drive, ErrorKind, Event, MessageKind, State};
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

/// Going away.
const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xE9];
/// A reserved opcode.
const VIOLATION: &[u8] = &[0x83, 0];

/// Says "one", "two" and `last` in one segment, and passes on what it hears.
fn peer(last: &'static [u8]) -> (String, Receiver<Message>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let (heard, hears) = channel();
    thread::spawn(move || {
        let mut socket =
            tungstenite::accept(listener.accept().unwrap().0).expect("a handshake").into_inner();
        socket.write_all(&[b"\x81\x03one\x81\x03two", last].concat()).unwrap();
        let mut socket = WebSocket::from_raw_socket(socket, Role::Server, None);
        while let Ok(message) = socket.read() {
            heard.send(message).unwrap();
        }
    });
    (url, hears)
}

fn code(heard: &Receiver<Message>) -> u16 {
    match heard.recv_timeout(LIMIT).expect("a message in time") {
        Message::Close(Some(close)) => close.code.into(),
        other => panic!("expected a close frame, got {other:?}"),
    }
}

fn text(heard: &Receiver<Message>) -> String {
    match heard.recv_timeout(LIMIT).expect("a message in time") {
        Message::Text(text) => text.to_string(),
        other => panic!("expected a text, got {other:?}"),
    }
}

fn wait_and_drive(client: &Client, seen: &mut Vec<Seen>) -> Drive {
    client.wait(Some(LIMIT), &mut false).unwrap();
    client.drive(16, &mut |event| seen.push(event.into())).unwrap()
}

/// Drives until the messages came, with what came behind them.
fn messages(client: &Client, seen: &mut Vec<Seen>) -> Drive {
    loop {
        let drive = wait_and_drive(client, seen);
        if seen.contains(&Seen::Text("two".into())) {
            return drive;
        }
        assert_ne!(drive, Drive::Finished, "without the messages: {seen:?}");
    }
}

fn finish(client: &Client, seen: &mut Vec<Seen>) {
    while wait_and_drive(client, seen) != Drive::Finished {}
}

fn in_order(seen: &[Seen]) -> &Seen {
    match seen {
        [Seen::Open { .. }, Seen::Text(one), Seen::Text(two), closed @ Seen::Closed { .. }] => {
            assert_eq!((one.as_str(), two.as_str()), ("one", "two"));
            closed
        }
        other => panic!("expected Open, two messages and Closed, got {other:?}"),
    }
}

/// A conversation in which the host makes `replies` after `drive` told it of
/// the two messages. Tried again if this thread was held up for so long that
/// the runtime may have lost its patience.
fn conversation(last: &'static [u8], replies: impl Fn(&Client)) -> (Vec<Seen>, Receiver<Message>) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (url, heard) = peer(last);
        let begun = Instant::now();
        let client = Client::start_hosted(once(url)).unwrap();
        let mut seen = Vec::new();
        let drive = messages(&client, &mut seen);
        if begun.elapsed() < Duration::from_millis(50) {
            assert_eq!((drive, client.state()), (Drive::Ending, State::Open));
            replies(&client);
            wait_and_drive(&client, &mut seen);
            if begun.elapsed() < Duration::from_millis(100) {
                finish(&client, &mut seen);
                return (seen, heard);
            }
        }
        assert!(Instant::now() < deadline, "this machine is too busy");
    }
}

#[test]
fn a_host_replies_before_a_close_frame_is_answered() {
    let (seen, heard) = conversation(CLOSE, |client| {
        let _ = client.send(MessageKind::Text, b"reply");
        let _ = client.send_in_turn(MessageKind::Text, b"another");
    });
    assert_eq!((text(&heard).as_str(), text(&heard).as_str()), ("reply", "another"));
    assert_eq!(code(&heard), 1001);
    assert!(matches!(in_order(&seen), Seen::Closed { code: 1001, clean: true, .. }));
}

#[test]
fn a_host_replies_before_a_violation_is_answered() {
    let (seen, heard) = conversation(VIOLATION, |client| {
        let _ = client.send(MessageKind::Text, b"reply");
    });
    assert_eq!(text(&heard), "reply");
    assert_eq!(code(&heard), 1002);
    let protocol = Some(ErrorKind::Protocol);
    assert!(matches!(in_order(&seen), Seen::Closed { code: 1006, kind, .. } if *kind == protocol));
}

#[test]
fn a_close_of_our_own_among_the_replies_ends_it_once() {
    let (seen, heard) = conversation(CLOSE, |client| {
        let _ = client.send(MessageKind::Text, b"reply");
        client.close(3000, "").unwrap();
    });
    assert_eq!(text(&heard), "reply");
    assert_eq!(code(&heard), 3000);
    assert!(matches!(in_order(&seen), Seen::Closed { code: 1001, clean: true, .. }));
}

#[test]
fn the_answer_does_not_wait_for_a_host_that_stays_away() {
    for (last, expected) in [(CLOSE, 1001), (VIOLATION, 1002)] {
        let (url, heard) = peer(last);
        let client = Client::start_hosted(once(url)).unwrap();
        let mut seen = Vec::new();
        messages(&client, &mut seen);
        assert_eq!(code(&heard), expected);
        finish(&client, &mut seen);
        in_order(&seen);
    }
}

#[test]
fn the_answer_does_not_wait_for_a_host_that_never_read() {
    for (last, expected) in [(CLOSE, 1001), (VIOLATION, 1002)] {
        let (url, heard) = peer(last);
        let client = Client::start_hosted(once(url)).unwrap();
        assert_eq!(code(&heard), expected);
        let mut seen = Vec::new();
        finish(&client, &mut seen);
        in_order(&seen);
    }
}

#[test]
fn a_handler_replies_before_either_is_answered() {
    for (last, expected) in [(CLOSE, 1001), (VIOLATION, 1002)] {
        let (url, heard) = peer(last);
        let _client = Client::start(once(url), |client, event| {
            if let Event::Message(message) = event {
                client.send(MessageKind::Text, message.as_bytes()).unwrap();
            }
        })
        .unwrap();
        assert_eq!((text(&heard).as_str(), text(&heard).as_str()), ("one", "two"));
        assert_eq!(code(&heard), expected);
    }
}
