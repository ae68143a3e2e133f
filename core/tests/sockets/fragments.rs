//! Messages sent in fragments and taken in chunks, over a socket.

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::{Probe, Seen, Server, once};
use longwire::{Client, Config, ErrorKind, Event, MessageKind, Offline, SendOptions};

fn kind<T: std::fmt::Debug>(result: longwire::Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

#[test]
fn what_is_sent_meanwhile_waits_for_the_last_fragment() {
    let server = Server::start();
    for mut probe in Probe::both(&once(server.url("/echo"))) {
        probe.open();
        let options = SendOptions::default();
        let mut message = probe.client.begin_message(MessageKind::Text, options).unwrap();
        let other = probe.client.begin_message(MessageKind::Binary, options);
        assert_eq!(kind(other), ErrorKind::Busy);
        probe.text("later");
        let other = probe.client.begin_message(MessageKind::Binary, options);
        assert_eq!(kind(other), ErrorKind::Busy, "also while something waits");
        message.write("zw".as_bytes()).unwrap();
        // Control frames may stand between fragments (RFC 6455 section 5.4).
        probe.client.ping(b"between").unwrap();
        assert_eq!(probe.next(), Seen::Pong(b"between".to_vec(), true));
        let (head, tail) = "ölf".as_bytes().split_at(1);
        message.write(head).unwrap();
        message.write(b"").unwrap();
        assert_eq!(kind(message.write(b"\xFF")), ErrorKind::Utf8, "nothing of it was taken");
        message.write(tail).unwrap();
        message.finish().unwrap();
        assert_eq!(probe.next(), Seen::Text("zwölf".into()));
        assert_eq!(probe.next(), Seen::Text("later".into()));
        probe.client.begin_message(MessageKind::Binary, options).unwrap().finish().unwrap();
        assert_eq!(probe.next(), Seen::Binary(Vec::new()));
    }
}

#[test]
fn an_unfinished_message_gives_the_connection_up() {
    let server = Server::start();
    let result = |id: &str| {
        let mut probe = Probe::runtime(once(server.url(&format!("/raw-result?id={id}"))));
        probe.open();
        probe.next()
    };
    for (id, give_up) in [("dropped", false), ("broken-off", true)] {
        let mut probe = Probe::runtime(once(server.url(&format!("/raw?id={id}"))));
        probe.open();
        let options = SendOptions::default();
        let mut message = probe.client.begin_message(MessageKind::Text, options).unwrap();
        message.write(b"\xC3").unwrap();
        probe.text("never");
        if give_up {
            assert_eq!(kind(message.finish()), ErrorKind::Utf8);
        } else {
            drop(message);
        }
        let end = probe.next();
        let Seen::Closed { code: 1006, clean: false, kind: Some(ErrorKind::Lost), .. } = end else {
            panic!("{end:?}");
        };
        let Seen::Text(said) = result(id) else { panic!("no result") };
        assert!(said.starts_with("1011 "), "{said}");
    }
}

#[test]
fn a_message_of_which_nothing_was_sent_is_given_up_alone() {
    let server = Server::start();
    for mut probe in Probe::both(&once(server.url("/echo"))) {
        probe.open();
        let options = SendOptions::default();
        let message = probe.client.begin_message(MessageKind::Text, options).unwrap();
        probe.text("waits");
        drop(message);
        assert_eq!(probe.next(), Seen::Text("waits".into()));
    }
}

#[test]
fn a_message_ends_with_its_connection_and_what_waited_goes_over_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new(format!("ws://{}/", listener.local_addr().unwrap()));
    config.reconnect.as_mut().unwrap().min_delay = Duration::ZERO;
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        drop(tungstenite::accept(&mut socket).unwrap());
        // The first fragment: a header of 6 bytes and as many of text.
        socket.read_exact(&mut [0; 12]).unwrap();
        drop(socket);
        tungstenite::accept(listener.accept().unwrap().0).unwrap().read().unwrap()
    });
    let mut probe = Probe::runtime(config);
    probe.open();
    let options = SendOptions::default();
    let mut message = probe.client.begin_message(MessageKind::Text, options).unwrap();
    probe.text("waits");
    message.write(b"cut of").unwrap();
    assert!(matches!(probe.next(), Seen::Down { .. }));
    assert_eq!(kind(message.write(b"f")), ErrorKind::Lost);
    assert_eq!(kind(message.finish()), ErrorKind::Lost);
    probe.open();
    assert_eq!(server.join().unwrap(), tungstenite::Message::text("waits"));
}

