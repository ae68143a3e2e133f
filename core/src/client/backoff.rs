//! The waits between attempts.

use std::time::Duration;

use crate::options::Reconnect;
use crate::protocol::mask;

/// The wait after `failed` failed attempts in a row (0: the connection had
/// been open): full jitter, so that a thousand clients which lost the same
/// server do not come back together.
pub(crate) fn delay(options: &Reconnect, failed: u32) -> Duration {
    draw(options.min_delay, ceiling(options, failed))
}

/// Any wait between `low` and `high`, each as likely as the others.
pub(crate) fn draw(low: Duration, high: Duration) -> Duration {
    between(low, high, random())
}

fn ceiling(options: &Reconnect, failed: u32) -> Duration {
    let factor = options.factor.max(1.0).powf(f64::from(failed) + 1.0);
    let seconds = options.min_delay.as_secs_f64() * factor;
    let ceiling = Duration::try_from_secs_f64(seconds).unwrap_or(options.max_delay);
    ceiling.min(options.max_delay).max(options.min_delay)
}

fn between(low: Duration, high: Duration, fraction: f64) -> Duration {
    low + high.saturating_sub(low).mul_f64(fraction)
}

/// Between 0 and 1.
fn random() -> f64 {
    f64::from(u32::from_ne_bytes(mask::next_key())) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_cap_and_never_leaves_the_bounds() {
        let options = Reconnect::default();
        for failed in 0..200 {
            let wait = delay(&options, failed);
            assert!(wait >= options.min_delay && wait <= options.max_delay, "{failed}: {wait:?}");
        }
        assert_eq!(ceiling(&options, 0), Duration::from_millis(500));
        assert_eq!(ceiling(&options, 1), Duration::from_secs(1));
        assert_eq!(ceiling(&options, 100), options.max_delay);
    }

    #[test]
    fn odd_options_do_not_panic() {
        let options = Reconnect {
            min_delay: Duration::from_secs(10),
            max_delay: Duration::from_secs(1),
            factor: f64::NAN,
            ..Reconnect::default()
        };
        assert_eq!(delay(&options, 3), Duration::from_secs(10));
    }
}
