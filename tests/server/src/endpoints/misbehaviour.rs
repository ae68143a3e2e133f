//! Paths that do what no server should.

use std::future::pending;

use tungstenite::handshake::server::Request;

use crate::connection::Connection;
use crate::endpoints::Failure;
use crate::endpoints::conversation::echo_messages;
use crate::handshake;
use crate::query::Query;

/// `/drop`
pub(crate) async fn drop_connection(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let after = query.number("after", 0)?;
    let reset = query.flag("rst")?;
    handshake::accept(connection, request).await?;
    echo_messages(connection, Some(after)).await?;
    Ok(connection.drop_tcp(reset).await?)
}

/// `/stall`
pub(crate) async fn stall(connection: &mut Connection, request: &Request) -> Result<(), Failure> {
    handshake::accept(connection, request).await?;
    pending().await
}

/// `/stall-handshake`
pub(crate) async fn stall_handshake() -> Result<(), Failure> {
    pending().await
}

/// `/garbage`
pub(crate) async fn garbage(connection: &mut Connection) -> Result<(), Failure> {
    connection.outbox.raw(b"\x16\x03\x00this is not HTTP\xff\xfe\r\n\r\n");
    Ok(connection.finish().await?)
}
