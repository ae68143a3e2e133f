//! A message sent in fragments (RFC 6455 section 5.4), for what is too large
//! to have at once, or not there yet.

use super::handle::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::event::MessageKind;

/// A message that is sent piece by piece; made by [`Client::begin_message`].
///
/// Whole messages sent meanwhile wait, within `send_buffer`, until this one is
/// finished. One that is dropped unfinished cannot be completed any more:
/// its connection is given up with close code 1011.
#[must_use]
pub struct MessageWriter {
    client: Client,
    /// The connection the message goes over.
    epoch: u64,
    kind: MessageKind,
    finished: bool,
}

impl MessageWriter {
    pub(crate) fn new(client: Client, kind: MessageKind, epoch: u64) -> MessageWriter {
        MessageWriter { client, epoch, kind, finished: false }
    }

    /// Sends the next piece as one fragment, or the first. Text may be cut anywhere.
    ///
    /// [`ErrorKind::Full`] and [`ErrorKind::Utf8`] took nothing of the piece, and another
    /// may follow; after [`ErrorKind::Lost`] and [`ErrorKind::Closed`] none can.
    pub fn write(&mut self, payload: &[u8]) -> Result<()> {
        let _ = (payload, self.kind, self.epoch, &self.client);
        Err(Error::new(ErrorKind::Unsupported, "not built yet"))
    }

    /// Ends the message. Never [`ErrorKind::Full`]. [`ErrorKind::Utf8`] if the text ends inside a
    /// character, which gives up the connection.
    pub fn finish(mut self) -> Result<()> {
        self.finished = true;
        Err(Error::new(ErrorKind::Unsupported, "not built yet"))
    }
}
