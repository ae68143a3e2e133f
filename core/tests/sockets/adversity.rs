//! Peers, hosts and moments that a client meets once a year: each test is a
//! server of a few lines that does one thing no server should.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::support::{LIMIT, Probe, Seen, once, quick, until};
use longwire::{Client, Config, ErrorKind, Event, MessageKind, State};

/// Serves each connection with the next of `scripts`; the answer is the URL.
fn peer(scripts: Vec<Box<dyn FnOnce(TcpStream) + Send>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for script in scripts {
            let Ok(socket) = tungstenite::accept(listener.accept().unwrap().0) else { continue };
            script(socket.into_inner());
        }
    });
    url
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = match payload.len() {
        len @ 0..=125 => vec![first, len as u8],
        len @ 126..=0xFFFF => [&[first, 126][..], &(len as u16).to_be_bytes()].concat(),
        len => [&[first, 127][..], &(len as u64).to_be_bytes()].concat(),
    };
    frame.extend_from_slice(payload);
    frame
}

/// Reads until the client ends the connection.
fn drain(mut socket: TcpStream) {
    let mut scratch = [0; 65536];
    while socket.read(&mut scratch).is_ok_and(|n| n > 0) {}
}

/// Messages without end, until the client is gone.
fn flood(mut socket: TcpStream) {
    let block = frame(0x82, &[7; 100]).repeat(10_000);
    while socket.write_all(&block).is_ok() {}
}

/// Keeps the runtime's thread inside a handler until `work` is done.
fn while_the_runtime_is_busy(work: impl FnOnce()) {
    let (entered, inside) = channel();
    let (release, released) = channel::<()>();
    let blocker = Client::start(once(peer(vec![Box::new(drain)])), move |_, event| {
        if let Event::Open(_) = event {
            entered.send(()).unwrap();
            let _ = released.recv_timeout(LIMIT);
        }
    })
    .unwrap();
    inside.recv_timeout(LIMIT).unwrap();
    work();
    release.send(()).unwrap();
    drop(blocker);
}

#[test]
fn a_client_released_in_the_moment_of_its_loss_does_not_come_back() {
    let url = peer((0..50).map(|_| Box::new(drop) as Box<dyn FnOnce(_) + Send>).collect());
    let mut config = quick(url);
    config.reconnect.as_mut().unwrap().max_attempts = None;
    let client = Client::start_hosted(config).unwrap();
    let mut open = false;
    while !open {
        client.wait(Some(LIMIT), &mut false).unwrap();
        // One event, so that the end of the stream is not read yet.
        client.drive(1, &mut |event| open = matches!(event, Event::Open(_))).unwrap();
    }
    while_the_runtime_is_busy(|| {
        client.wait(Some(LIMIT), &mut false).unwrap();
        client.drive(1, &mut |_| {}).unwrap();
        client.release();
    });
    until("closed", || client.state() == State::Closed);
}

#[test]
fn a_missed_heartbeat_does_not_revive_a_client_that_closes() {
    let mut config = quick(peer(vec![
        Box::new(|socket| {
            thread::spawn(move || drain(socket));
        }),
        Box::new(drain),
    ]));
    config.heartbeat.interval = Some(Duration::from_millis(20));
    config.heartbeat.timeout = Duration::from_millis(20);
    config.close_timeout = Duration::from_millis(300);
    let mut probe = Probe::runtime(config);
    probe.open();
    probe.client.close(1000, "").unwrap();
    let Seen::Closed { kind: Some(ErrorKind::Timeout), .. } = probe.next() else {
        panic!("it went on");
    };
}

#[test]
fn what_is_sent_after_the_server_went_away_waits_for_the_next_connection() {
    let (heard, hears) = channel();
    let url = peer(vec![
        Box::new(|mut socket| {
            socket.write_all(&frame(0x88, &1001_u16.to_be_bytes())).unwrap();
            drain(socket);
        }),
        Box::new(move |socket| {
            let role = tungstenite::protocol::Role::Server;
            let mut socket = tungstenite::WebSocket::from_raw_socket(socket, role, None);
            while let Ok(message) = socket.read() {
                if let tungstenite::Message::Text(text) = message {
                    heard.send(text.to_string()).unwrap();
                }
            }
        }),
    ]);
    let mut config = quick(url);
    config.reconnect.as_mut().unwrap().min_delay = Duration::from_millis(100);
    config.reconnect.as_mut().unwrap().max_delay = Duration::from_millis(100);
    let mut probe = Probe::runtime(config);
    probe.open();
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Closed, code: Some(1001) });
    probe.text("kept");
    probe.open();
    assert_eq!(hears.recv_timeout(LIMIT).unwrap(), "kept");
}

