//! When a server that refuses wants to be asked again (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime};

use crate::error::Refusal;

/// The wait that `refusal`, which came at `now`, asks for: in seconds or up to a date.
/// `None` if it asks for none, or in a way that nobody can understand.
pub(crate) fn asked(refusal: &Refusal, now: SystemTime) -> Option<Duration> {
    let (_, value) = refusal.headers.iter().find(|(name, _)| name == "retry-after")?;
    let value = std::str::from_utf8(value).ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 s before the example of RFC 9110 section 5.6.7.
    fn asked_by(value: &str) -> Option<Duration> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let headers = vec![("retry-after".to_owned(), value.as_bytes().to_vec())];
        asked(&Refusal { status: 503, headers, body: Vec::new() }, now)
    }

    #[test]
    fn seconds_and_all_three_forms_of_a_date() {
        for (value, seconds) in [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 60),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 60),
            ("Sun Nov  6 08:49:37 1994", 60),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ] {
            assert_eq!(asked_by(value), Some(Duration::from_secs(seconds)), "{value}");
        }
        assert_eq!(asked_by("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn nonsense_asks_for_nothing() {
        for value in ["", "-1", "1.5", "soon", "+5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(asked_by(value), None, "{value:?}");
        }
        assert_eq!(asked(&Refusal::default(), SystemTime::now()), None);
    }
}
