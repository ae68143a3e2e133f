//! One client on its loop: waking, fetching, ending.
//!
//! Messages are fetched, decoded and handed to JavaScript inside the callback
//! of the loop's own poll, on the loop's thread; sends go from JavaScript's
//! thread to the socket. Nothing here takes a lock or waits.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use longwire::{Client, Drive, Error, ErrorKind, Event, MessageKind, SendOptions, Sent, Stats};
use napi::bindgen_prelude::ToNapiValue;
use napi::sys;

use crate::convert::Failure;
use crate::host::{Host, Waking, uv_failure};
use crate::js;
use crate::lines::Lines;
use crate::stats::Remains;
use crate::uv::{self, Uv};
use crate::watcher::{Wake, Watcher};

/// Events in one wake; then other connections have their turn.
const BUDGET: usize = 4096;
/// The same with streaming: a chunk has up to 256 KiB, and what decompresses to
/// many must not outrun a consumer that is about to say stop.
const CHUNK_BUDGET: usize = 64;

/// What one client is like, beside its configuration.
pub(crate) struct Manner {
    pub(crate) streaming: bool,
    /// The queue waits until JavaScript says that a new connection is ready for it.
    pub(crate) holds: bool,
    /// What it says about itself, if somebody wants to know.
    pub(crate) lines: Option<Arc<Lines>>,
}

/// What a client holds of JavaScript, from start to end.
#[derive(Clone, Copy)]
struct Held {
    owner: sys::napi_ref,
    texts: sys::napi_ref,
    binary: sys::napi_ref,
    event: sys::napi_ref,
    context: sys::napi_async_context,
}

/// Bytes sent in one turn of the loop, as messages and as frames.
#[derive(Clone, Copy, Default)]
struct SentInTurn {
    turn: u32,
    messages: usize,
    frames: usize,
}

/// A client on its loop.
pub(crate) struct Link {
    id: u32,
    /// Gone once the client has ended, with its descriptors: the engine may take
    /// long to collect what JavaScript held of it.
    client: RefCell<Option<Client>>,
    /// What is left of it then.
    remains: RefCell<Option<Remains>>,
    manner: Manner,
    fd: RawFd,
    host: Rc<Host>,
    budget: usize,
    held: Cell<Option<Held>>,
    /// With [`Waking::Uv`], while the client lives.
    poll: Cell<Option<uv::Handle>>,
    sent: Cell<SentInTurn>,
    owes: Cell<bool>,
    held_back: Cell<bool>,
    paused: Cell<bool>,
    keeps: Cell<bool>,
    connected: Cell<bool>,
}

impl Link {
    /// Has the loop watch `client`. `values`: the receiver of the calls, and
    /// the three functions.
    pub(crate) fn start(
        host: &Rc<Host>,
        id: u32,
        client: Client,
        manner: Manner,
        values: [sys::napi_value; 4],
    ) -> Result<Rc<Link>, Failure> {
        let fd = client.poll_fd().map_err(|error| Failure::new(&error))?;
        let link = Rc::new(Link {
            id,
            client: RefCell::new(Some(client)),
            remains: RefCell::new(None),
            fd,
            host: Rc::clone(host),
            budget: if manner.streaming { CHUNK_BUDGET } else { BUDGET },
            manner,
            held: Cell::new(None),
            poll: Cell::new(None),
            sent: Cell::default(),
            owes: Cell::new(false),
            held_back: Cell::new(false),
            paused: Cell::new(false),
            keeps: Cell::new(true),
            connected: Cell::new(false),
        });
        match host.waking {
            Waking::Uv(uv, at) => {
                // SAFETY: this environment's loop, on its thread. The
                // descriptor lives as long as the client, which the handle's
                // count keeps until `on_poll_closed`.
                let poll =
                    unsafe { uv.poll(at, fd, Rc::as_ptr(&link).cast()) }.map_err(uv_failure)?;
                std::mem::forget(Rc::clone(&link));
                link.poll.set(Some(poll));
                let code = uv.watch(poll, on_readable);
                if code != 0 {
                    link.release();
                    return Err(uv_failure(code));
                }
            }
            Waking::Function(function) => {
                Watcher::get()
                    .and_then(|watcher| watcher.watch(fd, Wake { function, client: id }))
                    .map_err(|error| {
                        Failure::resource(format!("cannot watch the connection: {error}"))
                    })?;
                host.keep(function, true);
            }
        }
        let env = host.env;
        let [owner, texts, binary, event] = values.map(|value| js::reference(env, value));
        let mut context = ptr::null_mut();
        // SAFETY: live values of this environment, on its thread.
        unsafe {
            let name = js::string(env, b"longwire").unwrap_or(ptr::null_mut());
            sys::napi_async_init(env, values[0], name, &raw mut context);
        }
        link.held.set(Some(Held { owner, texts, binary, event, context }));
        Ok(link)
    }

