//! Whether another attempt follows a loss, and after what wait. All of the rule is
//! here, without a clock and without a connection.

use std::time::{Duration, SystemTime};

use super::backoff;
use crate::error::{Error, ErrorKind};
use crate::options::{Cause, Reconnect};
use crate::protocol::retry_after;

/// Close codes after which the same client would only be closed again:
/// the purpose is fulfilled (1000), or the server objects to what it got.
const FINAL_CODES: [u16; 7] = [1000, 1002, 1003, 1007, 1008, 1009, 1010];

/// Close codes with which a server asks its clients to spread their return.
const RESTART_CODES: [u16; 2] = [1012, 1013];

/// What is known of a loss.
pub(crate) struct Facts<'a> {
    pub(crate) error: &'a Error,
    /// The code of the peer's close frame.
    pub(crate) code: Option<u16>,
    /// How long the connection was open, if it ever was.
    pub(crate) lived: Option<Duration>,
    /// How long there has been no stable connection.
    pub(crate) down_for: Duration,
    /// The user asked for another connection.
    pub(crate) replaced: bool,
    pub(crate) now: SystemTime,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) retry: bool,
    /// Before the next attempt, if there is one.
    pub(crate) wait: Duration,
    /// Failed attempts in a row.
    pub(crate) failed: u32,
}

/// Judges a loss that came after `failed` failed attempts.
pub(crate) fn judge(options: &Reconnect, facts: &Facts<'_>, failed: u32) -> Verdict {
    let failed = match facts.lived {
        Some(lived) if lived >= options.stable_after => 0,
        _ if facts.replaced => failed,
        _ => failed.saturating_add(1),
    };
    if facts.replaced {
        return Verdict { retry: true, wait: Duration::ZERO, failed };
    }
    let least = least_wait(options, facts);
    let wait = backoff::delay(options, failed);
    let wait = match least {
        // All clients were told the same: the back-off keeps them apart.
        Some(Least::RetryAfter(least)) => least.saturating_add(wait),
        Some(Least::Restart(least)) => least.max(wait),
        None => wait,
    };
    let mut verdict = Verdict { retry: is_retried(options, facts.error, facts.code), wait, failed };
    if options.max_attempts.is_some_and(|most| failed >= most.max(1)) {
        verdict.retry = false;
    }
    if let Some(most) = options.max_time {
        let left = most.saturating_sub(facts.down_for);
        let least = least
            .map_or(Duration::ZERO, |(Least::RetryAfter(least) | Least::Restart(least))| least);
        if left.is_zero() || least > left {
            verdict.retry = false;
        } else {
            verdict.wait = wait.min(left);
        }
    }
    verdict
}

/// The rule, or what the user put in its place.
pub(crate) fn is_retried(options: &Reconnect, error: &Error, code: Option<u16>) -> bool {
    if let Some(code) = code {
        let exception = options.exception(Cause::Close(code));
        return exception
            .or_else(|| options.exception(Cause::Error(ErrorKind::Closed)))
            .unwrap_or_else(|| !FINAL_CODES.contains(&code));
    }
    if error.is_final() {
        return false;
    }
    let status = error.refusal().map(|refusal| Cause::Status(refusal.status));
    let exception = status.and_then(|status| options.exception(status));
    exception
        .or_else(|| options.exception(Cause::Error(error.kind())))
        .unwrap_or_else(|| error.is_retryable())
}

/// A wait that the server asked for.
#[derive(Clone, Copy)]
enum Least {
    RetryAfter(Duration),
    Restart(Duration),
}

