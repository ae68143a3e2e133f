//! Errors of the core as the exceptions of `longwire.exceptions`.
//!
//! The exceptions are classes of Python; this asks that module for one. What
//! cannot be made (the module is gone while the interpreter ends) surfaces as
//! the exception that its making raised.

use longwire::{Closed, Error, ErrorKind};
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

static FROM_NATIVE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for `error`, to be raised.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failure| failure, PyErr::from_value)
}

/// An exception of `kind` that says `message`, to be raised.
pub(crate) fn raise_kind(py: Python<'_>, kind: ErrorKind, message: &str) -> PyErr {
    raise(py, &Error::new(kind, message))
}

/// The exception for `error`, as an object.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let refusal = match error.refusal() {
        None => py.None().into_bound(py),
        Some(refusal) => {
            let body = PyBytes::new(py, &refusal.body);
            (refusal.status, headers(py, &refusal.headers), body).into_bound_py_any(py)?
        }
    };
    let from_native = FROM_NATIVE.get_or_try_init(py, || {
        py.import("longwire.exceptions")?.getattr("from_native").map(Bound::unbind)
    })?;
    from_native.bind(py).call1((error.kind().code(), error.message(), refusal))
}

/// How it ended: code, reason, whether it was clean, and the cause or `None`.
pub(crate) fn closing<'py>(py: Python<'py>, closed: &Closed) -> PyResult<Bound<'py, PyAny>> {
    let cause = match &closed.error {
        Some(error) => exception(py, error)?,
        None => py.None().into_bound(py),
    };
    (closed.code, &closed.reason, closed.clean, cause).into_bound_py_any(py)
}

/// `ConnectionClosedOK` or `ConnectionClosedError`, as `connection` has it, to be raised.
pub(crate) fn raise_closed(connection: &Bound<'_, PyAny>) -> PyErr {
    connection
        .call_method0(intern!(connection.py(), "_closed_exception"))
        .map_or_else(|failure| failure, PyErr::from_value)
}

/// Header fields as pairs of a name and the bytes that came.
pub(crate) fn headers<'a, 'py>(
    py: Python<'py>,
    fields: &'a [(String, Vec<u8>)],
) -> Vec<(&'a str, Bound<'py, PyBytes>)> {
    fields.iter().map(|(name, value)| (name.as_str(), PyBytes::new(py, value))).collect()
}
