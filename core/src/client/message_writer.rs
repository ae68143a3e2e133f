//! A message sent in fragments (RFC 6455 section 5.4), for what is too large
//! to have at once, or not there yet.

use super::handle::Client;
use crate::error::Result;

/// A message that is sent piece by piece; made by [`Client::begin_message`].
///
/// Whole messages sent meanwhile wait, within `send_buffer`, until this one is
/// finished. One that is dropped after its first piece cannot be completed any more:
/// its connection is given up with close code 1011.
#[must_use]
pub struct MessageWriter {
    client: Client,
    /// The connection the message goes over.
    epoch: u64,
    finished: bool,
}

impl MessageWriter {
    pub(crate) fn new(client: Client, epoch: u64) -> MessageWriter {
        MessageWriter { client, epoch, finished: false }
    }

    /// Sends the next piece as one fragment. Text may be cut anywhere. Never blocks.
    ///
    /// [`ErrorKind::Full`] and [`ErrorKind::Utf8`] took nothing of the piece, and another
    /// may follow; after [`ErrorKind::Lost`] and [`ErrorKind::Closed`] none can.
    ///
    /// [`ErrorKind::Full`]: crate::ErrorKind::Full
    /// [`ErrorKind::Utf8`]: crate::ErrorKind::Utf8
    /// [`ErrorKind::Lost`]: crate::ErrorKind::Lost
    /// [`ErrorKind::Closed`]: crate::ErrorKind::Closed
    pub fn write(&mut self, payload: &[u8]) -> Result<()> {
        self.client.write_fragment(self.epoch, payload)
    }

    /// Ends the message. Never [`ErrorKind::Full`]. [`ErrorKind::Utf8`] if the text ends inside
    /// a character, which gives up the connection.
    ///
    /// [`ErrorKind::Full`]: crate::ErrorKind::Full
    /// [`ErrorKind::Utf8`]: crate::ErrorKind::Utf8
    pub fn finish(mut self) -> Result<()> {
        self.client.finish_fragments(self.epoch)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.client.give_up_fragments(self.epoch);
        }
    }
}

impl std::fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageWriter").field("client", &self.client).finish_non_exhaustive()
    }
}
