//! The connection of an asyncio program: what `longwire.Connection` inherits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longwire::{Client, ErrorKind, State};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;

use crate::awaitable::{Accepted, Job, Recv, Send};
use crate::config::Config;
use crate::driver::Driver;
use crate::error;
use crate::fragments::{Fragments, Step};
use crate::message::{Decode, Outgoing};
use crate::reception::{Source, Want};
use crate::steering::{self, Changed};

/// The native half of `longwire.Connection`.
#[pyclass(subclass, frozen, module = "longwire._longwire")]
pub(crate) struct AsyncConnection {
    pub(crate) driver: Py<Driver>,
    on_message: Mutex<Option<Py<PyAny>>>,
}

impl AsyncConnection {
    fn client(&self) -> &Client {
        &self.driver.get().client
    }

    /// What messages go to, if not to `recv`.
    pub(crate) fn on_message<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let function = self.on_message.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        function.as_ref().map(|function| function.bind(py).clone())
    }

    fn step(&self, py: Python<'_>, step: Step) -> Send {
        Send::new(self.driver.clone_ref(py), Job::Step(step))
    }
}

#[pymethods]
impl AsyncConnection {
    #[new]
    fn new(
        py: Python<'_>,
        config: &Config,
        event_loop: Py<PyAny>,
        on_message: Option<Py<PyAny>>,
    ) -> PyResult<AsyncConnection> {
        let driver = Client::start_hosted(config.inner.clone())
            .and_then(|client| Driver::new(client, event_loop, config, on_message.is_some()))
            .map_err(|failure| error::raise(py, &failure))?;
        let driver = Py::new(py, driver)?;
        Ok(AsyncConnection { driver, on_message: Mutex::new(on_message) })
    }

    /// Receive a message. Its type is str for text and bytes for binary,
    /// unless decode says otherwise.
    ///
    /// Cancelling it loses nothing: the message goes to the next recv.
    #[pyo3(signature = (decode = None))]
    fn recv(slf: &Bound<'_, Self>, decode: Option<bool>) -> Recv {
        Recv::new(slf.clone().unbind(), Want::Message(decode.into()), false)
    }

    /// The next piece of a message, for recv_streaming.
    fn _recv_piece(slf: &Bound<'_, Self>, decode: Option<bool>, message: Option<u64>) -> Recv {
        Recv::new(slf.clone().unbind(), Want::Piece(decode.into(), message), false)
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> Recv {
        Recv::new(slf.clone().unbind(), Want::Message(Decode::AsSent), true)
    }

    /// Send a message, str as text and bytes-like as binary, unless text says
    /// otherwise. compress=False sends it as it is, even if compression was
    /// agreed on.
    ///
    /// The message is taken by the call itself; awaiting the result waits, if
    /// the send buffer is full, until there is room.
    ///
    /// An iterable or asynchronous iterable of str, or of bytes-like objects,
    /// is one message: each item is sent as a fragment, while the result is
    /// awaited. Other sends meanwhile wait behind it. Without items nothing is
    /// sent. If it fails or is cancelled in between, the message has no end,
    /// and the connection is given up with code 1011.
    #[pyo3(signature = (message, text = None, *, compress = true))]
    fn send<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Some(outgoing) = Outgoing::new(message, text, compress)? else {
            let arguments = (message, text, compress);
            return slf.call_method1(intern!(py, "_send_iterable"), arguments);
        };
        let driver = slf.get().driver.bind(py);
        if !driver.get().would_overtake(py)? && Driver::try_send(driver, &outgoing)? {
            return Accepted::get(py).cloned();
        }
        Ok(Bound::new(py, Send::new(driver.clone().unbind(), Job::Message(outgoing)))?.into_any())
    }

