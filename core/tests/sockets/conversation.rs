//! Conversations with the test server, driven by the runtime and by a host.

use std::time::Duration;

use crate::support::{LIMIT, Probe, Seen, Server, once};
use longwire::{Config, ErrorKind, MessageKind, Offline, State};

#[test]
fn text_and_binary_come_back_as_they_went() {
    let server = Server::start();
    for mut probe in Probe::both(&once(server.url("/echo"))) {
        probe.open();
        for size in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 5 << 20] {
            let text: String = "aé水🦀".chars().cycle().take(size / 4).collect();
            probe.text(&text);
            assert_eq!(probe.next(), Seen::Text(text));
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            probe.client.send(MessageKind::Binary, &bytes).unwrap();
            assert!(probe.next() == Seen::Binary(bytes), "{size} bytes");
        }
        probe.client.close(1000, "done").unwrap();
        assert_eq!(
            probe.next(),
            Seen::Closed { code: 1000, reason: "done".into(), clean: true, kind: None }
        );
        assert_eq!(probe.client.state(), State::Closed);
    }
}

#[test]
fn the_same_over_tls() {
    let server = Server::start();
    let mut config = once(format!("{}/echo", server.wss));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    for mut probe in Probe::both(&config) {
        probe.open();
        for size in [0, 1, 125, 16_384, 70_000, 3 << 20] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            probe.client.send(MessageKind::Binary, &bytes).unwrap();
            assert!(probe.next() == Seen::Binary(bytes), "{size} bytes");
        }
        probe.client.close(1000, "").unwrap();
        assert!(matches!(probe.next(), Seen::Closed { clean: true, .. }));
    }
}

#[test]
fn a_push_arrives_whole_and_in_order() {
    let server = Server::start();
    for (count, size) in [(20_000, 64), (300, 100_000)] {
        let url = server.url(&format!("/push?count={count}&size={size}&kind=binary"));
        for mut probe in Probe::both(&once(url)) {
            probe.open();
            for n in 0..count {
                let Seen::Binary(bytes) = probe.next() else { panic!("no message {n}") };
                assert_eq!(bytes.len(), size);
                assert!(bytes.starts_with(format!("{n} ").as_bytes()), "message {n}");
            }
            assert!(matches!(probe.next(), Seen::Closed { code: 1000, .. }));
        }
    }
}

#[test]
fn sends_of_many_threads_all_arrive_and_each_threads_in_order() {
    const THREADS: usize = 8;
    const EACH: usize = 5_000;
    let server = Server::start();
    let url = server.url(&format!("/count?every={}", THREADS * EACH));
    for mut probe in Probe::both(&once(url)) {
        probe.open();
        let client = &probe.client;
        let send = || client.send(MessageKind::Text, b"12345678").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| send()));
            }
        });
        assert_eq!(probe.next(), Seen::Text(format!("{} {}", THREADS * EACH, THREADS * EACH * 8)));
    }
    for mut probe in Probe::both(&once(server.url("/order"))) {
        probe.open();
        for n in 0..10_000 {
            probe.text(&n.to_string());
        }
        for n in 0..10_000 {
            assert_eq!(probe.next(), Seen::Text(n.to_string()));
        }
    }
}

