//! `on_message`: messages go to a plain function, called by the event loop's reader on the spot.
//!
//! Nothing waits for a task, so nothing is kept: what a drive brings is handed over before the drive
//! is over for the loop. It is **not handed over while the core reads**: a function that takes long
//! must not keep the core from reading in its place, and answering pings.
//!
//! The function belongs to the connection, not to the [`Driver`]: whoever lets go of a connection lets
//! go of it, too, although the loop still watches the descriptor.

use std::sync::atomic::Ordering;

use longwire::Message;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::asyncio::AsyncConnection;
use crate::driver::Driver;
use crate::message;

/// The messages of one drive, on their way to the function.
pub(crate) struct Batch<'a, 'py> {
    driver: &'a Driver,
    connection: Bound<'py, AsyncConnection>,
    function: Bound<'py, PyAny>,
    messages: Vec<Py<PyAny>>,
    largest: usize,
}

impl<'a, 'py> Batch<'a, 'py> {
    /// `None` if there is no function, or nobody who has it any more.
    pub(crate) fn begin(driver: &'a Driver, py: Python<'py>) -> Option<Batch<'a, 'py>> {
        if !driver.calls_back {
            return None;
        }
        let connection = driver.owner(py)?.cast_into::<AsyncConnection>().ok()?;
        let function = connection.get().on_message(py)?;
        Some(Batch { driver, connection, function, messages: Vec::new(), largest: 0 })
    }

    /// Takes a message, unless the user closes.
    pub(crate) fn add(&mut self, message: &Message<'_>) -> PyResult<()> {
        if !self.driver.closing.load(Ordering::Relaxed) {
            let py = self.connection.py();
            let bytes = message.as_bytes();
            self.largest = self.largest.max(bytes.len());
            self.messages.push(message::to_python(py, message.kind(), bytes)?);
        }
        Ok(())
    }

    /// The largest message of the drive.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// Hands over what was taken. The function may close the connection: then it gets no more.
    pub(crate) fn hand_over(&mut self) -> PyResult<()> {
        let mut outcome = Ok(());
        // What it sends waits its turn, and can wait for room.
        let was_delivering = self.driver.delivering.swap(false, Ordering::Relaxed);
        for message in self.messages.drain(..) {
            if self.driver.closing.load(Ordering::Relaxed) {
                break;
            }
            let called = call(&self.function, &self.connection, &message)
                .or_else(|failure| report(&self.connection, failure));
            if outcome.is_ok() {
                outcome = called;
            }
        }
        self.driver.delivering.store(was_delivering, Ordering::Relaxed);
        outcome
    }
}

/// Calls without a tuple of arguments, which `call1` makes under the stable ABI of 3.11.
fn call(
    function: &Bound<'_, PyAny>,
    connection: &Bound<'_, AsyncConnection>,
    message: &Py<PyAny>,
) -> PyResult<()> {
    // SAFETY: all are live objects, null ends their list, and the interpreter is attached; the result
    // is a new reference, or null with an exception set.
    unsafe {
        let result = ffi::PyObject_CallFunctionObjArgs(
            function.as_ptr(),
            connection.as_ptr(),
            message.as_ptr(),
            std::ptr::null_mut::<ffi::PyObject>(),
        );
        Bound::from_owned_ptr_or_err(function.py(), result).map(drop)
    }
}

/// An exception is the loop's business and stops nothing, except one that is to end the program.
fn report(connection: &Bound<'_, AsyncConnection>, failure: PyErr) -> PyResult<()> {
    let py = connection.py();
    let ends = failure.is_instance_of::<PySystemExit>(py)
        || failure.is_instance_of::<PyKeyboardInterrupt>(py);
    if ends {
        return Err(failure);
    }
    connection.call_method1(intern!(py, "_on_message_failed"), (failure.into_value(py),)).map(drop)
}
