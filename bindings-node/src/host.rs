//! One event loop of JavaScript (the process's or a worker's) and the clients
//! on it.
//!
//! Everything here happens on the loop's thread. What is promised:
//!
//! - **A turn of the loop ends with a flush.** The first message of a turn goes
//!   out at once, the others together: right after the wake in which they were
//!   sent, or else just before the loop waits (`uv_prepare`; no timer and no
//!   immediate is needed, and the loop makes no extra round).
//! - **An environment that ends closes its handles first.** Node waits for the
//!   asynchronous cleanup hook, so no callback of libuv finds its loop gone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use longwire::Client;
use napi::bindgen_prelude::{Either, Function, Object, Unknown};
use napi::{Env, Error, JsValue, Result, Status, sys};
use napi_derive::napi;

use crate::batch::{Batch, ENDS};
use crate::client::NativeClient;
use crate::config::NativeConfig;
use crate::convert::Failure;
use crate::js;
use crate::lines::{Lines, Waker};
use crate::link::{Link, Manner};
use crate::uv::{self, Uv};

/// How the loop learns that a client has something to fetch.
#[derive(Clone, Copy)]
pub(crate) enum Waking {
    /// The loop watches the descriptor itself.
    Uv(&'static Uv, *mut uv::Loop),
    /// Another thread watches it and calls this.
    Function(sys::napi_threadsafe_function),
}

/// One event loop.
pub(crate) struct Host {
    pub(crate) env: sys::napi_env,
    pub(crate) waking: Waking,
    links: RefCell<HashMap<u32, Rc<Link>>>,
    next: Cell<u32>,
    /// Clients that sent something in this turn.
    owing: RefCell<Vec<Rc<Link>>>,
    /// `uv_prepare`, with [`Waking::Uv`].
    prepare: Cell<Option<uv::Handle>>,
    /// Asks JavaScript to call [`NativeHost::flush`] later, with
    /// [`Waking::Function`].
    defer: Cell<sys::napi_ref>,
    /// Changes with each turn of the loop.
    turn: Cell<u32>,
    /// Shared with JavaScript: the ends of the messages in a chunk, see
    /// [`crate::batch`].
    table: Cell<*mut u32>,
    table_reference: Cell<sys::napi_ref>,
    /// Clients that keep the process alive, with [`Waking::Function`].
    keeping: Cell<u32>,
    /// Comes for lines of the log; made with the first client that has one.
    waker: RefCell<Option<Arc<Waker>>>,
    pub(crate) batch: Cell<Option<Batch>>,
    pub(crate) text: RefCell<Vec<u8>>,
    /// Handles of libuv whose close callback is still to come.
    closing: Cell<u32>,
    ended: Cell<bool>,
    cleanup: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl Host {
    fn new(env: sys::napi_env, use_uv: bool, defer: sys::napi_value) -> Option<Rc<Host>> {
        let host = Rc::new_cyclic(|this: &std::rc::Weak<Host>| Host {
            env,
            waking: uv_waking(env, use_uv).unwrap_or_else(|| {
                Waking::Function(threadsafe_function(env, this.as_ptr(), on_wake))
            }),
            links: RefCell::default(),
            next: Cell::new(1),
            owing: RefCell::default(),
            prepare: Cell::new(None),
            defer: Cell::new(js::reference(env, defer)),
            turn: Cell::new(0),
            table: Cell::new(ptr::null_mut()),
            table_reference: Cell::new(ptr::null_mut()),
            keeping: Cell::new(0),
            waker: RefCell::new(None),
            batch: Cell::new(Some(Batch::default())),
            text: RefCell::new(Vec::new()),
            closing: Cell::new(0),
            ended: Cell::new(false),
            cleanup: Cell::new(ptr::null_mut()),
        });
        if let Waking::Uv(uv, at) = host.waking {
            // SAFETY: the loop of this environment, on its thread; `on_closed`
            // releases the count that the handle owns.
            let prepare = unsafe { uv.prepare(at, Rc::as_ptr(&host).cast(), on_prepare) }.ok()?;
            host.prepare.set(Some(prepare));
            std::mem::forget(Rc::clone(&host));
        }
        let mut cleanup = ptr::null_mut();
        // SAFETY: the hook releases the count given to it.
        let status = unsafe {
            sys::napi_add_async_cleanup_hook(
                env,
                Some(on_environment_end),
                Rc::into_raw(Rc::clone(&host)).cast_mut().cast(),
                &raw mut cleanup,
            )
        };
        (status == js::OK).then_some(host)
    }

    /// The table shared with JavaScript, as a `Uint32Array`.
    fn share_table(&self) -> sys::napi_value {
        let (mut data, mut buffer, mut array) =
            (ptr::null_mut::<c_void>(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: on the environment's thread. The strong reference keeps the
        // memory where it is until `end`.
        unsafe {
            let bytes = ENDS * size_of::<u32>();
            sys::napi_create_arraybuffer(self.env, bytes, &raw mut data, &raw mut buffer);
            sys::napi_create_typedarray(
                self.env,
                sys::TypedarrayType::uint32_array,
                ENDS,
                buffer,
                0,
                &raw mut array,
            );
        }
        self.table.set(data.cast());
        self.table_reference.set(js::reference(self.env, array));
        array
    }

    pub(crate) fn write_ends(&self, ends: &[u32]) {
        let table = self.table.get();
        if !table.is_null() && ends.len() <= ENDS {
            // SAFETY: the table has ENDS numbers, and JavaScript does not
            // run meanwhile.
            unsafe { ptr::copy_nonoverlapping(ends.as_ptr(), table, ends.len()) };
        }
    }

    /// What JavaScript sent before this belongs to an earlier turn.
    pub(crate) fn next_turn(&self) {
        self.turn.set(self.turn.get().wrapping_add(1));
    }

    pub(crate) fn turn(&self) -> u32 {
        self.turn.get()
    }

    /// Sees to it that `link` is flushed at the end of this turn. `held`: some
    /// of what it sent waits for that.
    pub(crate) fn owe(&self, link: &Rc<Link>, held: bool) {
        let mut owing = self.owing.borrow_mut();
        let first = owing.is_empty();
        owing.push(Rc::clone(link));
        drop(owing);
        if first && let Waking::Function(_) = self.waking {
            self.call_defer();
        }
        if held {
            self.hold_loop();
        }
    }

    /// A message that is held back must not be lost because nothing else keeps
    /// the loop alive.
    pub(crate) fn hold_loop(&self) {
        if let (Waking::Uv(uv, _), Some(prepare)) = (self.waking, self.prepare.get()) {
            uv.keep_alive(prepare, true);
        }
    }

    fn call_defer(&self) {
        let defer = self.defer.get();
        if defer.is_null() {
            return;
        }
        js::scoped(self.env, || {
            let mut undefined = ptr::null_mut();
            let mut result = ptr::null_mut();
            // SAFETY: on the environment's thread; `defer` does not throw.
            unsafe {
                sys::napi_get_undefined(self.env, &raw mut undefined);
                let function = js::dereference(self.env, defer);
                sys::napi_call_function(
                    self.env,
                    undefined,
                    function,
                    0,
                    ptr::null(),
                    &raw mut result,
                );
            }
        });
    }

    /// Ends the turn.
    pub(crate) fn flush(&self) {
        if self.owing.borrow().is_empty() {
            return;
        }
        let owing = self.owing.take();
        for link in &owing {
            link.flush();
        }
        if let (Waking::Uv(uv, _), Some(prepare)) = (self.waking, self.prepare.get()) {
            uv.keep_alive(prepare, false);
        }
    }

    pub(crate) fn forget(&self, id: u32) -> Option<Rc<Link>> {
        self.links.borrow_mut().remove(&id)
    }

    /// One client more, or less, keeps the process alive.
    pub(crate) fn keep(&self, function: sys::napi_threadsafe_function, more: bool) {
        let before = self.keeping.get();
        let after = if more { before + 1 } else { before.saturating_sub(1) };
        self.keeping.set(after);
        // SAFETY: the function lives as long as the environment; this is its
        // thread.
        unsafe {
            if before == 0 && after == 1 {
                sys::napi_ref_threadsafe_function(self.env, function);
            } else if before == 1 && after == 0 {
                sys::napi_unref_threadsafe_function(self.env, function);
            }
        }
    }

    fn waker(&self) -> Arc<Waker> {
        let mut waker = self.waker.borrow_mut();
        let make = || Waker::new(threadsafe_function(self.env, self, on_lines));
        Arc::clone(waker.get_or_insert_with(make))
    }

    fn link(&self, id: *mut c_void) -> Option<Rc<Link>> {
        self.links.borrow().get(&(id.addr() as u32)).cloned()
    }

    /// Closes a handle; the environment waits for its callback.
    pub(crate) fn close_handle(&self, uv: &Uv, handle: uv::Handle, callback: uv::CloseCallback) {
        self.closing.set(self.closing.get() + 1);
        uv.close(handle, callback);
    }

    /// To be called from every close callback.
    pub(crate) fn handle_closed(&self) {
        self.closing.set(self.closing.get() - 1);
        self.finish_cleanup();
    }

    fn finish_cleanup(&self) {
        if self.closing.get() == 0 && self.ended.get() {
            let cleanup = self.cleanup.replace(ptr::null_mut());
            if !cleanup.is_null() {
                // SAFETY: given to the hook, and removed once.
                unsafe { sys::napi_remove_async_cleanup_hook(cleanup) };
            }
        }
    }

    /// Lets go of all clients.
    fn release_all(&self) {
        let links: Vec<_> = self.links.borrow_mut().drain().map(|(_, link)| link).collect();
        for link in links {
            link.release();
        }
    }

    /// The environment is ending: no JavaScript runs any more.
    fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        self.flush();
        self.release_all();
        if let Some(waker) = self.waker.take() {
            waker.end();
        }
        self.table.set(ptr::null_mut());
        for reference in
            [self.table_reference.replace(ptr::null_mut()), self.defer.replace(ptr::null_mut())]
        {
            if !reference.is_null() {
                // SAFETY: made by `js::reference`, deleted once.
                unsafe { sys::napi_delete_reference(self.env, reference) };
            }
        }
        match self.waking {
            Waking::Uv(uv, _) => {
                if let Some(prepare) = self.prepare.take() {
                    self.close_handle(uv, prepare, on_prepare_closed);
                }
            }
            Waking::Function(function) => {
                // SAFETY: no client is left that the watcher could call it for.
                unsafe {
                    sys::napi_release_threadsafe_function(
                        function,
                        sys::ThreadsafeFunctionReleaseMode::abort,
                    );
                }
            }
        }
    }
}

fn uv_waking(env: sys::napi_env, use_uv: bool) -> Option<Waking> {
    let uv = use_uv.then(Uv::find).flatten()?;
    let mut at = ptr::null_mut();
    // SAFETY: on the environment's thread.
    let status = unsafe { sys::napi_get_uv_event_loop(env, &raw mut at) };
    (status == js::OK).then_some(Waking::Uv(uv, at.cast()))
}

fn threadsafe_function(
    env: sys::napi_env,
    host: *const Host,
    callback: unsafe extern "C" fn(sys::napi_env, sys::napi_value, *mut c_void, *mut c_void),
) -> sys::napi_threadsafe_function {
    let mut function = ptr::null_mut();
    // SAFETY: on the environment's thread. `host` outlives the function: the
    // cleanup hook owns a count of it and releases the function.
    unsafe {
        let name = js::string(env, b"longwire").unwrap_or(ptr::null_mut());
        sys::napi_create_threadsafe_function(
            env,
            ptr::null_mut(),
            ptr::null_mut(),
            name,
            0,
            1,
            ptr::null_mut(),
            None,
            host.cast_mut().cast(),
            Some(callback),
            &raw mut function,
        );
        sys::napi_unref_threadsafe_function(env, function);
    }
    function
}

unsafe extern "C" fn on_prepare(raw: *mut c_void) {
    let Some(uv) = Uv::find() else { return };
    // SAFETY: the handle owns a count of its host until `on_prepare_closed`.
    let host = unsafe { &*uv.data(raw).cast::<Host>() };
    host.flush();
    host.next_turn();
}

unsafe extern "C" fn on_prepare_closed(raw: *mut c_void) {
    let Some(uv) = Uv::find() else { return };
    // SAFETY: takes over the count that the handle owned; the handle is not
    // used after this.
    let host = unsafe { Rc::from_raw(uv.data(raw).cast::<Host>()) };
    // SAFETY: this is the close callback.
    unsafe { uv.free(raw) };
    host.handle_closed();
}

/// The client that a threadsafe function was called for, unless it or the environment is ending.
///
/// # Safety
/// Called by such a function with what it was given: see `threadsafe_function`.
unsafe fn called(env: sys::napi_env, host: *mut c_void, id: *mut c_void) -> Option<Rc<Link>> {
    if env.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { &*host.cast_const().cast::<Host>() }.link(id)
}

unsafe extern "C" fn on_wake(
    env: sys::napi_env,
    _function: sys::napi_value,
    host: *mut c_void,
    id: *mut c_void,
) {
    // SAFETY: called as such a function is.
    if let Some(link) = unsafe { called(env, host, id) } {
        link.drive();
    }
}

unsafe extern "C" fn on_lines(
    env: sys::napi_env,
    _function: sys::napi_value,
    host: *mut c_void,
    id: *mut c_void,
) {
    // SAFETY: called as such a function is.
    if let Some(link) = unsafe { called(env, host, id) } {
        link.deliver_lines();
    }
}

unsafe extern "C" fn on_environment_end(
    cleanup: sys::napi_async_cleanup_hook_handle,
    host: *mut c_void,
) {
    // SAFETY: takes over the count given to `napi_add_async_cleanup_hook`.
    let host = unsafe { Rc::from_raw(host.cast_const().cast::<Host>()) };
    host.cleanup.set(cleanup);
    host.end();
    host.finish_cleanup();
}

/// The environment's loop, as JavaScript holds it: one for each environment.
#[napi]
pub struct NativeHost {
    host: Rc<Host>,
}

#[napi]
impl NativeHost {
    /// `use_uv`: whether libuv's symbols may be called, which aborts in Bun and
    /// Deno. `defer` sees to it that `flush` is called soon; only used without libuv.
    #[napi(constructor)]
    pub fn new(env: Env, use_uv: bool, defer: Function<'_, (), ()>) -> Result<Self> {
        let host = Host::new(env.raw(), use_uv, defer.raw()).ok_or_else(|| {
            Error::new(Status::GenericFailure, "longwire: the event loop takes no more handles")
        })?;
        Ok(NativeHost { host })
    }

    /// Whether the loop watches the descriptors itself.
    #[napi(getter)]
    pub fn uses_uv(&self) -> bool {
        matches!(self.host.waking, Waking::Uv(..))
    }

    /// The ends of the messages in a chunk. To be asked for once.
    #[napi]
    pub fn table(&self) -> Unknown<'_> {
        let array = self.host.share_table();
        // SAFETY: a value of this environment that was just made.
        unsafe { Unknown::from_raw_unchecked(self.host.env, array) }
    }

    /// Ends the turn; only needed without libuv.
    #[napi]
    pub fn flush(&self) {
        self.host.flush();
        self.host.next_turn();
    }

    /// Sends what is held back and lets go of all clients, as the process ends.
    #[napi]
    pub fn leave(&self) {
        self.host.flush();
        self.host.release_all();
    }

    /// Starts a client. `owner` is the receiver of the calls:
    /// `texts(...strings)`, `binary(arrayBuffer)`,
    /// `binary(arrayBuffer, messages)` with the ends in the table, and
    /// `event(name, detail)`. With streaming there are no texts, and
    /// `binary(arrayBuffer, flags)` gets the chunks; for the flags see
    /// [`crate::batch`].
    #[napi]
    pub fn start(
        &self,
        config: NativeConfig,
        owner: Object<'_>,
        texts: Unknown<'_>,
        binary: Unknown<'_>,
        event: Unknown<'_>,
    ) -> Either<NativeClient, Failure> {
        let id = self.host.next.get();
        self.host.next.set(id.wrapping_add(1));
        let lines = config.log.then(Arc::<Lines>::default);
        let log = lines.as_ref().map(|lines| lines.log(self.host.waker(), id));
        let manner =
            Manner { streaming: config.streaming.unwrap_or_default(), holds: config.holds, lines };
        let client = config.into_core().and_then(|mut config| {
            config.log = log;
            Client::start_hosted(config)
        });
        let client = match client {
            Ok(client) => client,
            Err(error) => return Either::B(Failure::new(&error)),
        };
        let functions = [owner.raw(), texts.raw(), binary.raw(), event.raw()];
        match Link::start(&self.host, id, client, manner, functions) {
            Ok(link) => {
                self.host.links.borrow_mut().insert(id, Rc::clone(&link));
                Either::A(NativeClient::new(link))
            }
            Err(failure) => Either::B(failure),
        }
    }
}

/// Turns libuv's answer into what JavaScript is told.
pub(crate) fn uv_failure(code: c_int) -> Failure {
    let cause = std::io::Error::from_raw_os_error(-code);
    Failure::resource(format!("the event loop cannot watch the connection: {cause}"))
}
