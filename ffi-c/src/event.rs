//! What a client tells, as one flat struct.

use std::ffi::{c_char, c_void};
use std::time::Duration;
use std::{mem, ptr};

use longwire::{Down, Event, MessageKind};

use crate::boundary::string;
use crate::client::lw_client;
use crate::error::{lw_error, text};

/// The connection is open: attempt, reconnects, subprotocol, extensions, expired and
/// lw_event_header. What is sent from within this event precedes whatever was
/// queued while the client was down.
pub const LW_EVENT_OPEN: u32 = 1;
/// A complete message: data, len, is_text.
pub const LW_EVENT_MESSAGE: u32 = 2;
/// The answer to a ping: data, len, round_trip_us.
pub const LW_EVENT_PONG: u32 = 3;
/// The connection was lost or could not be made, and another attempt follows:
/// error, code, attempt, retry_in_ms. If a server refused the handshake
/// (LW_ESTATUS), data and len are the beginning of the body it answered, and
/// lw_event_header finds its headers.
pub const LW_EVENT_DOWN: u32 = 4;
/// The send buffer has room again after a send answered LW_EFULL.
pub const LW_EVENT_DRAIN: u32 = 5;
/// The last event, exactly once: code, reason, clean, unsent_messages, unsent_bytes, and
/// error unless this end was wanted by one of the two sides. Data, len and headers as
/// for LW_EVENT_DOWN.
pub const LW_EVENT_CLOSED: u32 = 6;
/// A part of a message as it arrived, with lw_config_set_streaming: data, len,
/// is_text, first, last. How the server cut the message into fragments does not
/// matter. A part may be empty, and end inside a character; that all of a text
/// is UTF-8 is checked as it comes. A message whose connection is lost
/// meanwhile has no last part: LW_EVENT_DOWN or LW_EVENT_CLOSED follows.
pub const LW_EVENT_CHUNK: u32 = 7;
/// With lw_config_set_before_connect. An attempt waits for lw_client_proceed or
/// lw_client_refuse, here or later, from any thread: ask, attempt, reconnects, and error
/// for why the attempt or connection before came to nothing. Data, len and headers as
/// for LW_EVENT_DOWN. Without an answer within the hook timeout the attempt fails with
/// LW_ETIMEOUT.
pub const LW_EVENT_BEFORE_CONNECT: u32 = 8;
/// With lw_config_set_should_reconnect. A loss or a failed attempt waits for
/// lw_client_decide, here or later, from any thread: ask, retry, and as for
/// LW_EVENT_DOWN. Without an answer within the hook timeout it is as retry says.
/// LW_EVENT_DOWN or LW_EVENT_CLOSED follows.
pub const LW_EVENT_SHOULD_RECONNECT: u32 = 9;

/// Response headers.
pub struct lw_headers(Vec<(String, Vec<u8>)>);

/// One thing that happened to a client. The event and everything it points to
/// belong to the library and live until the callback returns.
///
/// Members that do not belong to the kind of the event are 0 or NULL; strings
/// are "" instead, and always NUL-terminated. Members may be added at the end:
/// ask size before using one that is newer than the library you require.
#[repr(C)]
pub struct lw_event {
    /// The size of this struct in the library that made it.
    pub size: usize,
    /// LW_EVENT_*.
    pub kind: u32,
    /// OPEN: how many attempts this connection took, counted from 1. BEFORE_CONNECT:
    /// which one this is, counted in the same way. DOWN, SHOULD_RECONNECT: how many
    /// failed since the last stable connection.
    pub attempt: u32,
    /// OPEN, BEFORE_CONNECT: how many connections were open before this one.
    pub reconnects: u32,
    /// DOWN, SHOULD_RECONNECT, CLOSED: the peer's close code as it came, 1005 if its
    /// close frame had none. Without a close frame 1006 in CLOSED, 0 in the others.
    pub code: u16,
    /// MESSAGE, CHUNK: whether this is text (valid UTF-8; a message, not each of
    /// its chunks) or binary.
    pub is_text: bool,
    /// CLOSED: whether the closing handshake was completed.
    pub clean: bool,
    /// MESSAGE, CHUNK, PONG: the payload, not NUL-terminated. If error is LW_ESTATUS:
    /// the beginning of the body with which the server refused the handshake.
    pub data: *const u8,
    /// How many bytes data points to.
    pub len: usize,
    /// DOWN, CLOSED, BEFORE_CONNECT, SHOULD_RECONNECT: the cause; NULL if there is none.
    pub error: *const lw_error,
    /// CLOSED: the peer's reason.
    pub reason: *const c_char,
    /// Its length, without the NUL.
    pub reason_len: usize,
    /// OPEN: the subprotocol the server chose among those offered.
    pub subprotocol: *const c_char,
    /// OPEN: the value of Sec-WebSocket-Extensions.
    pub extensions: *const c_char,
    /// DOWN, SHOULD_RECONNECT: the wait before the next attempt.
    pub retry_in_ms: u64,
    /// PONG: the time since the ping with this payload was sent; -1 for a pong
    /// that nobody asked for.
    pub round_trip_us: i64,
    /// For lw_event_header.
    pub headers: *const lw_headers,
    /// CHUNK: a message begins.
    pub first: bool,
    /// CHUNK: the message is complete.
    pub last: bool,
    /// BEFORE_CONNECT, SHOULD_RECONNECT: what the answer has to name; never 0.
    pub ask: u64,
    /// CLOSED: how many messages never left; lw_client_unsent has them.
    pub unsent_messages: usize,
    /// CLOSED: how many bytes these are.
    pub unsent_bytes: usize,
    /// OPEN: how many messages were dropped since the last connection because they had
    /// waited for too long; see lw_config_set_offline_max_age.
    pub expired: usize,
    /// SHOULD_RECONNECT: what would happen without an answer: whether another attempt
    /// follows.
    pub retry: bool,
}

