//! The one extension there is: permessage-deflate, offered and agreed on (RFC
//! 7692 section 7.1).
//!
//! **What the answer does not say is as the offer had it, and what it says
//! must be something that the offer allowed.** Anything else fails the handshake
//! (section 5.1): two sides that disagree on parameters would garble messages.

use std::fmt::Write as _;

use super::super::deflate::Agreement;
use crate::options::Compression;

const NAME: &str = "permessage-deflate";
const CLIENT_FRESH: &str = "client_no_context_takeover";
const SERVER_FRESH: &str = "server_no_context_takeover";
const CLIENT_BITS: &str = "client_max_window_bits";
const SERVER_BITS: &str = "server_max_window_bits";

/// The value of `Sec-WebSocket-Extensions` in the request.
pub fn offer(options: &Compression) -> String {
    let mut offer = NAME.to_owned();
    let mut add = |wanted: bool, name: &str, bits: Option<u8>| {
        if wanted {
            // Writing to a String cannot fail.
            let _ = match bits {
                Some(bits) => write!(offer, "; {name}={bits}"),
                None => write!(offer, "; {name}"),
            };
        }
    };
    let (client, server) = (options.client_max_window_bits, options.server_max_window_bits);
    add(options.server_no_context_takeover, SERVER_FRESH, None);
    add(options.client_no_context_takeover, CLIENT_FRESH, None);
    add(server < 15, SERVER_BITS, Some(server));
    // Without a value the server may choose any.
    add(true, CLIENT_BITS, (client < 15).then_some(client));
    offer
}

/// What the `answer` to such an offer, or to none, means. The error is what
/// was expected instead.
pub fn agreement(options: Option<&Compression>, answer: &str) -> Result<Option<Agreement>, String> {
    let mut extensions = split(answer, b',').into_iter().filter(|extension| !extension.is_empty());
    let Some(extension) = extensions.next() else { return Ok(None) };
    let Some(options) = options else {
        return Err("no extension, as none was offered".into());
    };
    if extensions.next().is_some() {
        return Err(format!("one extension, {NAME}"));
    }
    let mut parameters = split(extension, b';').into_iter();
    if parameters.next() != Some(NAME) {
        return Err(format!("the extension that was offered, {NAME}"));
    }
    let mut agreed = Agreement {
        client_no_context_takeover: options.client_no_context_takeover,
        server_no_context_takeover: false,
        client_max_window_bits: options.client_max_window_bits,
    };
    let mut server_bits = None;
    let mut seen = Vec::new();
    for parameter in parameters {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_ascii(), Some(unquoted(value.trim_ascii()))),
            None => (parameter, None),
        };
        if seen.contains(&name) {
            return Err(format!("each parameter once in {NAME}"));
        }
        seen.push(name);
        match (name, value) {
            (CLIENT_FRESH, None) => agreed.client_no_context_takeover = true,
            (SERVER_FRESH, None) => agreed.server_no_context_takeover = true,
            (CLIENT_FRESH | SERVER_FRESH, Some(_)) => return Err(format!("no value of {name}")),
            (CLIENT_BITS, value) => {
                let most = options.client_max_window_bits;
                agreed.client_max_window_bits = bits(name, value, most)?;
            }
            (SERVER_BITS, value) => {
                server_bits = Some(bits(name, value, options.server_max_window_bits)?);
            }
            _ => return Err(format!("no other parameters of {NAME} than RFC 7692 has")),
        }
    }
    if options.server_no_context_takeover && !agreed.server_no_context_takeover {
        return Err(format!("{SERVER_FRESH}, as was asked for"));
    }
    if options.server_max_window_bits < 15 && server_bits.is_none() {
        return Err(format!("{SERVER_BITS}, as was asked for"));
    }
    Ok(Some(agreed))
}

/// A window that was agreed on, at most as large as was offered.
fn bits(name: &str, value: Option<&str>, most: u8) -> Result<u8, String> {
    let wanted = || format!("a {name} of 8 to {most}");
    let value = value.ok_or_else(wanted)?;
    let plain = value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
    match value.parse() {
        Ok(bits) if plain && (8..=most).contains(&bits) => Ok(bits),
        _ => Err(wanted()),
    }
}

/// The parts of a list; a separator inside a quoted string is none.
fn split(list: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (i, byte) in list.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(list[start..i].trim_ascii());
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim_ascii());
    parts
}

/// The value of a token or of a quoted string, in which no parameter of ours
/// has anything to escape.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_ANSWER: Agreement = Agreement {
        client_no_context_takeover: true,
        server_no_context_takeover: false,
        client_max_window_bits: 15,
    };

    #[test]
    fn the_offer_says_what_was_chosen() {
        let mut options = Compression::default();
        assert_eq!(
            offer(&options),
            "permessage-deflate; client_no_context_takeover; client_max_window_bits"
        );
        options.client_no_context_takeover = false;
        options.server_no_context_takeover = true;
        options.client_max_window_bits = 9;
        options.server_max_window_bits = 12;
        assert_eq!(
            offer(&options),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; \
             client_max_window_bits=9"
        );
    }

    #[test]
    fn answers_to_the_default_offer() {
        let options = Compression::default();
        let answer = |answer: &str| agreement(Some(&options), answer);
        assert_eq!(answer(""), Ok(None));
        assert_eq!(answer(" , "), Ok(None));
        for plain in ["permessage-deflate", " permessage-deflate ,", ", permessage-deflate"] {
            assert_eq!(answer(plain), Ok(Some(DEFAULT_ANSWER)), "{plain:?}");
        }
        assert_eq!(
            answer(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover;\
                 server_max_window_bits=\"10\" ; client_max_window_bits = 8"
            ),
            Ok(Some(Agreement {
                client_no_context_takeover: true,
                server_no_context_takeover: true,
                client_max_window_bits: 8,
            }))
        );
    }

    #[test]
    fn answers_that_no_offer_allows() {
        let options = Compression::default();
        assert!(agreement(None, "permessage-deflate").is_err());
        for answer in [
            "x-webkit-deflate-frame",
            "Permessage-Deflate",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate, permessage-bzip2",
            "permessage-deflate; mux",
            "permessage-deflate;",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate \"; client_max_window_bits=9",
        ] {
            assert!(agreement(Some(&options), answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn what_was_asked_for_must_be_granted() {
        let options = Compression { server_max_window_bits: 10, ..Compression::default() };
        assert!(agreement(Some(&options), "permessage-deflate").is_err());
        assert!(
            agreement(Some(&options), "permessage-deflate; server_max_window_bits=11").is_err()
        );
        assert!(agreement(Some(&options), "permessage-deflate; server_max_window_bits=10").is_ok());
        let options = Compression { server_no_context_takeover: true, ..Compression::default() };
        assert!(agreement(Some(&options), "permessage-deflate").is_err());
        assert!(
            agreement(Some(&options), "permessage-deflate; server_no_context_takeover").is_ok()
        );
    }
}
