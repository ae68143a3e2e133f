//! What stands between `//` and the path of a URL: `user:password@host:port`
//! (RFC 3986 section 3.2).
//!
//! **Messages never quote what may be a secret**: user information never, and
//! nothing at all of a URL in which an unescaped `@` or `/` may have cut
//! a password in two.

use std::net::Ipv6Addr;

use super::credentials::Credentials;

/// The parts of an authority.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) credentials: Option<Credentials>,
    /// In lower case and in ASCII (UTS 46), an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// Parses `authority`. The rest of the URL only decides what an error may
    /// quote; the error says what was expected and what came.
    pub(crate) fn parse(authority: &str, rest: &str) -> Result<Authority, String> {
        let (user_information, place) = match authority.rsplit_once('@') {
            Some((user_information, place)) => (Some(user_information), place),
            None => (None, authority),
        };
        let quote = |text: &str| {
            if rest.contains('@') { "something else".to_owned() } else { format!("{text:?}") }
        };
        let credentials = match user_information {
            None | Some("") => None,
            Some(text) => Some(Credentials::parse(text)?),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, behind)) => {
                let address: Ipv6Addr = address.parse().map_err(|_| {
                    format!("expected an IPv6 address in brackets, got {}", quote(address))
                })?;
                let port = match behind {
                    "" => None,
                    _ => Some(behind.strip_prefix(':').ok_or_else(|| {
                        format!("expected a port behind the IPv6 address, got {}", quote(behind))
                    })?),
                };
                (address.to_string(), port)
            }
            None => {
                let (host, port) = match place.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (place, None),
                };
                (name(host).map_err(|what| format!("{what}, got {}", quote(host)))?, port)
            }
        };
        let port =
            match port {
                None | Some("") => None,
                Some(port) => Some(number(port).ok_or_else(|| {
                    format!("expected a port from 1 to 65535, got {}", quote(port))
                })?),
            };
        Ok(Authority { credentials, host, port })
    }
}

/// `host:port` as it stands in a URL or a `Host` header, without a port that
/// is `default`.
pub(crate) fn joined(host: &str, port: u16, default: Option<u16>) -> String {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if Some(port) == default { bracketed } else { format!("{bracketed}:{port}") }
}

/// A host name or an IPv4 address; the error says what was expected.
fn name(host: &str) -> Result<String, &'static str> {
    let ascii = if host.is_ascii() || host.contains('%') {
        host.to_ascii_lowercase()
    } else {
        match url::Host::parse(host) {
            Ok(host) => host.to_string(),
            Err(_) => return Err("expected a host name that IDNA allows (UTS 46)"),
        }
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if ascii.is_empty() || !ascii.chars().all(is_name) {
        return Err("expected a host name or an IP address");
    }
    Ok(ascii)
}

fn number(port: &str) -> Option<u16> {
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    port.parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_ascii_become_punycode() {
        for (given, ascii) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.Example", "xn--bcher-kva.example"),
            ("日本語.jp", "xn--wgv71a119e.jp"),
            ("straße.example", "xn--strae-oqa.example"),
            ("１２７.0.0.1", "127.0.0.1"),
            ("Plain.Example", "plain.example"),
        ] {
            assert_eq!(Authority::parse(given, "").unwrap().host, ascii, "{given}");
        }
        for bad in ["a\u{ad}\u{2028}b", "bü cher", "\u{200d}", "bü%41cher", "ü_*"] {
            Authority::parse(bad, "").expect_err(bad);
        }
    }

    #[test]
    fn an_error_never_quotes_half_a_password() {
        // An unescaped slash has cut these passwords in two.
        for (authority, rest) in [("user:secret", "/x@host/"), ("[secret", "/x]@host")] {
            let error = Authority::parse(authority, rest).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        let error = Authority::parse("user:secret@host:x", "").unwrap_err();
        assert!(!error.contains("secret") && error.contains("\"x\""), "{error}");
    }

    #[test]
    fn host_and_port_are_joined_as_a_url_has_them() {
        assert_eq!(joined("h", 80, Some(80)), "h");
        assert_eq!(joined("h", 81, Some(80)), "h:81");
        assert_eq!(joined("::1", 443, Some(443)), "[::1]");
        assert_eq!(joined("::1", 443, None), "[::1]:443");
    }
}
