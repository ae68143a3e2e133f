//! When the client comes back, and who has a say in it.
//!
//! A setter for a detail of reconnecting switches it on: whoever chooses how means to.

use longwire::{Cause, Reconnect, Result};

use super::{lw_config, millis, set};

/// # Safety
/// As for `set`.
unsafe fn set_detail(
    config: *mut lw_config,
    change: impl FnOnce(&mut Reconnect) -> Result<()>,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        set(config, |config| {
            // Nothing is switched on by what is refused.
            let mut reconnect = config.reconnect.clone().unwrap_or_default();
            change(&mut reconnect)?;
            reconnect.check()?;
            config.reconnect = Some(reconnect);
            Ok(())
        })
    }
}

/// How to come back after a loss: the wait before attempt n is drawn between
/// min_ms and min(max_ms, min_ms * factor^n). Gives up after
/// max_attempts failed attempts in a row (0: never); a connection that lived
/// for stable_after_ms starts the back-off anew. Default: 250, 30,000, 2.0,
/// 0, 5,000. The other settings of reconnecting stay as they are. LW_EINVAL also
/// if min_ms is greater than max_ms, or factor less than 1 or not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_reconnect(
    config: *mut lw_config,
    min_ms: u32,
    max_ms: u32,
    factor: f64,
    max_attempts: u32,
    stable_after_ms: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |reconnect| {
            reconnect.min_delay = millis(min_ms);
            reconnect.max_delay = millis(max_ms);
            reconnect.factor = factor;
            reconnect.max_attempts = (max_attempts > 0).then_some(max_attempts);
            reconnect.stable_after = millis(stable_after_ms);
            Ok(())
        })
    }
}

/// The client lives as long as its first connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_reconnect_off(config: *mut lw_config) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.reconnect = None;
            Ok(())
        })
    }
}

/// Gives up when there was no stable connection for ms (0: never). Default: 0. This and
/// the next three also switch reconnecting on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_reconnect_max_time(config: *mut lw_config, ms: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |reconnect| {
            reconnect.max_time = (ms > 0).then(|| millis(ms));
            Ok(())
        })
    }
}

/// A server that says Retry-After is not called again earlier, but not later than this
/// for its sake. Default: 3,600,000 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_max_retry_after(config: *mut lw_config, ms: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |reconnect| {
            reconnect.max_retry_after = millis(ms);
            Ok(())
        })
    }
}

/// After the close codes 1012 (restart) and 1013 (try again later) the wait is drawn
/// between min_ms and max_ms, or from the back-off where that is longer. Default: 5,000 and
/// 30,000. LW_EINVAL also if min_ms is greater than max_ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_restart_delay(
    config: *mut lw_config,
    min_ms: u32,
    max_ms: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |reconnect| {
            reconnect.restart_min_delay = millis(min_ms);
            reconnect.restart_max_delay = millis(max_ms);
            Ok(())
        })
    }
}

/// Has a cause be tried again, or not, whatever the rule says: an HTTP status (100 to
/// 599), the peer's close code (1000 to 4999, 1005 for none) or an LW_E code. Of several
/// for one cause the last counts. LW_EINVAL also for other numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_retry(
    config: *mut lw_config,
    cause: i32,
    retry: bool,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |reconnect| {
            reconnect.set(Cause::from_number(cause)?, retry);
            Ok(())
        })
    }
}

/// true has each attempt wait for an answer to LW_EVENT_BEFORE_CONNECT. Default: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_before_connect(config: *mut lw_config, on: bool) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.before_connect = on;
            Ok(())
        })
    }
}

/// true has each loss, and each failed attempt, wait for an answer to
/// LW_EVENT_SHOULD_RECONNECT. Default: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_should_reconnect(config: *mut lw_config, on: bool) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.should_reconnect = on;
            Ok(())
        })
    }
}

/// How long the answer to either may take, from the event on. Default: 10,000 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_hook_timeout(config: *mut lw_config, ms: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.hook_timeout = millis(ms);
            Ok(())
        })
    }
}
