//! What the user is asked before an attempt, and after a loss.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::support::{LIMIT, Probe, Seen, Server, quick, until};
use longwire::{Cause, Changes, Client, Config, ErrorKind, Event, MessageKind};

fn asking(url: String) -> Config {
    let mut config = quick(url);
    config.before_connect = true;
    config
}

fn question(probe: &mut Probe) -> u64 {
    match probe.next() {
        Seen::BeforeConnect(ask, ..) => ask,
        other => panic!("expected a question, got {other:?}"),
    }
}

/// A loss, and the question before the attempt that follows. A host may be asked before it is told.
fn down_and_question(probe: &mut Probe, kind: ErrorKind) -> (u64, u32, Option<ErrorKind>) {
    let (first, second) = (probe.next(), probe.next());
    match if matches!(first, Seen::Down { .. }) { (first, second) } else { (second, first) } {
        (Seen::Down { kind: told, code: None }, Seen::BeforeConnect(ask, attempt, error)) => {
            assert_eq!(told, kind);
            (ask, attempt, error)
        }
        other => panic!("expected a loss and a question, got {other:?}"),
    }
}

fn verdict(probe: &mut Probe) -> (u64, bool) {
    match probe.next() {
        Seen::ShouldReconnect(ask, retry) => (ask, retry),
        other => panic!("expected a question, got {other:?}"),
    }
}

fn with_header(value: &str) -> Changes {
    Changes { headers: Some(vec![("X-Token".into(), value.into())]), ..Changes::default() }
}

#[test]
fn each_attempt_has_its_own_url_headers_and_subprotocols() {
    let server = Server::start();
    let config = asking(server.url("/http?status=404"));
    for mut probe in Probe::both(&config) {
        let ask = question(&mut probe);
        let token = server.url("/need-header?name=x-token&value=first");
        let changes = Changes { url: Some(token), ..with_header("first") };
        probe.client.proceed(ask, changes).unwrap();
        probe.open();
        probe.client.reconnect().unwrap();
        let (ask, attempt, error) = down_and_question(&mut probe, ErrorKind::Lost);
        assert_eq!((attempt, error), (1, Some(ErrorKind::Lost)));
        // Nothing is left of the changes before.
        let changes = Changes {
            url: Some(server.url("/subprotocol?choose=b")),
            subprotocols: Some(vec!["a".into(), "b".into()]),
            ..Changes::default()
        };
        probe.client.proceed(ask, changes).unwrap();
        let Seen::Open { attempt: 1, reconnects: 1, subprotocol } = probe.open() else {
            panic!("open again");
        };
        assert_eq!(subprotocol.as_deref(), Some("b"));
        probe.client.reconnect().unwrap();
        let (ask, ..) = down_and_question(&mut probe, ErrorKind::Lost);
        probe.client.proceed(ask, Changes::default()).unwrap();
        assert!(matches!(probe.next(), Seen::Closed { kind: Some(ErrorKind::Status), .. }));
    }
}

#[test]
fn a_url_may_lead_from_plain_to_tls() {
    let server = Server::start();
    let mut config = asking(server.url("/http?status=404"));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    let mut probe = Probe::runtime(config);
    let ask = question(&mut probe);
    let url = format!("{}/echo", server.wss);
    probe.client.proceed(ask, Changes { url: Some(url), ..Changes::default() }).unwrap();
    probe.open();
}

#[test]
fn changes_that_cannot_be_used_leave_the_question_open() {
    let server = Server::start();
    let mut probe = Probe::hosted(asking(server.url("/echo")));
    let ask = question(&mut probe);
    let change = |url: &str| Changes { url: Some(url.into()), ..Changes::default() };
    let refused = |changes| probe.client.proceed(ask, changes).unwrap_err().kind();
    assert_eq!(refused(change("http://localhost")), ErrorKind::Url);
    assert_eq!(refused(with_header("two\r\nlines")), ErrorKind::Invalid);
    probe.client.proceed(ask, Changes::default()).unwrap();
    probe.open();
}