    /// Begins a message in fragments, with what the first one tells.
    fn _begin(
        &self,
        first: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<Send> {
        let outgoing = Outgoing::only("a fragment", first, text, compress)?;
        Ok(self.step(first.py(), Step::Begin(outgoing)))
    }

    fn _write(
        &self,
        fragments: &Bound<'_, Fragments>,
        fragment: &Bound<'_, PyAny>,
    ) -> PyResult<Send> {
        let outgoing = fragments.get().outgoing(fragment)?;
        Ok(self.step(fragments.py(), Step::Write(fragments.clone().unbind(), outgoing)))
    }

    fn _finish(&self, fragments: &Bound<'_, Fragments>) -> Send {
        self.step(fragments.py(), Step::Finish(fragments.clone().unbind()))
    }

    /// Lets go of a message in fragments, which others may have waited for.
    fn _abandon(&self, fragments: &Bound<'_, Fragments>) -> PyResult<()> {
        fragments.get().abandon(fragments.py());
        Driver::wake_senders_soon(self.driver.bind(fragments.py()))
    }

    /// Send a message now, without waiting, or raise SendBufferFull. For
    /// on_open, and for other threads than the event loop's.
    #[pyo3(signature = (message, text = None, *, compress = true))]
    fn send_nowait(
        &self,
        message: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<()> {
        let py = message.py();
        let outgoing = Outgoing::only("message", message, text, compress)?;
        let driver = self.driver.bind(py);
        if !driver.get().would_overtake(py)? && Driver::try_send(driver, &outgoing)? {
            return Ok(());
        }
        Err(match self.client().state() {
            State::Closing | State::Closed => driver.get().raise_closed(py),
            _ => error::raise_kind(py, ErrorKind::Full, "the send buffer is full"),
        })
    }

    /// Has the event loop watch the connection.
    fn _start(slf: &Bound<'_, Self>) -> PyResult<()> {
        Driver::start(slf.get().driver.bind(slf.py()), slf.as_any())
    }

    fn _send_ping(&self, py: Python<'_>, payload: &[u8]) -> PyResult<()> {
        self.client().ping(payload).map_err(|failure| self.driver.get().raise(py, &failure))
    }

    fn _send_close(&self, py: Python<'_>, code: u16, reason: &str) -> PyResult<()> {
        self.client().close(code, reason).map_err(|failure| error::raise(py, &failure))?;
        Driver::begin_closing(self.driver.bind(py))
    }

    /// Ends the connection at once, from any thread.
    fn _release(&self, py: Python<'_>) -> PyResult<()> {
        Driver::release(self.driver.bind(py))
    }

    /// Keeps what was queued waiting until _ready; what is sent while
    /// is_opening() is true precedes it.
    fn _hold(&self, py: Python<'_>, is_opening: Py<PyAny>) -> Option<u64> {
        self.driver.get().hold(py, is_opening)
    }

    fn _ready(&self, py: Python<'_>, hold: u64) {
        self.driver.get().ready(py, hold);
    }

    fn _proceed(&self, py: Python<'_>, ask: u64, changed: Changed) -> PyResult<()> {
        steering::proceed(py, self.client(), ask, changed)
    }

    /// False if it is too late, as for _decide.
    fn _refuse(&self, py: Python<'_>, ask: u64, reason: &str, retry: bool) -> PyResult<bool> {
        steering::counted(py, self.client().refuse(ask, reason, retry))
    }

    fn _decide(&self, py: Python<'_>, ask: u64, retry: bool) -> PyResult<bool> {
        steering::counted(py, self.client().decide(ask, retry))
    }

    fn _reconnect(&self, py: Python<'_>) -> PyResult<()> {
        self.client().reconnect().map_err(|failure| error::raise(py, &failure))
    }

    fn _network_changed(&self, py: Python<'_>) -> PyResult<()> {
        self.client().network_changed().map_err(|failure| error::raise(py, &failure))
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kept = self.driver.get().inbox(py, |inbox| inbox.waiting());
        steering::stats(py, self.client(), kept)
    }

    fn _take_unsent(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        steering::take_unsent(py, self.client())
    }

    fn _state(&self) -> u8 {
        self.client().state() as u8
    }

    fn _round_trip(&self) -> Option<f64> {
        self.client().round_trip().as_ref().map(Duration::as_secs_f64)
    }

    /// Bytes that were sent and not yet taken by the kernel.
    #[getter]
    fn buffered_amount(&self) -> usize {
        self.client().buffered_amount()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.driver)?;
        // A lock that is taken belongs to a thread that is at work on it:
        // then this is no garbage.
        let Ok(on_message) = self.on_message.try_lock() else { return Ok(()) };
        visit.call(&*on_message)
    }

    fn __clear__(&self) {
        if let Ok(mut on_message) = self.on_message.try_lock() {
            let function = on_message.take();
            drop(on_message);
            drop(function);
        }
    }
}
