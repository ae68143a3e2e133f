//! The opening handshake: reading the request, accepting it, refusing it.

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::StatusCode;
use tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::connection::{Connection, Ended};
use crate::endpoints::Failure;

/// Longest request head that is read.
const MAX_HEAD: usize = 128 << 10;

/// Reads the request; what cannot be a request is refused.
pub(crate) async fn read_request(connection: &mut Connection) -> Result<Request, Failure> {
    let request = connection.read_head(|unread| match Request::try_parse(unread) {
        Ok(Some((length, request))) => Some((length, Ok(request))),
        Ok(None) if unread.len() > MAX_HEAD => {
            Some((0, Err(format!("request head exceeds {MAX_HEAD} bytes"))))
        }
        Ok(None) => None,
        Err(error) => Some((0, Err(format!("cannot read the request: {error}")))),
    });
    Ok(request.await??)
}

/// Answers 101 at once, in a segment of its own.
pub(crate) async fn accept(connection: &mut Connection, request: &Request) -> Result<(), Failure> {
    queue_accept(connection, request, None)?;
    Ok(connection.write().await.map_err(Ended::from)?)
}

/// Puts the 101 into the outbox, with `subprotocol` whether or not the client offered it.
pub(crate) fn queue_accept(
    connection: &mut Connection,
    request: &Request,
    subprotocol: Option<&str>,
) -> Result<(), Failure> {
    let mut response =
        create_response(request).map_err(|error| format!("not a WebSocket handshake: {error}"))?;
    if let Some(subprotocol) = subprotocol {
        let value = HeaderValue::from_str(subprotocol)
            .map_err(|_| format!("a subprotocol cannot be sent as {subprotocol:?}"))?;
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| format!("cannot answer: {error}"))?;
    connection.outbox.raw(&bytes);
    Ok(())
}

/// Answers with `status`, the headers as they are given and a body, then closes the connection. A 101 has no body and stays open
/// until the client closes.
pub(crate) async fn respond(
    connection: &mut Connection,
    status: StatusCode,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(), Ended> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or("Unnamed")
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        head.push_str("\r\n");
        connection.outbox.raw(head.as_bytes());
        connection.write().await?;
        while connection.receive_raw().await.is_ok() {}
        return Ok(());
    }
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    if !given("content-length") && !given("transfer-encoding") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    if !given("connection") {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    connection.outbox.raw(head.as_bytes());
    connection.outbox.raw(body.as_bytes());
    connection.finish().await
}