#[test]
fn a_full_buffer_refuses_and_says_when_it_drained() {
    let server = Server::start();
    let mut config = once(server.url("/stall"));
    config.send_buffer = 1 << 20;
    config.heartbeat.interval = None;
    for mut probe in Probe::both(&config) {
        probe.open();
        let block = vec![0; 100_000];
        let error = loop {
            if let Err(error) = probe.client.send(MessageKind::Binary, &block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(probe.client.buffered_amount() <= 1 << 20);
    }
    // A reader that is slow, not stalled: what was refused goes later.
    let mut config = once(server.url("/count?every=200"));
    config.send_buffer = 200_000;
    for mut probe in Probe::both(&config) {
        probe.open();
        let block = vec![0; 100_000];
        let mut refused = 0;
        for _ in 0..200 {
            while let Err(error) = probe.client.send(MessageKind::Binary, &block) {
                assert_eq!(error.kind(), ErrorKind::Full);
                refused += 1;
                assert_eq!(probe.next(), Seen::Drain);
            }
        }
        assert_eq!(probe.next(), Seen::Text("200 20000000".into()), "refused {refused} times");
    }
}

#[test]
fn a_ping_is_answered_and_timed() {
    let server = Server::start();
    for mut probe in Probe::both(&once(server.url("/echo"))) {
        probe.open();
        probe.client.ping(b"are you there").unwrap();
        assert_eq!(probe.next(), Seen::Pong(b"are you there".to_vec(), true));
        assert!(probe.client.round_trip().unwrap() < LIMIT);
        assert_eq!(probe.client.ping(&[0; 126]).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn heartbeats_measure_and_notice_a_dead_peer() {
    let server = Server::start();
    let mut config = once(server.url("/echo"));
    config.heartbeat.interval = Some(Duration::from_millis(50));
    for mut probe in Probe::both(&config) {
        probe.open();
        assert!(matches!(probe.next(), Seen::Pong(_, true)));
        assert!(matches!(probe.next(), Seen::Pong(_, true)));
    }
    config.url = server.url("/stall");
    config.heartbeat.timeout = Duration::from_millis(100);
    for mut probe in Probe::both(&config) {
        probe.open();
        assert!(matches!(
            probe.next(),
            Seen::Closed { code: 1006, kind: Some(ErrorKind::Heartbeat), .. }
        ));
    }
}

#[test]
fn a_dropped_connection_is_replaced_and_nothing_queued_is_lost() {
    let server = Server::start();
    let mut config = Config::new(server.url("/drop?after=1"));
    if let Some(reconnect) = &mut config.reconnect {
        reconnect.min_delay = Duration::from_millis(10);
        reconnect.max_delay = Duration::from_millis(50);
    }
    for mut probe in Probe::both(&config) {
        probe.text("queued before the first connection");
        probe.open();
        assert_eq!(probe.next(), Seen::Text("queued before the first connection".into()));
        for n in 0..3 {
            assert!(matches!(probe.next(), Seen::Down { kind: ErrorKind::Lost, code: None }));
            let text = format!("queued while down {n}");
            probe.text(&text);
            let open = probe.open();
            assert_eq!(open, Seen::Open { attempt: 1, reconnects: n + 1, subprotocol: None });
            assert_eq!(probe.next(), Seen::Text(text));
        }
        probe.client.close(1000, "").unwrap();
    }
}

#[test]
fn sends_are_refused_while_down_if_so_chosen() {
    let server = Server::start();
    let mut config = once(server.url("/stall-handshake"));
    config.offline = Offline::Refuse;
    for probe in Probe::both(&config) {
        let error = probe.client.send(MessageKind::Text, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Offline);
    }
}

#[test]
fn close_codes_arrive_as_they_were_sent() {
    let server = Server::start();
    let cases: [(u16, u16, Option<ErrorKind>); 4] = [
        (1000, 1000, None),
        (0, 1005, None),
        (1008, 1008, Some(ErrorKind::Closed)),
        (4321, 4321, Some(ErrorKind::Closed)),
    ];
    for (sent, seen, kind) in cases {
        let url = server.url(&format!("/close?code={sent}&reason=enough"));
        for mut probe in Probe::both(&once(url)) {
            probe.open();
            let reason = if sent == 0 { "" } else { "enough" };
            assert_eq!(
                probe.next(),
                Seen::Closed { code: seen, reason: reason.into(), clean: true, kind }
            );
            let error = probe.client.send(MessageKind::Text, b"late").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
    }
}

#[test]
fn a_close_that_nobody_answers_ends_within_its_limit() {
    let server = Server::start();
    let mut config = once(server.url("/stall"));
    config.close_timeout = Duration::from_millis(100);
    for mut probe in Probe::both(&config) {
        probe.open();
        probe.client.close(3000, "").unwrap();
        assert!(matches!(
            probe.next(),
            Seen::Closed { code: 1006, clean: false, kind: Some(ErrorKind::Timeout), .. }
        ));
    }
}

#[test]
fn a_violation_is_answered_with_its_code() {
    let server = Server::start();
    let cases = [
        ("c100", ErrorKind::Protocol, "1002"), // reserved bit
        ("8180", ErrorKind::Protocol, "1002"), // masked frame
        ("8102c328", ErrorKind::Utf8, "1007"), // not UTF-8
        ("827f0000000100000000", ErrorKind::TooBig, "1009"),
    ];
    for (i, (hex, kind, code)) in cases.into_iter().enumerate() {
        for with101 in [0, 1] {
            for (j, mut probe) in Probe::both(&once(
                server.url(&format!("/raw?after={hex}&id=v{i}-{with101}&with101={with101}")),
            ))
            .into_iter()
            .enumerate()
            {
                probe.open();
                let Seen::Closed { code: 1006, kind: Some(seen), .. } = probe.next() else {
                    panic!("not closed")
                };
                assert_eq!(seen, kind);
                if j == 0 {
                    let url = server.url(&format!("/raw-result?id=v{i}-{with101}"));
                    let mut result = Probe::runtime(once(url));
                    result.open();
                    let Seen::Text(text) = result.next() else { panic!("no result") };
                    assert!(text.starts_with(code), "{text}");
                }
            }
        }
    }
}
