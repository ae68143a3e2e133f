//! The test server as a child process, and events as owned values.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use longwire::{Client, Config, Error, Event, MessageKind, Proxy};

pub mod peers;

/// No wait in a test is longer.
pub const LIMIT: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    pub ws: String,
    pub wss: String,
    pub wss_bad_name: String,
    pub wss_client_cert: String,
    pub ca_file: String,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    pub fn start_with(args: &[&str]) -> Server {
        let mut child = Command::new(binary())
            .args(args)
            .arg("--stdin-guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Server {
            ws: text("ws"),
            wss: text("wss"),
            wss_bad_name: text("wss_bad_name"),
            wss_client_cert: text("wss_client_cert"),
            ca_file: text("ca_file"),
            child,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ws)
    }

    /// A file that the server made beside its CA.
    pub fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.ca_file).with_file_name(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `LONGWIRE_TEST_SERVER`, or the binary beside the tests.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LONGWIRE_TEST_SERVER") {
        return path.into();
    }
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile.join("longwire-test-server");
    assert!(path.exists(), "build longwire-test-server first: {} is missing", path.display());
    path
}

#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Open {
        attempt: u32,
        reconnects: u32,
        subprotocol: Option<String>,
    },
    Text(String),
    Binary(Vec<u8>),
    /// Payload, first and last.
    Chunk(Vec<u8>, bool, bool),
    Pong(Vec<u8>, bool),
    Down {
        kind: longwire::ErrorKind,
        code: Option<u16>,
    },
    Drain,
    /// Question, attempt, and the error before.
    BeforeConnect(u64, u32, Option<longwire::ErrorKind>),
    /// Question, and whether there would be another attempt.
    ShouldReconnect(u64, bool),
    Closed {
        code: u16,
        reason: String,
        clean: bool,
        kind: Option<longwire::ErrorKind>,
    },
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Seen {
        match event {
            Event::Open(open) => Seen::Open {
                attempt: open.attempt,
                reconnects: open.reconnects,
                subprotocol: open.subprotocol.clone(),
            },
            Event::Message(message) => match message.kind() {
                MessageKind::Text => Seen::Text(message.as_text().unwrap().to_owned()),
                MessageKind::Binary => Seen::Binary(message.into_bytes()),
            },
            Event::Chunk(chunk) => Seen::Chunk(chunk.payload.to_vec(), chunk.first, chunk.last),
            Event::Pong(pong) => Seen::Pong(pong.payload.to_vec(), pong.round_trip.is_some()),
            Event::Down(down) => Seen::Down { kind: down.error.kind(), code: down.code },
            Event::Drain => Seen::Drain,
            Event::BeforeConnect(attempt) => {
                let error = attempt.error.as_ref().map(Error::kind);
                Seen::BeforeConnect(attempt.ask, attempt.attempt, error)
            }
            Event::ShouldReconnect(outage) => Seen::ShouldReconnect(outage.ask, outage.retry),
            Event::Closed(closed) => Seen::Closed {
                code: closed.code,
                reason: closed.reason.clone(),
                clean: closed.clean,
                kind: closed.error.as_ref().map(longwire::Error::kind),
            },
            other => panic!("unexpected event {other:?}"),
        }
    }
}

/// A client whose events can be waited for, driven either way.
pub struct Probe {
    pub client: Client,
    events: Option<Receiver<Seen>>,
    ready: std::collections::VecDeque<Seen>,
}

impl Probe {
    pub fn runtime(config: Config) -> Probe {
        let (sender, events) = channel();
        let client = Client::start(local(config), move |_, event| {
            let _ = sender.send(event.into());
        })
        .unwrap();
        Probe { client, events: Some(events), ready: Default::default() }
    }

    pub fn hosted(config: Config) -> Probe {
        let client = Client::start_hosted(local(config)).unwrap();
        Probe { client, events: None, ready: Default::default() }
    }

    /// Both kinds, for tests that are true of both.
    pub fn both(config: &Config) -> [Probe; 2] {
        [Probe::runtime(config.clone()), Probe::hosted(config.clone())]
    }

    pub fn next(&mut self) -> Seen {
        self.next_within(LIMIT).expect("an event in time")
    }

    pub fn next_within(&mut self, limit: Duration) -> Option<Seen> {
        let deadline = Instant::now() + limit;
        if let Some(events) = &self.events {
            return match events.recv_timeout(limit) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => panic!("no event can come any more"),
            };
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.client.wait(Some(left), &mut false).unwrap();
            let ready = &mut self.ready;
            self.client.drive(16, &mut |event| ready.push_back(event.into())).unwrap();
        }
    }

    pub fn open(&mut self) -> Seen {
        let event = self.next();
        assert!(matches!(event, Seen::Open { .. }), "expected Open, got {event:?}");
        event
    }

    /// Releases the client, and waits until nothing of its handler is left.
    pub fn release(self) {
        let Probe { client, events, .. } = self;
        drop(client);
        let deadline = Instant::now() + LIMIT;
        while let Some(left) = events
            .as_ref()
            .map(|events| events.recv_timeout(deadline.saturating_duration_since(Instant::now())))
        {
            match left {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("the handler is still there"),
            }
        }
    }

    pub fn text(&self, text: &str) {
        self.client.send(MessageKind::Text, text.as_bytes()).unwrap();
    }
}

/// A directory that is removed at the end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new(name: &str) -> TempDir {
        let name = format!("longwire-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// No reconnection, for tests of a single connection.
pub fn once(url: impl Into<String>) -> Config {
    let mut config = Config::new(url);
    config.reconnect = None;
    config
}

/// Comes back at once.
pub fn quick(url: impl Into<String>) -> Config {
    let mut config = Config::new(url);
    let reconnect = config.reconnect.as_mut().unwrap();
    reconnect.min_delay = Duration::from_millis(1);
    reconnect.max_delay = Duration::from_millis(5);
    reconnect.restart_min_delay = Duration::from_millis(1);
    reconnect.restart_max_delay = Duration::from_millis(5);
    config
}

/// Waits for what no event tells.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::yield_now();
    }
}

/// The tests' servers are on this machine, whatever proxies its user has.
fn local(mut config: Config) -> Config {
    if config.proxy == Proxy::Environment {
        config.proxy = Proxy::None;
    }
    config
}

/// The error of the first attempt, and whether another one follows.
pub fn first_error(config: Config) -> (Error, bool) {
    let (sender, events) = channel();
    let _client = Client::start(config, move |_, event| {
        let _ = match event {
            Event::Down(down) => sender.send(Ok((down.error.clone(), true))),
            Event::Closed(closed) => sender.send(Ok((closed.error.clone().unwrap(), false))),
            other => sender.send(Err(format!("{other:?}"))),
        };
    })
    .unwrap();
    events.recv_timeout(LIMIT).expect("an event in time").expect("no connection")
}

/// One message there and back.
pub fn converse(probe: &mut Probe) {
    probe.open();
    for text in ["one".to_owned(), "x".repeat(300_000)] {
        probe.text(&text);
        assert_eq!(probe.next(), Seen::Text(text));
    }
}
