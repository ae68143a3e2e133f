//! Where a URL leads: `ws://host[:port]/path?query` or `wss://…` (RFC 6455
//! section 3).
//!
//! **What cannot be dialled is refused here, with a message that says what
//! was expected and what came.** Messages never quote path, query or user
//! information: credentials travel there.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use crate::error::{Error, ErrorKind};

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `wss:`, over TLS.
    pub secure: bool,
    /// The host in lower case, an IPv6 address without its brackets.
    pub host: String,
    /// The port given, or the default of the scheme: 80 or 443.
    pub port: u16,
    /// The value of the `Host` header: IPv6 in brackets, the port unless it
    /// is the default.
    pub authority: String,
    /// What the request asks for; `/` at least. Other characters than ASCII
    /// are percent-encoded.
    pub path_and_query: String,
}

impl Target {
    /// Parses `url`; [`ErrorKind::Url`] if it leads nowhere.
    pub fn parse(url: &str) -> Result<Target, Error> {
        if let Some((offset, character)) =
            url.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace())
        {
            return Err(wrong(format!(
                "expected a URL without spaces and control characters, \
                 got {character:?} at offset {offset}"
            )));
        }
        let secure = scheme(url)?;
        let scheme = if secure { "wss" } else { "ws" };
        if url.contains('#') {
            return Err(wrong("expected a URL without a fragment, got one with '#'"));
        }
        let rest = &url[scheme.len() + "://".len()..];
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong(
                "expected a URL without user information before '@', which is not supported; \
                 send an Authorization header instead",
            ));
        }
        if !authority.is_ascii() {
            return Err(wrong(format!(
                "expected a host name in ASCII (punycode: xn--…), got {authority:?}"
            )));
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(wrong(format!("expected a host after {scheme}://, got none")));
        }
        let uri: http::Uri = format!("{scheme}://{authority}{}", encode(path))
            .parse()
            .map_err(|error| wrong(format!("expected a URL for {authority:?}, got {error}")))?;
        let (host, bracketed) = host(uri.host().unwrap_or_default())?;
        let default = if secure { 443 } else { 80 };
        let port = port(authority, default)?;
        let bracketed = if bracketed { format!("[{host}]") } else { host.clone() };
        Ok(Target {
            secure,
            port,
            authority: if port == default { bracketed } else { format!("{bracketed}:{port}") },
            host,
            path_and_query: match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
                Some(query) if query.starts_with('?') => format!("/{query}"),
                Some(path) => path.to_owned(),
                None => "/".to_owned(),
            },
        })
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Url, message)
}

/// Whether the scheme is `wss`; only it and `ws` will do.
fn scheme(url: &str) -> Result<bool, Error> {
    if url.is_empty() {
        return Err(wrong("expected a URL such as wss://host/path, got an empty string"));
    }
    let Some((scheme, _)) = url.split_once("://") else {
        // What stands before an '@' may be a password.
        let end = url.find(['/', '?', '@']).unwrap_or(url.len());
        let beginning = if url.contains('@') { "…" } else { &url[..end] };
        return Err(wrong(format!(
            "expected a URL that begins with ws:// or wss://, got {beginning:?}"
        )));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "ws" => Ok(false),
        "wss" => Ok(true),
        "http" => Err(wrong("expected ws:// or wss://, got http://; use ws://…")),
        "https" => Err(wrong("expected ws:// or wss://, got https://; use wss://…")),
        _ => {
            let scheme: String = scheme.chars().take(24).collect();
            Err(wrong(format!("expected ws:// or wss://, got {:?}", format!("{scheme}://"))))
        }
    }
}

/// The host as it is dialled, and whether a URL writes it in brackets.
fn host(host: &str) -> Result<(String, bool), Error> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok((address.to_string(), true)),
            Err(_) => Err(wrong(format!("expected an IPv6 address in brackets, got {host:?}"))),
        };
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(is_name) {
        return Err(wrong(format!("expected a host name or an IP address, got {host:?}")));
    }
    Ok((host.to_ascii_lowercase(), false))
}

fn port(authority: &str, default: u16) -> Result<u16, Error> {
    let behind_host = authority.rsplit(']').next().unwrap_or_default();
    match behind_host.rsplit_once(':').map(|(_, port)| port) {
        None | Some("") => Ok(default),
        Some(port) => match port.parse() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
            _ => Err(wrong(format!("expected a port from 1 to 65535, got {port:?}"))),
        },
    }
}

fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for character in path.chars() {
        if character.is_ascii() {
            encoded.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(url: &str) -> Target {
        Target::parse(url).unwrap_or_else(|error| panic!("{url:?}: {error}"))
    }

    #[track_caller]
    fn refused(url: &str) -> String {
        let error = Target::parse(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Url, "{url:?}");
        error.message().to_owned()
    }

    #[test]
    fn every_part_is_found() {
        assert_eq!(
            parsed("wss://Feed.Example:8443/ticks?symbol=A&x=/@"),
            Target {
                secure: true,
                host: "feed.example".into(),
                port: 8443,
                authority: "feed.example:8443".into(),
                path_and_query: "/ticks?symbol=A&x=/@".into(),
            }
        );
    }

    #[test]
    fn path_and_port_have_defaults() {
        for (url, port, authority, path) in [
            ("ws://h", 80, "h", "/"),
            ("WSS://h", 443, "h", "/"),
            ("ws://h:80/", 80, "h", "/"),
            ("ws://h:/a", 80, "h", "/a"),
            ("ws://h:443", 443, "h:443", "/"),
            ("wss://h:80", 80, "h:80", "/"),
            ("ws://h?q=1", 80, "h", "/?q=1"),
            ("ws://127.0.0.1:9/x", 9, "127.0.0.1:9", "/x"),
            ("ws://a_b.c-d/", 80, "a_b.c-d", "/"),
        ] {
            let target = parsed(url);
            assert_eq!(
                (target.port, target.authority.as_str(), target.path_and_query.as_str()),
                (port, authority, path),
                "{url}"
            );
        }
    }

    #[test]
    fn ipv6_has_brackets_in_the_header_only() {
        let target = parsed("ws://[::1]:8080/x");
        assert_eq!((target.host.as_str(), target.authority.as_str()), ("::1", "[::1]:8080"));
        let target = parsed("wss://[2001:DB8::1]");
        assert_eq!(
            (target.host.as_str(), target.port, target.authority.as_str()),
            ("2001:db8::1", 443, "[2001:db8::1]")
        );
        for url in ["ws://[::1", "ws://[zz]/", "ws://[]/", "ws://::1/", "ws://[1.2.3.4]/"] {
            refused(url);
        }
    }

    #[test]
    fn characters_beyond_ascii_are_percent_encoded() {
        assert_eq!(parsed("ws://h/ä?ö=€").path_and_query, "/%C3%A4?%C3%B6=%E2%82%AC");
        assert_eq!(parsed("ws://h/%C3%A4").path_and_query, "/%C3%A4");
        assert!(refused("ws://bücher.example/").contains("punycode"));
    }

    #[test]
    fn a_wrong_scheme_says_which_one_to_use() {
        let message = refused("http://h/");
        assert_eq!(message, "expected ws:// or wss://, got http://; use ws://…");
        assert!(refused("HTTPS://h/").ends_with("use wss://…"));
        assert!(refused("ftp://h/").contains("got \"ftp://\""));
        assert!(refused("").contains("empty"));
        assert!(refused("://h").contains("expected ws:// or wss://"));
        for url in ["h", "h/path", "//h", "/path", "ws:h", "ws:/h", "h:80"] {
            assert!(refused(url).contains("begins with ws:// or wss://"), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for url in ["ws://", "ws:///path", "wss://?q", "ws://:80/"] {
            assert!(refused(url).contains("expected a host"), "{url}");
        }
        for url in ["ws://h:0", "ws://h:65536", "ws://h:99999999", "ws://h:8x", "ws://h:-1"] {
            assert!(refused(url).contains("port") || refused(url).contains("URL"), "{url}");
        }
        assert!(refused("ws://h/#f").contains("fragment"));
        for url in ["ws://h%41/", "ws://h!/", "ws://a:b:c/", "ws://h\\x/"] {
            refused(url);
        }
        refused(&format!("ws://h/{}", "x".repeat(70_000)));
    }

    #[test]
    fn credentials_are_refused_and_never_quoted() {
        let message = refused("wss://user:secret@h/");
        assert!(message.contains("Authorization") && !message.contains("secret"), "{message}");
        for url in ["wss://h/?token=secret#", "secret@h", "wss://h:x/secret", "h/secret"] {
            assert!(!refused(url).contains("secret"), "{url}");
        }
    }

    #[test]
    fn spaces_and_control_characters_are_refused() {
        for c in ['\r', '\n', '\0', '\t', ' ', '\u{7f}', '\u{85}', '\u{a0}'] {
            for url in [format!("ws://h/{c}x"), format!("{c}ws://h/"), format!("ws://h{c}/")] {
                assert!(refused(&url).contains("control characters"), "{url:?}");
            }
        }
    }
}
