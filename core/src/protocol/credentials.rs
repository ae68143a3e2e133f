//! A user name and a password, which no message ever shows.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

/// The user information of a URL, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Parses `user:password` or `user`, percent-decoded. What neither Basic authorization (RFC 7617)
    /// nor SOCKS can carry is refused.
    pub(crate) fn parse(text: &str) -> Result<Credentials, String> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode = |text, what| match percent_decode_str(text).decode_utf8() {
            Err(_) => Err(format!("expected a {what} in UTF-8 before '@', got other bytes")),
            Ok(text) if text.chars().any(char::is_control) => Err(format!(
                "expected a {what} without control characters before '@', got one with some"
            )),
            Ok(text) => Ok(text.into_owned()),
        };
        let (user, password) = (decode(user, "user name")?, decode(password, "password")?);
        if user.contains(':') {
            return Err("expected a user name without ':' before '@', got one with it".to_owned());
        }
        Ok(Credentials { user, password })
    }

    /// The user's name.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The password, empty if there is none.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// The value of an `Authorization` header (RFC 7617).
    pub(crate) fn basic(&self) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_decoded_before_they_are_encoded() {
        for (text, basic) in [
            // The examples of RFC 7617.
            ("Aladdin:open%20sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("test:123%C2%A3", "Basic dGVzdDoxMjPCow=="),
            ("token", "Basic dG9rZW46"),
            (":only", "Basic Om9ubHk="),
            ("u:a:b", "Basic dTphOmI="),
        ] {
            assert_eq!(Credentials::parse(text).unwrap().basic(), basic, "{text}");
        }
    }

    #[test]
    fn what_basic_cannot_carry_is_refused_and_never_quoted() {
        for text in ["us%3Aer:secret", "u:secret%00", "u:secret%0D%0A", "u:secret%FF", "%80:secret"]
        {
            let error = Credentials::parse(text).expect_err(text);
            assert!(error.starts_with("expected") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn debugging_shows_nothing() {
        let credentials = Credentials::parse("user:secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(…)");
    }
}
