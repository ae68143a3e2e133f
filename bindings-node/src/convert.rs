//! Events and errors as JavaScript objects. Durations are milliseconds.

use std::time::Duration;

use longwire::{Attempt, Closed, Down, Error, ErrorKind, Opened, Outage, Pong};
use napi_derive::napi;

/// An error of the core; `lib/errors.js` makes a `LongwireError` of it.
#[napi(object)]
pub struct Failure {
    pub kind: i32,
    pub message: String,
    pub retryable: bool,
    pub status: Option<u32>,
    pub headers: Option<Vec<Vec<String>>>,
    pub body: Option<String>,
}

impl Failure {
    pub(crate) fn new(error: &Error) -> Self {
        let refusal = error.refusal();
        Failure {
            kind: error.kind().code(),
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
            status: refusal.map(|refusal| refusal.status.into()),
            headers: refusal.map(|refusal| headers(&refusal.headers)),
            body: refusal.map(|refusal| String::from_utf8_lossy(&refusal.body).into_owned()),
        }
    }

    pub(crate) fn resource(message: String) -> Self {
        Failure::new(&Error::new(ErrorKind::Resource, message))
    }
}

/// Header values are bytes; JavaScript reads them as Latin-1, as Node does.
fn headers(headers: &[(String, Vec<u8>)]) -> Vec<Vec<String>> {
    headers.iter().map(|(name, value)| vec![name.clone(), latin1(value)]).collect()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

pub(crate) fn as_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[napi(object)]
pub(crate) struct OpenEvent {
    pub attempt: u32,
    pub reconnects: u32,
    pub subprotocol: Option<String>,
    pub extensions: String,
    pub headers: Vec<Vec<String>>,
    pub expired: f64,
    /// What `ready` has to name, if the queue waits for it.
    pub hold: Option<f64>,
}

impl OpenEvent {
    pub(crate) fn from_core(opened: &Opened, hold: Option<u64>) -> Self {
        OpenEvent {
            attempt: opened.attempt,
            reconnects: opened.reconnects,
            subprotocol: opened.subprotocol.clone(),
            extensions: opened.extensions.clone(),
            headers: headers(&opened.headers),
            expired: opened.expired as f64,
            hold: hold.map(|hold| hold as f64),
        }
    }
}

#[napi(object)]
pub(crate) struct PongEvent {
    /// Each byte as one character.
    pub payload: String,
    pub round_trip: Option<f64>,
}

impl PongEvent {
    pub(crate) fn from_core(pong: Pong<'_>) -> Self {
        PongEvent {
            payload: latin1(pong.payload),
            round_trip: pong.round_trip.map(as_milliseconds),
        }
    }
}

#[napi(object)]
pub struct DownEvent {
    pub error: Failure,
    pub code: Option<u32>,
    pub attempt: u32,
    pub retry_in: f64,
}

impl DownEvent {
    pub(crate) fn from_core(down: &Down) -> Self {
        DownEvent {
            error: Failure::new(&down.error),
            code: down.code.map(Into::into),
            attempt: down.attempt,
            retry_in: as_milliseconds(down.retry_in),
        }
    }
}

#[napi(object)]
pub(crate) struct ClosedEvent {
    pub code: u32,
    pub reason: String,
    pub clean: bool,
    pub error: Option<Failure>,
    pub unsent_messages: f64,
    pub unsent_bytes: f64,
}

impl ClosedEvent {
    pub(crate) fn from_core(closed: &Closed) -> Self {
        ClosedEvent {
            code: closed.code.into(),
            reason: closed.reason.clone(),
            clean: closed.clean,
            error: closed.error.as_ref().map(Failure::new),
            unsent_messages: closed.unsent_messages as f64,
            unsent_bytes: closed.unsent_bytes as f64,
        }
    }
}

#[napi(object)]
pub struct AttemptEvent {
    /// What the answer has to name.
    pub ask: f64,
    pub attempt: u32,
    pub reconnects: u32,
    pub error: Option<Failure>,
}

impl AttemptEvent {
    pub(crate) fn from_core(attempt: &Attempt) -> Self {
        AttemptEvent {
            ask: attempt.ask as f64,
            attempt: attempt.attempt,
            reconnects: attempt.reconnects,
            error: attempt.error.as_ref().map(Failure::new),
        }
    }
}

#[napi(object)]
pub struct OutageEvent {
    /// What the answer has to name.
    pub ask: f64,
    pub retry: bool,
    pub down: DownEvent,
}

impl OutageEvent {
    pub(crate) fn from_core(outage: &Outage) -> Self {
        OutageEvent {
            ask: outage.ask as f64,
            retry: outage.retry,
            down: DownEvent::from_core(&outage.down),
        }
    }
}
