//! Many clients of both modes, over ws and wss, against servers that serve,
//! drop, close and stall, used from several threads and ended at any moment.
//!
//! Whatever happens: what each thread sent comes back in order and never
//! twice, `Closed` comes once and last, nothing comes after `free`, nobody
//! waits for ever, and all descriptors and handlers are given back.

mod support;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use longwire::{Client, Config, Drive, ErrorKind, Event, MessageKind};
use support::{LIMIT, Server};

const WORKERS: u64 = 6;
const SENDERS: usize = 3;
/// Messages per sender.
const EACH: i64 = 150;
const LENGTH: Duration = Duration::from_secs(4);
/// Past this something waits for ever.
const WATCHDOG: Duration = Duration::from_secs(90);

#[test]
fn whatever_happens_the_promises_hold() {
    let (done, over) = channel();
    let work = thread::spawn(move || {
        run();
        done.send(()).unwrap();
    });
    if over.recv_timeout(WATCHDOG) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("something waits for ever");
    }
    work.join().unwrap();
}

fn run() {
    let server = Server::start();
    // What is made once and stays: the runtime, its threads, TLS.
    let mut warm = Random(1);
    for (hosted, tls) in [(false, false), (true, true)] {
        let config = config(&server, tls, "/echo", &mut warm);
        Life::begin(config, hosted, 1, "warming up").converse();
    }
    let descriptors = settled();
    let until = Instant::now() + LENGTH;
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let server = &server;
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(31).wrapping_add(worker + 1));
                while Instant::now() < until {
                    one_life(server, &mut random);
                }
            });
        }
    });
    let deadline = Instant::now() + LIMIT;
    while HANDLERS.load(Ordering::SeqCst) != 0 || descriptors != open_descriptors() {
        let (handlers, now) = (HANDLERS.load(Ordering::SeqCst), open_descriptors());
        assert!(
            Instant::now() < deadline,
            "{handlers} handlers are left, and {now} descriptors of {descriptors}"
        );
        thread::yield_now();
    }
}

fn one_life(server: &Server, random: &mut Random) {
    const PATHS: [&str; 9] = [
        "/echo",
        "/echo",
        "/echo",
        "/drop?after=20",
        "/drop?after=7&rst=1",
        "/close?code=1012&reason=restart",
        "/close?code=1000",
        "/stall",
        "/push?count=300&size=700",
    ];
    let (tls, hosted) = (random.below(2) == 0, random.below(2) == 0);
    let path = PATHS[random.below(PATHS.len())];
    let what = format!("{path}, tls {tls}, hosted {hosted}");
    let mut config = config(server, tls, path, random);
    if random.below(4) == 0 && path == "/echo" {
        config.reconnect = None;
        config.heartbeat.interval = None;
        return Life::begin(config, hosted, random.next(), &what).converse();
    }
    Life::begin(config, hosted, random.next(), &what).suffer(random);
}

fn config(server: &Server, tls: bool, path: &str, random: &mut Random) -> Config {
    let base = if tls { &server.wss } else { &server.ws };
    let mut config = Config::new(format!("{base}{path}"));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    config.close_timeout = Duration::from_millis(100);
    config.send_buffer = [0, 1000, 60_000, 16 << 20][random.below(4)];
    config.receive_buffer = [0, 1000, 16 << 20][random.below(3)];
    if random.below(2) == 0 {
        config.heartbeat.interval = Some(Duration::from_millis(20));
        config.heartbeat.timeout = Duration::from_millis(200);
    }
    if let Some(reconnect) = &mut config.reconnect {
        reconnect.min_delay = Duration::from_millis(1);
        reconnect.max_delay = Duration::from_millis(10);
        reconnect.restart_min_delay = Duration::from_millis(1);
        reconnect.restart_max_delay = Duration::from_millis(10);
    }
    config
}

static HANDLERS: AtomicI64 = AtomicI64::new(0);

