//! The connection of a blocking program: what `longwire.sync.Connection` inherits.
//!
//! Nobody reads ahead: the thread that waits for something drives the client
//! meanwhile, waiting on its descriptor without the interpreter. If several
//! threads wait, one of them drives and the others wait for it. Pings are
//! answered by the runtime while nobody waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use longwire::{Client, Drive, ErrorKind, Event};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::{PyTraverseError, exceptions::PyStopIteration, intern};

use crate::config::Config;
use crate::fragments::{Fragments, Step};
use crate::inbox::{Entry, Inbox, Popped};
use crate::message::{Decode, Outgoing};
use crate::reception::{self, Source, Want};
use crate::{error, event, shutdown};

/// How long a thread waits that cannot wait on the descriptor, before it looks
/// after signals and the send buffer.
const SLICE: Duration = Duration::from_millis(50);

/// The least time between two looks that sends take in passing.
const ADVANCE: Duration = Duration::from_millis(1);

/// The native half of `longwire.sync.Connection`.
#[pyclass(subclass, frozen, module = "longwire._longwire")]
pub(crate) struct SyncConnection {
    client: Client,
    /// Whether another connection follows one that is lost.
    persistent: bool,
    receiving: AtomicBool,
    state: Mutex<State>,
    turned: Condvar,
}

struct State {
    inbox: Inbox,
    /// The thread that drives.
    driver: Option<ThreadId>,
    /// Counts what a waiting thread might have waited for.
    turns: u64,
    /// When a send last looked after the connection.
    advanced: Instant,
    /// The thread that sends a message in fragments.
    fragmenting: Option<ThreadId>,
    /// The user closes: messages that come from now on are not kept.
    closing: bool,
    /// No event will ever come.
    finished: bool,
}

/// What a thread that waits does next.
enum Role {
    Drive,
    /// Another thread drives, or nothing may be decoded: wait for a turn after this one.
    Follow(u64),
    /// This thread drives already, further up the stack.
    Inside,
}