#[test]
fn a_hook_that_fails_is_tried_again_and_one_that_gives_up_is_not() {
    let server = Server::start();
    for mut probe in Probe::both(&asking(server.url("/echo"))) {
        let ask = question(&mut probe);
        probe.client.refuse(ask, "no token", true).unwrap();
        let (ask, attempt, error) = down_and_question(&mut probe, ErrorKind::Hook);
        assert_eq!((attempt, error), (2, Some(ErrorKind::Hook)));
        probe.client.refuse(ask, "logged out", false).unwrap();
        assert!(matches!(probe.next(), Seen::Closed { kind: Some(ErrorKind::Hook), .. }));
    }
}

#[test]
fn an_answer_counts_once_and_in_time() {
    let server = Server::start();
    let mut config = asking(server.url("/echo"));
    config.hook_timeout = Duration::from_millis(20);
    for mut probe in Probe::both(&config) {
        let late = question(&mut probe);
        let (ask, ..) = down_and_question(&mut probe, ErrorKind::Timeout);
        let refused = |ask| probe.client.proceed(ask, Changes::default()).unwrap_err().kind();
        assert_eq!(refused(late), ErrorKind::Invalid);
        probe.client.proceed(ask, Changes::default()).unwrap();
        assert_eq!(refused(ask), ErrorKind::Invalid);
        probe.open();
    }
}

#[test]
fn a_question_that_nobody_heard_does_not_become_too_late() {
    let server = Server::start();
    let mut config = asking(server.url("/echo"));
    config.hook_timeout = Duration::from_millis(1);
    let probe = Probe::hosted(config);
    assert!(probe.client.wait(Some(LIMIT), &mut false).unwrap());
    // Not even by the clock, which is the one thing here that no event tells.
    thread::sleep(Duration::from_millis(30));
    let mut asked = None;
    let none = probe.client.drive_questions(&mut |event| {
        let Event::BeforeConnect(attempt) = event else { panic!("{event:?}") };
        asked = Some((attempt.attempt, probe.client.proceed(attempt.ask, Changes::default())));
    });
    assert!(none.unwrap());
    let (attempt, answered) = asked.unwrap();
    assert_eq!(attempt, 1);
    answered.unwrap();
    assert!(!probe.client.drive_questions(&mut |_| {}).unwrap());
    let mut probe = probe;
    probe.open();
}

#[test]
fn a_question_precedes_what_waits_for_the_host() {
    let server = Server::start();
    let mut config = asking(server.url("/push?count=50&size=10"));
    config.should_reconnect = true;
    let mut probe = Probe::hosted(config);
    let ask = question(&mut probe);
    probe.client.proceed(ask, Changes::default()).unwrap();
    // Everything comes, and the server's close frame, while nobody drives.
    until("read in place of the host", || probe.client.stats().unwrap().messages_received >= 50);
    probe.open();
    let mut messages = 0;
    let mut asked_behind = None;
    loop {
        match probe.next() {
            Seen::Text(_) => messages += 1,
            Seen::ShouldReconnect(ask, retry) => {
                assert!(!retry, "closed with 1000");
                asked_behind = Some(messages);
                probe.client.decide(ask, false).unwrap();
            }
            Seen::Closed { code: 1000, .. } => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    // The end is found behind the messages, or by the runtime while they wait.
    assert!(asked_behind.is_some());
    assert_eq!(messages, 50);
}

#[test]
fn the_last_say_about_a_loss_is_the_users() {
    let server = Server::start();
    let mut config = quick(server.url("/http?status=403"));
    config.should_reconnect = true;
    for mut probe in Probe::both(&config) {
        let (ask, retry) = verdict(&mut probe);
        assert!(!retry, "403 is final");
        probe.client.decide(ask, true).unwrap();
        assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Status, code: None });
        let (ask, _) = verdict(&mut probe);
        probe.client.decide(ask, false).unwrap();
        assert!(matches!(probe.next(), Seen::Closed { kind: Some(ErrorKind::Status), .. }));
    }
    config.url = server.url("/close?code=1001");
    let mut probe = Probe::runtime(config.clone());
    probe.open();
    let (ask, retry) = verdict(&mut probe);
    assert!(retry);
    probe.client.decide(ask, false).unwrap();
    assert!(matches!(probe.next(), Seen::Closed { code: 1001, clean: true, .. }));
    // Without an answer the rule decides.
    config.hook_timeout = Duration::from_millis(10);
    let mut probe = Probe::runtime(config);
    probe.open();
    let _ = verdict(&mut probe);
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Closed, code: Some(1001) });
}

