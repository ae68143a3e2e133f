//! One established connection: a reader that turns bytes into items, and an
//! outbox that turns messages into bytes.

pub(crate) mod outbox;
pub(crate) mod reader;
