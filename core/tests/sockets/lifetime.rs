//! Endings and odd moments: handles, handlers, blocked hosts, forks.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{LIMIT, Probe, Seen, Server, once};
use longwire::{Client, Config, Drive, ErrorKind, Event, MessageKind, State};

/// Tells when the handler that owns it was dropped.
struct Dropped(std::sync::mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_blocked_host_stays_connected_and_finds_everything_in_order() {
    let server = Server::start();
    let url = server.url("/pinger?interval_ms=500&timeout_ms=1500&messages=100&spread_ms=2500");
    let mut probe = Probe::hosted(once(url));
    probe.open();
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    for n in 0..100 {
        assert_eq!(probe.next(), Seen::Text(n.to_string()));
    }
    probe.text("done");
    let Seen::Text(alive) = probe.next() else { panic!("no answer") };
    assert!(alive.starts_with("alive "), "{alive}");
}

#[test]
fn what_a_blocked_host_leaves_is_bounded() {
    let server = Server::start();
    let mut config = once(server.url("/push?count=2000&size=10000&kind=binary"));
    config.receive_buffer = 100_000;
    let mut probe = Probe::hosted(config);
    probe.open();
    // Long enough for the runtime to have stood in several times.
    std::thread::sleep(Duration::from_millis(400));
    for n in 0..2000 {
        let Seen::Binary(bytes) = probe.next() else { panic!("no message {n}") };
        assert!(bytes.starts_with(format!("{n} ").as_bytes()));
    }
    assert!(matches!(probe.next(), Seen::Closed { code: 1000, .. }));
}

#[test]
fn a_budget_is_kept_and_the_descriptor_stays_readable() {
    let server = Server::start();
    let client = Client::start_hosted(once(server.url("/push?count=1000&size=64"))).unwrap();
    let mut seen = 0;
    loop {
        assert!(client.wait(Some(LIMIT), &mut false).unwrap(), "{seen} events, then nothing");
        let mut now = 0;
        let drive = client.drive(7, &mut |_| now += 1).unwrap();
        assert!(now <= 7);
        seen += now;
        if drive == Drive::Finished {
            break;
        }
    }
    assert_eq!(seen, 1 + 1000 + 1);
    assert_eq!(client.drive(1, &mut |_| panic!("after the last event")).unwrap(), Drive::Finished);
}

#[test]
fn nobody_reads_in_the_place_of_a_host_that_drives() {
    let server = Server::start();
    let client = Client::start_hosted(once(server.url("/push?count=9999999&size=64"))).unwrap();
    let (mut seen, mut ahead, begun) = (0, 0, Instant::now());
    // It may be looked after as long as it has not driven at all, and whenever the machine did
    // something else for too long.
    let (mut driven, mut slow) = (begun, begun);
    // Several times as long as the runtime waits before it looks after a client.
    while begun.elapsed() < Duration::from_millis(600) {
        assert!(client.wait(Some(LIMIT), &mut false).unwrap(), "{seen} messages, then nothing");
        let now = Instant::now();
        if now - std::mem::replace(&mut driven, now) > Duration::from_millis(25) {
            slow = now;
        }
        client
            .drive(16, &mut |event| seen += u64::from(matches!(event, Event::Message(_))))
            .unwrap();
        let before =
            std::mem::replace(&mut ahead, client.stats().unwrap().messages_received - seen);
        let late = driven.elapsed() > Duration::from_millis(25);
        let excused = late || slow.elapsed() < Duration::from_millis(200);
        assert!(ahead <= before || excused, "{ahead} messages were read ahead after {seen}");
    }
    assert!(seen > 0);
}

#[test]
fn driving_inside_an_event_is_refused() {
    let server = Server::start();
    let client = Client::start_hosted(once(server.url("/echo"))).unwrap();
    let mut inner = None;
    while inner.is_none() {
        client.wait(Some(LIMIT), &mut false).unwrap();
        client
            .drive(1, &mut |_| inner = Some(client.drive(1, &mut |_| {}).unwrap_err().kind()))
            .unwrap();
    }
    assert_eq!(inner, Some(ErrorKind::Busy));
    let runtime = Client::start(once(server.url("/echo")), |_, _| {}).unwrap();
    assert_eq!(runtime.poll_fd().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_message_sent_from_open_precedes_the_queue() {
    let server = Server::start();
    let (sender, events) = channel();
    let client = Client::start(once(server.url("/echo")), move |client, event| match event {
        Event::Open(_) => client.send(MessageKind::Text, b"subscribe").unwrap(),
        Event::Message(message) => sender.send(message.as_text().unwrap().to_owned()).unwrap(),
        _ => {}
    })
    .unwrap();
    client.send(MessageKind::Text, b"queued").unwrap();
    assert_eq!(events.recv_timeout(LIMIT).unwrap(), "subscribe");
    assert_eq!(events.recv_timeout(LIMIT).unwrap(), "queued");
}

#[test]
fn a_full_queue_is_not_in_the_way_of_what_open_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = once(format!("ws://{}", listener.local_addr().unwrap()));
    config.send_buffer = 100;
    let (sender, greeting) = channel();
    let client = Client::start(config, move |client, event| {
        if let Event::Open(_) = event {
            let sent = client.send(MessageKind::Binary, &[b'g'; 80]);
            sender.send(sent.map_err(|error| error.kind())).unwrap();
        }
    })
    .unwrap();
    client.send(MessageKind::Binary, &[b'q'; 90]).unwrap();
    let refused = client.send(MessageKind::Binary, &[b'q'; 90]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full);
    // Only now is the handshake answered.
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut server = tungstenite::accept(stream).unwrap();
    assert_eq!(greeting.recv_timeout(LIMIT).unwrap(), Ok(()));
    assert_eq!(server.read().unwrap().into_data(), vec![b'g'; 80]);
    assert_eq!(server.read().unwrap().into_data(), vec![b'q'; 90]);
}

#[test]
fn what_a_late_open_sends_does_not_precede_the_open_of_another_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new(format!("ws://{}", listener.local_addr().unwrap()));
    config.reconnect.as_mut().unwrap().min_delay = Duration::from_millis(1);
    let client = Client::start_hosted(config).unwrap();
    let accept = || tungstenite::accept(listener.accept().unwrap().0).unwrap();
    // The host looks only when the first connection is gone and the second is there.
    drop(accept());
    let mut server = accept();
    server.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
    let limit = Instant::now() + LIMIT;
    while client.state() != State::Open {
        assert!(Instant::now() < limit, "{:?}", client.state());
        std::thread::yield_now();
    }
    let mut opened = 0;
    while opened < 2 {
        assert!(client.wait(Some(LIMIT), &mut false).unwrap());
        client
            .drive(64, &mut |event| {
                if let Event::Open(_) = event {
                    opened += 1;
                    client.send(MessageKind::Text, format!("hello {opened}").as_bytes()).unwrap();
                }
            })
            .unwrap();
    }
    assert_eq!(server.read().unwrap().into_text().unwrap(), "hello 2");
    assert_eq!(server.read().unwrap().into_text().unwrap(), "hello 1");
}

#[test]
fn a_client_may_be_freed_inside_its_own_handler() {
    let server = Server::start();
    for free in [Client::free, Client::release] {
        let (sender, dropped) = channel();
        let guard = Dropped(sender);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let slot = Arc::new(Mutex::new(None::<Client>));
        let inside = slot.clone();
        let url = server.url("/push?count=100&size=10");
        let client = Client::start(once(url), move |client, event| {
            let _guard = &guard;
            if let Event::Message(_) = event {
                counted.fetch_add(1, Ordering::SeqCst);
                free(client);
                inside.lock().unwrap().take();
            }
        })
        .unwrap();
        *slot.lock().unwrap() = Some(client);
        dropped.recv_timeout(LIMIT).unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn free_returns_after_the_last_event() {
    let server = Server::start();
    for _ in 0..20 {
        let (sender, dropped) = channel();
        let guard = Dropped(sender);
        let (started, running) = channel();
        let inside = Arc::new(AtomicUsize::new(0));
        let busy = inside.clone();
        let url = server.url("/push?count=1000&size=10");
        let client = Client::start(once(url), move |_, _| {
            let _guard = &guard;
            busy.store(1, Ordering::SeqCst);
            let _ = started.send(());
            std::thread::yield_now();
            busy.store(0, Ordering::SeqCst);
        })
        .unwrap();
        running.recv_timeout(LIMIT).unwrap();
        client.free();
        assert_eq!(inside.load(Ordering::SeqCst), 0);
        dropped.try_recv().expect("the handler is gone when free returns");
    }
}

#[test]
fn the_last_handle_closes_the_connection_with_1001() {
    let server = Server::start();
    for hosted in [false, true] {
        let config = once(server.url(&format!("/raw?id=gone-{hosted}")));
        let mut probe = if hosted { Probe::hosted(config) } else { Probe::runtime(config) };
        probe.open();
        drop(probe);
        let mut result = Probe::runtime(once(server.url(&format!("/raw-result?id=gone-{hosted}"))));
        result.open();
        assert_eq!(result.next(), Seen::Text("1001".into()));
    }
}

#[test]
fn close_ends_a_client_wherever_it_is() {
    let server = Server::start();
    // In the handshake.
    let mut probe = Probe::runtime(Config::new(server.url("/stall-handshake")));
    probe.client.close(1000, "").unwrap();
    let stopped = Seen::Closed { code: 1006, reason: String::new(), clean: false, kind: None };
    assert_eq!(probe.next(), stopped);
    // While down.
    let mut config = Config::new("ws://127.0.0.1:1/");
    let reconnect = config.reconnect.as_mut().unwrap();
    reconnect.min_delay = Duration::from_secs(3600);
    reconnect.max_delay = reconnect.min_delay;
    let mut probe = Probe::runtime(config);
    assert!(matches!(probe.next(), Seen::Down { .. }));
    assert_eq!(probe.client.state(), State::Down);
    probe.client.close(1000, "").unwrap();
    assert_eq!(probe.next(), stopped);
    assert_eq!(probe.client.state(), State::Closed);
}

#[test]
fn close_refuses_what_may_not_be_sent() {
    let server = Server::start();
    let mut probe = Probe::runtime(once(server.url("/echo")));
    probe.open();
    for code in [1, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
        assert_eq!(probe.client.close(code, "").unwrap_err().kind(), ErrorKind::Invalid, "{code}");
    }
    let long = "x".repeat(124);
    assert_eq!(probe.client.close(1000, &long).unwrap_err().kind(), ErrorKind::Invalid);
    let error = probe.client.send(MessageKind::Text, b"\xff").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Utf8);
    probe.text("still here");
    assert_eq!(probe.next(), Seen::Text("still here".into()));
    // A close counts from the moment it was called.
    probe.client.close(1000, "").unwrap();
    let error = probe.client.send(MessageKind::Text, b"late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[test]
fn a_handler_that_panics_ends_its_client_and_no_other() {
    let server = Server::start();
    let mut other = Probe::runtime(once(server.url("/echo")));
    other.open();
    let (sender, dropped) = channel();
    let guard = Dropped(sender);
    let client = Client::start(once(server.url("/echo")), move |_, _| {
        let _guard = &guard;
        panic!("a defect in a handler");
    })
    .unwrap();
    dropped.recv_timeout(LIMIT).unwrap();
    while client.state() != State::Closed {
        std::thread::yield_now();
    }
    other.text("unharmed");
    assert_eq!(other.next(), Seen::Text("unharmed".into()));
}

#[test]
fn a_hosted_client_says_nothing_once_it_was_freed() {
    let server = Server::start();
    let client = Client::start_hosted(once(server.url("/push?count=1000&size=10"))).unwrap();
    let mut messages = 0;
    while messages == 0 {
        client.wait(Some(LIMIT), &mut false).unwrap();
        client
            .drive(100, &mut |event| {
                if let Event::Message(_) = event {
                    messages += 1;
                    client.free();
                }
            })
            .unwrap();
    }
    assert_eq!(messages, 1);
    let after = client.drive(1, &mut |event| panic!("{event:?} after free")).unwrap();
    assert_eq!(after, Drive::Finished);
}
