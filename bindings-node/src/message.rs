//! A message that JavaScript sends piece by piece.

use std::cell::RefCell;

use longwire::{Error, ErrorKind, MessageKind, MessageWriter, SendOptions};
use napi::Either;
use napi_derive::napi;

use crate::client::NativeClient;
use crate::convert::Failure;
use crate::link::{failed, guarded};

/// What `lib/send-stream.js` writes to.
#[napi]
pub struct NativeMessage {
    /// Gone once the message is complete or given up.
    writer: RefCell<Option<MessageWriter>>,
}

#[napi]
impl NativeClient {
    /// Begins a message on the connection of the moment. `ahead`: see [`SendOptions`].
    #[napi]
    pub fn begin_message(
        &self,
        text: bool,
        compress: bool,
        ahead: bool,
    ) -> Either<NativeMessage, Failure> {
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        let mut options = SendOptions::default();
        options.compress = compress;
        options.ahead = ahead;
        match self.link().with_client(|client| client.begin_message(kind, options)) {
            Ok(writer) => Either::A(NativeMessage { writer: RefCell::new(Some(writer)) }),
            Err(error) => Either::B(Failure::new(&error)),
        }
    }
}

#[napi]
impl NativeMessage {
    /// Sends the next piece, or takes nothing of it.
    #[napi]
    pub fn write(&self, piece: &[u8]) -> Option<Failure> {
        let mut writer = self.writer.borrow_mut();
        failed(match &mut *writer {
            Some(writer) => guarded(|| writer.write(piece)),
            None => Err(gone()),
        })
    }

    /// Ends the message.
    #[napi]
    pub fn finish(&self) -> Option<Failure> {
        let writer = self.writer.take();
        failed(writer.ok_or_else(gone).and_then(|writer| guarded(|| writer.finish())))
    }

    /// Gives it up, unless it is complete.
    #[napi]
    pub fn give_up(&self) {
        drop(self.writer.take());
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the message is complete or was given up")
}
