//! What a client says about itself, line by line.

use std::ffi::{c_char, c_void};

use longwire::{Level, Log, Result};

use super::{lw_config, set};
use crate::boundary::{User, invalid};
use crate::error::text;
use crate::event::lw_free_user;

/// lw_config_set_log: something was lost.
pub const LW_LOG_ERROR: i32 = 1;
/// lw_config_set_log: something went wrong and is being dealt with.
pub const LW_LOG_WARNING: i32 = 2;
/// lw_config_set_log: a connection came or went.
pub const LW_LOG_INFO: i32 = 3;
/// lw_config_set_log: each step.
pub const LW_LOG_DEBUG: i32 = 4;

/// Gets one line of the log: its level, LW_LOG_*, and a NUL-terminated sentence in UTF-8
/// that lives until the function returns. Never with credentials, and never with what
/// messages say; but with the reasons that servers give.
///
/// It is called on the library's threads and on those that call the library, several at
/// a time. It must not block nor free a client, and no C++ exception may leave it.
pub type lw_log_fn =
    Option<unsafe extern "C" fn(level: i32, text: *const c_char, user: *mut c_void)>;

/// Hands what the clients made from this configuration do to log, with user: lines up to
/// level, one of LW_LOG_*. Default: none.
///
/// free_user (which may be NULL) is called with user exactly once, when no line will
/// come any more: after the configuration is freed or told another log, and each client
/// made from it has ended and is freed, on the thread that happened to be the last; or
/// at once if this function fails. Lines may come until then. LW_EINVAL also for
/// another level, and for NULL instead of a function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_log(
    config: *mut lw_config,
    level: i32,
    log: lw_log_fn,
    user: *mut c_void,
    free_user: lw_free_user,
) -> i32 {
    let user = User::new(user, free_user);
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            let log = log.ok_or_else(|| invalid("log: expected a function, got NULL"))?;
            config.log = Some(Log::new(known(level)?, move |line| {
                let text = text(&line.text);
                // SAFETY: C promises a function that takes these arguments, on any thread.
                log(line.level as i32, text.as_ptr(), user.pointer());
            }));
            Ok(())
        })
    }
}

fn known(level: i32) -> Result<Level> {
    let levels = [Level::Error, Level::Warning, Level::Info, Level::Debug];
    levels
        .into_iter()
        .find(|known| *known as i32 == level)
        .ok_or_else(|| invalid(format!("level: expected LW_LOG_*, got {level}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_those_of_the_core() {
        for (number, level) in [
            (LW_LOG_ERROR, Level::Error),
            (LW_LOG_WARNING, Level::Warning),
            (LW_LOG_INFO, Level::Info),
            (LW_LOG_DEBUG, Level::Debug),
        ] {
            assert_eq!(known(number).unwrap(), level);
        }
        assert!(known(0).is_err() && known(5).is_err());
    }
}