    pub(crate) fn env(&self) -> sys::napi_env {
        self.host.env
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Fetches what is there, after a wake.
    pub(crate) fn drive(self: &Rc<Self>) {
        if self.held.get().is_none() {
            return;
        }
        js::scoped(self.env(), || {
            let mut batch = self.host.batch.take().unwrap_or_default();
            let outcome = self.with_client(|client| {
                client.drive(self.budget(), &mut |event| {
                    match event {
                        Event::Open(_) => self.connected.set(true),
                        Event::Down(_) => self.connected.set(false),
                        _ => {}
                    }
                    batch.add(self, event);
                })
            });
            batch.deliver(self);
            self.host.batch.set(Some(batch));
            self.host.flush();
            match outcome {
                Ok(Drive::Finished) => self.release(),
                Ok(_) | Err(_) => self.rearm(),
            }
            self.let_go();
        });
    }

    /// Hands over what the client said about itself.
    pub(crate) fn deliver_lines(&self) {
        let lines = self.manner.lines.as_ref().map(|lines| lines.take()).unwrap_or_default();
        if lines.is_empty() {
            return;
        }
        let env = self.env();
        js::scoped(env, || {
            // SAFETY: on the environment's thread, in the scope just opened.
            let lines = unsafe { ToNapiValue::to_napi_value(env, lines) };
            if let (Some(name), Ok(lines)) = (js::string(env, b"log"), lines) {
                self.call_event(&[name, lines]);
            }
        });
    }

    /// From within `Open`: the number of the connection, if its queue is to wait.
    pub(crate) fn hold(&self) -> Option<u64> {
        if self.manner.holds { self.peek(Client::hold).flatten() } else { None }
    }

    /// Looks at the client, unless it has ended.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Client) -> R) -> Option<R> {
        self.client.borrow().as_ref().map(look)
    }

    /// Runs `work` with the client; an error once it has ended.
    pub(crate) fn with_client<R>(
        &self,
        work: impl FnOnce(&Client) -> longwire::Result<R>,
    ) -> longwire::Result<R> {
        match &*self.client.borrow() {
            Some(client) => guarded(|| work(client)),
            None => Err(Error::new(ErrorKind::Closed, "the connection is closed")),
        }
    }

    /// Drops the client if it has ended, nobody is using it, and nobody watches
    /// its descriptor.
    fn let_go(&self) {
        if self.held.get().is_none()
            && self.poll.get().is_none()
            && let Ok(mut client) = self.client.try_borrow_mut()
            && let Some(client) = client.take()
        {
            *self.remains.borrow_mut() = Remains::of(&client);
        }
    }

    pub(crate) fn stats(&self) -> Option<Stats> {
        let remains = || self.remains.borrow().as_ref().map(|remains| remains.stats.clone());
        self.peek(Client::stats).and_then(Result::ok).or_else(remains)
    }

    pub(crate) fn take_unsent(&self) -> Vec<(MessageKind, Vec<u8>)> {
        let remains = || {
            self.remains.borrow_mut().as_mut().map(|remains| std::mem::take(&mut remains.unsent))
        };
        let unsent = self.peek(Client::take_unsent).and_then(Result::ok);
        unsent.or_else(remains).unwrap_or_default()
    }

    /// Without libuv, microtasks run only after the whole wake. `open` gets a
    /// wake of its own then, so that who awaits it has listeners in place
    /// before the next event.
    fn budget(&self) -> usize {
        match self.host.waking {
            Waking::Function(_) if !self.connected.get() => 1,
            _ => self.budget,
        }
    }

    fn rearm(&self) {
        if let Waking::Function(_) = self.host.waking
            && self.held.get().is_some()
            && !self.paused.get()
            && let Ok(watcher) = Watcher::get()
        {
            watcher.rearm(self.fd);
        }
    }

    fn call(&self, function: impl FnOnce(&Held) -> sys::napi_ref, arguments: &[sys::napi_value]) {
        // The user may have released the client in an earlier call of this wake.
        let Some(held) = self.held.get() else { return };
        self.host.next_turn();
        let env = self.env();
        js::call(
            env,
            held.context,
            js::dereference(env, held.owner),
            js::dereference(env, function(&held)),
            arguments,
        );
    }

    pub(crate) fn call_texts(&self, texts: &[sys::napi_value]) {
        self.call(|held| held.texts, texts);
    }

    pub(crate) fn call_binary(&self, arguments: &[sys::napi_value]) {
        self.call(|held| held.binary, arguments);
    }

    pub(crate) fn call_event(&self, arguments: &[sys::napi_value]) {
        self.call(|held| held.event, arguments);
    }

