//! The life of a client, from the first attempt to `Closed`: a task on the
//! runtime, whoever drives the bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep_until;

use super::asks::{Answer, Question};
use super::attempt::open;
use super::handle::Client;
use super::handler::Outcome;
use super::loss::Loss;
use super::policy::{self, Facts, Verdict};
use super::serve::serve;
use super::shared::{HINTS, Mode, Shared, signal};
use crate::driver::host::Stored;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Attempt, Closed, Down, Opened, State};
use crate::options::Level;
use crate::protocol::handshake::Accepted;
use crate::sync::Instant;
use crate::transport::watch::{Watch, deadline};

/// How an attempt, or the connection it led to, came to its end.
struct Outage {
    loss: Loss,
    /// The connection had been open for so long.
    lived: Option<Duration>,
}

pub(crate) fn run(shared: Arc<Shared>) -> impl Future<Output = ()> + Send {
    // Made before the task runs, as a task may be dropped without.
    let mut ending = Ending { client: Client::unowned(shared), closed: None };
    async move {
        ending.closed = Some(live(&ending.client).await);
        drop(ending);
    }
}

/// Says `Closed`, also when the task is dropped or panics.
struct Ending {
    client: Client,
    closed: Option<Closed>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let closed = self.closed.take().unwrap_or_else(|| {
            let error = if std::thread::panicking() {
                Error::new(ErrorKind::Panic, "longwire panicked; please report this")
            } else {
                Error::new(ErrorKind::Closed, "the runtime was shut down")
            };
            Closed { error: Some(error), ..stopped() }
        });
        end(&self.client, closed);
    }
}

fn end(client: &Client, closed: Closed) {
    let shared = client.shared();
    let (unsent_messages, unsent_bytes) = shared.writer.end();
    shared.take_reader();
    shared.withdraw();
    shared.shard.forget(shared);
    shared.notes.lost(closed.error.clone());
    shared.set_state(State::Closed);
    log_end(shared, &closed, unsent_messages);
    emit(client, Stored::Closed(Closed { unsent_messages, unsent_bytes, ..closed }));
    if let Mode::Runtime(slot) = &shared.mode {
        slot.release();
    }
}

/// Where a client is between its connections.
struct Course {
    /// Attempts since the last open connection.
    tries: u32,
    /// Failed ones since the last stable connection.
    failed: u32,
    reconnects: u32,
    /// Since when there has been no stable connection.
    unstable: Instant,
}

async fn live(client: &Client) -> Closed {
    let shared = client.shared();
    let mut course = Course { tries: 0, failed: 0, reconnects: 0, unstable: Instant::now() };
    loop {
        shared.set_state(State::Connecting);
        course.tries = course.tries.saturating_add(1);
        shared.notes.attempting(course.tries);
        let Some(opened) = attempt(client, &course).await else { return stopped() };
        let outage = match opened {
            Ok((ready, accepted)) => {
                let opened = Opened {
                    attempt: course.tries,
                    reconnects: course.reconnects,
                    subprotocol: accepted.subprotocol,
                    extensions: accepted.extensions,
                    headers: accepted.headers,
                    expired: 0,
                };
                let since = Instant::now();
                let (deflate, early) = (accepted.deflate.as_ref(), accepted.leftover);
                let loss = serve(client, ready, opened, deflate, early).await;
                course.reconnects = course.reconnects.saturating_add(1);
                course.tries = 0;
                Outage { loss, lived: Some(since.elapsed()) }
            }
            Err(error) => Outage { loss: Loss::failure(error), lived: None },
        };
        let (wait, down) = match retry(client, &outage, &mut course).await {
            Next::Attempt(wait, down) => (wait, down),
            Next::End => return closed(outage.loss),
            Next::Stopped => return closed(Loss { stop: true, error: None, ..outage.loss }),
        };
        shared.log(Level::Warning, || format!("down: {}; again in {wait:.3?}", down.error));
        shared.set_state(State::Down);
        shared.notes.waiting(course.tries.saturating_add(1), wait);
        emit(client, Stored::Down(down));
        match pause(client, wait).await {
            Pause::Over => {}
            Pause::Stopped => return stopped(),
            // What failed on another network says nothing about this one.
            Pause::Network => course.failed = 0,
        }
    }
}

/// One attempt, once the user has nothing against it. `None`: the client was told to stop.
async fn attempt(client: &Client, course: &Course) -> Option<Result<(Watch, Accepted)>> {
    let shared = client.shared();
    let mut way = None;
    if shared.config.before_connect {
        let asked = ask(client, Question::BeforeConnect, |ask| {
            Stored::BeforeConnect(Attempt {
                ask,
                attempt: course.tries,
                reconnects: course.reconnects,
                error: shared.notes.last_error(),
            })
        });
        match asked.await {
            Asked::Answer(Answer::Proceed(changed)) => way = changed,
            Asked::Answer(Answer::Refuse(error)) => return Some(Err(error)),
            Asked::Answer(Answer::Decide(_)) | Asked::Late => {
                let limit = shared.config.hook_timeout;
                let text = format!("before_connect did not answer within {limit:?}");
                return Some(Err(Error::new(ErrorKind::Timeout, text)));
            }
            Asked::Stopped => return None,
        }
    }
    let way = way.as_deref();
    shared.log(Level::Debug, || {
        let target = way.map_or(&shared.target, |way| &way.target);
        format!("attempt {}: connecting to {}", course.tries, target.place())
    });
    tokio::select! {
        biased;
        () = shared.told_to_stop() => None,
        opened = open(shared, way) => Some(opened),
    }
}

