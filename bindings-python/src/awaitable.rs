//! What `recv` and `send` return: awaitables written by hand.
//!
//! They have the methods of a coroutine, so that a task can be made from them
//! as well, and none of its frame. **Awaiting what is there yields nothing**:
//! no future, no turn of the loop.
//!
//! What cancelling means: a `recv` takes its message in the step in which it returns
//! it, so a cancelled one took none. A `send` that waits for room sends in the
//! step in which it returns, so a cancelled one sent nothing.

use std::ffi::CStr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longwire::ErrorKind;
use pyo3::exceptions::{
    PyRuntimeError, PyRuntimeWarning, PyStopAsyncIteration, PyStopIteration, PyTypeError,
};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::PyType;
use pyo3::{PyTraverseError, intern};

use crate::asyncio::AsyncConnection;
use crate::driver::Driver;
use crate::error;
use crate::fragments::Step;
use crate::message::Outgoing;
use crate::reception::Want;
use crate::waiter::Waiter;

const REUSED: &str = "cannot await the same recv() or send() twice";
const RECEIVING: &str = "cannot call recv while another task is already running recv";
const CALLED_BACK: &str =
    "cannot receive: on_message gets the messages; to wait for the end, await wait_closed()";
const UNAWAITED: &CStr = c"a send() that has to wait for room was never awaited: nothing was sent";

/// What `throw` raises: an exception, or one made from its class.
fn thrown(kind: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyErr {
    match (kind.cast::<PyType>(), value) {
        (Err(_), _) => PyErr::from_value(kind.clone()),
        (Ok(class), None) => class.call0().map_or_else(|e| e, PyErr::from_value),
        (Ok(class), Some(value)) if value.is_instance(class).unwrap_or(false) => {
            PyErr::from_value(value.clone())
        }
        (Ok(class), Some(value)) => class.call1((value,)).map_or_else(|e| e, PyErr::from_value),
    }
}

/// A coroutine is started with `send(None)`; nothing else means anything here.
fn only_none(value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_none() {
        return Ok(());
    }
    Err(PyTypeError::new_err("only None can be sent into recv() and send()"))
}

/// The result of a send that was taken at once; one object serves all of them.
#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Accepted;

impl Accepted {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
        static ACCEPTED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        ACCEPTED
            .get_or_try_init(py, || Ok(Py::new(py, Accepted)?.into_any()))
            .map(|accepted| accepted.bind(py))
    }
}

#[pymethods]
impl Accepted {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<()> {
        None
    }

    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        only_none(value)?;
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (kind, value = None, _traceback = None))]
    fn throw(
        &self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Err(thrown(kind, value))
    }

    fn close(&self) {}
}

/// One message, or piece of one, that somebody waits for.
#[pyclass(module = "longwire._longwire")]
pub(crate) struct Recv {
    connection: Py<AsyncConnection>,
    want: Want,
    iterating: bool,
    waiting: Option<Py<Waiter>>,
    over: bool,
}

impl Recv {
    pub(crate) fn new(connection: Py<AsyncConnection>, want: Want, iterating: bool) -> Recv {
        Recv { connection, want, iterating, waiting: None, over: false }
    }

    fn driver<'py>(&self, py: Python<'py>) -> Bound<'py, Driver> {
        self.connection.get().driver.bind(py).clone()
    }

    /// Gives the place of the one that waits free again.
    fn stop_waiting(&mut self, py: Python<'_>) {
        if let Some(waiter) = self.waiting.take() {
            self.driver(py).get().forget_receiver(py, &waiter);
        }
    }

    /// The end of awaiting. A message by itself, being neither tuple nor exception, is what the
    /// interpreter makes no object of `StopIteration` for.
    fn returning(&self, taken: Py<PyAny>) -> PyErr {
        match self.want {
            Want::Message(_) => PyStopIteration::new_err(taken),
            Want::Piece(..) => PyStopIteration::new_err((taken,)),
        }
    }

    fn ended(&self, py: Python<'_>) -> PyErr {
        let closed = error::raise_closed(self.connection.bind(py).as_any());
        let regular = self.iterating
            && py
                .import("longwire.exceptions")
                .and_then(|module| module.getattr(intern!(py, "ConnectionClosedOK")))
                .is_ok_and(|class| closed.matches(py, class).unwrap_or(false));
        if regular { PyStopAsyncIteration::new_err(()) } else { closed }
    }
}

#[pymethods]
impl Recv {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<Waiter>> {
        if self.over {
            return Err(PyRuntimeError::new_err(REUSED));
        }
        let driver = self.driver(py);
        let conflict = if driver.get().calls_back {
            Some(CALLED_BACK)
        } else if self.waiting.is_some() {
            self.stop_waiting(py);
            None
        } else {
            driver.get().has_receiver(py).then_some(RECEIVING)
        };
        if let Some(text) = conflict {
            self.over = true;
            return Err(error::raise_kind(py, ErrorKind::Busy, text));
        }
        if let Some(outcome) = Driver::take(&driver, self.want).transpose() {
            self.over = true;
            return Err(outcome.map_or_else(|e| e, |taken| self.returning(taken)));
        }
        if driver.get().is_finished(py) {
            self.over = true;
            return Err(self.ended(py));
        }
        let waiter = Driver::receive(&driver)?;
        self.waiting = Some(waiter.clone_ref(py));
        Ok(waiter)
    }

