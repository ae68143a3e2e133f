//! `/push`: as many messages as fast as the client takes them.

use tungstenite::handshake::server::Request;

use crate::connection::Connection;
use crate::endpoints::Failure;
use crate::frame::{BINARY, TEXT};
use crate::handshake;
use crate::query::Query;

/// How much is put together before it is written.
const BATCH: usize = 256 << 10;
/// Larger messages would ask for more memory than a test should.
const MAX_SIZE: usize = 256 << 20;

pub(crate) async fn push(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let count: u64 = query.required_number("count")?;
    let size: usize = query.required_number("size")?;
    let window: u64 = query.number("window", 0)?;
    let opcode = match query.text("kind") {
        None | Some("text") => TEXT,
        Some("binary") => BINARY,
        Some(kind) => {
            return Err(format!("parameter kind should be text or binary, got {kind:?}").into());
        }
    };
    if size > MAX_SIZE {
        return Err(format!("parameter size should be at most {MAX_SIZE}, got {size}").into());
    }
    handshake::accept(connection, request).await?;

    // Messages that the client may still be sent; each message of its own allows `window` more.
    let mut credit = if window == 0 { count } else { window };
    let mut number = 0;
    while number < count {
        while number < count && credit > 0 && connection.outbox.unwritten().len() < BATCH {
            connection.outbox.padded_frame(opcode, format!("{number} ").as_bytes(), size, b'.');
            number += 1;
            credit -= 1;
        }
        let mut acknowledged = connection.flush().await?;
        if credit == 0 && acknowledged == 0 && number < count {
            connection.receive_message().await?;
            acknowledged = 1;
        }
        credit = credit.saturating_add(acknowledged.saturating_mul(window));
    }
    Ok(connection.close(Some(1000), "").await?)
}