#[test]
fn begun_from_within_open_it_precedes_the_queue() {
    let server = Server::start();
    let (sender, texts) = std::sync::mpsc::channel();
    let mut config = once(server.url("/echo"));
    config.offline = Offline::Queue;
    let client = Client::start(config, move |client, event| match event {
        Event::Open(_) => {
            let options = SendOptions::default();
            let mut message = client.begin_message(MessageKind::Text, options).unwrap();
            message.write(b"first").unwrap();
            message.finish().unwrap();
        }
        Event::Message(message) => {
            let _ = sender.send(message.as_text().unwrap().to_owned());
        }
        _ => {}
    })
    .unwrap();
    client.send(MessageKind::Text, b"queued").unwrap();
    for wanted in ["first", "queued"] {
        assert_eq!(texts.recv_timeout(crate::support::LIMIT).unwrap(), wanted);
    }
}

#[test]
fn fragments_stop_at_the_send_buffer_and_go_on_after_drain() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = once(format!("ws://{}/", listener.local_addr().unwrap()));
    config.send_buffer = 100_000;
    let (read_on, wait) = mpsc::channel();
    let server = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        wait.recv().unwrap();
        socket.read().unwrap().len()
    });
    let mut probe = Probe::runtime(config);
    probe.open();
    let options = SendOptions::default();
    let mut message = probe.client.begin_message(MessageKind::Binary, options).unwrap();
    let piece = vec![7; 90_000];
    let mut fulls = 0;
    for _ in 0..600 {
        while let Err(error) = message.write(&piece) {
            assert_eq!(error.kind(), ErrorKind::Full);
            fulls += 1;
            if fulls == 1 {
                read_on.send(()).unwrap();
            }
            assert_eq!(probe.next(), Seen::Drain);
        }
    }
    message.finish().unwrap();
    assert!(fulls > 0, "54 MB fitted into the kernel");
    assert_eq!(server.join().unwrap(), 54_000_000);
}

#[test]
fn chunks_come_as_they_arrive_however_large_the_message() {
    let server = Server::start();
    let mut config = once(server.url("/push?count=2&size=9000000&kind=binary"));
    config.streaming = true;
    config.max_message_size = 10;
    for mut probe in Probe::both(&config) {
        probe.open();
        for n in 0..2 {
            let (mut bytes, mut chunks) = (Vec::new(), 0);
            loop {
                let event = probe.next();
                let Seen::Chunk(payload, first, last) = event else { panic!("{event:?}") };
                assert_eq!(first, chunks == 0);
                bytes.extend(payload);
                chunks += 1;
                if last {
                    break;
                }
            }
            assert_eq!(bytes.len(), 9_000_000);
            assert!(bytes.starts_with(format!("{n} ").as_bytes()));
            assert!(chunks > 10, "{chunks} chunks");
        }
        assert!(matches!(probe.next(), Seen::Closed { code: 1000, clean: true, .. }));
    }
}

#[test]
fn too_large_a_message_is_not_sent() {
    let server = Server::start();
    let mut config = once(server.url("/echo"));
    config.max_message_size = 1000;
    let mut probe = Probe::runtime(config);
    probe.open();
    assert_eq!(kind(probe.client.send(MessageKind::Text, &[b'x'; 1001])), ErrorKind::TooBig);
    probe.text(&"x".repeat(1000));
    assert_eq!(probe.next(), Seen::Text("x".repeat(1000)));
}

#[test]
fn what_open_sends_behind_a_fragmented_message_precedes_the_queue() {
    let server = Server::start();
    let (sender, texts) = std::sync::mpsc::channel();
    let client = Client::start(once(server.url("/echo")), move |client, event| match event {
        Event::Open(_) => {
            let send = |text: &str| client.send(MessageKind::Text, text.as_bytes()).unwrap();
            let options = SendOptions::default();
            let mut message = client.begin_message(MessageKind::Text, options).unwrap();
            message.write(b"1").unwrap();
            send("2");
            send("3");
            message.finish().unwrap();
            send("4");
        }
        Event::Message(message) => {
            let _ = sender.send(message.as_text().unwrap().to_owned());
        }
        _ => {}
    })
    .unwrap();
    client.send(MessageKind::Text, b"queued").unwrap();
    for wanted in ["1", "2", "3", "4", "queued"] {
        assert_eq!(texts.recv_timeout(crate::support::LIMIT).unwrap(), wanted);
    }
}
