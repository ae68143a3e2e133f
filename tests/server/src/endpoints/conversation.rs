//! Paths that talk as a good server does.

use serde_json::{Map, Value};
use tungstenite::handshake::server::Request;
use tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

use crate::connection::{Connection, Ended, Event};
use crate::endpoints::Failure;
use crate::handshake;
use crate::query::Query;

/// A close frame's payload has 125 bytes, two of which are the code.
const MAX_REASON: usize = 123;

/// `/echo`
pub(crate) async fn echo(connection: &mut Connection, request: &Request) -> Result<(), Failure> {
    handshake::accept(connection, request).await?;
    echo_messages(connection, None).await
}

/// Sends messages back as they came, `limit` of them or all.
pub(crate) async fn echo_messages(
    connection: &mut Connection,
    limit: Option<u64>,
) -> Result<(), Failure> {
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        let (event, outbox) = connection.receive().await?;
        match event {
            Event::Text(text) => outbox.text(text),
            Event::Binary(bytes) => outbox.binary(bytes),
            Event::Pong(_) => continue,
        }
        left -= 1;
    }
    connection.flush().await?;
    Ok(())
}

/// `/count`
pub(crate) async fn count(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let every: u64 = query.number("every", 1)?;
    if every == 0 {
        return Err("parameter every should be at least 1, got 0".to_owned().into());
    }
    handshake::accept(connection, request).await?;
    let (mut messages, mut bytes) = (0u64, 0usize);
    loop {
        let (event, outbox) = connection.receive().await?;
        bytes += match event {
            Event::Text(text) => text.len(),
            Event::Binary(bytes) => bytes.len(),
            Event::Pong(_) => continue,
        };
        messages += 1;
        if messages.is_multiple_of(every) {
            outbox.text(&format!("{messages} {bytes}"));
        }
    }
}

/// `/order`
pub(crate) async fn order(connection: &mut Connection, request: &Request) -> Result<(), Failure> {
    handshake::accept(connection, request).await?;
    let mut expected = 0u64;
    loop {
        let (event, outbox) = connection.receive().await?;
        let got = match event {
            Event::Text(text) if text.parse() == Ok(expected) => {
                outbox.text(text);
                expected += 1;
                continue;
            }
            Event::Text(text) => text.chars().take(20).collect(),
            Event::Binary(bytes) => format!("{} bytes of binary", bytes.len()),
            Event::Pong(_) => continue,
        };
        return Ok(connection.close(Some(1008), &format!("expected {expected} got {got}")).await?);
    }
}

/// `/close`
pub(crate) async fn close(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let code: u16 = query.required_number("code")?;
    let reason = query.text("reason").unwrap_or("");
    if reason.len() > MAX_REASON {
        return Err(format!(
            "parameter reason should have at most {MAX_REASON} bytes, got {}",
            reason.len()
        )
        .into());
    }
    handshake::accept(connection, request).await?;
    Ok(connection.close((code != 0).then_some(code), reason).await?)
}

/// `/headers`
pub(crate) async fn headers(connection: &mut Connection, request: &Request) -> Result<(), Failure> {
    handshake::accept(connection, request).await?;
    let mut object = Map::new();
    for name in request.headers().keys() {
        let values: Vec<_> = request
            .headers()
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        object.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
    }
    connection.outbox.text(&Value::Object(object).to_string());
    echo_messages(connection, None).await
}

/// `/subprotocol`
pub(crate) async fn subprotocol(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let offered = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .next();
    handshake::queue_accept(connection, request, query.text("choose").or(offered))?;
    connection.write().await.map_err(Ended::from)?;
    echo_messages(connection, None).await
}
