//! Events: messages as entries of the inbox, all others as calls of the
//! connection's handlers.
//!
//! The latter are rare, so the connection handles them in Python.

use longwire::{Chunk, Closed, Error, Event, Message, MessageKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error;
use crate::inbox::Entry;
use crate::message;

/// A message for the inbox.
pub(crate) fn entry(py: Python<'_>, message: &Message<'_>) -> PyResult<Entry> {
    message::to_python(py, message.kind(), message.as_bytes()).map(Entry::Message)
}

/// A part of a message for the inbox; one that is all of its message becomes a
/// message.
pub(crate) fn chunk_entry(py: Python<'_>, chunk: &Chunk<'_>) -> PyResult<Entry> {
    if chunk.first && chunk.last {
        return message::to_python(py, chunk.kind, chunk.payload).map(Entry::Message);
    }
    let bytes = PyBytes::new(py, chunk.payload).unbind();
    Ok(Entry::Piece { bytes, text: chunk.kind == MessageKind::Text, last: chunk.last })
}

/// For the inbox, when `event` ended a connection in the middle of a message.
pub(crate) fn cut_entry(connection: &Bound<'_, PyAny>, event: &Event<'_>) -> PyResult<Entry> {
    let py = connection.py();
    let cause = match event {
        Event::Down(down) => error::exception(py, &down.error)?,
        _ => py.None().into_bound(py),
    };
    let exception = connection.call_method1(intern!(py, "_cut_exception"), (cause,))?;
    Ok(Entry::Cut(exception.unbind()))
}

/// The end of a client that can not be driven any more.
pub(crate) fn failed(failure: Error) -> Closed {
    Closed {
        code: 1006,
        reason: String::new(),
        clean: false,
        error: Some(failure),
        unsent_messages: 0,
        unsent_bytes: 0,
    }
}

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
        Event::Closed(closed) => connection.call_method1(
            intern!(py, "_on_closed"),
            (error::closing(py, closed)?, (closed.unsent_messages, closed.unsent_bytes)),
        ),
        Event::BeforeConnect(attempt) => connection.call_method1(
            intern!(py, "_on_before_connect"),
            (
                attempt.ask,
                attempt.attempt,
                attempt.reconnects,
                attempt.error.as_ref().map(|error| error::exception(py, error)).transpose()?,
            ),
        ),
        Event::ShouldReconnect(outage) => connection.call_method1(
            intern!(py, "_on_should_reconnect"),
            (
                outage.ask,
                outage.retry,
                (
                    error::exception(py, &outage.down.error)?,
                    outage.down.code,
                    outage.down.attempt,
                    outage.down.retry_in.as_secs_f64(),
                ),
            ),
        ),
        _ => return Ok(()),
    }
    .map(drop)
}