#[test]
fn what_a_closing_server_does_not_read_goes_to_its_successor() {
    const COUNT: usize = 4000;
    let (numbers, heard) = channel();
    let (filled, full) = channel::<()>();
    let url = peer(vec![
        Box::new(move |mut socket| {
            full.recv_timeout(LIMIT).unwrap();
            socket.write_all(&frame(0x88, &1012_u16.to_be_bytes())).unwrap();
            drain(socket);
        }),
        Box::new(move |socket| {
            let role = tungstenite::protocol::Role::Server;
            let mut socket = tungstenite::WebSocket::from_raw_socket(socket, role, None);
            while let Ok(message) = socket.read() {
                if let tungstenite::Message::Binary(bytes) = message {
                    let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                    numbers.send(number as usize).unwrap();
                }
            }
        }),
    ]);
    let mut config = quick(url);
    config.send_buffer = 64 << 20;
    let mut probe = Probe::runtime(config);
    probe.open();
    let mut message = vec![0; 10_000];
    for n in 0..COUNT as u32 {
        message[..4].copy_from_slice(&n.to_be_bytes());
        probe.client.send(MessageKind::Binary, &message).unwrap();
    }
    assert!(probe.client.buffered_amount() > 1 << 20, "the socket took it all");
    filled.send(()).unwrap();
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Closed, code: Some(1012) });
    probe.open();
    // The close frame ends the first connection: what was not begun by then
    // is for the second, whole and in order.
    let first = heard.recv_timeout(LIMIT).unwrap();
    assert!(first < COUNT);
    for n in first + 1..COUNT {
        assert_eq!(heard.recv_timeout(LIMIT).unwrap(), n);
    }
}

#[test]
fn a_flood_does_not_outlive_a_released_client() {
    for hosted in [false, true] {
        let (ended, end) = channel();
        let url = peer(vec![Box::new(move |socket| {
            flood(socket);
            ended.send(()).unwrap();
        })]);
        let mut probe = if hosted { Probe::hosted(once(url)) } else { Probe::runtime(once(url)) };
        probe.open();
        drop(probe);
        end.recv_timeout(LIMIT).expect("the connection ends");
    }
}

#[test]
fn a_flood_does_not_outlast_the_close_timeout() {
    let mut config = once(peer(vec![Box::new(flood)]));
    config.close_timeout = Duration::from_millis(100);
    let (closed, over) = channel();
    let client = Client::start(config, move |client, event| match event {
        Event::Message(_) => client.close(1000, "").unwrap(),
        Event::Closed(_) => closed.send(()).unwrap(),
        _ => {}
    })
    .unwrap();
    over.recv_timeout(LIMIT).expect("Closed in spite of the flood");
    drop(client);
}

#[test]
fn absurd_options_do_no_harm() {
    let echo = |socket: TcpStream| {
        let role = tungstenite::protocol::Role::Server;
        let mut socket = tungstenite::WebSocket::from_raw_socket(socket, role, None);
        while let Ok(message) = socket.read() {
            if message.is_text() {
                socket.send(message).unwrap();
            }
        }
    };
    let script = || Box::new(echo) as Box<dyn FnOnce(_) + Send>;
    for (span, size) in [
        (Duration::MAX, usize::MAX),
        (Duration::from_millis(u64::from(u32::MAX)), usize::MAX),
        (Duration::from_nanos(1), 4),
    ] {
        let mut config = Config::new(peer(vec![script(), script()]));
        if span > Duration::from_secs(1) {
            config.connect_timeout = span;
            config.close_timeout = span;
            config.heartbeat.timeout = span;
        }
        config.heartbeat.interval = Some(span);
        config.max_message_size = size;
        config.send_buffer = if size == 4 { 0 } else { size };
        config.receive_buffer = if size == 4 { 0 } else { size };
        let reconnect = config.reconnect.as_mut().unwrap();
        reconnect.min_delay = span;
        reconnect.max_delay = span;
        reconnect.stable_after = span;
        reconnect.factor = f64::MAX;
        for mut probe in Probe::both(&config) {
            probe.open();
            // A ping on its way fills a buffer of no size.
            while let Err(error) = probe.client.send(MessageKind::Text, b"here") {
                assert_eq!(error.kind(), ErrorKind::Full);
                thread::yield_now();
            }
            let answer = loop {
                match probe.next() {
                    Seen::Pong(..) | Seen::Drain => {}
                    seen => break seen,
                }
            };
            assert_eq!(answer, Seen::Text("here".into()));
            probe.client.close(1000, "").unwrap();
            let end = loop {
                match probe.next() {
                    Seen::Pong(..) | Seen::Drain => {}
                    seen => break seen,
                }
            };
            assert!(matches!(end, Seen::Closed { code: 1000, .. }), "{end:?}");
        }
    }
    // No time at all is a failure, not a defect.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = once(format!("ws://{}/", silent.local_addr().unwrap()));
    config.connect_timeout = Duration::ZERO;
    let Seen::Closed { kind, .. } = Probe::runtime(config).next() else { panic!("not closed") };
    assert!(matches!(kind, Some(ErrorKind::Timeout | ErrorKind::Handshake)), "{kind:?}");
    // A loss with the longest of all waits ahead.
    let mut config = Config::new(peer(vec![Box::new(drop)]));
    let reconnect = config.reconnect.as_mut().unwrap();
    reconnect.min_delay = Duration::MAX;
    reconnect.max_delay = Duration::MAX;
    let mut probe = Probe::hosted(config);
    probe.open();
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None });
    assert!(probe.client.wait(Some(Duration::ZERO), &mut false).is_ok());
    probe.client.close(1000, "").unwrap();
    assert!(probe.client.wait(Some(Duration::MAX), &mut false).unwrap());
    assert!(matches!(probe.next(), Seen::Closed { .. }));
}

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_large_message_costs_nothing_once_it_was_handled() {
    const SIZE: usize = 60 << 20;
    let url = peer(vec![Box::new(|mut socket: TcpStream| {
        socket.write_all(&frame(0x82, &vec![1; SIZE])).unwrap();
        drain(socket);
    })]);
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = handled.clone();
    let client = Client::start(once(url), move |_, event| {
        if let Event::Message(message) = event {
            counted.store(message.as_bytes().len(), Ordering::Release);
        }
    })
    .unwrap();
    until("handled", || handled.load(Ordering::Acquire) == SIZE);
    until("given back", || resident() < SIZE);
    drop(client);
}