/// Gets the events of a client, one at a time and in order. It must not block
/// for long, and no C++ exception may leave it. client is valid during the
/// call and may be used, closed and freed.
pub type lw_callback =
    Option<unsafe extern "C" fn(client: *mut lw_client, event: *const lw_event, user: *mut c_void)>;

/// Frees a user pointer; declared in `header/before.h`, as several chapters use it.
pub type lw_free_user = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// Finds a response header by its name, in any case: the first of that name in
/// an OPEN event, or in an event whose error is LW_ESTATUS.
/// Stores where the value begins and its length in value and len, and
/// returns true; or stores NULL and 0 and returns false. Only during the
/// callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_event_header(
    event: *const lw_event,
    name: *const c_char,
    value: *mut *const c_char,
    len: *mut usize,
) -> bool {
    // SAFETY: C promises valid pointers, the event being one of ours during
    // its callback; null is checked.
    let found = unsafe {
        let headers = event.as_ref().and_then(|event| event.headers.as_ref());
        headers.zip(string(name, "name").ok()).and_then(|(headers, name)| {
            headers.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
        })
    };
    let (start, length) =
        found.map_or((ptr::null(), 0), |(_, value)| (value.as_ptr().cast(), value.len()));
    // SAFETY: null is checked, and C promises that the rest is writable.
    unsafe {
        if let Some(value) = value.as_mut() {
            *value = start;
        }
        if let Some(len) = len.as_mut() {
            *len = length;
        }
    }
    found.is_some()
}

/// Translates events for one callback.
pub(crate) struct Translator {
    /// The event of every message: filling all of it would cost more than the rest of the
    /// delivery. Between two calls its payload points to what is gone.
    message: lw_event,
}

// SAFETY: what `message` points to is static, or was the payload of a message
// that is delivered no more: nobody follows that pointer.
unsafe impl Send for Translator {}

impl Translator {
    pub(crate) fn new() -> Translator {
        Translator { message: blank(LW_EVENT_MESSAGE, &[]) }
    }

    /// Hands event to callback while everything it points to is alive.
    #[inline]
    pub(crate) fn deliver(&mut self, event: &Event<'_>, callback: impl FnOnce(&lw_event)) {
        if let Event::Message(message) = event {
            let bytes = message.as_bytes();
            self.message.is_text = message.kind() == MessageKind::Text;
            self.message.data = data(bytes);
            self.message.len = bytes.len();
            callback(&self.message);
        } else {
            deliver(event, callback);
        }
    }
}

#[inline]
fn data(bytes: &[u8]) -> *const u8 {
    if bytes.is_empty() { ptr::null() } else { bytes.as_ptr() }
}

