//! Losing a connection and what comes of it: waits, queues, logins, and what the client says about itself.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{LIMIT, Probe, Seen, Server, once, quick, until};
use longwire::{
    Client, Config, ConsumerAction, ErrorKind, Event, Level, Log, MessageKind, SendOptions, State,
};

/// Waits so long that nobody sees the end of it.
fn slow(url: String) -> Config {
    let mut config = Config::new(url);
    let reconnect = config.reconnect.as_mut().unwrap();
    reconnect.min_delay = Duration::from_secs(3600);
    reconnect.max_delay = Duration::from_secs(3600);
    config
}

/// A port of this machine where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ws://{}/", listener.local_addr().unwrap())
}

fn retry_in(config: Config) -> Duration {
    let (down, told) = channel();
    let _client = Client::start(config, move |_, event| {
        if let Event::Down(event) = event {
            let _ = down.send(event.retry_in);
        }
    })
    .unwrap();
    told.recv_timeout(LIMIT).unwrap()
}

#[test]
fn a_server_that_names_a_time_is_left_alone_until_then() {
    let server = Server::start();
    let busy = |after: &str| {
        let mut config =
            quick(server.url(&format!("/http?status=503&header=Retry-After:%20{after}")));
        config.proxy = longwire::Proxy::None;
        config
    };
    let wait = retry_in(busy("7"));
    assert!((7000..=7005).contains(&wait.as_millis()), "{wait:?}");
    let mut config = busy("4000000000");
    config.reconnect.as_mut().unwrap().max_retry_after = Duration::from_secs(2);
    let wait = retry_in(config);
    assert!((2000..=2005).contains(&wait.as_millis()), "{wait:?}");
    assert!(retry_in(busy("soon")) <= Duration::from_millis(5));
}

#[test]
fn a_restarting_server_finds_its_clients_spread() {
    let server = Server::start();
    for code in [1012, 1013] {
        let mut config = Config::new(server.url(&format!("/close?code={code}")));
        config.proxy = longwire::Proxy::None;
        let wait = retry_in(config);
        assert!((5..=30).contains(&wait.as_secs()), "{code}: {wait:?}");
    }
}

