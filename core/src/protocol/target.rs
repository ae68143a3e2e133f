//! Where a URL leads: `ws://host[:port]/path?query` or `wss://…` (RFC 6455
//! section 3), or a Unix socket: `ws+unix:/path/of/the/socket:/path?query`.
//!
//! **What cannot be dialled is refused here, with a message that says what
//! was expected and what came.** Messages never quote path, query or user
//! information: credentials travel there.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::authority::{Authority, joined};
use super::credentials::Credentials;
use crate::error::{Error, ErrorKind};

/// What the kernel takes as the path of a socket, without the NUL behind it.
const MAX_SOCKET_PATH: usize = 107;

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Over TLS: `wss:` or `wss+unix:`.
    pub secure: bool,
    /// The host in lower case and in ASCII, an IPv6 address without its
    /// brackets; `localhost` behind a Unix socket.
    pub host: String,
    /// The port given, or the default of the scheme: 80 or 443.
    pub port: u16,
    /// The value of the `Host` header: IPv6 in brackets, the port unless it
    /// is the default.
    pub authority: String,
    /// What the request asks for; `/` at least. Other characters than ASCII
    /// are percent-encoded.
    pub path_and_query: String,
    /// The Unix socket to dial instead of host and port.
    pub socket: Option<PathBuf>,
    /// User and password, for Basic authorization.
    pub credentials: Option<Credentials>,
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
        let (scheme, rest) = Scheme::split(url)?;
        if url.contains('#') {
            return Err(wrong("expected a URL without a fragment, got one with '#'"));
        }
        if scheme.unix {
            return unix(scheme.secure, rest);
        }
        let (place, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if place.is_empty() || place.starts_with(':') {
            let scheme = if scheme.secure { "wss" } else { "ws" };
            return Err(wrong(format!("expected a host after {scheme}://, got none")));
        }
        let Authority { credentials, host, port } = Authority::parse(place, path).map_err(wrong)?;
        let default = default_port(scheme.secure);
        let port = port.unwrap_or(default);
        Ok(Target {
            secure: scheme.secure,
            port,
            authority: joined(&host, port, Some(default)),
            host,
            path_and_query: path_and_query(path)?,
            socket: None,
            credentials,
        })
    }

    /// For messages: what is dialled.
    pub(crate) fn place(&self) -> String {
        match &self.socket {
            Some(path) => path.display().to_string(),
            None => joined(&self.host, self.port, None),
        }
    }

    /// Whether both belong to the same server, who may know the same secrets.
    pub(crate) fn is_same_origin(&self, other: &Target) -> bool {
        let origin = |target: &Target| (target.secure, target.port, target.socket.clone());
        origin(self) == origin(other) && self.host == other.host
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Url, message)
}

struct Scheme {
    secure: bool,
    unix: bool,
}

impl Scheme {
    /// The scheme, and what stands behind it and its `//`.
    fn split(url: &str) -> Result<(Scheme, &str), Error> {
        if url.is_empty() {
            return Err(wrong("expected a URL such as wss://host/path, got an empty string"));
        }
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        if let "ws+unix" | "wss+unix" = scheme.as_str() {
            return Ok((Scheme { secure: scheme == "wss+unix", unix: true }, rest));
        }
        let Some(rest) = rest.strip_prefix("//") else {
            // What stands before an '@' may be a password.
            let end = url.find(['/', '?', '@']).unwrap_or(url.len());
            let beginning = if url.contains('@') { "…" } else { &url[..end] };
            return Err(wrong(format!(
                "expected a URL that begins with ws:// or wss://, got {beginning:?}"
            )));
        };
        match scheme.as_str() {
            "ws" => Ok((Scheme { secure: false, unix: false }, rest)),
            "wss" => Ok((Scheme { secure: true, unix: false }, rest)),
            "http" => Err(wrong("expected ws:// or wss://, got http://; use ws://…")),
            "https" => Err(wrong("expected ws:// or wss://, got https://; use wss://…")),
            _ => {
                let scheme: String = scheme.chars().take(24).collect();
                Err(wrong(format!("expected ws:// or wss://, got {:?}", format!("{scheme}://"))))
            }
        }
    }
}

