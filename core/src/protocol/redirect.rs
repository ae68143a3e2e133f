//! Where a redirect leads (RFC 9110 section 15.4).
//!
//! **Never from TLS to none, never to a Unix socket, never with credentials
//! to another origin.** What is refused is [`ErrorKind::Status`] like any
//! other answer that opens no connection, with a message that says why.
//!
//! [`ErrorKind::Status`]: crate::error::ErrorKind::Status

use url::Url;

use super::target::Target;
use crate::error::{Error, Refusal, Result};
use crate::options::Config;

/// Headers that are meant for the server that the user named.
const PERSONAL: [&str; 4] = ["authorization", "cookie", "host", "proxy-authorization"];

/// Whether this answer says to ask elsewhere.
pub(crate) fn is_redirect(refusal: &Refusal) -> bool {
    matches!(refusal.status, 301 | 302 | 303 | 307 | 308)
}

/// The target that `refusal`, the answer of `from`, redirects to.
pub(crate) fn follow(from: &Target, refusal: &Refusal) -> Result<Target> {
    let refused = |why: String| {
        let status = refusal.status;
        Error::refused(format!("the server answered {status}, a redirect: {why}"), refusal.clone())
    };
    let location = refusal.headers.iter().find(|(name, _)| name == "location");
    let location = location.and_then(|(_, value)| std::str::from_utf8(value).ok());
    let location = location
        .ok_or_else(|| refused("expected a header location in UTF-8, got none".to_owned()))?;
    let scheme = if from.secure { "wss" } else { "ws" };
    let mut url = Url::parse(&format!("{scheme}://{}{}", from.authority, from.path_and_query))
        .and_then(|base| base.join(location))
        .map_err(|error| refused(format!("expected a URL as its location, got {error}")))?;
    let secure = match url.scheme() {
        "http" | "ws" => false,
        "https" | "wss" => true,
        other => {
            return Err(refused(format!(
                "expected a location of https:, wss:, http: or ws:, got {other:?}"
            )));
        }
    };
    if from.secure && !secure {
        return Err(refused("expected to stay with TLS, got a location without it".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("expected a location without user information".to_owned()));
    }
    url.set_fragment(None);
    let place = &url[url::Position::BeforeHost..];
    let scheme = if secure { "wss" } else { "ws" };
    let mut to = Target::parse(&format!("{scheme}://{place}"))
        .map_err(|error| refused(error.message().to_owned()))?;
    // What a server behind a Unix socket calls localhost is itself.
    to.socket = from.socket.clone();
    if to.is_same_origin(from) {
        to.credentials = from.credentials.clone();
    } else {
        to.socket = None;
    }
    Ok(to)
}

/// What to tell a server of another origin.
pub(crate) fn impersonal(config: &Config) -> Config {
    let mut config = config.clone();
    config.headers.retain(|(name, _)| !PERSONAL.iter().any(|p| name.eq_ignore_ascii_case(p)));
    config.tls.server_name = None;
    config.tls.client_cert = None;
    config.tls.client_key = None;
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn redirect(location: &str) -> Refusal {
        let headers = vec![("location".to_owned(), location.as_bytes().to_vec())];
        Refusal { status: 302, headers, body: Vec::new() }
    }

    fn followed(from: &str, location: &str) -> Target {
        follow(&Target::parse(from).unwrap(), &redirect(location))
            .unwrap_or_else(|error| panic!("{from} to {location}: {error}"))
    }

    fn refused(from: &str, location: &str) -> String {
        let error = follow(&Target::parse(from).unwrap(), &redirect(location)).expect_err(location);
        assert_eq!(error.kind(), ErrorKind::Status);
        assert!(!error.is_retryable());
        assert_eq!(error.refusal().unwrap().status, 302);
        error.message().to_owned()
    }

    #[test]
    fn locations_are_resolved_against_where_they_come_from() {
        for (location, secure, authority, path) in [
            ("https://other.example/x?y", true, "other.example", "/x?y"),
            ("wss://other.example:81", true, "other.example:81", "/"),
            ("//other.example/x", true, "other.example", "/x"),
            ("/absolute?q=1#part", true, "h.example:8", "/absolute?q=1"),
            ("relative", true, "h.example:8", "/a/relative"),
            ("../up", true, "h.example:8", "/up"),
            ("./a/../../../b", true, "h.example:8", "/b"),
            ("?only=query", true, "h.example:8", "/a/b?only=query"),
            ("", true, "h.example:8", "/a/b?c"),
            ("HTTPS://Bücher.example", true, "xn--bcher-kva.example", "/"),
            ("https://[::1]:9/", true, "[::1]:9", "/"),
            ("/ä", true, "h.example:8", "/%C3%A4"),
        ] {
            let to = followed("wss://h.example:8/a/b?c", location);
            let got = (to.secure, to.authority.as_str(), to.path_and_query.as_str());
            assert_eq!(got, (secure, authority, path), "{location}");
        }
        assert!(followed("ws://h/", "https://h/").secure);
        assert!(!followed("ws://h/", "http://h/").secure);
    }

    #[test]
    fn what_is_not_followed_says_why() {
        for location in ["http://h/", "ws://h/", "ws://other/"] {
            assert!(refused("wss://h/", location).contains("stay with TLS"), "{location}");
        }
        for location in ["ws+unix:/run/a.sock", "ftp://h/", "mailto:a@b", "javascript:0"] {
            assert!(refused("ws://h/", location).contains("a location of https:"), "{location}");
        }
        let message = refused("wss://h/", "https://user:secret@h/");
        assert!(message.contains("user information") && !message.contains("secret"), "{message}");
        for location in ["https://h:99999/", "https:///", "https://a b/"] {
            refused("wss://h/", location);
        }
        let none = Refusal { status: 301, ..Refusal::default() };
        let error = follow(&Target::parse("ws://h/").unwrap(), &none).unwrap_err();
        assert!(error.message().contains("location"), "{error}");
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let from = "wss://user:secret@h.example/";
        for same in ["/x", "https://h.example/", "wss://H.example:443/"] {
            assert!(followed(from, same).credentials.is_some(), "{same}");
        }
        for other in ["https://h.example:444/", "https://example/", "//www.h.example/"] {
            assert!(followed(from, other).credentials.is_none(), "{other}");
        }
        assert!(followed("ws://u@h:443/", "https://h:443/").credentials.is_none());
        let mut config = Config::new(from);
        for name in ["Authorization", "COOKIE", "X-Trace", "host", "Proxy-Authorization"] {
            config.headers.push((name.to_owned(), "v".to_owned()));
        }
        config.tls.client_cert = Some("cert.pem".into());
        config.tls.pinned_keys = vec!["sha256//…".to_owned()];
        let other = impersonal(&config);
        assert_eq!(other.headers, [("X-Trace".to_owned(), "v".to_owned())]);
        assert_eq!((other.tls.client_cert, other.tls.pinned_keys.len()), (None, 1));
    }

    #[test]
    fn a_unix_socket_is_an_origin() {
        let from = "ws+unix:/run/a.sock:/x/y";
        let same = followed(from, "z?q");
        assert_eq!(same.socket.as_deref(), Some(std::path::Path::new("/run/a.sock")));
        assert_eq!(same.path_and_query, "/x/z?q");
        assert!(followed(from, "http://localhost/").socket.is_some());
        assert!(followed(from, "http://localhost:81/").socket.is_none());
        assert!(followed(from, "https://h/").socket.is_none());
    }
}