#[test]
fn the_time_without_a_connection_has_a_limit() {
    let mut config = quick(nobody());
    config.reconnect.as_mut().unwrap().max_time = Some(Duration::from_millis(50));
    let begun = Instant::now();
    let mut probe = Probe::runtime(config);
    loop {
        match probe.next() {
            Seen::Down { kind: ErrorKind::Connect, .. } => {}
            Seen::Closed { kind: Some(ErrorKind::Connect), .. } => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn the_wait_can_be_cut_short() {
    let server = Server::start();
    for network in [false, true] {
        for mut probe in Probe::both(&slow(server.url("/drop"))) {
            probe.open();
            assert!(matches!(probe.next(), Seen::Down { .. }));
            if network {
                probe.client.network_changed().unwrap();
            } else {
                probe.client.reconnect().unwrap();
            }
            probe.open();
        }
    }
    let refused = Probe::runtime(once(server.url("/echo"))).client.reconnect().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[test]
fn an_open_connection_can_be_replaced() {
    let server = Server::start();
    for mut probe in Probe::both(&slow(server.url("/echo"))) {
        probe.open();
        // Asked for twice at once, done once.
        probe.client.reconnect().unwrap();
        probe.client.reconnect().unwrap();
        assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None });
        probe.text("queued or not");
        probe.open();
        assert_eq!(probe.next(), Seen::Text("queued or not".into()));
        assert_eq!(probe.client.stats().unwrap().connections, 2);
    }
}

#[test]
fn who_closes_gets_no_other_connection() {
    let server = Server::start();
    for mut probe in Probe::both(&slow(server.url("/echo"))) {
        probe.open();
        probe.client.reconnect().unwrap();
        probe.client.close(1000, "").unwrap();
        // The other order of the two, if the runtime was quick.
        let end = match probe.next() {
            Seen::Down { .. } => probe.next(),
            seen => seen,
        };
        assert!(matches!(end, Seen::Closed { kind: None, .. }), "{end:?}");
    }
    let (seen, events) = channel();
    let mut config = slow(server.url("/echo"));
    config.proxy = longwire::Proxy::None;
    let _client = Client::start(config, move |client, event| match event {
        Event::Open(_) => {
            client.reconnect().unwrap();
            client.close(1000, "").unwrap();
        }
        other => seen.send(Seen::from(other)).unwrap(),
    })
    .unwrap();
    let end = events.recv_timeout(LIMIT).unwrap();
    assert!(matches!(end, Seen::Closed { code: 1000, clean: true, kind: None, .. }), "{end:?}");
}

#[test]
fn what_is_asked_for_during_an_attempt_is_for_the_wait_behind_it() {
    let mut config = slow(nobody());
    config.before_connect = true;
    for mut probe in Probe::both(&config) {
        let Seen::BeforeConnect(ask, 1, _) = probe.next() else { panic!("asked") };
        probe.client.network_changed().unwrap();
        probe.client.proceed(ask, longwire::Changes::default()).unwrap();
        // A host may be asked before it is told why.
        let two = [probe.next(), probe.next()];
        assert!(two.iter().any(|seen| matches!(seen, Seen::Down { .. })), "{two:?}");
        assert!(two.iter().any(|seen| matches!(seen, Seen::BeforeConnect(_, 2, _))), "{two:?}");
    }
}

#[test]
fn the_last_error_is_that_of_the_last_loss() {
    let server = Server::start();
    let mut probe = Probe::runtime(slow(server.url("/close?code=1001")));
    probe.open();
    assert!(matches!(probe.next(), Seen::Down { .. }));
    assert_eq!(probe.client.stats().unwrap().last_error.unwrap().kind(), ErrorKind::Closed);
}

#[test]
fn after_a_change_of_networks_the_peer_is_asked_for_a_sign_of_life() {
    let server = Server::start();
    let mut config = slow(server.url("/stall"));
    config.heartbeat.interval = None;
    config.heartbeat.timeout = Duration::from_millis(50);
    for mut probe in Probe::both(&config) {
        probe.open();
        probe.client.network_changed().unwrap();
        assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Heartbeat, code: None });
    }
    config.url = server.url("/echo");
    for mut probe in Probe::both(&config) {
        probe.open();
        probe.client.network_changed().unwrap();
        assert!(matches!(probe.next(), Seen::Pong(_, true)));
        probe.text("still the same connection");
        assert_eq!(probe.next(), Seen::Text("still the same connection".into()));
    }
}

#[test]
fn a_login_precedes_what_was_queued_however_long_it_takes() {
    let server = Server::start();
    let mut config = quick(server.url("/echo"));
    config.proxy = longwire::Proxy::None;
    let (seen, events) = channel();
    let client = Client::start(config, move |client, event| match event {
        Event::Open(_) => {
            client.send(MessageKind::Text, b"login").unwrap();
            seen.send(client.hold().unwrap().to_string()).unwrap();
        }
        Event::Message(message) => seen.send(message.as_text().unwrap().into()).unwrap(),
        _ => {}
    })
    .unwrap();
    client.send(MessageKind::Text, b"queued").unwrap();
    let next = || events.recv_timeout(LIMIT).unwrap();
    let hold = next().parse().unwrap();
    assert_eq!(next(), "login");
    // The answer is here, and from now on everything could be sent; but the program is not done.
    client.send(MessageKind::Text, b"queued, too").unwrap();
    let mut ahead = SendOptions::default();
    ahead.ahead = true;
    client.send_with(MessageKind::Text, b"subscribe", ahead).unwrap();
    assert_eq!(next(), "subscribe");
    client.ready(hold + 1);
    assert!(client.buffered_amount() > 0, "that was another connection's");
    client.ready(hold);
    assert_eq!([next(), next()], ["queued", "queued, too"]);
    assert!(client.hold().is_none(), "only from within Open");
    client.send_with(MessageKind::Text, b"like any other", ahead).unwrap();
    assert_eq!(next(), "like any other");
}