    fn send(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Py<Waiter>> {
        only_none(value)?;
        self.__next__(value.py())
    }

    #[pyo3(signature = (kind, value = None, _traceback = None))]
    fn throw(
        &mut self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.close(kind.py());
        Err(thrown(kind, value))
    }

    fn close(&mut self, py: Python<'_>) {
        self.over = true;
        self.stop_waiting(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        visit.call(&self.waiting)
    }
}

impl Drop for Recv {
    fn drop(&mut self) {
        if self.waiting.is_some() {
            Python::attach(|py| self.stop_waiting(py));
        }
    }
}

/// A send that found no room, or a step of a message in fragments. It is taken in the step in
/// which it returns, so that a cancelled one has sent nothing.
#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Send {
    driver: Py<Driver>,
    job: Job,
    state: Mutex<SendState>,
}

pub(crate) enum Job {
    Message(Outgoing),
    Step(Step),
}

impl Job {
    /// Whether everything that waits waits for the end of the message that
    /// this belongs to.
    fn precedes(&self) -> bool {
        matches!(self, Job::Step(Step::Write(..) | Step::Finish(_)))
    }

    /// Its result; `None` if it has to be tried again.
    fn attempt(&self, driver: &Bound<'_, Driver>) -> PyResult<Option<Py<PyAny>>> {
        match self {
            Job::Message(outgoing) => {
                let sent = Driver::try_send(driver, outgoing)?;
                Ok(sent.then(|| driver.py().None()))
            }
            Job::Step(step) => Driver::try_step(driver, step),
        }
    }
}

enum SendState {
    /// Nobody awaits it yet.
    Fresh,
    /// In the driver's queue.
    Waiting(Py<Waiter>),
    Over,
}

impl Send {
    pub(crate) fn new(driver: Py<Driver>, job: Job) -> Send {
        driver.get().unsent.fetch_add(1, Ordering::Relaxed);
        Send { driver, job, state: Mutex::new(SendState::Fresh) }
    }

    /// Later sends need not stay behind this one any more.
    fn leave(&self) {
        self.driver.get().unsent.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has the waiting task try again, now.
    pub(crate) fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let waiter = match &*slf.get().lock(py) {
            SendState::Waiting(waiter) => waiter.clone_ref(py),
            SendState::Fresh | SendState::Over => return Ok(()),
        };
        Waiter::wake_now(waiter.bind(py))
    }

    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, SendState> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, py: Python<'_>, state: SendState) -> SendState {
        std::mem::replace(&mut *self.lock(py), state)
    }
}

#[pymethods]
impl Send {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<Waiter>> {
        let py = slf.py();
        let this = slf.get();
        let driver = this.driver.bind(py);
        match this.replace(py, SendState::Over) {
            SendState::Over => return Err(PyRuntimeError::new_err(REUSED)),
            SendState::Fresh => driver.get().add_sender(slf, this.job.precedes()),
            SendState::Waiting(_) => {}
        }
        if driver.get().is_first_sender(slf) {
            let outcome = this.job.attempt(driver);
            if !matches!(outcome, Ok(None)) {
                driver.get().forget_sender(slf);
                this.leave();
                return Err(
                    outcome.map_or_else(|e| e, |result| PyStopIteration::new_err((result,)))
                );
            }
        }
        let waiter = Waiter::new(py, &driver.get().event_loop)?;
        this.replace(py, SendState::Waiting(waiter.clone_ref(py)));
        Driver::schedule_retry(driver)?;
        Ok(waiter)
    }

    fn send(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Py<Waiter>> {
        only_none(value)?;
        Self::__next__(slf)
    }

    #[pyo3(signature = (kind, value = None, _traceback = None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::close(slf)?;
        Err(thrown(kind, value))
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let driver = slf.get().driver.bind(py);
        match slf.get().replace(py, SendState::Over) {
            SendState::Over => {}
            SendState::Fresh => slf.get().leave(),
            SendState::Waiting(_) => {
                driver.get().forget_sender(slf);
                slf.get().leave();
                Driver::wake_senders_soon(driver)?;
            }
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.driver)?;
        // A lock that is taken belongs to a thread that is at work on it:
        // then this is no garbage.
        match self.state.try_lock().as_deref() {
            Ok(SendState::Waiting(waiter)) => visit.call(waiter),
            _ => Ok(()),
        }
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let fresh = matches!(state, SendState::Fresh);
        if fresh || matches!(state, SendState::Waiting(_)) {
            self.leave();
        }
        if fresh {
            Python::attach(|py| {
                // The object may be dropped while an exception is on its way up.
                let passing = PyErr::take(py);
                let category = py.get_type::<PyRuntimeWarning>();
                if let Err(failure) = PyErr::warn(py, &category, UNAWAITED, 1) {
                    failure.write_unraisable(py, None);
                }
                if let Some(passing) = passing {
                    passing.restore(py);
                }
            });
        }
    }
}
