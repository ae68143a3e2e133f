//! Error codes, and the object that explains one.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use longwire::{Error, Result};

use crate::boundary::catch;

/// Success.
pub const LW_OK: i32 = 0;
/// An argument is not what the function takes: a NULL, a header with a line
/// break, an unknown constant.
pub const LW_EINVAL: i32 = -1;
/// The URL cannot be used: not a URL, not ws: or wss:, or no host.
pub const LW_EURL: i32 = -2;
/// The connection is closed or closing, and this client never opens again.
pub const LW_ECLOSED: i32 = -3;
/// The send buffer is full: nothing of the message was taken, and
/// LW_EVENT_DRAIN follows.
pub const LW_EFULL: i32 = -4;
/// Not connected, and the client was told to refuse sends meanwhile; or this is a
/// ping or an lw_message, which never wait for a connection.
pub const LW_EOFFLINE: i32 = -5;
/// A time limit passed.
pub const LW_ETIMEOUT: i32 = -6;
/// The host name did not resolve.
pub const LW_EDNS: i32 = -7;
/// No TCP connection: refused, unreachable, and the like.
pub const LW_ECONNECT: i32 = -8;
/// The TLS handshake or a TLS record failed.
pub const LW_ETLS: i32 = -9;
/// The server's certificate was not accepted.
pub const LW_ECERT: i32 = -10;
/// The server answered, but not with a valid WebSocket handshake.
pub const LW_EHANDSHAKE: i32 = -11;
/// The server answered the handshake with another HTTP status than 101; see
/// lw_error_http_status.
pub const LW_ESTATUS: i32 = -12;
/// The peer broke the WebSocket protocol.
pub const LW_EPROTO: i32 = -13;
/// Text that is not UTF-8.
pub const LW_EUTF8: i32 = -14;
/// A message is larger than the limit.
pub const LW_ETOOBIG: i32 = -15;
/// The TCP connection ended without a closing handshake.
pub const LW_ELOST: i32 = -16;
/// The peer did not answer a heartbeat ping in time.
pub const LW_EHEARTBEAT: i32 = -17;
/// The operating system refused a thread, a descriptor or memory.
pub const LW_ERESOURCE: i32 = -18;
/// The client is being driven already, by another thread or further up the
/// stack; or another message of lw_message_begin has not ended.
pub const LW_EBUSY: i32 = -19;
/// The client was made by the parent of this forked process.
pub const LW_EFORKED: i32 = -20;
/// A defect in longwire: a panic was caught, and the client is closed.
pub const LW_EPANIC: i32 = -21;
/// This kind of client does not have the operation.
pub const LW_EUNSUPPORTED: i32 = -22;
/// The answer to LW_EVENT_BEFORE_CONNECT was lw_client_refuse.
pub const LW_EHOOK: i32 = -23;

/// Code, name and a sentence for people.
const CODES: &[(i32, &CStr, &CStr)] = &[
    (LW_OK, c"LW_OK", c"success"),
    (LW_EINVAL, c"LW_EINVAL", c"invalid argument"),
    (LW_EURL, c"LW_EURL", c"the URL cannot be used"),
    (LW_ECLOSED, c"LW_ECLOSED", c"the client is closed or closing"),
    (LW_EFULL, c"LW_EFULL", c"the send buffer is full"),
    (LW_EOFFLINE, c"LW_EOFFLINE", c"not connected"),
    (LW_ETIMEOUT, c"LW_ETIMEOUT", c"a time limit passed"),
    (LW_EDNS, c"LW_EDNS", c"the host name did not resolve"),
    (LW_ECONNECT, c"LW_ECONNECT", c"no TCP connection"),
    (LW_ETLS, c"LW_ETLS", c"TLS failed"),
    (LW_ECERT, c"LW_ECERT", c"the server's certificate was not accepted"),
    (LW_EHANDSHAKE, c"LW_EHANDSHAKE", c"not a valid WebSocket handshake"),
    (LW_ESTATUS, c"LW_ESTATUS", c"the server refused with an HTTP status"),
    (LW_EPROTO, c"LW_EPROTO", c"the peer broke the WebSocket protocol"),
    (LW_EUTF8, c"LW_EUTF8", c"text that is not UTF-8"),
    (LW_ETOOBIG, c"LW_ETOOBIG", c"a message is larger than the limit"),
    (LW_ELOST, c"LW_ELOST", c"the connection was lost"),
    (LW_EHEARTBEAT, c"LW_EHEARTBEAT", c"the peer did not answer a ping in time"),
    (LW_ERESOURCE, c"LW_ERESOURCE", c"the operating system refused a resource"),
    (LW_EBUSY, c"LW_EBUSY", c"the client is doing already what it does one at a time"),
    (LW_EFORKED, c"LW_EFORKED", c"the client belongs to the parent process"),
    (LW_EPANIC, c"LW_EPANIC", c"a defect in longwire"),
    (LW_EUNSUPPORTED, c"LW_EUNSUPPORTED", c"this kind of client does not have the operation"),
    (LW_EHOOK, c"LW_EHOOK", c"the program refused the attempt"),
];

