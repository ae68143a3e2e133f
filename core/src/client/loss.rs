//! What is known of a connection that has ended.

use super::policy;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};

/// How a connection ended.
pub(crate) struct Loss {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) clean: bool,
    /// There was a close frame of the peer's.
    pub(crate) closed_by_peer: bool,
    pub(crate) error: Option<Error>,
    /// The user wanted the end.
    pub(crate) stop: bool,
    /// The user wanted another connection.
    pub(crate) replaced: bool,
}

impl Loss {
    pub(crate) fn failure(error: Error) -> Loss {
        Loss {
            code: 1006,
            reason: String::new(),
            clean: false,
            closed_by_peer: false,
            error: Some(error),
            stop: false,
            replaced: false,
        }
    }

    /// Whether no other connection follows, attempts and the user permitting.
    pub(super) fn is_final(&self, shared: &Shared) -> bool {
        let Some(options) = shared.config.reconnect.as_ref().filter(|_| !self.stop) else {
            return true;
        };
        if shared.config.should_reconnect || self.replaced {
            return false;
        }
        !policy::is_retried(options, &self.cause(), self.peer_code())
    }

    /// The code of the peer's close frame.
    pub(crate) fn peer_code(&self) -> Option<u16> {
        self.closed_by_peer.then_some(self.code)
    }

    /// The error, or what to say where one is wanted and there is only a close code.
    pub(crate) fn cause(&self) -> Error {
        if let Some(error) = &self.error {
            return error.clone();
        }
        let reason = if self.reason.is_empty() { "without a reason" } else { &self.reason };
        let text = format!("the server closed the connection with code {}: {reason}", self.code);
        Error::new(ErrorKind::Closed, text)
    }
}
