//! What a waiting task waits for.
//!
//! A [`Waiter`] is future-like (it has `_asyncio_future_blocking`, the mark by
//! which asyncio knows a future that is not its own class), and asyncio's task
//! treats it as one of its own. Beyond a plain future it can wake the task on
//! the spot, inside the callback of the event loop that brought the message:
//! that saves the turn of the loop, and with asyncio's own loop the extra
//! `select`, that `call_soon` costs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyTuple};

/// A one-shot, future-like object that only a task waits for.
#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Waiter {
    event_loop: Py<PyAny>,
    blocking: AtomicBool,
    state: Mutex<State>,
}

struct State {
    outcome: Outcome,
    /// Functions to call with this waiter, each in its context.
    callbacks: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
}

enum Outcome {
    Pending,
    Done,
    /// With the message that `cancel` was given.
    Cancelled(Option<Py<PyAny>>),
}

impl Waiter {
    /// A waiter that a coroutine is about to yield to its task.
    pub(crate) fn new(py: Python<'_>, event_loop: &Py<PyAny>) -> PyResult<Py<Waiter>> {
        Py::new(
            py,
            Waiter {
                event_loop: event_loop.clone_ref(py),
                blocking: AtomicBool::new(true),
                state: Mutex::new(State { outcome: Outcome::Pending, callbacks: Vec::new() }),
            },
        )
    }

    /// Runs the waiting task now. The caller is a callback of the event loop
    /// and no task.
    pub(crate) fn wake_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        for (function, context) in slf.get().settle(slf.py(), Outcome::Done) {
            match context {
                Some(context) => {
                    context.bind(slf.py()).call_method1(intern!(slf.py(), "run"), (function, slf))
                }
                None => function.bind(slf.py()).call1((slf,)),
            }?;
        }
        Ok(())
    }

    fn settle(&self, py: Python<'_>, outcome: Outcome) -> Vec<(Py<PyAny>, Option<Py<PyAny>>)> {
        let mut state = self.lock(py);
        if !matches!(state.outcome, Outcome::Pending) {
            return Vec::new();
        }
        state.outcome = outcome;
        std::mem::take(&mut state.callbacks)
    }

    fn schedule(
        slf: &Bound<'_, Self>,
        callbacks: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop.bind(py);
        for (function, context) in callbacks {
            let arguments = PyTuple::new(py, [function.bind(py), slf.as_any()])?;
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "context"), context)?;
            event_loop.call_method(intern!(py, "call_soon"), arguments, Some(&keywords))?;
        }
        Ok(())
    }

    fn lock(&self, py: Python<'_>) -> std::sync::MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[pymethods]
impl Waiter {
    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, value: bool) {
        self.blocking.store(value, Ordering::Relaxed);
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (function, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        function: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        {
            let mut state = slf.get().lock(slf.py());
            if matches!(state.outcome, Outcome::Pending) {
                state.callbacks.push((function, context));
                return Ok(());
            }
        }
        Self::schedule(slf, vec![(function, context)])
    }

    fn remove_done_callback(&self, py: Python<'_>, function: &Bound<'_, PyAny>) -> PyResult<usize> {
        let callbacks = std::mem::take(&mut self.lock(py).callbacks);
        let before = callbacks.len();
        let mut kept = Vec::with_capacity(before);
        for callback in callbacks {
            if !callback.0.bind(py).eq(function)? {
                kept.push(callback);
            }
        }
        let removed = before - kept.len();
        self.lock(py).callbacks.splice(0..0, kept);
        Ok(removed)
    }

    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().done(py) {
            return Ok(false);
        }
        let callbacks = slf.get().settle(py, Outcome::Cancelled(msg));
        Self::schedule(slf, callbacks)?;
        Ok(true)
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        matches!(self.lock(py).outcome, Outcome::Cancelled(_))
    }

    pub(crate) fn done(&self, py: Python<'_>) -> bool {
        !matches!(self.lock(py).outcome, Outcome::Pending)
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        let (name, argument) = match &self.lock(py).outcome {
            Outcome::Done => return Ok(()),
            Outcome::Pending => ("InvalidStateError", None),
            Outcome::Cancelled(message) => {
                ("CancelledError", message.as_ref().map(|message| message.clone_ref(py)))
            }
        };
        let class = py.import("asyncio")?.getattr(name)?;
        Err(PyErr::from_value(match argument {
            Some(argument) => class.call1((argument,))?,
            None => class.call0()?,
        }))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // A lock that is taken belongs to a thread that is at work on it:
        // then this is no garbage.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        for (function, context) in &state.callbacks {
            visit.call(function)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            let callbacks = std::mem::take(&mut state.callbacks);
            drop(state);
            drop(callbacks);
        }
    }
}
