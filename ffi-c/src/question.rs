//! What a program answers when a client asks it.

use std::ffi::c_char;

use longwire::{Changes, Config, Result};

use crate::boundary::{status, utf8};
use crate::client::{lw_client, with};
use crate::config::lw_config;

/// Has the attempt of LW_EVENT_BEFORE_CONNECT go on: as configured if changes is NULL,
/// else with the URL, all the headers and all the subprotocols of changes instead, for
/// this attempt only. The rest of changes is without effect; it is copied.
///
/// Returns LW_OK; LW_EINVAL if ask is not the number of a question that is open:
/// answered already, or too late; LW_EURL or LW_EINVAL for changes that cannot be used,
/// after which the question stays open; LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_proceed(
    client: *mut lw_client,
    ask: u64,
    changes: *const lw_config,
) -> i32 {
    // SAFETY: C promises valid handles; null is checked.
    status(unsafe {
        with(client, |core| {
            let changes = changes.as_ref().map_or_else(|| Ok(Changes::default()), changed)?;
            core.proceed(ask, changes)
        })
    })
}

fn changed(config: &lw_config) -> Result<Changes> {
    let Config { url, headers, subprotocols, .. } = config.checked()?;
    Ok(Changes { url: Some(url), headers: Some(headers), subprotocols: Some(subprotocols) })
}

/// Has the attempt of LW_EVENT_BEFORE_CONNECT fail with LW_EHOOK and reason, which is
/// UTF-8 and may be NULL. Another attempt follows if retry is true, as after any
/// failure; else the client ends.
///
/// Returns LW_OK; LW_EINVAL, also if ask is not the number of a question that is open;
/// LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_refuse(
    client: *mut lw_client,
    ask: u64,
    reason: *const c_char,
    len: usize,
    retry: bool,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    status(unsafe { with(client, |core| core.refuse(ask, utf8(reason, len, "reason")?, retry)) })
}

/// Answers LW_EVENT_SHOULD_RECONNECT: whether another attempt follows.
///
/// Returns LW_OK; LW_EINVAL if ask is not the number of a question that is open;
/// LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_decide(client: *mut lw_client, ask: u64, retry: bool) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    status(unsafe { with(client, |core| core.decide(ask, retry)) })
}
