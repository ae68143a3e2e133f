//! The parameters in a request's target.
//!
//! A parameter that is missing or cannot be read gives a sentence that names it, which the client gets as the body of a 400.
//! Parameters that a path does not know are ignored: tests add them to tell their attempts apart.

/// The decoded parameters, in order.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn required_text(&self, name: &str) -> Result<&str, String> {
        self.text(name).ok_or_else(|| format!("parameter {name} is missing"))
    }

    /// A whole number, or `default` when the parameter is absent.
    pub(crate) fn number<N: TryFrom<u64>>(&self, name: &str, default: N) -> Result<N, String> {
        self.text(name).map_or(Ok(default), |value| parse_number(name, value))
    }

    pub(crate) fn required_number<N: TryFrom<u64>>(&self, name: &str) -> Result<N, String> {
        parse_number(name, self.required_text(name)?)
    }

    /// `1` is set, `0` and absence are not.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(value) => Err(format!("parameter {name} should be 0 or 1, got {value:?}")),
        }
    }

    /// Bytes written as hexadecimal digits; none when the parameter is absent.
    pub(crate) fn hex(&self, name: &str) -> Result<Vec<u8>, String> {
        let digits = self.text(name).unwrap_or("");
        let failed =
            || format!("parameter {name} should be pairs of hexadecimal digits, got {digits:?}");
        if !digits.len().is_multiple_of(2) {
            return Err(failed());
        }
        let nibble = |digit: u8| (digit as char).to_digit(16);
        digits
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| Some((nibble(pair[0])? << 4 | nibble(pair[1])?) as u8))
            .collect::<Option<_>>()
            .ok_or_else(failed)
    }
}

fn parse_number<N: TryFrom<u64>>(name: &str, value: &str) -> Result<N, String> {
    value
        .parse::<u64>()
        .ok()
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| format!("parameter {name} should be a whole number in range, got {value:?}"))
}