/// Sets a flag for as long as it lives.
struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl SyncConnection {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives, or waits for the thread that does, until `done` has an answer.
    /// `None` when `deadline` has passed.
    fn wait_for<T>(
        slf: &Bound<'_, Self>,
        deadline: Option<Instant>,
        mut done: impl FnMut(&Self) -> PyResult<Option<T>>,
    ) -> PyResult<Option<T>> {
        let py = slf.py();
        let this = slf.get();
        let mut last = false;
        loop {
            let turns = this.lock(py).turns;
            if let Some(value) = done(this)? {
                return Ok(Some(value));
            }
            if last {
                return Ok(None);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            last = left.is_some_and(|left| left.is_zero());
            match this.role(py, turns) {
                Role::Drive => Self::drive_once(slf, left)?,
                Role::Follow(turns) => {
                    let slice = left.map_or(SLICE, |left| left.min(SLICE));
                    py.detach(|| this.follow(turns, slice));
                    py.check_signals()?;
                }
                Role::Inside => {
                    return Err(error::raise_kind(
                        py,
                        ErrorKind::Busy,
                        "an event handler cannot wait for its own connection",
                    ));
                }
            }
        }
    }

    fn role(&self, py: Python<'_>, turns: u64) -> Role {
        let mut state = self.lock(py);
        let me = thread::current().id();
        match state.driver {
            Some(driver) if driver == me => Role::Inside,
            Some(_) => Role::Follow(turns),
            None if state.finished || (state.inbox.is_full() && !state.closing) => {
                Role::Follow(turns)
            }
            None => {
                state.driver = Some(me);
                Role::Drive
            }
        }
    }

    fn follow(&self, turns: u64, slice: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.turns == turns {
            drop(self.turned.wait_timeout(state, slice));
        }
        shutdown::stay_if_over();
    }

    /// One wait on the descriptor and what came of it, as the driving thread.
    fn drive_once(slf: &Bound<'_, Self>, left: Option<Duration>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut interrupted = false;
        let waited = py.detach(|| {
            let waited = this.client.wait(left, &mut interrupted);
            shutdown::stay_if_over();
            waited
        });
        let outcome = match waited {
            Ok(true) => Self::drive(slf),
            Ok(false) => Ok(()),
            Err(failure) => Self::fail(slf, failure),
        };
        let mut state = this.lock(py);
        state.driver = None;
        state.turns += 1;
        drop(state);
        this.turned.notify_all();
        if interrupted {
            py.check_signals()?;
        }
        outcome
    }

    fn drive(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let budget = this.lock(py).inbox.budget();
        let mut outcome = Ok(());
        let driven = this.client.drive(budget, &mut |event| {
            let delivered = match &event {
                Event::Message(message) => {
                    this.keep(py, event::entry(py, message), message.as_bytes().len())
                }
                Event::Chunk(chunk) => {
                    this.keep(py, event::chunk_entry(py, chunk), chunk.payload.len())
                }
                other => Self::tell(slf, other),
            };
            if outcome.is_ok() {
                outcome = delivered;
            }
        });
        match driven {
            Ok(Drive::Finished) => this.lock(py).finished = true,
            Ok(_) => {}
            Err(failure) => Self::fail(slf, failure)?,
        }
        outcome
    }

    fn keep(&self, py: Python<'_>, entry: PyResult<Entry>, len: usize) -> PyResult<()> {
        let entry = entry?;
        let mut state = self.lock(py);
        if !state.closing {
            state.inbox.push(entry, len);
        }
        Ok(())
    }

    fn tell(slf: &Bound<'_, Self>, event: &Event<'_>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut delivered = event::deliver(slf.as_any(), event);
        let ended = matches!(event, Event::Down(_) | Event::Closed(_));
        if ended && this.lock(py).inbox.is_unfinished() {
            // Not kept if the user closes, who wants no rest then.
            delivered = delivered.and(this.keep(py, event::cut_entry(slf.as_any(), event), 0));
        }
        if let Event::Closed(_) = event {
            this.lock(py).finished = true;
        }
        delivered
    }

    /// The client cannot be driven any more.
    fn fail(slf: &Bound<'_, Self>, failure: longwire::Error) -> PyResult<()> {
        if failure.kind() == ErrorKind::Forked {
            return Err(error::raise(slf.py(), &failure));
        }
        Self::tell(slf, &Event::Closed(&event::failed(failure)))
    }

    /// Looks after the connection in passing, for programs that only send:
    /// what was queued while the connection was down leaves after its `Open`
    /// was delivered, and that is up to somebody who drives.
    fn advance(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.client.buffered_amount() == 0 {
            return Ok(());
        }
        {
            let mut state = this.lock(py);
            let idle = state.driver.is_none() && !state.finished && !state.inbox.is_full();
            if !idle || state.advanced.elapsed() < ADVANCE {
                return Ok(());
            }
            state.advanced = Instant::now();
            state.driver = Some(thread::current().id());
        }
        Self::drive_once(slf, Some(Duration::ZERO))
    }

    fn next(
        slf: &Bound<'_, Self>,
        timeout: Option<f64>,
        want: Want,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if this.receiving.swap(true, Ordering::Acquire) {
            return Err(error::raise_kind(
                py,
                ErrorKind::Busy,
                "cannot call recv while another thread is already running recv",
            ));
        }
        let _receiving = Flag(&this.receiving);
        // The hot case first: no clock, no closure.
        if let Some(taken) = this.take(py, want)? {
            return Ok(Some(taken));
        }
        Self::wait_for(slf, deadline(timeout)?, |this| {
            // Looked up first: then what came before the end is there.
            let finished = this.lock(py).finished;
            let taken = this.take(py, want)?;
            if taken.is_none() && finished {
                return Err(error::raise_closed(slf.as_any()));
            }
            Ok(taken)
        })
    }

    /// Takes what is wanted, if it is there.
    fn take(&self, py: Python<'_>, want: Want) -> PyResult<Option<Py<PyAny>>> {
        if let Want::Message(_) = want {
            let popped = self.lock(py).inbox.pop();
            match popped {
                Popped::Nothing => return Ok(None),
                Popped::Message(message) => return want.whole(py, message, 0).map(Some),
                Popped::Other => {}
            }
        }
        reception::take(py, self, want)
    }

    /// Raises, unless a send that failed like this is worth waiting for.
    fn wait_or_raise(slf: &Bound<'_, Self>, failure: &longwire::Error) -> PyResult<()> {
        let py = slf.py();
        let ending = match failure.kind() {
            ErrorKind::Closed => true,
            // The end is on its way, and with it the reason.
            ErrorKind::Lost => !slf.get().persistent,
            _ => false,
        };
        let state = slf.get().lock(py);
        let worth = match failure.kind() {
            ErrorKind::Full => true,
            _ => ending && !state.finished && (state.closing || !state.inbox.is_full()),
        };
        let inside = state.driver == Some(thread::current().id());
        drop(state);
        match worth && !inside {
            true => Ok(()),
            false if ending => Err(error::raise_closed(slf.as_any())),
            false => Err(error::raise(py, failure)),
        }
    }

    /// Whether this thread has not finished a message in fragments, for whose end it cannot wait.
    fn is_fragmenting(&self, py: Python<'_>) -> bool {
        self.lock(py).fragmenting == Some(thread::current().id())
    }

    /// Takes a step of a message in fragments, when there is room for it.
    fn step(slf: &Bound<'_, Self>, step: &Step) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let taken = Self::wait_for(slf, None, |this| match step.run(py, &this.client)? {
            Ok(result) => Ok(Some(result)),
            Err(failure) => Self::wait_or_raise(slf, &failure).map(|()| None),
        })?;
        Self::advance(slf)?;
        Ok(taken.unwrap_or_else(|| py.None()))
    }

    fn raise(slf: &Bound<'_, Self>, failure: &longwire::Error) -> PyErr {
        if failure.kind() == ErrorKind::Closed {
            error::raise_closed(slf.as_any())
        } else {
            error::raise(slf.py(), failure)
        }
    }
}

