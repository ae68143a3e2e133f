//! Which proxy to go through, if any, and what its URL says.
//!
//! **A URL that cannot be used is an error, also where it comes from the
//! environment**: whoever named a proxy must not be connected without. No
//! message shows its credentials.

use std::ffi::OsString;
use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;

use super::authority::{Authority, joined};
use super::credentials::Credentials;
use super::target::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Proxy;

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP with CONNECT.
    Http,
    /// The same over TLS.
    Https,
    /// SOCKS 5; names are resolved here.
    Socks5,
    /// SOCKS 5; the proxy resolves names.
    Socks5h,
}

/// The longest user name and password that SOCKS can carry (RFC 1929).
const MAX_SOCKS_CREDENTIAL: usize = 255;

/// A parsed URL of a proxy. Its `Display` has no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyUrl {
    pub(crate) protocol: Protocol,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials>,
}

impl ProxyUrl {
    /// Parses the URL of a proxy.
    pub(crate) fn parse(url: &str) -> Result<ProxyUrl> {
        ProxyUrl::parse_as("proxy", url)
    }

    fn parse_as(name: &str, url: &str) -> Result<ProxyUrl> {
        let wrong = |what: String| Error::new(ErrorKind::Invalid, format!("{name}: {what}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            wrong("expected a URL such as http://host:port, got one without \"://\"".to_owned())
        })?;
        let (protocol, default) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            "socks5" => (Protocol::Socks5, 1080),
            "socks5h" => (Protocol::Socks5h, 1080),
            _ => {
                // What is no scheme may be a password.
                let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
                let scheme = if scheme.chars().all(is_scheme) { scheme } else { "…" };
                let scheme: String = scheme.chars().take(24).collect();
                return Err(wrong(format!(
                    "expected a URL that begins with http://, https://, socks5:// or \
                     socks5h://, got {:?}",
                    format!("{scheme}://")
                )));
            }
        };
        if rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("expected a URL without spaces and control characters".to_owned()));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (place, path) = rest.split_at(end);
        let Authority { credentials, host, port } = Authority::parse(place, path).map_err(wrong)?;
        if !matches!(path, "" | "/") {
            return Err(wrong("expected nothing behind host and port, got more".to_owned()));
        }
        if let (Protocol::Socks5 | Protocol::Socks5h, Some(credentials)) = (protocol, &credentials)
        {
            let longest = credentials.user().len().max(credentials.password().len());
            if longest > MAX_SOCKS_CREDENTIAL {
                return Err(wrong(format!(
                    "expected a user name and a password of at most {MAX_SOCKS_CREDENTIAL} \
                     bytes for SOCKS, got {longest}"
                )));
            }
        }
        Ok(ProxyUrl { protocol, host, port: port.unwrap_or(default), credentials })
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks5 => "socks5",
            Protocol::Socks5h => "socks5h",
        };
        write!(f, "{scheme}://{}", joined(&self.host, self.port, None))
    }
}

/// The proxy on the way to `target`; `variable` looks into the environment.
pub(crate) fn choose(
    option: &Proxy,
    target: &Target,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<ProxyUrl>> {
    if target.socket.is_some() {
        return Ok(None);
    }
    match option {
        Proxy::None => Ok(None),
        Proxy::Url(url) => ProxyUrl::parse(url).map(Some),
        Proxy::Environment => from_environment(target, variable),
    }
}

fn from_environment(
    target: &Target,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<ProxyUrl>> {
    // Any client of a CGI program can set HTTP_PROXY by a header called Proxy.
    let is_cgi = variable("REQUEST_METHOD").is_some();
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some((*name, value))
        })
    };
    let named = match (target.secure, is_cgi) {
        (true, _) => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        (false, false) => first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
        (false, true) => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
    };
    let Some((name, url)) = named else { return Ok(None) };
    let no = first(&["no_proxy", "NO_PROXY"]).map(|(_, no)| no.to_string_lossy().into_owned());
    if no.is_some_and(|no| is_exempt(&no, target)) {
        return Ok(None);
    }
    let Some(url) = url.to_str() else {
        return Err(Error::new(ErrorKind::Invalid, format!("{name}: expected a URL in UTF-8")));
    };
    // Where this is customary, and only here, the scheme may be missing.
    if url.contains("://") {
        ProxyUrl::parse_as(name, url).map(Some)
    } else {
        ProxyUrl::parse_as(name, &format!("http://{url}")).map(Some)
    }
}

