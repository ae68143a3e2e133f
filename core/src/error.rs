//! One error type for the whole project.
//!
//! Every failure has a [`ErrorKind`] with a number that never changes: the C
//! codes, the Python exceptions and Node's `error.code` are translations of
//! this one table (`docs/errors.md`).

use std::fmt;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $name:ident = $number:literal, $symbol:literal, $retry:literal; )+) => {
        /// What went wrong, as a stable number and name.
        ///
        /// Numbers are negative, never reused and never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorKind { $( $(#[doc = $doc])+ $name = $number, )+ }

        impl ErrorKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &'static [ErrorKind] = &[ $( ErrorKind::$name, )+ ];

            /// The symbolic name shared by all languages, such as `"EURL"`.
            ///
            /// C spells it `LW_EURL`, Node's `error.code` is `"LW_EURL"`.
            pub const fn symbol(self) -> &'static str {
                match self { $( ErrorKind::$name => $symbol, )+ }
            }

            /// Whether a persistent client tries again after this error.
            ///
            /// [`ErrorKind::Status`] depends on the status as well, see
            /// [`Error::is_retryable`].
            pub const fn is_retryable(self) -> bool {
                match self { $( ErrorKind::$name => $retry, )+ }
            }
        }
    };
}

kinds! {
    /// An argument is not what the function takes (a null pointer, a header
    /// name with a line break, an unknown option).
    Invalid = -1, "EINVAL", false;
    /// The URL cannot be used: not a URL, not `ws:` or `wss:`, or no host.
    Url = -2, "EURL", false;
    /// The connection is closed or closing, or this client never opens again.
    Closed = -3, "ECLOSED", false;
    /// The send buffer is full; nothing of the message was taken. A `drain`
    /// event follows.
    Full = -4, "EFULL", false;
    /// Not connected, and the client was told to refuse sends meanwhile.
    Offline = -5, "EOFFLINE", false;
    /// A time limit passed: connecting, the handshake, or a wait.
    Timeout = -6, "ETIMEOUT", true;
    /// The host name did not resolve.
    Dns = -7, "EDNS", true;
    /// No connection: refused, unreachable, a proxy that does not let us through, and the like.
    Connect = -8, "ECONNECT", true;
    /// The TLS handshake or a TLS record failed.
    Tls = -9, "ETLS", true;
    /// The server's certificate was not accepted.
    Certificate = -10, "ECERT", false;
    /// The server answered, but not with a valid WebSocket handshake
    /// (RFC 6455 section 4.1).
    Handshake = -11, "EHANDSHAKE", false;
    /// The server answered the handshake with another status than 101.
    Status = -12, "ESTATUS", false;
    /// The peer broke the protocol (RFC 6455 section 7.4.1, code 1002).
    Protocol = -13, "EPROTO", true;
    /// The peer sent text that is not UTF-8 (code 1007).
    Utf8 = -14, "EUTF8", true;
    /// A message is larger than the limit (code 1009 if the peer sent it).
    TooBig = -15, "ETOOBIG", true;
    /// The TCP connection ended without a closing handshake.
    Lost = -16, "ELOST", true;
    /// The peer did not answer a heartbeat ping in time.
    Heartbeat = -17, "EHEARTBEAT", true;
    /// The operating system refused a resource: a thread, a descriptor, memory.
    Resource = -18, "ERESOURCE", true;
    /// The client is being driven already, by another thread or by the caller
    /// further up the stack; or another message sent in fragments is unfinished.
    Busy = -19, "EBUSY", false;
    /// The client was made by the parent of this forked process.
    Forked = -20, "EFORKED", false;
    /// A defect in longwire itself or in a handler: a panic was caught, the
    /// client is closed.
    Panic = -21, "EPANIC", false;
    /// This drive mode does not have the operation (polling a client that the
    /// internal runtime drives).
    Unsupported = -22, "EUNSUPPORTED", false;
    /// The user's hook before an attempt failed, or gave up.
    Hook = -23, "EHOOK", true;
}

impl ErrorKind {
    /// The stable number, always negative.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// What the server answered when it refused the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status code.
    pub status: u16,
    /// Response headers in the order they came, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The beginning of the body, at most 4 KiB.
    pub body: Vec<u8>,
}

/// An error with its kind, and a message that says what was expected and
/// what came.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    refusal: Option<Refusal>,
    /// No other attempt mends it, though one mends most of its kind.
    is_final: bool,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), refusal: None, is_final: false }))
    }

    pub(crate) fn refused(message: impl Into<String>, refusal: Refusal) -> Self {
        Error(Box::new(Inner {
            kind: ErrorKind::Status,
            message: message.into(),
            refusal: Some(refusal),
            is_final: false,
        }))
    }

    pub(crate) fn into_final(mut self) -> Self {
        self.0.is_final = true;
        self
    }

    /// Whether no rule of the user's can have it tried again.
    pub(crate) fn is_final(&self) -> bool {
        self.0.is_final && self.kind() == ErrorKind::Hook
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence for people, without the kind.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The server's answer, for [`ErrorKind::Status`].
    pub fn refusal(&self) -> Option<&Refusal> {
        self.0.refusal.as_ref()
    }

    /// Whether a persistent client tries again after this error.
    ///
    /// For a refused handshake the status decides: 408, 425, 429 and 5xx are
    /// tried again, everything else is final. So it is with the status by which a
    /// proxy refuses a tunnel; a proxy that does not accept the credentials is final.
    pub fn is_retryable(&self) -> bool {
        match self.refusal() {
            Some(refusal) => is_retryable_status(refusal.status),
            None => self.kind().is_retryable() && !self.0.is_final,
        }
    }
}

/// Whether an answer with this status may be another one the next time.
pub(crate) fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || (500..600).contains(&status)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_consecutive_and_negative() {
        for (i, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(kind.code(), -(i32::try_from(i).unwrap() + 1), "{kind:?}");
        }
    }

    #[test]
    fn the_status_decides_whether_a_refusal_is_final() {
        let status = |status| Error::refused("", Refusal { status, ..Refusal::default() });
        assert!(status(503).is_retryable());
        assert!(status(429).is_retryable());
        assert!(!status(403).is_retryable());
        assert!(!status(200).is_retryable());
    }
}