impl Source for SyncConnection {
    fn inbox<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Inbox) -> T) -> T {
        work(&mut self.lock(py).inbox)
    }
}

fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(timeout) = timeout else { return Ok(None) };
    let timeout = Duration::try_from_secs_f64(timeout.max(0.0))?;
    Ok(Instant::now().checked_add(timeout))
}

#[pymethods]
impl SyncConnection {
    #[new]
    fn new(py: Python<'_>, config: &Config) -> PyResult<SyncConnection> {
        let config = config.inner.clone();
        let inbox = Inbox::new(&config);
        let persistent = config.reconnect.is_some();
        let client = Client::start_hosted(config).map_err(|failure| error::raise(py, &failure))?;
        Ok(SyncConnection {
            client,
            persistent,
            receiving: AtomicBool::new(false),
            state: Mutex::new(State {
                inbox,
                driver: None,
                turns: 0,
                advanced: Instant::now(),
                fragmenting: None,
                closing: false,
                finished: false,
            }),
            turned: Condvar::new(),
        })
    }

    /// Receive a message. Its type is str for text and bytes for binary,
    /// unless decode says otherwise.
    ///
    /// Raises TimeoutError when timeout seconds have passed.
    #[pyo3(signature = (timeout = None, decode = None))]
    fn recv(
        slf: &Bound<'_, Self>,
        timeout: Option<f64>,
        decode: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        match Self::next(slf, timeout, Want::Message(decode.into()))? {
            Some(message) => Ok(message),
            None => Err(error::raise_kind(
                py,
                ErrorKind::Timeout,
                &format!("no message within {} s", timeout.unwrap_or_default()),
            )),
        }
    }

    /// The next piece of a message, for recv_streaming.
    fn _recv_piece(
        slf: &Bound<'_, Self>,
        decode: Option<bool>,
        message: Option<u64>,
    ) -> PyResult<Option<Py<PyAny>>> {
        Self::next(slf, None, Want::Piece(decode.into(), message))
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        match Self::next(slf, None, Want::Message(Decode::AsSent)) {
            Ok(message) => message.ok_or_else(|| PyStopIteration::new_err(())),
            Err(failure) => {
                let class = py.import("longwire.exceptions")?.getattr("ConnectionClosedOK")?;
                Err(if failure.matches(py, class)? {
                    PyStopIteration::new_err(())
                } else {
                    failure
                })
            }
        }
    }

