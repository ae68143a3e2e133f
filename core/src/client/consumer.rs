//! A watch over the program: a connection that longwire keeps alive must not hide from the server that
//! nobody takes its messages any more.
//!
//! Only for hosted clients. A handler that blocks the runtime keeps it from answering pings as well,
//! which servers notice by themselves.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant as Deadline;

use super::shared::Shared;
use crate::driver::host::Host;
use crate::options::{Config, ConsumerAction, Level};
use crate::sync::Instant;
use crate::transport::link::Link;
use crate::transport::watch::deadline;

/// It is looked no more often than this.
const PACE: Duration = Duration::from_millis(10);

pub(crate) struct Consumer {
    limit: Duration,
    action: ConsumerAction,
    next: Deadline,
    /// What the host had taken when that last changed, …
    progress: Progress,
    /// … and when it did, or nothing waited.
    since: Instant,
    reported: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    drives: u32,
    taken: u32,
}

impl Consumer {
    pub(crate) fn new(config: &Config) -> Consumer {
        let limit = config.consumer_timeout.unwrap_or(Duration::MAX);
        Consumer {
            limit,
            action: config.consumer_action,
            next: deadline(pace(limit)),
            progress: Progress { drives: 0, taken: 0 },
            since: Instant::now(),
            reported: false,
        }
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Deadline {
        self.next
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Looks whether the host takes what is there; `true` if the client is to end because it does not.
    pub(crate) fn tick(&mut self, shared: &Shared, link: &Link) -> bool {
        if self.next > Deadline::now() {
            return false;
        }
        self.next = deadline(pace(self.limit));
        let Some(host) = shared.host() else { return false };
        let progress = progress(host);
        if progress != self.progress || !waits(shared, host, link) {
            self.progress = progress;
            self.since = Instant::now();
            if std::mem::take(&mut self.reported) {
                shared.notes.stalled(None);
                shared.log(Level::Info, || "the program takes messages again".to_owned());
            }
            return false;
        }
        if self.reported || self.since.elapsed() < self.limit {
            return false;
        }
        self.reported = true;
        shared.notes.stalled(Some(self.since));
        let limit = self.limit;
        shared.log(Level::Warning, || format!("the program took no message for {limit:?}"));
        self.action == ConsumerAction::Close
    }
}

fn pace(limit: Duration) -> Duration {
    (limit / 4).max(PACE)
}

fn progress(host: &Host) -> Progress {
    let taken = host.taken.load(Ordering::Relaxed);
    // A host that holds messages back comes to fetch others all the same.
    let holding = host.holding.load(Ordering::Relaxed);
    let drives = if holding { 0 } else { host.drives.load(Ordering::Relaxed) };
    Progress { drives, taken }
}

/// Whether there is anything for the host to take.
fn waits(shared: &Shared, host: &Host, link: &Link) -> bool {
    host.holding.load(Ordering::Relaxed)
        || !host.is_empty()
        || link.has_unread()
        || shared.has_hidden()
}
