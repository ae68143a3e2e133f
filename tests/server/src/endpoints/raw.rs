//! `/raw` sends scripted bytes and notes how the client closes; `/raw-result` tells another connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tungstenite::handshake::server::Request;

use crate::connection::{Connection, Ended};
use crate::endpoints::Failure;
use crate::frame::{CLOSE, close_payload};
use crate::handshake;
use crate::query::Query;

/// The client never sent a close frame.
const NONE: &str = "none";

/// How clients of `/raw` closed, by the id they gave; empty until it is known.
#[derive(Default)]
pub(crate) struct Results(Mutex<HashMap<String, watch::Sender<Option<String>>>>);

impl Results {
    fn entry(&self, id: &str) -> watch::Sender<Option<String>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id.to_owned())
            .or_default()
            .clone()
    }
}

/// `/raw`
pub(crate) async fn raw(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
    results: &Results,
) -> Result<(), Failure> {
    let script = query.hex("after")?;
    let with_answer = query.flag("with101")?;
    let result = query.text("id").map(|id| results.entry(id));
    if let Some(result) = &result {
        result.send_replace(None);
    }

    handshake::queue_accept(connection, request, None)?;
    let outcome = play(connection, &script, with_answer).await;
    if let Some(result) = result {
        result.send_replace(Some(
            outcome.as_ref().map_or_else(|_| NONE.to_owned(), |close| describe(close)),
        ));
    }
    let close = outcome?;
    if !contains_close(&script) {
        connection.outbox.frame(CLOSE, &close);
    }
    Ok(connection.finish().await?)
}

/// Sends the script and returns the payload of the client's close frame.
async fn play(
    connection: &mut Connection,
    script: &[u8],
    with_answer: bool,
) -> Result<Vec<u8>, Failure> {
    if !with_answer {
        connection.write().await?;
    }
    connection.outbox.raw(script);
    connection.write().await?;
    loop {
        let (opcode, payload) = connection.receive_raw().await?;
        if opcode == CLOSE {
            return Ok(payload.to_vec());
        }
    }
}

/// Code and reason as they came, whether or not they may be sent; 1005 stands for no code.
fn describe(close: &[u8]) -> String {
    let (code, reason) = close_payload(close);
    let text = format!("{} {}", code.unwrap_or(1005), String::from_utf8_lossy(reason));
    text.trim_end().to_owned()
}

/// Whether the script, read as the server's frames, has a close frame of its own, so that another would be one too many.
fn contains_close(mut script: &[u8]) -> bool {
    while let &[head, second, ref rest @ ..] = script {
        if head & 0x0f == CLOSE {
            return true;
        }
        let (extra, length) = match (second & 0x7f, rest) {
            (126, &[a, b, ..]) => (2, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => {
                (8, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            (126 | 127, _) => return false,
            (length, _) => (0, u64::from(length)),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let Some(next) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(length.checked_add(extra + mask)?..))
        else {
            return false;
        };
        script = next;
    }
    false
}

/// `/raw-result`
pub(crate) async fn result(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
    results: &Results,
) -> Result<(), Failure> {
    let id = query.required_text("id")?;
    let mut known = results.entry(id).subscribe();
    handshake::accept(connection, request).await?;
    let text = tokio::select! {
        known = known.wait_for(Option::is_some) => known.ok().and_then(|result| result.clone()).unwrap_or_default(),
        ended = until_ended(connection) => return Err(ended.into()),
    };
    connection.outbox.text(&text);
    Ok(connection.close(Some(1000), "").await?)
}

async fn until_ended(connection: &mut Connection) -> Ended {
    loop {
        if let Err(ended) = connection.receive().await {
            return ended;
        }
    }
}
