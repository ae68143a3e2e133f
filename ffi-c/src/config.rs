//! What a client is made from.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use longwire::{Config, ConsumerAction, Error, ErrorKind, Heartbeat, Offline, Proxy, Result};

use crate::boundary::{catch, invalid, status, string};

pub mod compression;
pub mod log;
pub mod reconnect;
pub mod tls;

/// lw_config_set_offline: keep messages until the client is connected, within
/// the send buffer. The default.
pub const LW_OFFLINE_QUEUE: u32 = 0;
/// lw_config_set_offline: answer LW_EOFFLINE.
pub const LW_OFFLINE_REFUSE: u32 = 1;

/// Everything a client is made from, as a builder.
pub struct lw_config {
    config: Config,
    /// Not even UTF-8: to be refused like every other URL that cannot be used.
    bad_url: Option<Error>,
}

impl lw_config {
    /// A copy for one client.
    pub(crate) fn checked(&self) -> Result<Config> {
        match &self.bad_url {
            None => Ok(self.config.clone()),
            Some(error) => Err(error.clone()),
        }
    }
}

/// Changes a configuration, unless it is null or change fails or panics.
///
/// # Safety
/// config is null or came from lw_config_new and was not freed, and no
/// other thread uses it now.
unsafe fn set(config: *mut lw_config, change: impl FnOnce(&mut Config) -> Result<()>) -> i32 {
    status(catch(|| {
        // SAFETY: the caller's promise.
        let config = unsafe { config.as_mut() };
        change(&mut config.ok_or_else(|| invalid("config: expected a handle, got NULL"))?.config)
    }))
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// The defaults, for a ws:// or wss:// URL. A URL that cannot be used is
/// reported by lw_client_new, with a message; NULL gives NULL.
///
/// Whoever makes a configuration frees it with lw_config_free, at any time:
/// clients have copies. Different threads may use different configurations,
/// but one configuration only one after another. Every setter returns LW_OK
/// or LW_EINVAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_new(url: *const c_char) -> *mut lw_config {
    let config = catch(|| {
        if url.is_null() {
            return Err(invalid("url: expected a string, got NULL"));
        }
        // SAFETY: not null, and C promises a NUL-terminated string.
        let url = unsafe { CStr::from_ptr(url) };
        let bad_url = url
            .to_str()
            .err()
            .map(|e| Error::new(ErrorKind::Url, format!("url: expected UTF-8, got {url:?} ({e})")));
        let config = Config::new(url.to_string_lossy());
        Ok(Box::into_raw(Box::new(lw_config { config, bad_url })))
    });
    config.unwrap_or(std::ptr::null_mut())
}

/// Frees a configuration. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_free(config: *mut lw_config) {
    if !config.is_null() {
        // SAFETY: `lw_config_new` made it, and C frees it once.
        drop(unsafe { Box::from_raw(config) });
    }
}

/// Adds a request header. The headers that make the handshake (Upgrade,
/// Connection, Sec-WebSocket-*) cannot be given; Host can be replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_add_header(
    config: *mut lw_config,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.headers.push((string(name, "name")?.into(), string(value, "value")?.into()));
            Ok(())
        })
    }
}

/// Offers a subprotocol, the most wanted first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_add_subprotocol(
    config: *mut lw_config,
    name: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.subprotocols.push(string(name, "name")?.into());
            Ok(())
        })
    }
}

/// Sets the Origin header. Default: none, as this is no browser.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_origin(
    config: *mut lw_config,
    origin: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.origin = Some(string(origin, "origin")?.into());
            Ok(())
        })
    }
}

/// Connects through this proxy, or with NULL through none: http://, https://, socks5://
/// or socks5h://, then [user:password@]host:port. Default: what HTTPS_PROXY (for wss:),
/// HTTP_PROXY (for ws:), ALL_PROXY and NO_PROXY say in the environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_proxy(config: *mut lw_config, url: *const c_char) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.proxy = match url.is_null() {
                true => Proxy::None,
                false => Proxy::Url(string(url, "url")?.into()),
            };
            Ok(())
        })
    }
}

