//! A message that is sent in fragments, step by step.
//!
//! The connection's Python half goes through the iterable; each step is taken
//! here as a whole or not at all, so that it can be tried again when there is room.

use std::sync::{Mutex, PoisonError};

use longwire::{Client, Error, ErrorKind, MessageWriter};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::message::Outgoing;

/// A message under way. If it is dropped before its end, the connection is given up.
#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Fragments {
    /// Whether the first fragment was a `str`, as all others have to be then.
    of_str: bool,
    writer: Mutex<Option<MessageWriter>>,
}

/// What there is to do for a message in fragments.
pub(crate) enum Step {
    /// Begin it, with what the first fragment tells. The result is the [`Fragments`].
    Begin(Outgoing),
    Write(Py<Fragments>, Outgoing),
    Finish(Py<Fragments>),
}

impl Fragments {
    /// The next fragment.
    pub(crate) fn outgoing(&self, fragment: &Bound<'_, PyAny>) -> PyResult<Outgoing> {
        let outgoing = Outgoing::only("a fragment", fragment, None, true)?;
        if outgoing.is_str() != self.of_str {
            let expected = if self.of_str { "str" } else { "bytes-like" };
            let name = fragment.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "fragments must be of one type: expected {expected}, as the first was, got {name}"
            )));
        }
        Ok(outgoing)
    }

    /// Lets go of the message, which is given up if it is not finished.
    pub(crate) fn abandon(&self, py: Python<'_>) {
        drop(self.replace(py, None));
    }

    fn replace(&self, py: Python<'_>, writer: Option<MessageWriter>) -> Option<MessageWriter> {
        let mut slot = self.writer.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, writer)
    }

    fn writer(&self, py: Python<'_>) -> Result<MessageWriter, Error> {
        let over = || Error::new(ErrorKind::Closed, "this message is over");
        self.replace(py, None).ok_or_else(over)
    }
}

impl Step {
    /// Tries it; `ahead` of the queue if it belongs to `on_open`.
    pub(crate) fn run(
        &self,
        py: Python<'_>,
        client: &Client,
        ahead: bool,
    ) -> PyResult<Result<Py<PyAny>, Error>> {
        let outcome = match self {
            Step::Begin(first) => match client.begin_message(first.kind(), first.options(ahead)) {
                Ok(writer) => {
                    let writer = Mutex::new(Some(writer));
                    let fragments = Fragments { of_str: first.is_str(), writer };
                    return Ok(Ok(Py::new(py, fragments)?.into_any()));
                }
                Err(failure) => Err(failure),
            },
            Step::Write(fragments, outgoing) => {
                fragments.get().writer(py).and_then(|mut writer| {
                    let written = outgoing.hand_over(py, |bytes| writer.write(bytes));
                    fragments.get().replace(py, Some(writer));
                    written
                })
            }
            Step::Finish(fragments) => fragments.get().writer(py).and_then(MessageWriter::finish),
        };
        Ok(outcome.map(|()| py.None()))
    }
}
