//! The connection of a blocking program: what `longwire.sync.Connection` inherits.
//!
//! Nobody reads ahead: the thread that waits for something drives the client
//! meanwhile, waiting on its descriptor without the interpreter. If several
//! threads wait, one of them drives and the others wait for it. Pings are
//! answered by the runtime while nobody waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use longwire::{Client, ErrorKind};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, exceptions::PyStopIteration, intern};

use crate::config::Config;
use crate::error;
use crate::fragments::{Fragments, Step};
use crate::inbox::{Inbox, Popped};
use crate::log::LogQueue;
use crate::message::{Decode, Outgoing};
use crate::reception::{self, Source, Want};
use crate::steering::{self, Changed};
use crate::turns::INSIDE;

/// The native half of `longwire.sync.Connection`.
#[pyclass(subclass, frozen, module = "longwire._longwire")]
pub(crate) struct SyncConnection {
    pub(crate) client: Client,
    /// Whether another connection follows one that is lost.
    persistent: bool,
    /// Whether there are hooks to ask.
    pub(crate) asks: bool,
    /// Whether somebody watches over the program's taking messages.
    watched_over: bool,
    pub(crate) log: Option<Arc<LogQueue>>,
    receiving: AtomicBool,
    pub(crate) state: Mutex<State>,
    pub(crate) turned: Condvar,
}

pub(crate) struct State {
    pub(crate) inbox: Inbox,
    /// The thread that drives.
    pub(crate) driver: Option<ThreadId>,
    /// Counts what a waiting thread might have waited for.
    pub(crate) turns: u64,
    /// When a send last looked after the connection.
    pub(crate) advanced: Instant,
    /// The thread that sends a message in fragments.
    fragmenting: Option<ThreadId>,
    /// No event will ever come.
    pub(crate) finished: bool,
}

/// Sets a flag for as long as it lives.
struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl SyncConnection {
    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    fn next(
        slf: &Bound<'_, Self>,
        timeout: Option<f64>,
        want: Want,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if this.receiving.swap(true, Ordering::Acquire) {
            let text = if this._is_inside(py) {
                INSIDE
            } else {
                "cannot call recv while another thread is already running recv"
            };
            return Err(error::raise_kind(py, ErrorKind::Busy, text));
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
        let held = self.watched_over && !self.lock(py).inbox.is_empty();
        let taken = self.take_unwatched(py, want);
        if held {
            self.note_consumer(py);
        }
        taken
    }

    fn take_unwatched(&self, py: Python<'_>, want: Want) -> PyResult<Option<Py<PyAny>>> {
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
            _ => ending && !state.finished && !state.inbox.is_full(),
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
        let taken = Self::wait_for(slf, None, |this| match step.run(py, &this.client, false)? {
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

    fn watched_over(&self) -> Option<&Client> {
        self.watched_over.then_some(&self.client)
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
        let Config { inner: config, log } = config;
        let inbox = Inbox::new(config);
        let client = Client::start_hosted(config.clone());
        Ok(SyncConnection {
            client: client.map_err(|failure| error::raise(py, &failure))?,
            persistent: config.reconnect.is_some(),
            asks: config.before_connect || config.should_reconnect,
            watched_over: config.consumer_timeout.is_some(),
            log: log.clone(),
            receiving: AtomicBool::new(false),
            state: Mutex::new(State {
                inbox,
                driver: None,
                turns: 0,
                advanced: Instant::now(),
                fragmenting: None,
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
        let attempt = |this: &Self| match outgoing.send(py, &this.client, false) {
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
        self.lock(py).inbox.close();
        Ok(())
    }

    /// Ends the connection at once, from any thread.
    fn _release(&self, py: Python<'_>) {
        self.client.release();
        self.lock(py).finished = true;
    }

    /// Whether an event handler or hook is running in this thread, which cannot wait.
    fn _is_inside(&self, py: Python<'_>) -> bool {
        self.lock(py).driver == Some(thread::current().id())
    }

    fn _proceed(&self, py: Python<'_>, ask: u64, changed: Changed) -> PyResult<()> {
        steering::proceed(py, &self.client, ask, changed)
    }

    /// False if it is too late, as for _decide.
    fn _refuse(&self, py: Python<'_>, ask: u64, reason: &str, retry: bool) -> PyResult<bool> {
        steering::counted(py, self.client.refuse(ask, reason, retry))
    }

    fn _decide(&self, py: Python<'_>, ask: u64, retry: bool) -> PyResult<bool> {
        steering::counted(py, self.client.decide(ask, retry))
    }

    fn _reconnect(&self, py: Python<'_>) -> PyResult<()> {
        self.client.reconnect().map_err(|failure| error::raise(py, &failure))
    }

    fn _network_changed(&self, py: Python<'_>) -> PyResult<()> {
        self.client.network_changed().map_err(|failure| error::raise(py, &failure))
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kept = self.inbox(py, |inbox| inbox.waiting());
        steering::stats(py, &self.client, kept)
    }

    fn _take_unsent(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        steering::take_unsent(py, &self.client)
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
