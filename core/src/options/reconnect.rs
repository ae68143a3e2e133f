//! When another connection follows one that was lost, and when it does.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Exponential back-off with full jitter: the wait before attempt `n` is
/// drawn between `min_delay` and `min(max_delay, min_delay × factorⁿ)`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reconnect {
    /// The shortest wait. Default 250 ms.
    pub min_delay: Duration,
    /// The longest wait. Default 30 s.
    pub max_delay: Duration,
    /// How the upper bound grows. Default 2.
    pub factor: f64,
    /// Give up after so many failed attempts in a row; `None` for never.
    pub max_attempts: Option<u32>,
    /// Give up when there was no stable connection for this long; `None` for never.
    pub max_time: Option<Duration>,
    /// A connection that lived this long starts the back-off anew. Default 5 s.
    pub stable_after: Duration,
    /// A server that says `Retry-After` (RFC 9110 section 10.2.3) is not called again earlier, but
    /// not later than this for its sake. Default 1 h.
    pub max_retry_after: Duration,
    /// After the close codes 1012 (restart) and 1013 (try again later) the wait is drawn
    /// from the back-off or, if that is longer, between this, by default 5 s, …
    pub restart_min_delay: Duration,
    /// … and this, by default 30 s.
    pub restart_max_delay: Duration,
    /// What is tried again against the rule, or not. Of several for one cause the last counts.
    pub exceptions: Vec<(Cause, bool)>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect {
            min_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(30),
            factor: 2.0,
            max_attempts: None,
            max_time: None,
            stable_after: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(3600),
            restart_min_delay: Duration::from_secs(5),
            restart_max_delay: Duration::from_secs(30),
            exceptions: Vec::new(),
        }
    }
}

impl Reconnect {
    /// Has `cause` be tried again, or not, whatever the rule says.
    pub fn set(&mut self, cause: Cause, retry: bool) {
        self.exceptions.push((cause, retry));
    }

    /// What was set for `cause`.
    pub(crate) fn exception(&self, cause: Cause) -> Option<bool> {
        self.exceptions.iter().rev().find(|(other, _)| *other == cause).map(|(_, retry)| *retry)
    }

    /// Refuses what contradicts itself, as the start of a client does.
    pub fn check(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        for (name, low, high) in [
            ("", self.min_delay, self.max_delay),
            ("restart_", self.restart_min_delay, self.restart_max_delay),
        ] {
            if low > high {
                return invalid(format!(
                    "reconnect: expected {name}min_delay to be at most {name}max_delay, got {low:?} \
                     and {high:?}"
                ));
            }
        }
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            let factor = self.factor;
            return invalid(format!("reconnect: expected a factor of at least 1, got {factor}"));
        }
        Ok(())
    }
}

/// Why a connection, or an attempt, came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An error of this kind.
    Error(ErrorKind),
    /// The server answered the handshake with this HTTP status.
    Status(u16),
    /// The server closed the connection with this code (1005 for none).
    Close(u16),
}

impl Cause {
    /// The cause that all languages but Rust know by this number: an HTTP status (100 to 599), a close
    /// code (1000 to 4999) or the code of an error.
    pub fn from_number(number: i32) -> Result<Cause> {
        if let Some(kind) = ErrorKind::ALL.iter().find(|kind| kind.code() == number) {
            return Ok(Cause::Error(*kind));
        }
        match u16::try_from(number) {
            Ok(status @ 100..=599) => Ok(Cause::Status(status)),
            Ok(code @ 1000..=4999) => Ok(Cause::Close(code)),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "reconnect: expected an HTTP status (100 to 599), a close code (1000 to 4999) or the \
                     code of an error, got {number}"
                ),
            )),
        }
    }
}

/// What [`crate::Client::proceed`] changes for one attempt; `None` leaves what the
/// configuration says.
#[derive(Clone, Default)]
pub struct Changes {
    /// As [`crate::Config::url`].
    pub url: Option<String>,
    /// As [`crate::Config::headers`], all of them.
    pub headers: Option<Vec<(String, String)>>,
    /// As [`crate::Config::subprotocols`], all of them.
    pub subprotocols: Option<Vec<String>>,
}

/// Without URL and headers, where credentials travel.
impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("subprotocols", &self.subprotocols).finish_non_exhaustive()
    }
}