#[test]
fn what_never_left_is_returned() {
    let server = Server::start();
    let mut probe = Probe::hosted(slow(nobody()));
    probe.text("one");
    probe.client.send(MessageKind::Binary, b"three").unwrap();
    assert!(matches!(probe.next(), Seen::Down { .. }));
    probe.client.close(1000, "").unwrap();
    let mut told = None;
    until("closed", || {
        probe
            .client
            .drive(16, &mut |event| {
                if let Event::Closed(closed) = event {
                    told = Some((closed.unsent_messages, closed.unsent_bytes));
                }
            })
            .unwrap();
        told.is_some()
    });
    assert_eq!(told, Some((2, 8)));
    let unsent = probe.client.take_unsent().unwrap();
    let expected = [(MessageKind::Text, b"one".to_vec()), (MessageKind::Binary, b"three".to_vec())];
    assert_eq!(unsent, expected);
    assert!(probe.client.take_unsent().unwrap().is_empty());

    // A server that reads nothing, and the part of a message that the kernel took.
    let mut config = Config::new(server.url("/stall"));
    config.close_timeout = Duration::from_millis(50);
    let mut probe = Probe::runtime(config);
    probe.open();
    let large = vec![7; 20 << 20];
    probe.client.send(MessageKind::Binary, &large).unwrap();
    probe.client.close(1000, "").unwrap();
    assert!(matches!(probe.next(), Seen::Closed { kind: Some(ErrorKind::Timeout), .. }));
    assert!(probe.client.take_unsent().unwrap() == [(MessageKind::Binary, large)]);
}

#[test]
fn what_is_too_old_is_dropped_and_counted() {
    let server = Server::start();
    let mut config = slow(server.url("/echo"));
    config.offline_max_age = Some(Duration::from_millis(20));
    config.send_buffer = 40;
    config.before_connect = true;
    let mut probe = Probe::hosted(config);
    let Seen::BeforeConnect(ask, ..) = probe.next() else { panic!("asked") };
    probe.text("stale and as long as it can be");
    assert!(probe.client.send(MessageKind::Text, b"no room").is_err());
    // Age is the one thing that no event tells of.
    thread::sleep(Duration::from_millis(30));
    probe.text("fresh");
    probe.client.proceed(ask, longwire::Changes::default()).unwrap();
    let mut expired = None;
    until("open", || {
        probe
            .client
            .drive(1, &mut |event| {
                if let Event::Open(opened) = event {
                    expired = Some(opened.expired);
                }
            })
            .unwrap();
        expired.is_some()
    });
    assert_eq!(expired, Some(1));
    let stats = probe.client.stats().unwrap();
    assert_eq!((stats.expired, stats.messages_sent), (1, 2));
    loop {
        match probe.next() {
            Seen::Drain => {}
            seen => break assert_eq!(seen, Seen::Text("fresh".into())),
        }
    }
}

#[test]
fn a_client_says_at_any_moment_what_it_is_doing() {
    let server = Server::start();
    let mut probe = Probe::runtime(slow(nobody()));
    assert!(matches!(probe.next(), Seen::Down { .. }));
    let stats = probe.client.stats().unwrap();
    assert_eq!((stats.state, stats.attempt, stats.connections), (State::Down, 2, 0));
    assert!(stats.next_retry.unwrap() > Duration::from_secs(3500), "{stats:?}");
    assert_eq!(stats.last_error.unwrap().kind(), ErrorKind::Connect);
    assert!(stats.connected_for.is_none() && stats.connected_since.is_none());

    for mut probe in Probe::both(&Config::new(server.url("/echo"))) {
        probe.open();
        for text in ["one", "two"] {
            probe.text(text);
            assert_eq!(probe.next(), Seen::Text(text.into()));
        }
        for payload in [b"a", b"b"] {
            probe.client.ping(payload).unwrap();
            assert!(matches!(probe.next(), Seen::Pong(_, true)));
        }
        // Header and payload; what came is counted when its events have been delivered.
        until("all is counted", || probe.client.stats().unwrap().bytes_received == 2 * 5 + 2 * 3);
        let stats = probe.client.stats().unwrap();
        assert_eq!((stats.state, stats.attempt, stats.connections), (State::Open, 1, 1));
        assert_eq!((stats.messages_sent, stats.messages_received), (2, 2));
        // Masks as well.
        assert_eq!(stats.bytes_sent, 2 * 9 + 2 * 7);
        assert_eq!((stats.pings_sent, stats.pongs_received), (2, 2));
        let (last, smoothed) = (stats.round_trip.unwrap(), stats.smoothed_round_trip.unwrap());
        assert!(last > Duration::ZERO && smoothed > Duration::ZERO);
        assert!(stats.next_retry.is_none() && stats.last_error.is_none());
        assert!(stats.connected_for.unwrap() < LIMIT && stats.connected_since.is_some());
        assert_eq!((stats.buffered_amount, stats.inbox, stats.stalled), (0, 0, None));
    }
}