/// How many redirects one attempt follows: never from wss: to ws:, and to another
/// origin without credentials. Default: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_max_redirects(
    config: *mut lw_config,
    redirects: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.max_redirects = redirects;
            Ok(())
        })
    }
}

/// The time limit of one attempt: name lookup, TCP, TLS and the handshake.
/// Default: 10,000 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_connect_timeout_ms(config: *mut lw_config, ms: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.connect_timeout = millis(ms);
            Ok(())
        })
    }
}

/// The time limit of the closing handshake, after which the TCP connection is
/// dropped. Default: 10,000 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_close_timeout_ms(config: *mut lw_config, ms: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.close_timeout = millis(ms);
            Ok(())
        })
    }
}

/// Pings after nothing was received for interval_ms (0: never), and gives
/// the connection up if nothing comes back for timeout_ms after a ping.
/// Default: 20,000 and 20,000 ms.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_heartbeat(
    config: *mut lw_config,
    interval_ms: u32,
    timeout_ms: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            let mut heartbeat = Heartbeat::default();
            heartbeat.interval = (interval_ms > 0).then(|| millis(interval_ms));
            heartbeat.timeout = millis(timeout_ms);
            config.heartbeat = heartbeat;
            Ok(())
        })
    }
}

/// What a send does while the client is not connected: LW_OFFLINE_QUEUE or
/// LW_OFFLINE_REFUSE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_offline(config: *mut lw_config, offline: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.offline = match offline {
                LW_OFFLINE_QUEUE => Offline::Queue,
                LW_OFFLINE_REFUSE => Offline::Refuse,
                other => {
                    return Err(invalid(format!("offline: expected LW_OFFLINE_*, got {other}")));
                }
            };
            Ok(())
        })
    }
}

/// Messages that waited for a connection for ms are dropped (0: never), and counted:
/// expired of LW_EVENT_OPEN and of lw_stats. Default: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_offline_max_age(config: *mut lw_config, ms: u32) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.offline_max_age = (ms > 0).then(|| millis(ms));
            Ok(())
        })
    }
}

/// For hosted clients: how long messages may wait for a program that does not call
/// lw_client_drive (0: for ever), before the log and stalled_ms of lw_stats tell of it
/// and, if close is true, the connection is closed with code 1001 and the client ends
/// with LW_ETIMEOUT. Default: 0, false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_consumer_timeout(
    config: *mut lw_config,
    ms: u32,
    close: bool,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.consumer_timeout = (ms > 0).then(|| millis(ms));
            config.consumer_action =
                if close { ConsumerAction::Close } else { ConsumerAction::Report };
            Ok(())
        })
    }
}

/// true delivers messages in pieces, as they arrive, instead of whole. Then neither
/// the largest message nor the most fragments bound what is received. Default: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_streaming(config: *mut lw_config, streaming: bool) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.streaming = streaming;
            Ok(())
        })
    }
}

/// The largest message accepted, and the largest sent whole. Default: 64 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_max_message_size(
    config: *mut lw_config,
    bytes: usize,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.max_message_size = bytes;
            Ok(())
        })
    }
}

/// The most fragments one message may come in. Default: 131,072.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_max_fragments(
    config: *mut lw_config,
    fragments: u32,
) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.max_fragments = fragments;
            Ok(())
        })
    }
}

/// The most bytes that wait to be sent, past which a send answers LW_EFULL;
/// one message is always taken when nothing waits. Default: 16 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_send_buffer(config: *mut lw_config, bytes: usize) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.send_buffer = bytes;
            Ok(())
        })
    }
}

/// The most bytes of messages that wait to be fetched, past which reading
/// stops. Default: 16 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_receive_buffer(config: *mut lw_config, bytes: usize) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.receive_buffer = bytes;
            Ok(())
        })
    }
}