#[test]
fn messages_that_came_are_delivered_though_the_heart_stopped() {
    const COUNT: usize = 500;
    let url = peer(vec![Box::new(|mut socket: TcpStream| {
        let all: Vec<u8> =
            (0..COUNT).flat_map(|n| frame(0x81, format!("{n:>100}").as_bytes())).collect();
        socket.write_all(&all).unwrap();
        // And never a word again.
        thread::spawn(move || drain(socket));
    })]);
    let mut config = once(url);
    config.receive_buffer = 1000;
    config.heartbeat.interval = Some(Duration::from_millis(200));
    config.heartbeat.timeout = Duration::from_millis(100);
    let mut probe = Probe::hosted(config);
    // The host comes back when all is over.
    until("closed", || probe.client.state() == State::Closed);
    probe.open();
    for n in 0..COUNT {
        assert_eq!(probe.next(), Seen::Text(format!("{n:>100}")));
    }
    assert!(matches!(probe.next(), Seen::Closed { kind: Some(ErrorKind::Heartbeat), .. }));
}

#[test]
fn answers_are_not_refused_while_the_socket_takes_them() {
    const COUNT: usize = 500;
    let (counted, count) = channel();
    let url = peer(vec![Box::new(move |mut socket: TcpStream| {
        socket.write_all(&frame(0x81, &[b'x'; 100]).repeat(COUNT)).unwrap();
        let role = tungstenite::protocol::Role::Server;
        let mut socket = tungstenite::WebSocket::from_raw_socket(socket, role, None);
        let mut answers = 0;
        while answers < COUNT && socket.read().is_ok_and(|message| message.is_text()) {
            answers += 1;
        }
        counted.send(answers).unwrap();
    })]);
    let mut config = once(url);
    config.send_buffer = 1000;
    let refused = Arc::new(AtomicUsize::new(0));
    let refusals = refused.clone();
    let _client = Client::start(config, move |client, event| {
        if let Event::Message(message) = event
            && client.send(MessageKind::Text, message.as_bytes()).is_err()
        {
            refusals.fetch_add(1, Ordering::Relaxed);
            let _ = client.close(1000, "refused");
        }
    })
    .unwrap();
    assert_eq!(count.recv_timeout(LIMIT).unwrap(), COUNT);
    assert_eq!(refused.load(Ordering::Relaxed), 0);
}

#[test]
fn what_left_in_part_leaves_as_a_whole_on_the_next_connection() {
    let (filled, full) = channel::<()>();
    let (come, came) = channel();
    let url = peer(vec![
        Box::new(move |socket: TcpStream| {
            full.recv_timeout(LIMIT).unwrap();
            drop(socket);
        }),
        Box::new(move |socket| {
            let role = tungstenite::protocol::Role::Server;
            let mut socket = tungstenite::WebSocket::from_raw_socket(socket, role, None);
            socket.set_config(|config| {
                config.max_message_size = None;
                config.max_frame_size = None;
            });
            while let Ok(message) = socket.read() {
                come.send(message.len()).unwrap();
            }
        }),
    ]);
    let mut config = quick(url);
    config.send_buffer = 1 << 20;
    let mut probe = Probe::runtime(config);
    probe.open();
    // More than the kernel takes.
    probe.client.send(MessageKind::Binary, &vec![0; 30 << 20]).unwrap();
    let error = probe.client.send(MessageKind::Binary, b"in vain").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    filled.send(()).unwrap();
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None });
    probe.open();
    assert_eq!(probe.next(), Seen::Drain);
    assert_eq!(came.recv_timeout(LIMIT).unwrap(), 30 << 20);
}