/// Whether `no`, a value of NO_PROXY, names the target's host.
fn is_exempt(no: &str, target: &Target) -> bool {
    let matcher = Matcher::builder().all("http://any.invalid").no(no).build();
    let host = joined(&target.host, target.port, None);
    let uri = format!("http://{host}/").parse::<http::Uri>();
    uri.is_ok_and(|uri| matcher.intercept(&uri).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        let error = ProxyUrl::parse(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with("proxy: expected"), "{error}");
        error.message().to_owned()
    }

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Result<Option<String>> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let target = Target::parse(url).unwrap();
        let proxy = choose(&Proxy::Environment, &target, variable)?;
        Ok(proxy.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn every_part_of_the_url_is_found() {
        let proxy = ProxyUrl::parse("SOCKS5h://us%40er:pass@Proxy.Example/").unwrap();
        assert_eq!((proxy.protocol, proxy.port), (Protocol::Socks5h, 1080));
        assert_eq!(proxy.to_string(), "socks5h://proxy.example:1080");
        let credentials = proxy.credentials.unwrap();
        assert_eq!((credentials.user(), credentials.password()), ("us@er", "pass"));
        for (url, full) in [
            ("http://p", "http://p:80"),
            ("https://[::1]", "https://[::1]:443"),
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128"),
            ("socks5://bücher.example:1", "socks5://xn--bcher-kva.example:1"),
        ] {
            assert_eq!(ProxyUrl::parse(url).unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_is_no_url_of_a_proxy_is_refused() {
        for url in ["", "p:3128", "http:p", "http://", "http://:80", "http://p:0", "http://p:x"] {
            refused(url);
        }
        assert!(refused("socks4://p").contains("got \"socks4://\""));
        assert!(refused("ws://p").contains("http://"));
        for url in ["http://p/path", "http://p?q", "http://p/#f", "http://p q", "http://p\r\nX:y"] {
            refused(url);
        }
        let long = "s".repeat(256);
        assert!(refused(&format!("socks5://u:{long}@p")).contains("255"));
        ProxyUrl::parse(&format!("http://u:{long}@p")).unwrap();
        for url in ["http://u:secret@", "http://u:secret/@p", "u:secret@p", "http://u:secret@p/x"] {
            assert!(!refused(url).contains("secret"), "{url}");
        }
    }

    #[test]
    fn the_environment_is_asked_as_curl_asks_it() {
        let all: &[_] = &[
            ("http_proxy", "http://h"),
            ("HTTPS_PROXY", "https://s"),
            ("ALL_PROXY", "socks5://a"),
        ];
        let chosen = |url, environment| self::chosen(url, environment).unwrap();
        assert_eq!(chosen("ws://x/", all).as_deref(), Some("http://h:80"));
        assert_eq!(chosen("wss://x/", all).as_deref(), Some("https://s:443"));
        assert_eq!(chosen("ws://x/", &all[1..]).as_deref(), Some("socks5://a:1080"));
        assert_eq!(chosen("ws://x/", &all[1..2]), None);
        assert_eq!(chosen("ws+unix:/s", all), None);
        assert_eq!(chosen("ws://x/", &[]), None);
        assert_eq!(chosen("ws://x/", &[("HTTP_PROXY", "")]), None);
        let small_first = [("HTTP_PROXY", "http://large"), ("http_proxy", "http://small")];
        assert_eq!(chosen("ws://x/", &small_first).as_deref(), Some("http://small:80"));
        assert_eq!(chosen("ws://x/", &[("HTTP_PROXY", "p:81")]).as_deref(), Some("http://p:81"));
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://attacker")];
        assert_eq!(chosen("ws://x/", &cgi), None);
    }

    #[test]
    fn no_proxy_exempts_names_addresses_and_networks() {
        let through = |url: &str, no: &str| {
            let all = [("all_proxy", "http://p"), ("no_proxy", no)];
            chosen(url, &all).unwrap().is_some()
        };
        let list = "localhost, .in.example,10.0.0.0/8,::1,bare.example";
        for exempt in
            ["localhost", "a.in.example", "in.example", "10.1.2.3", "[::1]", "x.bare.example"]
        {
            assert!(!through(&format!("ws://{exempt}:8080/"), list), "{exempt}");
            assert!(!through(&format!("wss://{exempt}/"), list), "{exempt}");
        }
        for not in ["localhost.example", "notbare.example", "11.0.0.1", "[::2]"] {
            assert!(through(&format!("ws://{not}/"), list), "{not}");
        }
        assert!(!through("ws://x/", "*"));
        assert!(through("ws://x/", ""));
    }

    #[test]
    fn what_the_environment_says_wrongly_is_an_error_that_names_the_variable() {
        for value in ["socks4://p", "http://u:secret@p:x", "http://", "u:secret@"] {
            let error = chosen("ws://x/", &[("all_proxy", value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.message().starts_with("all_proxy: expected"), "{error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }
}
