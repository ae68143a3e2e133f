//! The request, and what a user may put into it.
//!
//! **No value of the user's can end a line**: whatever could smuggle in a
//! header or a second request is refused with a message that names the
//! culprit. Messages never quote a header's value: credentials travel there.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use tungstenite::handshake::client::generate_request;

use super::super::entropy::random;
use super::super::target::Target;
use super::extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Config;

/// The request's bytes and its key.
pub(super) fn build(target: &Target, config: &Config) -> Result<(Vec<u8>, String)> {
    check_subprotocols(&config.subprotocols)?;
    let mut host = None;
    for (name, text) in &config.headers {
        let parsed = header_name(name)?;
        let value = header_value(&parsed, text)?;
        if parsed == HOST {
            if text.is_empty() || value.to_str().is_err() {
                return Err(invalid("header \"Host\": expected a host in ASCII"));
            }
            if host.replace(value).is_some() {
                return Err(invalid("header \"Host\": expected it once, got it twice"));
            }
        } else if parsed == ORIGIN && config.origin.is_some() {
            return Err(invalid(
                "header \"Origin\": expected it as a header or as the option, got both",
            ));
        } else if parsed == AUTHORIZATION && target.credentials.is_some() {
            return Err(invalid(
                "header \"Authorization\": expected it as a header or as user and password in the \
                 URL, got both",
            ));
        }
    }
    if let Some(origin) = &config.origin {
        header_value(&ORIGIN, origin)?;
    }
    // Sixteen bytes that nobody can predict (RFC 6455 section 4.1).
    let key = BASE64_STANDARD.encode(random::<16>());
    let host = match host {
        Some(host) => host,
        None => header_value(&HOST, &target.authority)?,
    };
    let (mut request, key) = http::Request::get(&target.path_and_query)
        .header(HOST, host)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key)
        .body(())
        .map_err(tungstenite::Error::from)
        .and_then(generate_request)
        .map_err(|error| Error::new(ErrorKind::Url, format!("no request can be made: {error}")))?;

    // tungstenite would write these in the order of its map and in lower
    // case; some servers look at the case, and users at the order.
    request.truncate(request.len() - b"\r\n".len());
    let mut line = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
    };
    if !config.subprotocols.is_empty() {
        line("Sec-WebSocket-Protocol", &config.subprotocols.join(", "));
    }
    if let Some(compression) = &config.compression {
        line("Sec-WebSocket-Extensions", &extensions::offer(compression));
    }
    if let Some(origin) = &config.origin {
        line("Origin", origin);
    }
    if let Some(credentials) = &target.credentials {
        line("Authorization", &credentials.basic());
    }
    for (name, value) in &config.headers {
        if !name.eq_ignore_ascii_case(HOST.as_str()) {
            line(name, value);
        }
    }
    request.extend_from_slice(b"\r\n");
    Ok((request, key))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A name that the user may set.
fn header_name(name: &str) -> Result<HeaderName> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        invalid(format!("expected a header name (letters, digits, '-'), got {name:?}"))
    })?;
    let ours = [UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&parsed)
        || parsed.as_str().starts_with("sec-websocket-");
    if ours {
        return Err(invalid(format!(
            "header {name:?}: cannot be set, as it makes the WebSocket handshake"
        )));
    }
    Ok(parsed)
}

fn header_value(name: &HeaderName, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
        let culprit = value.char_indices().find(|(_, c)| c.is_ascii_control() && *c != '\t');
        let (offset, culprit) = culprit.unwrap_or_default();
        invalid(format!(
            "header {:?}: expected a value without control characters, \
             got {culprit:?} at offset {offset}",
            name.as_str()
        ))
    })
}

/// Subprotocols are tokens (RFC 9110 section 5.6.2), each offered once.
fn check_subprotocols(subprotocols: &[String]) -> Result<()> {
    let is_token_char = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    for (i, subprotocol) in subprotocols.iter().enumerate() {
        if subprotocol.is_empty() || !subprotocol.bytes().all(is_token_char) {
            return Err(invalid(format!(
                "Sec-WebSocket-Protocol: expected subprotocols of letters, digits and \
                 !#$%&'*+-.^_`|~, got {subprotocol:?}"
            )));
        }
        if subprotocols[..i].iter().any(|earlier| earlier.eq_ignore_ascii_case(subprotocol)) {
            return Err(invalid(format!(
                "Sec-WebSocket-Protocol: expected each subprotocol once, got {subprotocol:?} twice"
            )));
        }
    }
    Ok(())
}