/// Translates what is no message.
fn deliver(event: &Event<'_>, callback: impl FnOnce(&lw_event)) {
    match event {
        Event::Chunk(chunk) => callback(&lw_event {
            is_text: chunk.kind == MessageKind::Text,
            first: chunk.first,
            last: chunk.last,
            ..blank(LW_EVENT_CHUNK, chunk.payload)
        }),
        Event::Pong(pong) => callback(&lw_event {
            round_trip_us: pong.round_trip.map_or(-1, microseconds),
            ..blank(LW_EVENT_PONG, pong.payload)
        }),
        Event::Open(opened) => {
            let subprotocol = text(opened.subprotocol.as_deref().unwrap_or_default());
            let extensions = text(&opened.extensions);
            let headers = lw_headers(opened.headers.clone());
            callback(&lw_event {
                attempt: opened.attempt,
                reconnects: opened.reconnects,
                subprotocol: subprotocol.as_ptr(),
                extensions: extensions.as_ptr(),
                headers: &raw const headers,
                expired: opened.expired,
                ..blank(LW_EVENT_OPEN, &[])
            });
        }
        Event::Down(down) => {
            let failure = Failure::new(Some(&down.error));
            callback(&failure.down(LW_EVENT_DOWN, down));
        }
        Event::BeforeConnect(attempt) => {
            let failure = Failure::new(attempt.error.as_ref());
            callback(&lw_event {
                ask: attempt.ask,
                attempt: attempt.attempt,
                reconnects: attempt.reconnects,
                ..failure.event(LW_EVENT_BEFORE_CONNECT)
            });
        }
        Event::ShouldReconnect(outage) => {
            let failure = Failure::new(Some(&outage.down.error));
            callback(&lw_event {
                ask: outage.ask,
                retry: outage.retry,
                ..failure.down(LW_EVENT_SHOULD_RECONNECT, &outage.down)
            });
        }
        Event::Drain => callback(&blank(LW_EVENT_DRAIN, &[])),
        Event::Closed(closed) => {
            let failure = Failure::new(closed.error.as_ref());
            // C finds a NUL in a reason by its length.
            let mut reason = closed.reason.clone().into_bytes();
            reason.push(0);
            callback(&lw_event {
                code: closed.code,
                reason: reason.as_ptr().cast(),
                reason_len: closed.reason.len(),
                clean: closed.clean,
                unsent_messages: closed.unsent_messages,
                unsent_bytes: closed.unsent_bytes,
                ..failure.event(LW_EVENT_CLOSED)
            });
        }
        // The core may grow kinds of events before C has a constant for them.
        _ => {}
    }
}

/// What an event with an error points to.
struct Failure {
    error: Option<lw_error>,
    headers: Option<lw_headers>,
    body: Vec<u8>,
}

impl Failure {
    fn new(error: Option<&longwire::Error>) -> Self {
        let refusal = error.and_then(longwire::Error::refusal);
        Failure {
            error: error.map(lw_error::from),
            headers: refusal.map(|refusal| lw_headers(refusal.headers.clone())),
            body: refusal.map(|refusal| refusal.body.clone()).unwrap_or_default(),
        }
    }

    fn event(&self, kind: u32) -> lw_event {
        lw_event {
            error: self.error.as_ref().map_or(ptr::null(), ptr::from_ref),
            headers: self.headers.as_ref().map_or(ptr::null(), ptr::from_ref),
            ..blank(kind, &self.body)
        }
    }

    fn down(&self, kind: u32, down: &Down) -> lw_event {
        lw_event {
            code: down.code.unwrap_or(0),
            attempt: down.attempt,
            retry_in_ms: u64::try_from(down.retry_in.as_millis()).unwrap_or(u64::MAX),
            ..self.event(kind)
        }
    }
}

fn blank(kind: u32, bytes: &[u8]) -> lw_event {
    lw_event {
        size: mem::size_of::<lw_event>(),
        kind,
        attempt: 0,
        reconnects: 0,
        code: 0,
        is_text: false,
        clean: false,
        data: data(bytes),
        len: bytes.len(),
        error: ptr::null(),
        reason: c"".as_ptr(),
        reason_len: 0,
        subprotocol: c"".as_ptr(),
        extensions: c"".as_ptr(),
        retry_in_ms: 0,
        round_trip_us: 0,
        headers: ptr::null(),
        first: false,
        last: false,
        ask: 0,
        unsent_messages: 0,
        unsent_bytes: 0,
        expired: 0,
        retry: false,
    }
}

pub(crate) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use longwire::{Closed, Opened};

    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_absence_is_told() {
        let mut opened = Opened::default();
        opened.headers.push(("x-one".into(), b"1".to_vec()));
        let mut seen = false;
        deliver(&Event::Open(&opened), |event| {
            let (mut value, mut len) = (ptr::null(), 9);
            // SAFETY: all pointers are valid.
            unsafe {
                assert!(lw_event_header(event, c"X-One".as_ptr(), &mut value, &mut len));
                assert_eq!((*value.cast::<u8>(), len), (b'1', 1));
                assert!(!lw_event_header(event, c"x-two".as_ptr(), &mut value, &mut len));
            }
            assert!(value.is_null() && len == 0);
            seen = true;
        });
        assert!(seen);
    }

    #[test]
    fn a_reason_with_a_nul_keeps_its_length() {
        let closed = Closed {
            code: 1000,
            reason: "a\0b".into(),
            clean: true,
            error: None,
            unsent_messages: 0,
            unsent_bytes: 0,
        };
        deliver(&Event::Closed(&closed), |event| {
            // SAFETY: the reason is followed by a NUL.
            let reason = unsafe { std::slice::from_raw_parts(event.reason.cast::<u8>(), 4) };
            assert_eq!((reason, event.reason_len), (&b"a\0b\0"[..], 3));
            assert!(event.error.is_null());
        });
    }
}
