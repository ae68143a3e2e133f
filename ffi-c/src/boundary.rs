//! What every entry point does with what C hands in: null pointers and
//! panics become errors, strings become `&str` or an error that names them, and a pointer of the user's is
//! freed once.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use longwire::{Error, ErrorKind, Result};

use crate::error::LW_OK;
use crate::event::lw_free_user;

/// Runs `f`; a panic comes back as [`ErrorKind::Panic`].
#[inline]
pub(crate) fn catch<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic may have left half done is the business of the caller,
    // who closes the client it happened in.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

#[cold]
fn panicked(payload: &(dyn Any + Send)) -> Error {
    Error::new(ErrorKind::Panic, format!("a defect in longwire: {}", said(payload)))
}

fn said(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// The status that C sees of a result.
pub(crate) fn status(result: Result<()>) -> i32 {
    number(result.map(|()| LW_OK))
}

/// The number that C sees of a result: not negative, or an error's code.
pub(crate) fn number(result: Result<i32>) -> i32 {
    result.unwrap_or_else(|error| error.kind().code())
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// The string at `pointer`, which the messages call `what`.
///
/// # Safety
/// `pointer` is null or a NUL-terminated string that outlives `'a`.
pub(crate) unsafe fn string<'a>(pointer: *const c_char, what: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(invalid(format!("{what}: expected a string, got NULL")));
    }
    // SAFETY: not null, and the caller promises the rest.
    let string = unsafe { CStr::from_ptr(pointer) };
    string.to_str().map_err(|e| invalid(format!("{what}: expected UTF-8, got {string:?} ({e})")))
}

/// The `len` bytes at `pointer` as text, which the messages call `what`.
///
/// # Safety
/// `pointer` is null or points to `len` bytes that outlive `'a`.
pub(crate) unsafe fn utf8<'a>(pointer: *const c_char, len: usize, what: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(pointer.cast(), len, what)? };
    str::from_utf8(bytes).map_err(|e| invalid(format!("{what}: expected UTF-8, got bytes ({e})")))
}

/// The `len` bytes at `pointer`; null is as good as any pointer to no bytes.
///
/// # Safety
/// `pointer` is null or points to `len` bytes that outlive `'a`.
#[inline]
pub(crate) unsafe fn bytes<'a>(pointer: *const u8, len: usize, what: &str) -> Result<&'a [u8]> {
    match (pointer.is_null(), len) {
        (_, 0) => Ok(&[]),
        (false, 1..=MOST) => {
            // SAFETY: not null, not longer than any object can be, and the caller
            // promises the rest.
            Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
        }
        (is_null, _) => Err(no_bytes(is_null, len, what)),
    }
}

/// No object is longer.
const MOST: usize = isize::MAX as usize;

#[cold]
fn no_bytes(is_null: bool, len: usize, what: &str) -> Error {
    if is_null {
        invalid(format!("{what}: expected {len} bytes, got NULL"))
    } else {
        invalid(format!("{what}: {len} is not a length"))
    }
}

/// The `user` pointer of C with the function that frees it, called on drop.
pub(crate) struct User {
    pointer: *mut c_void,
    free: lw_free_user,
}

// SAFETY: the header tells on which threads the functions run that get the pointer, and which of
// them run at the same time.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    pub(crate) fn new(pointer: *mut c_void, free: lw_free_user) -> User {
        User { pointer, free }
    }

    // A method, since a closure that names the field would capture the
    // pointer alone and leave the rest to be freed at once.
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: C gave the two together, and a drop happens once.
            unsafe { free(self.pointer) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_what_happened() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let number = 3;
        let result = catch(|| -> Result<()> { panic!("out of cheese, {number} times") });
        std::panic::set_hook(hook);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.message().ends_with("out of cheese, 3 times"), "{error}");
    }

    #[test]
    fn null_is_fine_for_no_bytes_only() {
        let null = std::ptr::null();
        // SAFETY: null is checked.
        unsafe {
            assert_eq!(bytes(null, 0, "data").unwrap(), b"");
            assert_eq!(bytes(null, 1, "data").unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