/// An error of the core, in a form that C can read.
pub struct lw_error {
    code: i32,
    message: CString,
    http_status: i32,
}

impl From<&Error> for lw_error {
    fn from(error: &Error) -> Self {
        lw_error {
            code: error.kind().code(),
            message: text(error.message()),
            http_status: error.refusal().map_or(0, |refusal| i32::from(refusal.status)),
        }
    }
}

/// `text` for C, which cannot see past a NUL.
pub(crate) fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        CString::new(text.replace('\0', "\\0")).expect("every NUL was replaced")
    })
}

/// Runs `f` and tells `out`, if there is one, why it failed.
///
/// # Safety
/// `out` is null or points to writable memory for one pointer.
pub(crate) unsafe fn report(out: *mut *mut lw_error, f: impl FnOnce() -> Result<()>) -> i32 {
    let result = catch(f);
    if !out.is_null() {
        let error = match &result {
            Ok(()) => ptr::null_mut(),
            Err(error) => Box::into_raw(Box::new(lw_error::from(error))),
        };
        // SAFETY: not null, and the caller promises the rest.
        unsafe { out.write(error) };
    }
    crate::boundary::status(result)
}

/// The code of an error; LW_OK if it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_error_code(error: *const lw_error) -> i32 {
    // SAFETY: null or an error that C has not freed yet.
    unsafe { error.as_ref() }.map_or(LW_OK, |error| error.code)
}

/// What happened, as a NUL-terminated sentence that lives as long as the
/// error; the empty string if it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_error_message(error: *const lw_error) -> *const c_char {
    // SAFETY: null or an error that C has not freed yet.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// The HTTP status that the server answered, for LW_ESTATUS; otherwise 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_error_http_status(error: *const lw_error) -> i32 {
    // SAFETY: null or an error that C has not freed yet.
    unsafe { error.as_ref() }.map_or(0, |error| error.http_status)
}

/// Frees an error that an lw_error ** received. NULL is fine; errors inside
/// events are not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_error_free(error: *mut lw_error) {
    if !error.is_null() {
        // SAFETY: `report` made it, and C frees it once.
        drop(unsafe { Box::from_raw(error) });
    }
}

/// The name of a code, such as "LW_EURL"; "LW_E?" for a number that is none.
/// Any thread; never NULL, never freed.
#[unsafe(no_mangle)]
pub extern "C" fn lw_error_name(code: i32) -> *const c_char {
    entry(code).map_or(c"LW_E?".as_ptr(), |(_, name, _)| name.as_ptr())
}

/// A short sentence for a code, for when there is no lw_error at hand. Any
/// thread; never NULL, never freed.
#[unsafe(no_mangle)]
pub extern "C" fn lw_strerror(code: i32) -> *const c_char {
    entry(code).map_or(c"not an error code of longwire".as_ptr(), |(_, _, says)| says.as_ptr())
}

fn entry(code: i32) -> Option<&'static (i32, &'static CStr, &'static CStr)> {
    CODES.iter().find(|(known, _, _)| *known == code)
}

#[cfg(test)]
mod tests {
    use longwire::ErrorKind;

    use super::*;

    #[test]
    fn the_codes_are_those_of_the_core() {
        assert_eq!(CODES.len(), ErrorKind::ALL.len() + 1, "LW_OK and one for each kind");
        for kind in ErrorKind::ALL {
            let (_, name, says) = entry(kind.code()).unwrap_or_else(|| panic!("{kind:?}"));
            assert_eq!(name.to_str().unwrap(), format!("LW_{}", kind.symbol()));
            assert!(!says.is_empty());
        }
    }

    #[test]
    fn a_nul_does_not_hide_the_rest_of_a_message() {
        assert_eq!(text("a\0b").to_str().unwrap(), "a\\0b");
    }
}
