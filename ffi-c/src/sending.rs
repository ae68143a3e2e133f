//! What goes out: messages whole, pings, what may precede the queue, and what never left.

use std::ffi::{c_char, c_void};

use longwire::{Error, ErrorKind, MessageKind, Result, SendOptions};

use crate::boundary::{bytes, invalid, status};
use crate::client::{lw_client, with};

/// lw_client_send, lw_message_begin: a text message, in UTF-8.
pub const LW_TEXT: u32 = 1;
/// lw_client_send, lw_message_begin: a binary message.
pub const LW_BINARY: u32 = 2;

/// lw_client_send, lw_message_begin: as it is, even if compression was agreed on; for
/// what is compressed already, or secret beside what others can choose (RFC 7692
/// section 8).
pub const LW_SEND_UNCOMPRESSED: u32 = 1;
/// lw_client_send, lw_message_begin: as from within LW_EVENT_OPEN, wherever it is sent
/// from: as long as that event or its lw_client_hold lasts it precedes what was queued
/// while the client was down. At any other time without effect.
pub const LW_SEND_AHEAD: u32 = 2;

/// Sends len bytes of UTF-8 as a text message, from the calling thread. Never
/// blocks: what the kernel does not take now is kept and sent later. The bytes
/// are copied or gone when this returns.
///
/// Returns LW_OK; LW_EFULL if the send buffer is full (nothing was taken, and
/// LW_EVENT_DRAIN follows); LW_EOFFLINE if not connected and so configured;
/// LW_ECLOSED; LW_EUTF8; LW_ETOOBIG past the largest message; LW_EFORKED. Any
/// thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_send_text(
    client: *mut lw_client,
    text: *const c_char,
    len: usize,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    status(unsafe {
        with(client, |core| core.send(MessageKind::Text, bytes(text.cast(), len, "text")?))
    })
}

/// Sends len bytes as a binary message; like lw_client_send_text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_send_binary(
    client: *mut lw_client,
    data: *const c_void,
    len: usize,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    status(unsafe {
        with(client, |core| core.send(MessageKind::Binary, bytes(data.cast(), len, "data")?))
    })
}

/// Sends len bytes as a message of this kind, LW_TEXT or LW_BINARY, with flags: 0 or
/// what is wanted of LW_SEND_UNCOMPRESSED | LW_SEND_AHEAD. Like lw_client_send_text;
/// LW_EINVAL also for other kinds and flags.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_send(
    client: *mut lw_client,
    kind: u32,
    data: *const c_void,
    len: usize,
    flags: u32,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    status(unsafe {
        with(client, |core| {
            let (kind, options) = (message_kind(kind)?, send_options(flags)?);
            core.send_with(kind, bytes(data.cast(), len, "data")?, options).map(drop)
        })
    })
}

pub(crate) fn message_kind(kind: u32) -> Result<MessageKind> {
    match kind {
        LW_TEXT => Ok(MessageKind::Text),
        LW_BINARY => Ok(MessageKind::Binary),
        other => Err(invalid(format!("kind: expected LW_TEXT or LW_BINARY, got {other}"))),
    }
}

pub(crate) fn send_options(flags: u32) -> Result<SendOptions> {
    if flags & !(LW_SEND_UNCOMPRESSED | LW_SEND_AHEAD) != 0 {
        return Err(invalid(format!("flags: expected LW_SEND_* or 0, got {flags:#x}")));
    }
    let mut options = SendOptions::default();
    options.compress = flags & LW_SEND_UNCOMPRESSED == 0;
    options.ahead = flags & LW_SEND_AHEAD != 0;
    Ok(options)
}

/// Sends a ping with up to 125 bytes; the answer is an LW_EVENT_PONG.
///
/// Returns LW_OK; LW_EOFFLINE if not connected; LW_EINVAL if the payload is
/// too long; LW_EFULL; LW_ECLOSED; LW_EFORKED. Any thread, also inside a
/// callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_ping(
    client: *mut lw_client,
    data: *const c_void,
    len: usize,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    status(unsafe { with(client, |core| core.ping(bytes(data.cast(), len, "data")?)) })
}

/// From within LW_EVENT_OPEN: what was queued while the client was down waits until
/// lw_client_ready, so that an answer of the server's can be awaited first. What is sent
/// meanwhile with LW_SEND_AHEAD goes out.
///
/// Stores the number of the connection in hold, for lw_client_ready, and returns LW_OK;
/// or stores 0 there and returns LW_EOFFLINE if there is no connection that has just
/// opened; LW_EINVAL. Any thread, while the event lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_hold(client: *mut lw_client, hold: *mut u64) -> i32 {
    if hold.is_null() {
        return ErrorKind::Invalid.code();
    }
    // SAFETY: not null, and C promises a place for a number and a valid handle.
    unsafe {
        hold.write(0);
        status(with(client, |core| {
            let number = core.hold().ok_or_else(|| {
                Error::new(ErrorKind::Offline, "there is no connection that has just opened")
            })?;
            hold.write(number);
            Ok(())
        }))
    }
}

/// Has the queue follow on the connection that was held. Without effect if that one is
/// gone. Returns LW_OK or LW_EINVAL. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_ready(client: *mut lw_client, hold: u64) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    status(unsafe {
        with(client, |core| {
            core.ready(hold);
            Ok(())
        })
    })
}

/// Gets one message that never left: LW_TEXT or LW_BINARY, and len bytes that live until
/// it returns.
pub type lw_unsent_fn =
    Option<unsafe extern "C" fn(kind: u32, data: *const u8, len: usize, user: *mut c_void)>;

/// Hands each message that never left to callback, with user, in the order in which they
/// were sent, before it returns. Call it in LW_EVENT_CLOSED or later. A second call finds
/// none.
///
/// Returns LW_OK; LW_EINVAL for NULL; LW_EFORKED. Any thread, also inside a callback;
/// callback runs on this thread, and may free the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_unsent(
    client: *mut lw_client,
    callback: lw_unsent_fn,
    user: *mut c_void,
) -> i32 {
    let Some(callback) = callback else { return ErrorKind::Invalid.code() };
    // SAFETY: C promises a valid handle; null is checked.
    let unsent = unsafe { with(client, longwire::Client::take_unsent) };
    status(unsent.map(|unsent| {
        for (kind, bytes) in unsent {
            let kind = match kind {
                MessageKind::Text => LW_TEXT,
                MessageKind::Binary => LW_BINARY,
            };
            // SAFETY: C promises a function that takes these arguments.
            unsafe { callback(kind, bytes.as_ptr(), bytes.len(), user) };
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_how_to_send() {
        for flags in 0..4 {
            let options = send_options(flags).unwrap();
            assert_eq!(options.compress, flags & LW_SEND_UNCOMPRESSED == 0);
            assert_eq!(options.ahead, flags & LW_SEND_AHEAD != 0);
        }
        assert_eq!(send_options(4).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
