//! `send(data)`, written by hand because it is the one call that counts.
//!
//! A text is copied once, from the engine into a buffer that all clients of the
//! loop share; binary data is read where it lies.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;

use longwire::{Error, ErrorKind, MessageKind, SendOptions};
use napi::bindgen_prelude::ToNapiValue;
use napi::{check_status, sys};

use crate::convert::Failure;
use crate::js;
use crate::link::Link;

/// The text buffer; what is longer is measured first.
const TEXT: usize = 16 * 1024;

/// What a send that is not like most of them says as its second argument.
const UNCOMPRESSED: u32 = 1;
const AHEAD: u32 = 2;

/// The function that sends for `link`:
/// `(string | Uint8Array, flags?: number) => undefined | Failure`.
pub(crate) fn sender(link: &Rc<Link>) -> napi::Result<sys::napi_value> {
    let env = link.env();
    let mut function = ptr::null_mut();
    let data = Rc::into_raw(Rc::clone(link)).cast_mut().cast();
    // SAFETY: the function owns the count that `data` carries, and its
    // finalizer gives it back.
    unsafe {
        check_status!(sys::napi_create_function(
            env,
            ptr::null(),
            0,
            Some(send),
            data,
            &raw mut function,
        ))?;
        check_status!(sys::napi_add_finalizer(
            env,
            function,
            data,
            Some(drop_link),
            ptr::null_mut(),
            ptr::null_mut(),
        ))?;
    }
    Ok(function)
}

unsafe extern "C" fn send(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut count = 2;
    let mut arguments = [ptr::null_mut(); 2];
    let mut data = ptr::null_mut();
    let mut kind = 0;
    // SAFETY: `data` is the link that the function owns a count of.
    let link = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        );
        sys::napi_typeof(env, arguments[0], &raw mut kind);
        ManuallyDrop::new(Rc::from_raw(data.cast_const().cast::<Link>()))
    };
    let mut options = SendOptions::default();
    // Most sends do without, which saves a crossing of the border.
    if count > 1 {
        let mut flags = 0;
        // SAFETY: a live value of this call. What is no number leaves the flags alone.
        unsafe { sys::napi_get_value_uint32(env, arguments[1], &raw mut flags) };
        options.compress = flags & UNCOMPRESSED == 0;
        options.ahead = flags & AHEAD != 0;
    }
    let sent = if kind == sys::ValueType::napi_string {
        send_text(&link, arguments[0], options)
    } else {
        send_binary(&link, arguments[0], options)
    };
    match sent {
        Ok(()) => ptr::null_mut(),
        // SAFETY: on the environment's thread, in the scope of this call.
        Err(error) => unsafe {
            Failure::to_napi_value(env, Failure::new(&error)).unwrap_or(ptr::null_mut())
        },
    }
}

fn send_text(link: &Rc<Link>, text: sys::napi_value, options: SendOptions) -> longwire::Result<()> {
    let env = link.env();
    let mut buffer = link.host().text.borrow_mut();
    buffer.resize(TEXT, 0);
    let mut length = 0;
    // SAFETY: Node-API writes at most as many bytes as it is told of.
    unsafe {
        sys::napi_get_value_string_utf8(
            env,
            text,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut length,
        );
    }
    // A full buffer may lack the last character and the rest.
    if length + 4 < TEXT {
        return link.send(MessageKind::Text, &buffer[..length], options);
    }
    // SAFETY: without a buffer the length is counted, which then fits.
    let long = unsafe {
        sys::napi_get_value_string_utf8(env, text, ptr::null_mut(), 0, &raw mut length);
        let mut long = vec![0_u8; length + 1];
        sys::napi_get_value_string_utf8(
            env,
            text,
            long.as_mut_ptr().cast(),
            long.len(),
            &raw mut length,
        );
        long.truncate(length);
        long
    };
    link.send(MessageKind::Text, &long, options)
}

fn send_binary(
    link: &Rc<Link>,
    view: sys::napi_value,
    options: SendOptions,
) -> longwire::Result<()> {
    let mut data = ptr::null_mut();
    let mut length = 0;
    // SAFETY: the pointer is used before JavaScript runs again.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            link.env(),
            view,
            ptr::null_mut(),
            &raw mut length,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if status != js::OK {
        return Err(Error::new(ErrorKind::Invalid, "send takes a string or a Uint8Array"));
    }
    if length == 0 {
        return link.send(MessageKind::Binary, &[], options);
    }
    // SAFETY: `lib/` passes only a `Uint8Array` that no other thread shares, so
    // `length` is in bytes and nobody writes to them during the call.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast_const().cast::<u8>(), length) };
    link.send(MessageKind::Binary, bytes, options)
}

unsafe extern "C" fn drop_link(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: takes over the count that the function owned.
    drop(unsafe { Rc::from_raw(data.cast_const().cast::<Link>()) });
}
