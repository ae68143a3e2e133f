//! Whether there are faults at the moment, what they did so far, and those that hit everybody at once.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::fault::{Fault, Script, Tally};
use crate::proxy::{Doors, Proxy};
use crate::random::Random;
use crate::server::{Desk, Server};

/// So many complaints are kept.
const COMPLAINTS: usize = 20;
/// How often the clock is looked at.
const PULSE: Duration = Duration::from_millis(100);
/// Who is so late makes clients wait for pongs that were due.
const LATE: Duration = Duration::from_millis(300);
/// How long that explains what clients do.
const AFTERMATH: Duration = Duration::from_secs(5);

pub(crate) struct Weather {
    foul: watch::Sender<bool>,
    random: RefCell<Random>,
    pub(crate) tally: Tally,
    /// Sockets of clients that are open.
    pub(crate) live: Cell<usize>,
    /// How often the server died.
    pub(crate) deaths: Cell<u64>,
    /// How late this program was at most, because the machine had other things to do, and when it was last.
    pub(crate) latest: Cell<Duration>,
    late_at: Cell<Option<Instant>>,
    /// When the clock will be looked at.
    due: Cell<Option<Instant>>,
    wrong: RefCell<Vec<String>>,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            foul: watch::Sender::new(false),
            random: RefCell::new(Random::new(seed)),
            tally: Tally::default(),
            live: Cell::default(),
            deaths: Cell::default(),
            latest: Cell::default(),
            late_at: Cell::default(),
            due: Cell::default(),
            wrong: RefCell::default(),
        }
    }

    /// Measures for ever whether this program gets its turn in time.
    pub(crate) async fn watch_the_clock(&self) {
        loop {
            let due = Instant::now() + PULSE;
            self.due.set(Some(due));
            sleep_until(due).await;
            let late = due.elapsed();
            self.latest.set(self.latest.get().max(late));
            if late >= LATE {
                self.late_at.set(Some(Instant::now()));
            }
        }
    }

    /// Whether clients may have lost patience with us lately.
    pub(crate) fn is_late(&self) -> bool {
        // Behind a pause it is chance whether the clock is looked at first.
        self.due.get().is_some_and(|due| due.elapsed() >= LATE)
            || self.late_at.get().is_some_and(|at| at.elapsed() < AFTERMATH)
    }

    pub(crate) fn set(&self, foul: bool) {
        self.foul.send_replace(foul);
    }

    pub(crate) fn is_foul(&self) -> bool {
        *self.foul.borrow()
    }

    /// Waits for that weather.
    pub(crate) async fn becomes(&self, foul: bool) {
        let mut watched = self.foul.subscribe();
        // Fails only without a sender, which is ours.
        let _ = watched.wait_for(|now| *now == foul).await;
    }

    /// Waits for a time, or until the faults end. Whether they did.
    pub(crate) async fn lasts(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        tokio::select! {
            biased;
            () = self.becomes(false) => true,
            () = sleep_until(until) => false,
        }
    }

    pub(crate) fn script(&self, secure: bool) -> Script {
        Script::new(self.random.borrow_mut().fork(), secure)
    }

    /// Says that a client was too slow, unless we may have been.
    pub(crate) fn complain(&self, what: String) {
        if self.is_late() {
            return;
        }
        let mut wrong = self.wrong.borrow_mut();
        if wrong.len() < COMPLAINTS {
            wrong.push(what);
        }
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.wrong.borrow().clone()
    }
}

/// Shuts the doors and kills the server from time to time, as long as the weather is foul. At the end both are there.
pub(crate) async fn storm(
    weather: Rc<Weather>,
    desk: Rc<Desk>,
    doors: Rc<Doors>,
    mut server: Server,
    mut proxy: Proxy,
) -> io::Result<(Server, Proxy)> {
    let mut random = weather.random.borrow_mut().fork();
    let mut next_death = Instant::now() + random.millis(12_000, 20_000);
    while !weather.lasts(random.millis(5000, 10_000)).await {
        weather.tally.add(Fault::Refusal);
        proxy.close().await;
        weather.lasts(random.millis(200, 1200)).await;
        proxy = Proxy::open(&doors, &desk, &weather)?;
        if Instant::now() >= next_death && weather.is_foul() {
            weather.tally.add(Fault::ServerDeath);
            weather.deaths.set(weather.deaths.get() + 1);
            server.kill().await;
            weather.lasts(random.millis(500, 2000)).await;
            server = Server::start(&desk)?;
            next_death = Instant::now() + random.millis(15_000, 30_000);
        }
    }
    Ok((server, proxy))
}
