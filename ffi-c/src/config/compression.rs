//! What to offer of permessage-deflate, and how to compress.
//!
//! A setter for a detail switches compression on: whoever chooses how means to.

use longwire::{Compression, Result};

use super::{lw_config, set};
use crate::boundary::invalid;

/// Changes the details; out of range they are refused here, not when the client is made.
///
/// # Safety
/// As for `set`.
unsafe fn set_detail(
    config: *mut lw_config,
    change: impl FnOnce(&mut Compression) -> Result<()>,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        set(config, |config| {
            let mut details = config.compression.unwrap_or_default();
            change(&mut details)?;
            details.check()?;
            config.compression = Some(details);
            Ok(())
        })
    }
}

fn small(value: u32, name: &str) -> Result<u8> {
    u8::try_from(value).map_err(|_| invalid(format!("{name}: {value} is too large")))
}

/// Whether to offer permessage-deflate (RFC 7692). Default: true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_compression(config: *mut lw_config, enabled: bool) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.compression = enabled.then(|| config.compression.unwrap_or_default());
            Ok(())
        })
    }
}

/// Messages shorter than this are sent as they are. Default: 1024 bytes. This and the
/// following also switch compression on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_compression_threshold(
    config: *mut lw_config,
    bytes: usize,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |details| {
            details.threshold = bytes;
            Ok(())
        })
    }
}

/// How hard to compress: a level from 1, the quickest, to 9, the smallest; and a memory
/// level from 1, the least, to 9, the most. Default: 6 and 8. LW_EINVAL also outside
/// these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_compression_level(
    config: *mut lw_config,
    level: u32,
    memory_level: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |details| {
            details.level = small(level, "level")?;
            details.memory_level = small(memory_level, "memory_level")?;
            Ok(())
        })
    }
}

/// The largest windows with which the client and the server may compress, as the
/// logarithm of their bytes, 9 to 15. Default: 15 and 15. LW_EINVAL also outside these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_compression_window_bits(
    config: *mut lw_config,
    client: u32,
    server: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |details| {
            details.client_max_window_bits = small(client, "client")?;
            details.server_max_window_bits = small(server, "server")?;
            Ok(())
        })
    }
}

/// Whether the client and the server keep what they compressed, so that similar
/// messages get smaller one after another, for memory on both sides; false asks for
/// each message to be compressed by itself. Default: false and true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_compression_context_takeover(
    config: *mut lw_config,
    client: bool,
    server: bool,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set_detail(config, |details| {
            details.client_no_context_takeover = !client;
            details.server_no_context_takeover = !server;
            Ok(())
        })
    }
}