/// `/path/of/the/socket`, then `:` and what to request, if that is more than `/`.
fn unix(secure: bool, rest: &str) -> Result<Target, Error> {
    let place = rest.strip_prefix("//").unwrap_or(rest);
    if !place.starts_with('/') {
        return Err(wrong(
            "expected ws+unix: and the absolute path of a socket (ws+unix:/run/a.sock:/path), \
             got something else behind the scheme",
        ));
    }
    let (socket, request) = place.split_at(place.find([':', '?']).unwrap_or(place.len()));
    let request = request.strip_prefix(':').unwrap_or(request);
    if !(request.is_empty() || request.starts_with(['/', '?'])) {
        return Err(wrong(
            "expected a path that begins with '/' behind the socket and ':', got another one",
        ));
    }
    let socket: Vec<u8> = percent_decode_str(socket).collect();
    if socket.contains(&0) {
        return Err(wrong("expected the path of a socket without NUL, got one with it"));
    }
    if socket.len() > MAX_SOCKET_PATH {
        return Err(wrong(format!(
            "expected the path of a socket of at most {MAX_SOCKET_PATH} bytes, got {}",
            socket.len()
        )));
    }
    Ok(Target {
        secure,
        host: "localhost".to_owned(),
        port: default_port(secure),
        authority: "localhost".to_owned(),
        path_and_query: path_and_query(request)?,
        socket: Some(OsString::from_vec(socket).into()),
        credentials: None,
    })
}

/// What a request asks for, if `path` is what follows the host in a URL.
fn path_and_query(path: &str) -> Result<String, Error> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let encoded = format!("{slash}{}", encode(path));
    match encoded.parse::<http::uri::PathAndQuery>() {
        // http would drop a fragment, which is refused before.
        Ok(parsed) if parsed.as_str() == encoded => Ok(encoded),
        Ok(_) => Err(wrong("expected a URL's path and query, got something else")),
        Err(error) => Err(wrong(format!("expected a URL's path and query, got {error}"))),
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
                socket: None,
                credentials: None,
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
        let target = parsed("wss://bücher.example:8/");
        assert_eq!(target.host, "xn--bcher-kva.example");
        assert_eq!(target.authority, "xn--bcher-kva.example:8");
        assert!(refused("ws://b\u{ad}\u{2028}b/").contains("spaces"));
        assert!(refused("ws://\u{200d}/").contains("IDNA"));
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
    fn credentials_are_taken_from_before_the_host_and_never_quoted() {
        let target = parsed("wss://us%20er:se%40cret@h:8/x@y");
        assert_eq!((target.host.as_str(), target.authority.as_str()), ("h", "h:8"));
        assert_eq!(target.credentials.as_ref().unwrap().basic(), "Basic dXMgZXI6c2VAY3JldA==");
        assert!(!format!("{target:?}").contains("cret"));
        assert_eq!(parsed("ws://@h/").credentials, None);
        assert_eq!(parsed("ws://h/?mail=a@b").credentials, None);
        for url in [
            "wss://h/?token=secret#",
            "secret@h",
            "wss://h:x/secret",
            "h/secret",
            "wss://user:secret@h:x/",
            "wss://user:secret@h!/",
            "wss://user:secret/more@h/",
            "wss://us%3Aer:secret@h/",
            "http://user:secret@h/",
            "user:secret@h",
        ] {
            assert!(!refused(url).contains("secret"), "{url}");
        }
    }

    #[test]
    fn unix_sockets_as_npm_spells_them() {
        for (url, socket, request) in [
            ("ws+unix:/run/a.sock:/chat?room=1", "/run/a.sock", "/chat?room=1"),
            ("ws+unix:/run/a.sock", "/run/a.sock", "/"),
            ("ws+unix:/run/a.sock:", "/run/a.sock", "/"),
            ("ws+unix:/run/a.sock:?q=1", "/run/a.sock", "/?q=1"),
            ("ws+unix:/run/a.sock?q=1", "/run/a.sock", "/?q=1"),
            ("ws+unix:///run/a.sock:/x:y", "/run/a.sock", "/x:y"),
            ("WS+UNIX:/run/my%20a%3Ab.sock:/%20", "/run/my a:b.sock", "/%20"),
        ] {
            let target = parsed(url);
            assert_eq!(target.socket.as_deref(), Some(std::path::Path::new(socket)), "{url}");
            assert_eq!((target.path_and_query.as_str(), target.secure), (request, false), "{url}");
            assert_eq!(
                (target.host.as_str(), target.authority.as_str()),
                ("localhost", "localhost")
            );
        }
        assert!(parsed("wss+unix:/s:/x").secure);
        for url in ["ws+unix:", "ws+unix:relative", "ws+unix://host/s", "ws+unix://", "ws+unix:?q"]
        {
            assert!(refused(url).contains("absolute path of a socket"), "{url}");
        }
        assert!(refused("ws+unix:/s:x").contains("begins with '/'"));
        assert!(refused("ws+unix:/s%00").contains("NUL"));
        assert!(refused("ws+unix:/s:/x#f").contains("fragment"));
        assert!(refused(&format!("ws+unix:/{}", "s".repeat(107))).contains("107 bytes, got 108"));
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
