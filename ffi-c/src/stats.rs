//! A client at one moment, as one flat struct.

use std::ffi::c_char;
use std::mem;
use std::time::{Duration, SystemTime};

use longwire::{Error, ErrorKind, Stats};

use crate::boundary::{invalid, status};
use crate::client::{lw_client, with};
use crate::error::{LW_OK, text};
use crate::event::microseconds;

/// A client at one moment. Counters are over its whole life, all connections together.
/// Members may be added at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lw_stats {
    /// Set it to sizeof(lw_stats). On return: how many bytes of it the library knew and
    /// filled; those behind it are 0.
    pub size: usize,
    /// LW_STATE_*.
    pub state: i32,
    /// The attempt that is under way or, while LW_STATE_DOWN, is waiting for its time:
    /// counted from 1 since the last open connection. While open, how many it took.
    pub attempt: u32,
    /// Connections that were opened.
    pub connections: u32,
    /// Why the latest connection was lost, or the latest attempt failed: an LW_E code,
    /// or LW_OK if none was yet.
    pub last_error: i32,
    /// The HTTP status of that error, for LW_ESTATUS; otherwise 0.
    pub last_error_http_status: i32,
    /// Its message, NUL-terminated UTF-8, cut where it is longer; "" if there is none.
    pub last_error_message: [c_char; 256],
    /// The time until the next attempt, while LW_STATE_DOWN; -1 otherwise.
    pub next_retry_ms: i64,
    /// How long the connection has been open; -1 if it is not.
    pub connected_for_ms: i64,
    /// When it was opened, by the system's clock: milliseconds since the beginning of
    /// 1970 (UTC); -1 if it is not open.
    pub connected_since_ms: i64,
    /// Messages taken by sends; those that expired or never left included.
    pub messages_sent: u64,
    /// Messages that came, whole or in parts.
    pub messages_received: u64,
    /// Bytes of frames handed to the kernel or to TLS.
    pub bytes_sent: u64,
    /// Bytes of frames that came.
    pub bytes_received: u64,
    /// Pings sent, those of the heartbeat included.
    pub pings_sent: u64,
    /// Pongs that answered one of them.
    pub pongs_received: u64,
    /// The latest round trip of a ping; -1 if there is none.
    pub round_trip_us: i64,
    /// The round trip smoothed as TCP does it (RFC 6298: 7/8 old, 1/8 new); -1 if there
    /// is none.
    pub smoothed_round_trip_us: i64,
    /// Bytes that were taken by sends and not yet by the kernel.
    pub buffered_amount: usize,
    /// Hosted: bytes of messages that wait for lw_client_drive.
    pub inbox: usize,
    /// Messages dropped because they had waited too long for a connection; see
    /// lw_config_set_offline_max_age.
    pub expired: u64,
    /// For how long messages have waited for lw_client_drive, once that is longer than
    /// lw_config_set_consumer_timeout says; -1 otherwise.
    pub stalled_ms: i64,
    /// Bytes of messages that were compressed to be sent, before that …
    pub deflated_before: u64,
    /// … and after it.
    pub deflated_after: u64,
    /// Bytes of compressed messages as they came …
    pub inflated_before: u64,
    /// … and as they were delivered.
    pub inflated_after: u64,
}

/// Fills stats, whose size the caller has set.
///
/// Returns LW_OK; LW_EINVAL for NULL, or for a size that is smaller than the first
/// version of the struct; LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_stats(client: *const lw_client, stats: *mut lw_stats) -> i32 {
    if stats.is_null() {
        return ErrorKind::Invalid.code();
    }
    // SAFETY: not null; C promises a valid handle and `size` writable bytes.
    status(unsafe {
        with(client, |core| {
            let (size, least) = ((&raw const (*stats).size).read(), mem::size_of::<lw_stats>());
            if size < least {
                return Err(invalid(format!("stats: expected a size of {least}, got {size}")));
            }
            stats.cast::<u8>().write_bytes(0, size);
            stats.write(flat(&core.stats()?));
            Ok(())
        })
    })
}

fn flat(stats: &Stats) -> lw_stats {
    let error = stats.last_error.as_ref();
    let refusal = error.and_then(Error::refusal);
    lw_stats {
        size: mem::size_of::<lw_stats>(),
        state: i32::from(stats.state as u8),
        attempt: stats.attempt,
        connections: stats.connections,
        last_error: error.map_or(LW_OK, |error| error.kind().code()),
        last_error_http_status: refusal.map_or(0, |refusal| i32::from(refusal.status)),
        last_error_message: cut(error.map_or("", Error::message)),
        next_retry_ms: milliseconds(stats.next_retry),
        connected_for_ms: milliseconds(stats.connected_for),
        connected_since_ms: milliseconds(
            stats.connected_since.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()),
        ),
        messages_sent: stats.messages_sent,
        messages_received: stats.messages_received,
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        pings_sent: stats.pings_sent,
        pongs_received: stats.pongs_received,
        round_trip_us: stats.round_trip.map_or(-1, microseconds),
        smoothed_round_trip_us: stats.smoothed_round_trip.map_or(-1, microseconds),
        buffered_amount: stats.buffered_amount,
        inbox: stats.inbox,
        expired: stats.expired,
        stalled_ms: milliseconds(stats.stalled),
        deflated_before: stats.deflated.0,
        deflated_after: stats.deflated.1,
        inflated_before: stats.inflated.0,
        inflated_after: stats.inflated.1,
    }
}

fn milliseconds(time: Option<Duration>) -> i64 {
    time.map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// As much of `message` as has place before the NUL, in whole characters.
fn cut(message: &str) -> [c_char; 256] {
    let message = text(message);
    let message = message.to_str().expect("it was a string");
    let mut place = [0; 256];
    let mut end = message.len().min(place.len() - 1);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in place.iter_mut().zip(&message.as_bytes()[..end]) {
        *to = *from as c_char;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let kept = |message: &str| {
            let place = cut(message).map(|byte| byte as u8);
            let end = place.iter().position(|byte| *byte == 0).expect("a NUL");
            String::from_utf8(place[..end].to_vec()).unwrap()
        };
        assert_eq!(kept(""), "");
        assert_eq!(kept("a\0b"), "a\\0b");
        assert_eq!(kept(&"x".repeat(300)), "x".repeat(255));
        assert_eq!(kept(&"é".repeat(300)), "é".repeat(127));
    }
}
