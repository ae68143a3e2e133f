//! What a program says about the life of its connection and asks about it: the same for
//! both faces.
//!
//! An answer that comes too late is none: **whoever answers learns whether it counted**.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longwire::{Changes, Client, Error, ErrorKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{error, message};

/// Has an attempt go on, changed as the last three say.
pub(crate) fn proceed(
    py: Python<'_>,
    client: &Client,
    ask: u64,
    (url, headers, subprotocols): Changed,
) -> PyResult<()> {
    let changes = Changes { url, headers, subprotocols };
    client.proceed(ask, changes).map_err(|failure| error::raise(py, &failure))
}

/// URL, headers and subprotocols; `None` leaves what the options say.
pub(crate) type Changed = (Option<String>, Option<Vec<(String, String)>>, Option<Vec<String>>);

/// `Ok(false)` if the answer came too late.
pub(crate) fn counted(py: Python<'_>, answered: Result<(), Error>) -> PyResult<bool> {
    match answered {
        Ok(()) => Ok(true),
        Err(failure) if failure.kind() == ErrorKind::Invalid => Ok(false),
        Err(failure) => Err(error::raise(py, &failure)),
    }
}

/// The fields of `longwire.Stats`; `kept`: bytes that wait in the face's own inbox.
pub(crate) fn stats<'py>(
    py: Python<'py>,
    client: &Client,
    kept: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let stats = client.stats().map_err(|failure| error::raise(py, &failure))?;
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let last_error = stats.last_error.as_ref().map(|error| error::exception(py, error));
    let fields = PyDict::new(py);
    fields.set_item(intern!(py, "state"), stats.state as u8)?;
    fields.set_item(intern!(py, "attempt"), stats.attempt)?;
    fields.set_item(intern!(py, "next_retry"), seconds(stats.next_retry))?;
    fields.set_item(intern!(py, "last_error"), last_error.transpose()?)?;
    fields.set_item(intern!(py, "connected_for"), seconds(stats.connected_for))?;
    fields.set_item(intern!(py, "connected_since"), stats.connected_since.map(timestamp))?;
    fields.set_item(intern!(py, "connections"), stats.connections)?;
    fields.set_item(intern!(py, "messages_sent"), stats.messages_sent)?;
    fields.set_item(intern!(py, "messages_received"), stats.messages_received)?;
    fields.set_item(intern!(py, "bytes_sent"), stats.bytes_sent)?;
    fields.set_item(intern!(py, "bytes_received"), stats.bytes_received)?;
    fields.set_item(intern!(py, "pings_sent"), stats.pings_sent)?;
    fields.set_item(intern!(py, "pongs_received"), stats.pongs_received)?;
    fields.set_item(intern!(py, "round_trip"), seconds(stats.round_trip))?;
    fields.set_item(intern!(py, "smoothed_round_trip"), seconds(stats.smoothed_round_trip))?;
    fields.set_item(intern!(py, "buffered_amount"), stats.buffered_amount)?;
    fields.set_item(intern!(py, "inbox"), stats.inbox + kept)?;
    fields.set_item(intern!(py, "expired"), stats.expired)?;
    fields.set_item(intern!(py, "stalled"), seconds(stats.stalled))?;
    fields.set_item(intern!(py, "deflated"), stats.deflated)?;
    fields.set_item(intern!(py, "inflated"), stats.inflated)?;
    Ok(fields)
}

/// The messages that never left; a second call finds none.
pub(crate) fn take_unsent(py: Python<'_>, client: &Client) -> PyResult<Vec<Py<PyAny>>> {
    let unsent = client.take_unsent().map_err(|failure| error::raise(py, &failure))?.into_iter();
    unsent.map(|(kind, bytes)| message::to_python(py, kind, &bytes)).collect()
}

/// Seconds since the epoch, as `time.time` has them.
pub(crate) fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
