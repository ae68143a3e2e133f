//! What a peer did that the protocol, or our limits, forbid.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// A reason to fail the connection (RFC 6455 section 7.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// [`ErrorKind::Protocol`], [`ErrorKind::Utf8`] or [`ErrorKind::TooBig`].
    pub kind: ErrorKind,
    /// What was expected and what came.
    pub message: String,
}

impl Violation {
    #[cold]
    #[inline(never)]
    pub(super) fn protocol(message: impl Into<String>) -> Violation {
        Violation { kind: ErrorKind::Protocol, message: message.into() }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn utf8(message: impl Into<String>) -> Violation {
        Violation { kind: ErrorKind::Utf8, message: message.into() }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn too_big(message: impl Into<String>) -> Violation {
        Violation { kind: ErrorKind::TooBig, message: message.into() }
    }

    /// The code to send in the close frame that answers it (section 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self.kind {
            ErrorKind::Utf8 => 1007,
            ErrorKind::TooBig => 1009,
            _ => 1002,
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Error {
        Error::new(violation.kind, violation.message)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_close_code_and_becomes_an_error() {
        for (violation, kind, code) in [
            (Violation::protocol("p"), ErrorKind::Protocol, 1002),
            (Violation::utf8("u"), ErrorKind::Utf8, 1007),
            (Violation::too_big("t"), ErrorKind::TooBig, 1009),
        ] {
            assert_eq!(violation.close_code(), code);
            let message = violation.message.clone();
            let error = Error::from(violation);
            assert_eq!((error.kind(), error.message()), (kind, message.as_str()));
        }
    }
}
