//! Events other than messages, as calls of the connection's handlers.
//!
//! They are rare, so the connection handles them in Python.

use longwire::Event;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;

/// Tells `connection` of `event`; without effect for messages.
pub(crate) fn deliver(connection: &Bound<'_, PyAny>, event: &Event<'_>) -> PyResult<()> {
    let py = connection.py();
    match event {
        Event::Open(opened) => connection.call_method1(
            intern!(py, "_on_open"),
            (
                opened.attempt,
                opened.reconnects,
                opened.subprotocol.as_deref(),
                error::headers(py, &opened.headers),
            ),
        ),
        Event::Pong(pong) => connection.call_method1(
            intern!(py, "_on_pong"),
            (PyBytes::new(py, pong.payload), pong.round_trip.map(|time| time.as_secs_f64())),
        ),
        Event::Down(down) => connection.call_method1(
            intern!(py, "_on_down"),
            (
                error::exception(py, &down.error)?,
                down.code,
                down.attempt,
                down.retry_in.as_secs_f64(),
            ),
        ),
        Event::Closed(closed) => {
            connection.call_method1(intern!(py, "_on_closed"), (error::closing(py, closed)?,))
        }
        _ => return Ok(()),
    }
    .map(drop)
}
