//! Paths that answer a handshake with an HTTP status of the test's choice.

use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::server::Request;
use tungstenite::http::StatusCode;
use tungstenite::http::header::SEC_WEBSOCKET_KEY;

use crate::connection::Connection;
use crate::endpoints::Failure;
use crate::endpoints::conversation::echo_messages;
use crate::handshake;
use crate::query::Query;

/// Stands in a header's value for the right `Sec-WebSocket-Accept`.
const ACCEPT: &str = "{accept}";

/// `/http`
pub(crate) async fn http(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let status: u16 = query.required_number("status")?;
    let status = StatusCode::from_u16(status)
        .map_err(|_| format!("parameter status should be from 100 to 999, got {status}"))?;
    let accept = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .map_or_else(String::new, |key| derive_accept_key(key.as_bytes()));
    let headers = query
        .all("header")
        .map(|header| {
            let (name, value) = header
                .split_once(':')
                .ok_or_else(|| format!("parameter header should be Name: value, got {header:?}"))?;
            Ok((name, value.trim_start().replace(ACCEPT, &accept)))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(handshake::respond(connection, status, &headers, query.text("body").unwrap_or("")).await?)
}

/// `/need-header`
pub(crate) async fn need_header(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let (name, expected) = (query.required_text("name")?, query.required_text("value")?);
    let got: Vec<_> = request
        .headers()
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    if !got.iter().any(|value| value == expected) {
        let got = if got.is_empty() { "no such header".to_owned() } else { got.join(", ") };
        return Err(Failure::Refused(
            StatusCode::FORBIDDEN,
            format!("expected {name}: {expected}, got {got}"),
        ));
    }
    handshake::accept(connection, request).await?;
    echo_messages(connection, None).await
}
