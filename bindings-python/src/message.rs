//! Payloads as `str` and `bytes`, both ways, with one copy or none.

use longwire::{Client, Error, MessageKind, SendOptions, Sent};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// From here on copying, masking and writing take longer than letting other
/// threads run.
const DETACH: usize = 64 << 10;

/// Received bytes: `str` for text, `bytes` for binary.
pub(crate) fn to_python(py: Python<'_>, kind: MessageKind, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    let start = bytes.as_ptr().cast();
    let len = bytes.len().cast_signed();
    // SAFETY: `start` and `len` describe a live slice, which both functions
    // copy; each returns a new reference, or null with an exception set.
    unsafe {
        let object = match kind {
            MessageKind::Text => ffi::PyUnicode_FromStringAndSize(start, len),
            MessageKind::Binary => ffi::PyBytes_FromStringAndSize(start, len),
        };
        Bound::from_owned_ptr_or_err(py, object).map(Bound::unbind)
    }
}

/// What the `decode` argument of `recv` asks for.
#[derive(Clone, Copy)]
pub(crate) enum Decode {
    /// `str` for text, `bytes` for binary.
    AsSent,
    /// Always `str`.
    Str,
    /// Always `bytes`.
    Bytes,
}

impl From<Option<bool>> for Decode {
    fn from(decode: Option<bool>) -> Self {
        match decode {
            None => Decode::AsSent,
            Some(true) => Decode::Str,
            Some(false) => Decode::Bytes,
        }
    }
}

impl Decode {
    pub(crate) fn apply(self, py: Python<'_>, message: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let bound = message.bind(py);
        match self {
            Decode::Str if bound.is_instance_of::<PyBytes>() => {
                Ok(bound.call_method1("decode", ("utf-8",))?.unbind())
            }
            Decode::Bytes if bound.is_instance_of::<PyString>() => {
                Ok(bound.call_method1("encode", ("utf-8",))?.unbind())
            }
            _ => Ok(message),
        }
    }
}

/// A message to send. The object is immutable, so that its bytes may be read
/// while other threads run.
pub(crate) struct Outgoing {
    kind: MessageKind,
    object: Payload,
    options: SendOptions,
}

enum Payload {
    Str(Py<PyString>),
    Bytes(Py<PyBytes>),
}

impl Outgoing {
    /// `None` if `message` is neither `str` nor bytes-like.
    pub(crate) fn new(
        message: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<Option<Outgoing>> {
        let py = message.py();
        let (object, default) = if let Ok(string) = message.cast::<PyString>() {
            (Payload::Str(string.clone().unbind()), MessageKind::Text)
        } else if let Ok(bytes) = message.cast::<PyBytes>() {
            (Payload::Bytes(bytes.clone().unbind()), MessageKind::Binary)
        } else if let Some(bytes) = copy_buffer(message)? {
            (Payload::Bytes(bytes.unbind()), MessageKind::Binary)
        } else {
            return Ok(None);
        };
        if let Payload::Str(string) = &object {
            // Lone surrogates fail here, where the caller is.
            string.bind(py).to_str()?;
        }
        let kind = match text {
            None => default,
            Some(true) => MessageKind::Text,
            Some(false) => MessageKind::Binary,
        };
        let mut options = SendOptions::default();
        options.compress = compress;
        Ok(Some(Outgoing { kind, object, options }))
    }

    /// The same for where nothing else is allowed; `what` names it.
    pub(crate) fn only(
        what: &str,
        message: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<Outgoing> {
        let Some(outgoing) = Outgoing::new(message, text, compress)? else {
            let name = message.get_type().name()?;
            let text = format!("{what} must be str or bytes-like, not {name}");
            return Err(PyTypeError::new_err(text));
        };
        Ok(outgoing)
    }

    pub(crate) fn is_str(&self) -> bool {
        matches!(self.object, Payload::Str(_))
    }

    pub(crate) fn kind(&self) -> MessageKind {
        self.kind
    }

    pub(crate) fn options(&self, ahead: bool) -> SendOptions {
        let mut options = self.options;
        options.ahead = ahead;
        options
    }

    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match &self.object {
            // The conversion succeeded in `new`, and its result is cached in the string.
            Payload::Str(string) => string.bind(py).to_str().map_or(&[], str::as_bytes),
            Payload::Bytes(bytes) => bytes.bind(py).as_bytes(),
        }
    }

    /// Sends from an event loop's thread; `ahead` of the queue if it belongs to `on_open`.
    pub(crate) fn send_in_turn(
        &self,
        py: Python<'_>,
        client: &Client,
        ahead: bool,
    ) -> Result<Sent, Error> {
        let mut options = self.options(ahead);
        options.in_turn = true;
        self.send_with(py, client, options)
    }

    /// Sends from any thread.
    pub(crate) fn send(&self, py: Python<'_>, client: &Client, ahead: bool) -> Result<(), Error> {
        self.send_with(py, client, self.options(ahead)).map(drop)
    }

    fn send_with(
        &self,
        py: Python<'_>,
        client: &Client,
        options: SendOptions,
    ) -> Result<Sent, Error> {
        self.hand_over(py, |bytes| client.send_with(self.kind, bytes, options))
    }

    /// Has `taker` take the bytes, while other threads run if they are many.
    pub(crate) fn hand_over<T: Send>(
        &self,
        py: Python<'_>,
        taker: impl FnOnce(&[u8]) -> T + Send,
    ) -> T {
        let bytes = self.bytes(py);
        if bytes.len() < DETACH { taker(bytes) } else { py.detach(|| taker(bytes)) }
    }
}

/// The contents of a `bytearray`, a `memoryview` and the like, as they are now;
/// `None` for anything else.
fn copy_buffer<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    // SAFETY: `object` is a live object and the interpreter is attached.
    if unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) } == 0 {
        return Ok(None);
    }
    // SAFETY: as above; the result is a new reference to a `bytes`, or null with an exception set.
    unsafe {
        let bytes = ffi::PyBytes_FromObject(object.as_ptr());
        Ok(Some(Bound::from_owned_ptr_or_err(object.py(), bytes)?.cast_into_unchecked()))
    }
}
