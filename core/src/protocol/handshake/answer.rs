//! Whether an answer opens the connection (RFC 6455 section 4.1), and what a
//! refusal says.

use http::header::{
    CONNECTION, CONTENT_LENGTH, GetAll, HeaderMap, HeaderName, HeaderValue, LOCATION,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING,
    UPGRADE,
};
use tungstenite::handshake::client::Response;
use tungstenite::handshake::derive_accept_key;

use super::super::deflate::Agreement;
use super::{broken, extensions};
use crate::error::{Refusal, Result};
use crate::options::Compression;

/// What the request asked for.
#[derive(Debug)]
pub(super) struct Offer {
    accept: String,
    subprotocols: Vec<String>,
    compression: Option<Compression>,
}

/// What an answer with status 101 agreed to.
pub(super) struct Agreed {
    pub(super) subprotocol: Option<String>,
    pub(super) extensions: String,
    pub(super) deflate: Option<Agreement>,
}

impl Offer {
    pub(super) fn new(
        key: &str,
        subprotocols: Vec<String>,
        compression: Option<Compression>,
    ) -> Offer {
        Offer { accept: derive_accept_key(key.as_bytes()), subprotocols, compression }
    }

    /// What an answer with status 101 agreed to, if all of it is as it must
    /// be.
    pub(super) fn verify(&self, headers: &HeaderMap) -> Result<Agreed> {
        match single(headers, &UPGRADE)? {
            Some(value) if value.as_bytes().eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(expected("\"Upgrade: websocket\"", headers, &UPGRADE)),
        }
        let upgrades = headers.get_all(&CONNECTION).iter().any(|value| {
            value.as_bytes().split(|b| *b == b',').any(|token| is_token(token, b"upgrade"))
        });
        if !upgrades {
            return Err(expected("\"Connection: Upgrade\"", headers, &CONNECTION));
        }
        match single(headers, &SEC_WEBSOCKET_ACCEPT)? {
            Some(value) if value.as_bytes() == self.accept.as_bytes() => {}
            _ => {
                let wanted = format!("\"Sec-WebSocket-Accept: {}\"", self.accept);
                return Err(expected(&wanted, headers, &SEC_WEBSOCKET_ACCEPT));
            }
        }
        let subprotocol = self.subprotocol(headers)?;
        let (extensions, deflate) = self.extensions(headers)?;
        Ok(Agreed { subprotocol, extensions, deflate })
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>> {
        let Some(value) = single(headers, &SEC_WEBSOCKET_PROTOCOL)? else { return Ok(None) };
        match self.subprotocols.iter().find(|offered| offered.as_bytes() == value.as_bytes()) {
            Some(offered) => Ok(Some(offered.clone())),
            None => {
                let wanted = match self.subprotocols.as_slice() {
                    [] => "no Sec-WebSocket-Protocol, as no subprotocol was offered".to_owned(),
                    offered => format!("one of the subprotocols offered, {offered:?}"),
                };
                Err(expected(&wanted, headers, &SEC_WEBSOCKET_PROTOCOL))
            }
        }
    }

    /// The extensions as the answer names them, and what they mean.
    fn extensions(&self, headers: &HeaderMap) -> Result<(String, Option<Agreement>)> {
        let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS);
        let mut all = String::new();
        for value in values {
            let value = value
                .to_str()
                .map_err(|_| expected("extensions in ASCII", headers, &SEC_WEBSOCKET_EXTENSIONS))?;
            let separator = if all.is_empty() || value.is_empty() { "" } else { ", " };
            all.push_str(separator);
            all.push_str(value);
        }
        match extensions::agreement(self.compression.as_ref(), &all) {
            Ok(deflate) => Ok((all, deflate)),
            Err(wanted) => Err(expected(&wanted, headers, &SEC_WEBSOCKET_EXTENSIONS)),
        }
    }
}

/// The value of a header that may stand in an answer once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(expected(&format!("the header {name} once"), headers, name)),
    }
}

fn is_token(bytes: &[u8], token: &[u8]) -> bool {
    bytes.trim_ascii().eq_ignore_ascii_case(token)
}

#[cold]
fn expected(wanted: &str, headers: &HeaderMap, name: &HeaderName) -> crate::error::Error {
    let values = headers.get_all(name);
    if values.iter().next().is_none() {
        return broken(format!("expected {wanted} in the answer, got no header {name}"));
    }
    broken(format!("expected {wanted} in the answer, got {}", quoted(&values)))
}

fn quoted(values: &GetAll<'_, HeaderValue>) -> String {
    let quoted = |value: &HeaderValue| {
        let beginning = &value.as_bytes()[..value.len().min(100)];
        format!("\"{}\"", beginning.escape_ascii())
    };
    values.iter().take(4).map(quoted).collect::<Vec<_>>().join(" and ")
}

/// All headers as the user gets them.
pub(super) fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// How long the body is, if the headers say so.
pub(super) fn body_len(response: &Response) -> Option<usize> {
    if matches!(response.status().as_u16(), 204 | 304) {
        return Some(0);
    }
    let mut values = response.headers().get_all(CONTENT_LENGTH).iter();
    let len = values.next()?.to_str().ok()?.trim().parse().ok()?;
    (values.next().is_none() && !is_chunked(response.headers())).then_some(len)
}

pub(super) fn is_chunked(headers: &HeaderMap) -> bool {
    headers.get_all(TRANSFER_ENCODING).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|coding| is_token(coding, b"chunked"))
    })
}

/// The payload of those chunks that are there, the last perhaps in part.
pub(super) fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
        let (line, rest) = bytes.split_at(end + 1);
        let size = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|s| usize::from_str_radix(s, 16).ok());
        let Some(size @ 1..) = size else { break };
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        // The chunk ends with a line break of its own.
        bytes = rest.get(size..).unwrap_or_default();
        bytes = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")).unwrap_or_default();
    }
    body
}

/// One line for people: the status, and what the server said about it.
pub(super) fn refusal_message(refusal: &Refusal) -> String {
    let mut message = format!("expected status 101, the server answered {}", refusal.status);
    let status = http::StatusCode::from_u16(refusal.status).ok();
    if let Some(reason) = status.and_then(|status| status.canonical_reason()) {
        message.push(' ');
        message.push_str(reason);
    }
    let location = refusal.headers.iter().find(|(name, _)| *name == LOCATION.as_str());
    let detail = match location {
        Some((_, location)) if (300..400).contains(&refusal.status) => location,
        _ => &refusal.body,
    };
    let line = detail.trim_ascii().split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    if !line.is_empty() {
        let line = String::from_utf8_lossy(line);
        message.push_str(": ");
        message.extend(line.chars().filter(|c| !c.is_control()).take(200));
    }
    message
}