    /// Send a message, str as text and bytes-like as binary, unless text says
    /// otherwise. compress=False sends it as it is, even if compression was
    /// agreed on. Waits while the send buffer is full. Any thread may send.
    ///
    /// An iterable of str, or of bytes-like objects, is one message: each item
    /// is sent as a fragment. Messages of other threads wait behind it; one
    /// that comes in fragments itself raises ConcurrencyError. Without items
    /// nothing is sent. If the iterable fails, the message has no end, and the
    /// connection is given up with code 1011.
    #[pyo3(signature = (message, text = None, *, compress = true))]
    fn send(
        slf: &Bound<'_, Self>,
        message: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(outgoing) = Outgoing::new(message, text, compress)? else {
            let arguments = (message, text, compress);
            return slf.call_method1(intern!(py, "_send_iterable"), arguments).map(drop);
        };
        let attempt = |this: &Self| match outgoing.send(py, &this.client) {
            Ok(()) => Ok(Some(())),
            Err(failure) if this.is_fragmenting(py) => Err(Self::raise(slf, &failure)),
            Err(failure) => Self::wait_or_raise(slf, &failure).map(|()| None),
        };
        if attempt(slf.get())?.is_some() {
            return Self::advance(slf);
        }
        Self::wait_for(slf, None, attempt).map(drop)
    }

    /// Begins a message in fragments, with what the first one tells.
    fn _begin(
        slf: &Bound<'_, Self>,
        first: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<Py<PyAny>> {
        let outgoing = Outgoing::only("a fragment", first, text, compress)?;
        let fragments = Self::step(slf, &Step::Begin(outgoing))?;
        slf.get().lock(slf.py()).fragmenting = Some(thread::current().id());
        Ok(fragments)
    }

    fn _write(
        slf: &Bound<'_, Self>,
        fragments: &Bound<'_, Fragments>,
        fragment: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let outgoing = fragments.get().outgoing(fragment)?;
        Self::step(slf, &Step::Write(fragments.clone().unbind(), outgoing)).map(drop)
    }

    fn _finish(slf: &Bound<'_, Self>, fragments: &Bound<'_, Fragments>) -> PyResult<()> {
        Self::step(slf, &Step::Finish(fragments.clone().unbind())).map(drop)
    }

    /// Lets go of a message in fragments.
    fn _abandon(&self, fragments: &Bound<'_, Fragments>) {
        let py = fragments.py();
        fragments.get().abandon(py);
        self.lock(py).fragmenting = None;
    }

    /// Drives until `done()` is true; False when `timeout` seconds have passed.
    #[pyo3(signature = (done, timeout = None))]
    fn _wait(
        slf: &Bound<'_, Self>,
        done: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let finished = Self::wait_for(slf, deadline(timeout)?, |_| {
            Ok(done.call0()?.is_truthy()?.then_some(()))
        })?;
        Ok(finished.is_some())
    }

    fn _send_ping(slf: &Bound<'_, Self>, payload: &[u8]) -> PyResult<()> {
        slf.get().client.ping(payload).map_err(|failure| Self::raise(slf, &failure))
    }

    fn _send_close(&self, py: Python<'_>, code: u16, reason: &str) -> PyResult<()> {
        self.client.close(code, reason).map_err(|failure| error::raise(py, &failure))?;
        self.lock(py).closing = true;
        Ok(())
    }

    /// Ends the connection at once, from any thread.
    fn _release(&self, py: Python<'_>) {
        self.client.release();
        self.lock(py).finished = true;
    }

    fn _state(&self) -> u8 {
        self.client.state() as u8
    }

    fn _round_trip(&self) -> Option<f64> {
        self.client.round_trip().as_ref().map(Duration::as_secs_f64)
    }

    /// Bytes that were sent and not yet taken by the kernel.
    #[getter]
    fn buffered_amount(&self) -> usize {
        self.client.buffered_amount()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A lock that is taken belongs to a thread that is at work on it:
        // then this is no garbage.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        for object in state.inbox.objects() {
            visit.call(object)?;
        }
        Ok(())
    }
}