#[test]
fn every_transition_is_logged_and_no_secret_is() {
    let server = Server::start();
    let (line, lines) = channel();
    let url = server.url("/drop").replace("ws://", "ws://user:secret@");
    let mut config = quick(url);
    config.headers.push(("X-Token".into(), "secret".into()));
    config.reconnect.as_mut().unwrap().max_attempts = Some(2);
    config.log = Some(Log::new(Level::Debug, move |told| {
        line.send((told.level, told.text.clone())).unwrap();
    }));
    let probe = Probe::runtime(config);
    let mut levels = Vec::new();
    loop {
        let (level, text) = lines.recv_timeout(LIMIT).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let first = text.split([':', ' ']).next().unwrap().to_owned();
        levels.push((level, first.clone()));
        if first == "closed" {
            break;
        }
    }
    let expected = [
        (Level::Debug, "attempt"),
        (Level::Info, "open"),
        (Level::Warning, "down"),
        (Level::Debug, "attempt"),
        (Level::Info, "open"),
        (Level::Error, "closed"),
    ];
    assert_eq!(levels, expected.map(|(level, text)| (level, text.to_owned())));
    drop(probe);
}

#[test]
fn a_program_that_takes_nothing_is_noticed() {
    let server = Server::start();
    let (line, lines) = channel();
    let mut config = quick(server.url("/push?count=100000&size=1000&window=100000"));
    config.receive_buffer = 100_000;
    config.consumer_timeout = Some(Duration::from_millis(40));
    config.log = Some(Log::new(Level::Warning, move |told| line.send(told.text.clone()).unwrap()));
    let mut probe = Probe::hosted(config.clone());
    assert_eq!(lines.recv_timeout(LIMIT).unwrap(), "the program took no message for 40ms");
    assert!(probe.client.stats().unwrap().stalled.unwrap() >= Duration::from_millis(40));
    assert_eq!(probe.client.state(), State::Open, "only told");
    probe.open();
    until("taken again", || {
        assert!(matches!(probe.next(), Seen::Text(_)));
        probe.client.stats().unwrap().stalled.is_none()
    });
    drop(probe);

    config.consumer_action = ConsumerAction::Close;
    let mut probe = Probe::hosted(config);
    until("closed", || probe.client.state() == State::Closed);
    let last =
        std::iter::from_fn(|| Some(probe.next())).find(|seen| matches!(seen, Seen::Closed { .. }));
    assert!(
        matches!(last, Some(Seen::Closed { code: 1006, kind: Some(ErrorKind::Timeout), .. })),
        "{last:?}"
    );
}

#[test]
fn messages_that_the_host_holds_back_count_as_not_taken() {
    let server = Server::start();
    let mut config = quick(server.url("/echo"));
    config.consumer_timeout = Some(Duration::from_millis(40));
    let mut probe = Probe::hosted(config);
    probe.open();
    // Nothing waits: nobody is late.
    probe.text("hello");
    assert_eq!(probe.next(), Seen::Text("hello".into()));
    probe.client.note_consumer(true);
    until("noticed", || {
        probe.client.drive(16, &mut |_| {}).unwrap();
        probe.client.stats().unwrap().stalled.is_some()
    });
    probe.client.note_consumer(false);
    until("taken", || probe.client.stats().unwrap().stalled.is_none());
}
