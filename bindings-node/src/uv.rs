//! libuv, found in the running process.
//!
//! Node exports libuv's symbols; an addon must not bring its own copy. They
//! are looked up by name, so that the addon loads where they do not exist.
//! Sizes of handles come from libuv itself (`uv_handle_size`), so nothing here
//! depends on its headers.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// `uv_loop_t`
pub(crate) type Loop = c_void;
type Raw = c_void;
pub(crate) type PollCallback = unsafe extern "C" fn(*mut Raw, c_int, c_int);
pub(crate) type PrepareCallback = unsafe extern "C" fn(*mut Raw);
pub(crate) type CloseCallback = unsafe extern "C" fn(*mut Raw);

/// `UV_POLL` and `UV_PREPARE` of `uv_handle_type`.
const POLL: c_int = 8;
const PREPARE: c_int = 9;
/// `UV_READABLE` and `UV_DISCONNECT` of `uv_poll_event`.
const READABLE: c_int = 1;
const DISCONNECT: c_int = 4;

/// The functions of libuv that are used here.
pub(crate) struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    handle_set_data: unsafe extern "C" fn(*mut Raw, *mut c_void),
    handle_get_data: unsafe extern "C" fn(*const Raw) -> *mut c_void,
    reference: unsafe extern "C" fn(*mut Raw),
    unreference: unsafe extern "C" fn(*mut Raw),
    close: unsafe extern "C" fn(*mut Raw, CloseCallback),
    poll_init: unsafe extern "C" fn(*mut Loop, *mut Raw, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(*mut Raw, c_int, PollCallback) -> c_int,
    prepare_init: unsafe extern "C" fn(*mut Loop, *mut Raw) -> c_int,
    prepare_start: unsafe extern "C" fn(*mut Raw, PrepareCallback) -> c_int,
    version: unsafe extern "C" fn() -> c_uint,
}

/// A handle of libuv that is initialised and not yet closed. It belongs to its
/// loop's thread.
#[derive(Clone, Copy)]
pub(crate) struct Handle(NonNull<Raw>);

impl Uv {
    /// The functions of this process, if all of them are there.
    pub(crate) fn find() -> Option<&'static Uv> {
        static UV: OnceLock<Option<Uv>> = OnceLock::new();
        let uv = UV.get_or_init(|| {
            // SAFETY: each symbol is cast to the type that libuv 1.x, whose
            // binary interface is stable, declares for its name.
            unsafe {
                Some(Uv {
                    handle_size: symbol(c"uv_handle_size")?,
                    handle_set_data: symbol(c"uv_handle_set_data")?,
                    handle_get_data: symbol(c"uv_handle_get_data")?,
                    reference: symbol(c"uv_ref")?,
                    unreference: symbol(c"uv_unref")?,
                    close: symbol(c"uv_close")?,
                    poll_init: symbol(c"uv_poll_init")?,
                    poll_start: symbol(c"uv_poll_start")?,
                    prepare_init: symbol(c"uv_prepare_init")?,
                    prepare_start: symbol(c"uv_prepare_start")?,
                    version: symbol(c"uv_version")?,
                })
            }
        });
        // SAFETY: takes nothing, returns a number.
        uv.as_ref().filter(|uv| unsafe { (uv.version)() } >> 16 == 1)
    }

    /// A handle that watches `fd`, stopped. `Err` is libuv's negative code.
    ///
    /// # Safety
    /// `at` is a live loop and this is its thread; `fd` stays open until
    /// [`Uv::close`].
    pub(crate) unsafe fn poll(
        &self,
        at: *mut Loop,
        fd: c_int,
        data: *const c_void,
    ) -> Result<Handle, c_int> {
        // SAFETY: passed on to the caller; `raw` has the size libuv asks for.
        unsafe { self.init(POLL, data, |raw| (self.poll_init)(at, raw, fd)) }
    }

    /// A running handle that calls `callback` each time before the loop waits;
    /// it does not keep the loop alive.
    ///
    /// # Safety
    /// As for [`Uv::poll`].
    pub(crate) unsafe fn prepare(
        &self,
        at: *mut Loop,
        data: *const c_void,
        callback: PrepareCallback,
    ) -> Result<Handle, c_int> {
        // SAFETY: passed on to the caller; starting cannot fail with a callback.
        unsafe {
            let handle = self.init(PREPARE, data, |raw| (self.prepare_init)(at, raw))?;
            (self.prepare_start)(handle.0.as_ptr(), callback);
            (self.unreference)(handle.0.as_ptr());
            Ok(handle)
        }
    }

    unsafe fn init(
        &self,
        kind: c_int,
        data: *const c_void,
        init: impl FnOnce(*mut Raw) -> c_int,
    ) -> Result<Handle, c_int> {
        // SAFETY: calloc of the size that libuv gives for this kind; what is
        // not initialised is freed, what is initialised is freed by `free`.
        unsafe {
            let raw =
                NonNull::new(libc::calloc(1, (self.handle_size)(kind))).ok_or(-libc::ENOMEM)?;
            match init(raw.as_ptr()) {
                0 => {
                    (self.handle_set_data)(raw.as_ptr(), data.cast_mut());
                    Ok(Handle(raw))
                }
                code => {
                    libc::free(raw.as_ptr());
                    Err(code)
                }
            }
        }
    }

    /// Calls `callback` while the descriptor is readable.
    pub(crate) fn watch(&self, handle: Handle, callback: PollCallback) -> c_int {
        // SAFETY: a `Handle` is initialised and not closed.
        unsafe { (self.poll_start)(handle.0.as_ptr(), READABLE, callback) }
    }

    /// Stops calling. The handle stays active, as a stopped one would not keep
    /// the loop alive: it waits for the one thing that an epoll descriptor
    /// never reports.
    pub(crate) fn pause(&self, handle: Handle, callback: PollCallback) {
        // SAFETY: as in `watch`.
        unsafe { (self.poll_start)(handle.0.as_ptr(), DISCONNECT, callback) };
    }

    /// Whether the handle keeps its loop alive.
    pub(crate) fn keep_alive(&self, handle: Handle, keep: bool) {
        // SAFETY: as in `watch`.
        unsafe { (if keep { self.reference } else { self.unreference })(handle.0.as_ptr()) };
    }

    /// Ends the handle. Its descriptor is not watched any more when this
    /// returns; `callback` comes later and has to call [`Uv::free`].
    pub(crate) fn close(&self, handle: Handle, callback: CloseCallback) {
        // SAFETY: as in `watch`; every handle is closed once, by its owner.
        unsafe { (self.close)(handle.0.as_ptr(), callback) };
    }

    /// What was given as `data` when the handle was made.
    ///
    /// # Safety
    /// `raw` comes from a callback of a handle made here.
    pub(crate) unsafe fn data(&self, raw: *const Raw) -> *const c_void {
        // SAFETY: passed on to the caller.
        unsafe { (self.handle_get_data)(raw) }
    }

    /// Frees a closed handle.
    ///
    /// # Safety
    /// Only from the handle's close callback, once.
    pub(crate) unsafe fn free(&self, raw: *mut Raw) {
        // SAFETY: allocated by `calloc` in `init`, and libuv is done with it.
        unsafe { libc::free(raw) };
    }
}

/// The symbol `name` of this process as the function pointer `F`.
///
/// # Safety
/// `F` is the type of that function.
unsafe fn symbol<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: `name` ends with a NUL; the lookup has no other condition.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the sizes agree, and the caller vouches for the type.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
}