/// What follows a loss.
enum Next {
    /// Another attempt, after a wait.
    Attempt(Duration, Down),
    /// Nothing: the loss was the end.
    End,
    /// Nothing: `close` or `release` was called while the user was asked.
    Stopped,
}

async fn retry(client: &Client, outage: &Outage, course: &mut Course) -> Next {
    let shared = client.shared();
    let loss = &outage.loss;
    let Some(options) = shared.config.reconnect.as_ref().filter(|_| !loss.stop) else {
        return Next::End;
    };
    if outage.lived.is_some_and(|lived| lived >= options.stable_after) {
        course.unstable = Instant::now();
    }
    let (error, code) = (loss.cause(), loss.peer_code());
    shared.notes.lost(Some(error.clone()));
    let facts = Facts {
        error: &error,
        code,
        lived: outage.lived,
        down_for: course.unstable.elapsed(),
        replaced: loss.replaced,
        now: SystemTime::now(),
    };
    let Verdict { mut retry, wait, failed } = policy::judge(options, &facts, course.failed);
    course.failed = failed;
    let down = Down { error, code, attempt: failed, retry_in: wait };
    if shared.config.should_reconnect && !loss.replaced {
        shared.set_state(State::Down);
        let outage = down.clone();
        let asked = ask(client, Question::ShouldReconnect, |ask| {
            Stored::ShouldReconnect(crate::event::Outage { ask, retry, down: outage })
        });
        match asked.await {
            Asked::Answer(Answer::Decide(decided)) => retry = decided,
            Asked::Answer(_) => {}
            Asked::Late => {
                let limit = shared.config.hook_timeout;
                shared.log(Level::Warning, || {
                    format!("should_reconnect did not answer within {limit:?}")
                });
            }
            Asked::Stopped => return Next::Stopped,
        }
    }
    if retry { Next::Attempt(wait, down) } else { Next::End }
}

/// How a question to the user ended.
enum Asked {
    Answer(Answer),
    Late,
    /// `close` or `release` was called.
    Stopped,
}

async fn ask(client: &Client, question: Question, event: impl FnOnce(u64) -> Stored) -> Asked {
    let shared = client.shared();
    let number = shared.asks.begin(question);
    match &shared.mode {
        Mode::Hosted(host) => host.ask(event(number)),
        Mode::Runtime(_) => emit(client, event(number)),
    }
    let mut hints = 0;
    let asked = loop {
        hints |= idle_signals(client) & HINTS;
        if shared.is_told_to_stop() {
            break Asked::Stopped;
        }
        if let Some(answer) = shared.asks.take() {
            break Asked::Answer(answer);
        }
        let delivered = shared.asks.delivered();
        let left = delivered.map(|at| shared.config.hook_timeout.saturating_sub(at.elapsed()));
        tokio::select! {
            biased;
            () = shared.signaled() => {}
            () = sleep_until(deadline(left.unwrap_or_default())), if left.is_some() => {
                break Asked::Late;
            }
        }
    };
    // They are for the wait that follows.
    shared.signal(hints);
    match (shared.withdraw(), asked) {
        (Some(answer), Asked::Late) => Asked::Answer(answer),
        (_, asked) => asked,
    }
}

/// How a wait between attempts ended.
enum Pause {
    Over,
    Stopped,
    /// Another network may be in use.
    Network,
}

async fn pause(client: &Client, wait: Duration) -> Pause {
    let shared = client.shared();
    let until = sleep_until(deadline(wait));
    tokio::pin!(until);
    loop {
        let signals = idle_signals(client);
        if shared.is_told_to_stop() {
            return Pause::Stopped;
        }
        if signals & signal::NETWORK != 0 {
            return Pause::Network;
        }
        if signals & signal::RECONNECT != 0 {
            return Pause::Over;
        }
        tokio::select! {
            biased;
            () = shared.signaled() => {}
            () = &mut until => return Pause::Over,
        }
    }
}

/// Takes the signals that came while there is no connection. Before each wait: only a signal
/// that is new wakes this task.
fn idle_signals(client: &Client) -> u32 {
    let signals = client.shared().take_signals();
    if signals & signal::DRAIN != 0 {
        emit(client, Stored::Drain);
    }
    signals
}

/// `close` or `release` came while there was no connection.
fn stopped() -> Closed {
    Closed {
        code: 1006,
        reason: String::new(),
        clean: false,
        error: None,
        unsent_messages: 0,
        unsent_bytes: 0,
    }
}

fn closed(loss: Loss) -> Closed {
    let regular = matches!(loss.code, 1000 | 1001 | 1005);
    let unspoken = loss.error.is_none() && (loss.stop || regular);
    let error = (!unspoken).then(|| loss.cause());
    Closed { code: loss.code, reason: loss.reason, clean: loss.clean, error, ..stopped() }
}

fn log_end(shared: &Shared, closed: &Closed, unsent: usize) {
    let Closed { code, error, .. } = closed;
    let level = if error.is_some() { Level::Error } else { Level::Info };
    shared.log(level, || match error {
        Some(error) => format!("closed with code {code}: {error}"),
        None => format!("closed with code {code}"),
    });
    if unsent > 0 {
        shared.log(Level::Warning, || format!("{unsent} messages never left"));
    }
}

/// Hands an event of the client's life to its user.
pub(crate) fn emit(client: &Client, event: Stored) {
    let shared = client.shared();
    match &shared.mode {
        Mode::Hosted(host) => host.post(event),
        Mode::Runtime(slot) => {
            let ((), outcome) = slot.lend(client, |lent| {
                shared.deliver(event, &mut |event| lent.deliver(event));
            });
            if outcome == Outcome::Panicked {
                shared.signal(signal::RELEASE);
            }
        }
    }
}