    pub(crate) fn send(
        self: &Rc<Self>,
        kind: MessageKind,
        payload: &[u8],
        mut options: SendOptions,
    ) -> longwire::Result<()> {
        options.in_turn = true;
        let sent = self.with_client(|client| client.send_with(kind, payload, options))?;
        let held_back = sent == Sent::Deferred;
        if !self.owes.replace(true) {
            self.host.owe(self, held_back);
        } else if held_back && !self.held_back.get() {
            self.host.hold_loop();
        }
        self.held_back.set(self.held_back.get() | held_back);
        let turn = self.host.turn();
        let mut sent = self.sent.get();
        if sent.turn != turn {
            sent = SentInTurn { turn, ..SentInTurn::default() };
        }
        sent.messages += payload.len();
        sent.frames += payload.len() + frame_header(payload.len());
        self.sent.set(sent);
        Ok(())
    }

    pub(crate) fn buffered(&self) -> usize {
        self.peek(Client::buffered_amount).unwrap_or(0)
    }

    /// What the WHATWG interface calls `bufferedAmount`: the bytes of messages
    /// not yet transmitted, those of the current turn always among them.
    pub(crate) fn queued(&self) -> usize {
        let backlog = self.buffered();
        let sent = self.sent.get();
        if sent.turn == self.host.turn() {
            backlog.saturating_sub(sent.frames) + sent.messages
        } else {
            backlog
        }
    }

    /// The end of a turn in which something was sent.
    pub(crate) fn flush(&self) {
        self.owes.set(false);
        self.held_back.set(false);
        // Nothing to flush is left of a client that has ended.
        let _ = self.with_client(|client| {
            client.flush();
            Ok(())
        });
    }

    /// No event comes any more, and the loop is not kept alive.
    pub(crate) fn release(&self) {
        let Some(held) = self.held.take() else {
            return self.unwatch();
        };
        self.host.forget(self.id);
        self.peek(Client::release);
        self.unwatch();
        self.let_go();
        let env = self.env();
        // SAFETY: made in `start`, and deleted once, as `held` was taken.
        unsafe {
            for reference in [held.owner, held.texts, held.binary, held.event] {
                sys::napi_delete_reference(env, reference);
            }
            if !held.context.is_null() {
                sys::napi_async_destroy(env, held.context);
            }
        }
    }

    fn unwatch(&self) {
        match self.host.waking {
            Waking::Uv(uv, _) => {
                if let Some(poll) = self.poll.take() {
                    self.host.close_handle(uv, poll, on_poll_closed);
                }
            }
            Waking::Function(function) => {
                if let Ok(watcher) = Watcher::get() {
                    watcher.forget(self.fd);
                }
                self.set_keeps(false, function);
            }
        }
    }

    fn set_keeps(&self, keeps: bool, function: sys::napi_threadsafe_function) {
        if self.keeps.replace(keeps) != keeps {
            self.host.keep(function, keeps);
        }
    }

    pub(crate) fn pause(&self, paused: bool) {
        if self.held.get().is_none() || self.paused.replace(paused) == paused {
            return;
        }
        match (self.host.waking, self.poll.get()) {
            (Waking::Uv(uv, _), Some(poll)) if paused => uv.pause(poll, on_readable),
            (Waking::Uv(uv, _), Some(poll)) => {
                uv.watch(poll, on_readable);
            }
            (Waking::Function(_), _) => self.rearm(),
            (Waking::Uv(..), None) => {}
        }
    }

    pub(crate) fn keep_alive(&self, keep: bool) {
        if self.held.get().is_none() {
            return;
        }
        match (self.host.waking, self.poll.get()) {
            (Waking::Uv(uv, _), Some(poll)) => uv.keep_alive(poll, keep),
            (Waking::Function(function), _) => self.set_keeps(keep, function),
            (Waking::Uv(..), None) => {}
        }
    }
}

/// RFC 6455 section 5.2, with a mask.
fn frame_header(payload: usize) -> usize {
    match payload {
        ..126 => 6,
        126..65_536 => 8,
        _ => 14,
    }
}

unsafe extern "C" fn on_readable(raw: *mut c_void, _status: c_int, _events: c_int) {
    let Some(uv) = Uv::find() else { return };
    // SAFETY: the handle owns a count of its link until `on_poll_closed`; ours
    // is one more, so that the link outlives this call.
    let link = unsafe {
        let link = uv.data(raw).cast::<Link>();
        Rc::increment_strong_count(link);
        Rc::from_raw(link)
    };
    link.drive();
}

unsafe extern "C" fn on_poll_closed(raw: *mut c_void) {
    let Some(uv) = Uv::find() else { return };
    // SAFETY: takes over the count that the handle owned; the handle is not
    // used after this.
    let link = unsafe { Rc::from_raw(uv.data(raw).cast::<Link>()) };
    // SAFETY: this is the close callback.
    unsafe { uv.free(raw) };
    link.host.handle_closed();
}

/// Runs `work`. No panic passes on to the engine; the core ends a client in
/// which one happened.
pub(crate) fn guarded<R>(work: impl FnOnce() -> longwire::Result<R>) -> longwire::Result<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Panic, "a defect in longwire: a panic was caught"))
    })
}

pub(crate) fn failed<T>(result: longwire::Result<T>) -> Option<Failure> {
    result.err().map(|error| Failure::new(&error))
}
