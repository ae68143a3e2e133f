//! A message that is sent piece by piece.

use std::ffi::c_void;
use std::ptr;

use longwire::{Client, ErrorKind, MessageWriter};

use crate::boundary::{bytes, catch, status};
use crate::client::{guarded, lw_client, with};
use crate::sending::{message_kind, send_options};

/// A message under way.
pub struct lw_message {
    writer: MessageWriter,
    /// To be closed should the library have a defect.
    client: Client,
}

/// Begins a message of this kind, LW_TEXT or LW_BINARY, with flags: 0 or
/// what is wanted of LW_SEND_UNCOMPRESSED | LW_SEND_AHEAD. Stores it in message and
/// returns LW_OK; or stores NULL there and returns a code: LW_EOFFLINE if not connected, or if messages that were
/// queued meanwhile have yet to go out, for this one is never queued; LW_EBUSY while
/// another such message of this client has not ended; LW_EINVAL; LW_ECLOSED;
/// LW_EFORKED.
///
/// Whole messages that are sent until it ends wait for that, in the send buffer; pings
/// do not. It has no largest size. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_message_begin(
    client: *mut lw_client,
    kind: u32,
    flags: u32,
    message: *mut *mut lw_message,
) -> i32 {
    if message.is_null() {
        return ErrorKind::Invalid.code();
    }
    // SAFETY: not null, and C promises a place for a pointer and a valid handle.
    unsafe {
        message.write(ptr::null_mut());
        status(with(client, |core| {
            let writer = core.begin_message(message_kind(kind)?, send_options(flags)?)?;
            message.write(Box::into_raw(Box::new(lw_message { writer, client: core.clone() })));
            Ok(())
        }))
    }
}

/// Sends the next len bytes of the message. Text may be cut anywhere, also inside a
/// character. Never blocks; the bytes are copied or gone when this returns.
///
/// Returns LW_OK; LW_EFULL if the send buffer is full (LW_EVENT_DRAIN follows) and
/// LW_EUTF8 for what cannot go on a text, which both took nothing, so that the same or
/// another piece may follow; LW_ELOST if the connection is no more that the message
/// began on, and LW_ECLOSED, after which nothing can; LW_EINVAL; LW_EFORKED. Any
/// thread, one at a time for each message, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_message_continue(
    message: *mut lw_message,
    data: *const c_void,
    len: usize,
) -> i32 {
    // SAFETY: C promises a valid handle that no other thread uses; null is checked.
    let Some(message) = (unsafe { message.as_mut() }) else {
        return ErrorKind::Invalid.code();
    };
    let lw_message { writer, client } = message;
    // SAFETY: C promises len bytes; null is checked.
    status(guarded(client, || writer.write(unsafe { bytes(data.cast(), len, "data")? })))
}

/// Ends the message, frees the handle, and lets out the messages that waited.
///
/// Returns LW_OK, which means what it means for a send; LW_EUTF8 if a text ends inside
/// a character, which gives the connection up like lw_message_abandon; LW_ELOST or
/// LW_ECLOSED if it cannot be completed any more; LW_EINVAL for NULL; LW_EFORKED. Never
/// LW_EFULL. The handle is gone whatever this returns. Any thread, also inside a
/// callback; once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_message_end(message: *mut lw_message) -> i32 {
    if message.is_null() {
        return ErrorKind::Invalid.code();
    }
    // SAFETY: it came from `Box::into_raw`, and C gives it back once.
    let message = unsafe { Box::from_raw(message) };
    let lw_message { writer, client } = *message;
    status(guarded(&client, || writer.finish()))
}

/// Frees the handle of a message that is not to be completed. Of one that has no piece
/// yet nothing was sent. Otherwise the server can make nothing of what follows: the
/// connection, if it is still there, is given up with close code 1011, LW_EVENT_DOWN
/// or LW_EVENT_CLOSED tell of LW_ELOST, and the client comes back as after any loss.
/// NULL is fine. Any thread, also inside a callback; instead of lw_message_end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_message_abandon(message: *mut lw_message) {
    if message.is_null() {
        return;
    }
    // SAFETY: it came from `Box::into_raw`, and C gives it back once.
    let message = unsafe { Box::from_raw(message) };
    // There is nobody to tell of a panic.
    let _ = catch(|| {
        drop(message);
        Ok(())
    });
}
