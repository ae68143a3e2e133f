//! The few calls of Node-API that generated code does not cover.
//!
//! Where a call can only fail because the environment is ending, the failure
//! is dropped: JavaScript is not going to see anything any more.

use std::ffi::c_void;
use std::ptr;

use napi::sys;

pub(crate) const OK: sys::napi_status = sys::Status::napi_ok;

/// Runs `body` in a handle scope, which a callback from libuv does not have.
pub(crate) fn scoped<R>(env: sys::napi_env, body: impl FnOnce() -> R) -> R {
    let mut scope = ptr::null_mut();
    // SAFETY: on the environment's thread, as all callers are; scopes nest.
    let opened = unsafe { sys::napi_open_handle_scope(env, &raw mut scope) };
    let result = body();
    if opened == OK {
        // SAFETY: opened above and not closed since.
        unsafe { sys::napi_close_handle_scope(env, scope) };
    }
    result
}

/// A strong reference to `value`.
pub(crate) fn reference(env: sys::napi_env, value: sys::napi_value) -> sys::napi_ref {
    let mut reference = ptr::null_mut();
    // SAFETY: a live value of this environment, on its thread.
    unsafe { sys::napi_create_reference(env, value, 1, &raw mut reference) };
    reference
}

/// What `reference` refers to.
pub(crate) fn dereference(env: sys::napi_env, reference: sys::napi_ref) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: a live, strong reference of this environment, on its thread.
    unsafe { sys::napi_get_reference_value(env, reference, &raw mut value) };
    value
}

/// A JavaScript string; `None` if the engine cannot hold one this long.
pub(crate) fn string(env: sys::napi_env, text: &[u8]) -> Option<sys::napi_value> {
    let mut value = ptr::null_mut();
    let length = isize::try_from(text.len()).unwrap_or(isize::MAX);
    // SAFETY: `text` lives during the call, which copies it.
    let status = unsafe {
        // The engine's short representation is also the quicker one to make.
        if text.is_ascii() {
            sys::napi_create_string_latin1(env, text.as_ptr().cast(), length, &raw mut value)
        } else {
            sys::napi_create_string_utf8(env, text.as_ptr().cast(), length, &raw mut value)
        }
    };
    (status == OK).then_some(value)
}

/// An `ArrayBuffer` with a copy of `bytes`.
pub(crate) fn array_buffer(env: sys::napi_env, bytes: &[u8]) -> Option<sys::napi_value> {
    let mut value = ptr::null_mut();
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: on the environment's thread.
    let status =
        unsafe { sys::napi_create_arraybuffer(env, bytes.len(), &raw mut data, &raw mut value) };
    if status != OK {
        return None;
    }
    if !bytes.is_empty() {
        // SAFETY: the engine just gave as many bytes as we copy.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len()) };
    }
    Some(value)
}

/// A number that JavaScript holds without allocating.
pub(crate) fn number(env: sys::napi_env, number: u32) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: on the environment's thread; cannot fail.
    unsafe { sys::napi_create_uint32(env, number, &raw mut value) };
    value
}

/// Calls into JavaScript from the event loop: microtasks and `nextTick`s run
/// before this returns, and what the function throws becomes an
/// `uncaughtException`, as for any other callback of Node.
pub(crate) fn call(
    env: sys::napi_env,
    context: sys::napi_async_context,
    receiver: sys::napi_value,
    function: sys::napi_value,
    arguments: &[sys::napi_value],
) {
    let mut result = ptr::null_mut();
    // SAFETY: live values of this environment, on its thread.
    let status = unsafe {
        sys::napi_make_callback(
            env,
            context,
            receiver,
            function,
            arguments.len(),
            arguments.as_ptr(),
            &raw mut result,
        )
    };
    if status == sys::Status::napi_pending_exception {
        let mut exception = ptr::null_mut();
        // SAFETY: as above.
        unsafe {
            if sys::napi_get_and_clear_last_exception(env, &raw mut exception) == OK {
                sys::napi_fatal_exception(env, exception);
            }
        }
    }
}
