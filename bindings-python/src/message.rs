//! Payloads as `str` and `bytes`, both ways, with one copy or none.

use longwire::{Client, Error, Message, MessageKind, SendOptions, Sent};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// From here on copying, masking and writing take longer than letting other
/// threads run.
const DETACH: usize = 64 << 10;

/// A received message: `str` for text, `bytes` for binary.
pub(crate) fn to_python(py: Python<'_>, message: &Message<'_>) -> PyResult<Py<PyAny>> {
    let bytes = message.as_bytes();
    let start = bytes.as_ptr().cast();
    let len = bytes.len().cast_signed();
    // SAFETY: `start` and `len` describe a live slice, which both functions
    // copy; each returns a new reference, or null with an exception set.
    unsafe {
        let object = match message.kind() {
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
    pub(crate) fn new(
        message: &Bound<'_, PyAny>,
        text: Option<bool>,
        compress: bool,
    ) -> PyResult<Outgoing> {
        let py = message.py();
        let (object, default) = if let Ok(string) = message.cast::<PyString>() {
            (Payload::Str(string.clone().unbind()), MessageKind::Text)
        } else if let Ok(bytes) = message.cast::<PyBytes>() {
            (Payload::Bytes(bytes.clone().unbind()), MessageKind::Binary)
        } else {
            (Payload::Bytes(copy_buffer(message)?.unbind()), MessageKind::Binary)
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
        Ok(Outgoing { kind, object, options })
    }

    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match &self.object {
            // The conversion succeeded in `new`, and its result is cached in the string.
            Payload::Str(string) => string.bind(py).to_str().map_or(&[], str::as_bytes),
            Payload::Bytes(bytes) => bytes.bind(py).as_bytes(),
        }
    }

    /// Sends from an event loop's thread.
    pub(crate) fn send_in_turn(&self, py: Python<'_>, client: &Client) -> Result<Sent, Error> {
        let mut options = self.options;
        options.in_turn = true;
        self.send_with(py, client, options)
    }

    /// Sends from any thread.
    pub(crate) fn send(&self, py: Python<'_>, client: &Client) -> Result<(), Error> {
        self.send_with(py, client, self.options).map(drop)
    }

    fn send_with(
        &self,
        py: Python<'_>,
        client: &Client,
        options: SendOptions,
    ) -> Result<Sent, Error> {
        let (kind, bytes) = (self.kind, self.bytes(py));
        if bytes.len() < DETACH {
            client.send_with(kind, bytes, options)
        } else {
            py.detach(|| client.send_with(kind, bytes, options))
        }
    }
}

/// The contents of a `bytearray`, a `memoryview` and the like, as they are now.
fn copy_buffer<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: `object` is a live object and the interpreter is attached.
    if unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) } == 0 {
        let name = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!("message must be str or bytes-like, not {name}")));
    }
    // SAFETY: as above; the result is a new reference to a `bytes`, or null with an exception set.
    unsafe {
        let bytes = ffi::PyBytes_FromObject(object.as_ptr());
        Ok(Bound::from_owned_ptr_or_err(object.py(), bytes)?.cast_into_unchecked())
    }
}