/// What a client's events have to be like.
struct Watch {
    what: String,
    /// The last number that came back, per sender.
    last: [i64; SENDERS],
    closed: bool,
    clean: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    /// The user called `free`.
    freed: Arc<AtomicBool>,
    came: Arc<AtomicU64>,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        HANDLERS.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Watch {
    fn see(&mut self, event: &Event<'_>) {
        let fault = |text: String| self.faults.lock().unwrap().push(text);
        if self.closed {
            fault(format!("after Closed: {event:?}"));
        }
        if self.freed.load(Ordering::SeqCst) {
            fault(format!("after free: {event:?}"));
        }
        match event {
            Event::Message(message) => {
                let text = message.as_text().unwrap();
                let Some((sender, number)) = text.split_once(':') else { return };
                let (sender, number) = (sender.parse::<usize>().unwrap(), number.trim_end());
                let number = number.parse().unwrap();
                if number <= self.last[sender] {
                    fault(format!("{sender}: {number} after {}", self.last[sender]));
                }
                self.last[sender] = number;
                self.came.fetch_add(1, Ordering::SeqCst);
            }
            Event::Closed(closed) => {
                self.closed = true;
                self.clean.store(closed.clean, Ordering::SeqCst);
                self.ended.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

struct Life {
    client: Client,
    /// The watch of a hosted client, whose events come to us.
    watch: Option<Watch>,
    random: Random,
    what: String,
    ended: Arc<AtomicBool>,
    clean: Arc<AtomicBool>,
    freed: Arc<AtomicBool>,
    came: Arc<AtomicU64>,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Life {
    fn begin(config: Config, hosted: bool, seed: u64, what: &str) -> Life {
        HANDLERS.fetch_add(1, Ordering::SeqCst);
        let what = format!("{what}, {} in, {} out", config.receive_buffer, config.send_buffer);
        let mut watch = Watch {
            what: what.clone(),
            last: [-1; SENDERS],
            closed: false,
            clean: Arc::default(),
            ended: Arc::default(),
            freed: Arc::default(),
            came: Arc::default(),
            faults: Arc::default(),
        };
        let (ended, clean, freed, came, faults) = (
            watch.ended.clone(),
            watch.clean.clone(),
            watch.freed.clone(),
            watch.came.clone(),
            watch.faults.clone(),
        );
        let (client, watch) = if hosted {
            (Client::start_hosted(config).unwrap(), Some(watch))
        } else {
            let client = Client::start(config, move |_, event| watch.see(&event)).unwrap();
            (client, None)
        };
        let random = Random(seed | 1);
        Life { client, watch, random, what, ended, clean, freed, came, faults }
    }

    /// Sends from all threads while `during` runs on this one.
    fn with_senders(&mut self, patient: bool, during: impl FnOnce(&mut Life)) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (client, stop) = (self.client.clone(), &stop);
                let width = [0, 0, 3000][self.random.below(3)];
                scope.spawn(move || send_all(&client, sender, width, patient, stop));
            }
            during(self);
            stop.store(true, Ordering::SeqCst);
        });
    }

    /// All that is sent comes back, and the end is clean.
    fn converse(mut self) {
        self.with_senders(true, |life| {
            let all = SENDERS as u64 * EACH as u64;
            life.go_on(|life| life.came.load(Ordering::SeqCst) == all);
        });
        self.client.close(1000, "").unwrap();
        self.go_on(|life| life.ended.load(Ordering::SeqCst));
        assert!(self.clean.load(Ordering::SeqCst), "{}: not closed cleanly", self.what);
        self.judge();
    }

    /// Ends at any moment, in any way.
    fn suffer(mut self, random: &mut Random) {
        let moment = Instant::now() + Duration::from_millis(random.below(120) as u64);
        let way = random.below(4);
        self.with_senders(false, |life| {
            life.go_on(|life| Instant::now() >= moment || life.ended.load(Ordering::SeqCst));
            match way {
                0 => life.client.close(3000, "enough").unwrap(),
                1 => {
                    life.client.free();
                    life.freed.store(true, Ordering::SeqCst);
                }
                2 => life.client.release(),
                _ => {}
            }
        });
        if way == 0 {
            self.go_on(|life| life.ended.load(Ordering::SeqCst));
        }
        self.judge();
    }

    /// Lets events come until `over`.
    fn go_on(&mut self, mut over: impl FnMut(&Life) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !over(self) {
            assert!(Instant::now() < deadline, "{}: it stands still", self.what);
            let Some(watch) = &mut self.watch else {
                thread::sleep(Duration::from_micros(200));
                continue;
            };
            self.client.wait(Some(Duration::from_millis(5)), &mut false).unwrap();
            let budget = 1 + self.random.below(40);
            let drive = self.client.drive(budget, &mut |event| watch.see(&event)).unwrap();
            assert_eq!(drive == Drive::Finished, watch.closed, "{}", watch.what);
            self.client.flush();
            if self.random.below(200) == 0 {
                // A host that hangs, so that the runtime stands in.
                thread::sleep(Duration::from_millis(110));
            }
        }
    }

    fn judge(&self) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{}: {faults:?}", self.what);
    }
}

fn send_all(client: &Client, sender: usize, width: usize, patient: bool, stop: &AtomicBool) {
    let mut number = 0;
    while number < EACH && (patient || !stop.load(Ordering::SeqCst)) {
        let text = format!("{sender}:{number:<width$}");
        let sent = match number % 3 {
            0 => client.send_in_turn(MessageKind::Text, text.as_bytes()).map(drop),
            _ => client.send(MessageKind::Text, text.as_bytes()),
        };
        match sent.map_err(|error| error.kind()) {
            Ok(()) => number += 1,
            Err(ErrorKind::Full) => {
                // What waits may wait for the end of a turn.
                client.flush();
                thread::yield_now();
            }
            Err(ErrorKind::Closed) => return,
            Err(other) => panic!("{other:?} while sending"),
        }
        if number % 50 == 0 {
            let _ = client.ping(b"stress");
        }
    }
    client.flush();
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The number of descriptors once it has stopped to change.
fn settled() -> usize {
    let mut last = (open_descriptors(), Instant::now());
    while last.1.elapsed() < Duration::from_millis(300) {
        let now = open_descriptors();
        if now != last.0 {
            last = (now, Instant::now());
        }
        thread::yield_now();
    }
    last.0
}

/// xorshift: which client does what is all it decides.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