fn least_wait(options: &Reconnect, facts: &Facts<'_>) -> Option<Least> {
    if facts.code.is_some_and(|code| RESTART_CODES.contains(&code)) {
        let (low, high) = (options.restart_min_delay, options.restart_max_delay);
        return Some(Least::Restart(backoff::draw(low, high)));
    }
    let asked = retry_after::asked(facts.error.refusal()?, facts.now)?;
    Some(Least::RetryAfter(asked.min(options.max_retry_after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    const SECOND: Duration = Duration::from_secs(1);

    fn lost() -> Error {
        Error::new(ErrorKind::Lost, "lost")
    }

    fn refused(status: u16, headers: &[(&str, &str)]) -> Error {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        Error::refused("refused", Refusal { status, headers, body: Vec::new() })
    }

    fn facts(error: &Error) -> Facts<'_> {
        Facts {
            error,
            code: None,
            lived: None,
            down_for: Duration::ZERO,
            replaced: false,
            now: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn only_a_stable_connection_starts_the_back_off_anew() {
        let options = Reconnect::default();
        let error = lost();
        for (lived, failed) in [(None, 8), (Some(4 * SECOND), 8), (Some(5 * SECOND), 0)] {
            assert_eq!(judge(&options, &Facts { lived, ..facts(&error) }, 7).failed, failed);
        }
    }

    #[test]
    fn attempts_and_time_have_an_end() {
        let mut options = Reconnect { max_attempts: Some(3), ..Reconnect::default() };
        let error = lost();
        assert!(judge(&options, &facts(&error), 1).retry);
        assert!(!judge(&options, &facts(&error), 2).retry);
        options.max_attempts = None;
        options.max_time = Some(10 * SECOND);
        let after = |down_for| judge(&options, &Facts { down_for, ..facts(&error) }, 100);
        for _ in 0..100 {
            let verdict = after(9 * SECOND);
            assert!(verdict.retry && verdict.wait <= SECOND, "{verdict:?}");
        }
        // Who overrides it waits like anybody else.
        let late = after(10 * SECOND);
        assert!(!late.retry && late.wait >= options.min_delay, "{late:?}");
        // There is no point in a wait that ends too late.
        let busy = refused(503, &[("retry-after", "5")]);
        assert!(!judge(&options, &Facts { down_for: 6 * SECOND, ..facts(&busy) }, 0).retry);
    }

    #[test]
    fn restarting_servers_find_their_clients_spread() {
        let options = Reconnect::default();
        let error = Error::new(ErrorKind::Closed, "closed");
        for code in RESTART_CODES {
            let facts = Facts { code: Some(code), lived: Some(60 * SECOND), ..facts(&error) };
            let waits: Vec<_> = (0..1000).map(|_| judge(&options, &facts, 0).wait).collect();
            assert!(waits.iter().all(|wait| (5 * SECOND..=30 * SECOND).contains(wait)));
            let early = waits.iter().filter(|wait| **wait < 17 * SECOND).count();
            assert!((380..580).contains(&early), "{early} of 1000 in the first half");
        }
    }

    #[test]
    fn retry_after_is_the_least_wait_and_has_a_limit() {
        let options = Reconnect { max_retry_after: 60 * SECOND, ..Reconnect::default() };
        for (asked, least) in [("7", 7), ("100000000", 60), ("Thu, 01 Jan 1970 00:00:40 GMT", 40)] {
            let error = refused(503, &[("retry-after", asked)]);
            let wait = judge(&options, &facts(&error), 0).wait;
            let least = least * SECOND;
            assert!(wait > least && wait <= least + SECOND, "{asked}: {wait:?}");
        }
    }

    #[test]
    fn every_row_can_be_changed() {
        let closed = Error::new(ErrorKind::Closed, "closed");
        let certificate = Error::new(ErrorKind::Certificate, "not trusted");
        let forbidden = refused(403, &[]);
        let rows = [
            (Cause::Close(1008), Facts { code: Some(1008), ..facts(&closed) }, false),
            (Cause::Error(ErrorKind::Closed), Facts { code: Some(1008), ..facts(&closed) }, false),
            (Cause::Close(1001), Facts { code: Some(1001), ..facts(&closed) }, true),
            (Cause::Status(403), facts(&forbidden), false),
            (Cause::Error(ErrorKind::Status), facts(&forbidden), false),
            (Cause::Error(ErrorKind::Certificate), facts(&certificate), false),
        ];
        for (cause, facts, rule) in rows {
            let mut options = Reconnect::default();
            assert_eq!(is_retried(&options, facts.error, facts.code), rule, "{cause:?}");
            options.set(cause, rule);
            options.set(cause, !rule);
            assert_eq!(is_retried(&options, facts.error, facts.code), !rule, "{cause:?}");
        }
        let mut options = Reconnect::default();
        options.set(Cause::Error(ErrorKind::Status), true);
        options.set(Cause::Status(403), false);
        assert!(!is_retried(&options, &forbidden, None));
        assert!(is_retried(&options, &refused(404, &[]), None));
    }

    #[test]
    fn a_hook_that_gives_up_is_obeyed() {
        let mut options = Reconnect::default();
        options.set(Cause::Error(ErrorKind::Hook), true);
        let failed = Error::new(ErrorKind::Hook, "no token");
        assert!(is_retried(&options, &failed, None));
        assert!(!is_retried(&options, &failed.into_final(), None));
    }

    #[test]
    fn what_the_user_replaces_comes_back_at_once() {
        let error = lost();
        let verdict = judge(&Reconnect::default(), &Facts { replaced: true, ..facts(&error) }, 3);
        assert_eq!(verdict, Verdict { retry: true, wait: Duration::ZERO, failed: 3 });
        let stable = Facts { replaced: true, lived: Some(60 * SECOND), ..facts(&error) };
        assert_eq!(judge(&Reconnect::default(), &stable, 3).failed, 0);
    }
}