#[test]
fn rules_can_be_changed_without_a_question() {
    let server = Server::start();
    let mut config = quick(server.url("/http?status=403"));
    config.reconnect.as_mut().unwrap().set(Cause::from_number(403).unwrap(), true);
    let mut probe = Probe::runtime(config);
    assert_eq!(probe.next(), Seen::Down { kind: ErrorKind::Status, code: None });
    let mut config = quick(server.url("/close?code=1001"));
    config.reconnect.as_mut().unwrap().set(Cause::from_number(1001).unwrap(), false);
    let mut probe = Probe::runtime(config);
    probe.open();
    assert!(matches!(probe.next(), Seen::Closed { code: 1001, clean: true, kind: None, .. }));
    for nonsense in [0, 99, 600, 999, 5000, -100] {
        assert_eq!(Cause::from_number(nonsense).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn close_and_release_do_not_wait_for_an_answer() {
    let server = Server::start();
    for hosted in [false, true] {
        for (path, before_connect) in [("/echo", true), ("/http?status=403", false)] {
            let mut config = quick(server.url(path));
            config.before_connect = before_connect;
            config.should_reconnect = !before_connect;
            let make = |config| if hosted { Probe::hosted(config) } else { Probe::runtime(config) };
            let mut probe = make(config.clone());
            let asked = probe.next();
            probe.client.close(1000, "").unwrap();
            assert!(matches!(probe.next(), Seen::Closed { code: 1006, .. }), "{asked:?}");
            let mut probe = make(config);
            probe.next();
            // Whoever has let go of the client hears no more: its handler goes, too.
            probe.release();
        }
    }
}

#[test]
fn a_handler_may_answer_on_the_spot_or_close() {
    let server = Server::start();
    for close in [false, true] {
        let (seen, events) = channel();
        let mut config = asking(server.url("/echo"));
        config.proxy = longwire::Proxy::None;
        let _client = Client::start(config, move |client, event| match event {
            Event::BeforeConnect(_) if close => client.close(1000, "").unwrap(),
            Event::BeforeConnect(attempt) => {
                client.proceed(attempt.ask, Changes::default()).unwrap();
            }
            Event::Open(_) => client.send(MessageKind::Text, b"hello").unwrap(),
            Event::Message(_) => seen.send("message").unwrap(),
            Event::Closed(_) => seen.send("closed").unwrap(),
            _ => {}
        })
        .unwrap();
        let expected = if close { "closed" } else { "message" };
        assert_eq!(events.recv_timeout(LIMIT).unwrap(), expected);
    }
}

#[test]
fn an_answer_is_heard_whatever_the_question_before_left_behind() {
    let server = Server::start();
    let mut config = asking(server.url("/http?status=403"));
    config.should_reconnect = true;
    config.hook_timeout = 2 * LIMIT;
    let (seen, events) = channel();
    // One question is answered on the spot, the next one by another thread.
    let client = Client::start(config, move |client, event| match event {
        Event::BeforeConnect(attempt) => client.proceed(attempt.ask, Changes::default()).unwrap(),
        Event::ShouldReconnect(outage) => seen.send(Some(outage.ask)).unwrap(),
        Event::Closed(_) => seen.send(None).unwrap(),
        _ => {}
    })
    .unwrap();
    for round in 0..20 {
        let ask = events.recv_timeout(LIMIT).unwrap().unwrap();
        // The lifecycle waits for the answer by then.
        thread::sleep(Duration::from_millis(2));
        client.decide(ask, round < 19).unwrap();
    }
    assert_eq!(events.recv_timeout(LIMIT).unwrap(), None);
}
