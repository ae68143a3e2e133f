//! The life of a client, from the first attempt to `Closed`: a task on the
//! runtime, whoever drives the bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::attempt::open;
use super::backoff;
use super::handle::Client;
use super::handler::Outcome;
use super::serve::{Loss, serve};
use super::shared::{Mode, Shared, signal};
use crate::driver::host::Stored;
use crate::error::{Error, ErrorKind};
use crate::event::{Closed, Down, Opened, State};
use crate::sync::Instant;

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
            Closed { code: 1006, reason: String::new(), clean: false, error: Some(error) }
        });
        end(&self.client, closed);
    }
}

fn end(client: &Client, closed: Closed) {
    client.shared().writer.end();
    client.shared().take_reader();
    client.shared().set_state(State::Closed);
    emit(client, Stored::Closed(closed));
    if let Mode::Runtime(slot) = &client.shared().mode {
        slot.release();
    }
}

async fn live(client: &Client) -> Closed {
    let shared = client.shared();
    let mut failed = 0;
    let mut tries = 0;
    let mut reconnects = 0;
    loop {
        shared.set_state(State::Connecting);
        tries = u32::saturating_add(tries, 1);
        let opened = tokio::select! {
            biased;
            () = shared.told_to_stop() => return stopped(),
            opened = open(shared) => opened,
        };
        let outage = match opened {
            Ok((ready, accepted)) => {
                let opened = Opened {
                    attempt: tries,
                    reconnects,
                    subprotocol: accepted.subprotocol,
                    extensions: accepted.extensions,
                    headers: accepted.headers,
                };
                let since = Instant::now();
                let (deflate, early) = (accepted.deflate.as_ref(), accepted.leftover);
                let loss = serve(client, ready, opened, deflate, early).await;
                reconnects = u32::saturating_add(reconnects, 1);
                tries = 0;
                Outage { loss, lived: Some(since.elapsed()) }
            }
            Err(error) => Outage { loss: Loss::failure(error), lived: None },
        };
        let Some((wait, down)) = retry(shared, &outage, &mut failed) else {
            return closed(outage.loss);
        };
        shared.set_state(State::Down);
        emit(client, Stored::Down(down));
        tokio::select! {
            biased;
            () = shared.told_to_stop() => return stopped(),
            () = sleep(wait) => {}
        }
    }
}

/// The wait before the next attempt, or `None` if this was the end.
fn retry(shared: &Shared, outage: &Outage, failed: &mut u32) -> Option<(Duration, Down)> {
    let options = shared.config.reconnect.as_ref()?;
    let loss = &outage.loss;
    if loss.is_final(shared) {
        return None;
    }
    let code = loss.closed_by_peer.then_some(loss.code);
    *failed = match outage.lived {
        Some(lived) if lived >= options.stable_after => 0,
        _ => failed.saturating_add(1),
    };
    if options.max_attempts.is_some_and(|most| *failed >= most.max(1)) {
        return None;
    }
    let wait = backoff::delay(options, *failed);
    let error = loss.error.clone().unwrap_or_else(|| loss.close_error());
    Some((wait, Down { error, code, attempt: *failed, retry_in: wait }))
}

/// `close` or `release` came while there was no connection.
fn stopped() -> Closed {
    Closed { code: 1006, reason: String::new(), clean: false, error: None }
}

fn closed(loss: Loss) -> Closed {
    let regular = matches!(loss.code, 1000 | 1001 | 1005);
    let error = match loss.error {
        Some(error) => Some(error),
        None if loss.stop || regular => None,
        None => Some(loss.close_error()),
    };
    Closed { code: loss.code, reason: loss.reason, clean: loss.clean, error }
}

/// Hands an event of the client's life to its user.
pub(crate) fn emit(client: &Client, event: Stored) {
    let shared = client.shared();
    match &shared.mode {
        Mode::Hosted(host) => host.post(event),
        Mode::Runtime(slot) => {
            let ((), outcome) = slot.lend(client, |emit| shared.deliver(event, emit));
            if outcome == Outcome::Panicked {
                shared.signal(signal::RELEASE);
            }
        }
    }
}
