//! The head of an HTTP response, collected from whatever pieces it comes in.

use tungstenite::handshake::client::Response;
use tungstenite::handshake::machine::TryParse;

use super::broken;
use crate::error::Result;

/// The most bytes of headers accepted, those of interim responses included.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// What has arrived of a response and is not understood yet.
#[derive(Debug, Default)]
pub(crate) struct Head {
    received: Vec<u8>,
    /// How far `received` was searched for the end of the headers.
    searched: usize,
    /// Bytes of interim responses, which are gone from `received`.
    skipped: usize,
}

impl Head {
    /// Takes the next bytes. `None` means that more is needed. Responses that
    /// announce another one (1xx, but for 101) are skipped.
    pub(crate) fn receive(&mut self, input: &[u8]) -> Result<Option<Response>> {
        self.received.extend_from_slice(input);
        loop {
            self.check_beginning()?;
            let end = self.end();
            let so_far = self.skipped + end.unwrap_or(self.received.len());
            if so_far > MAX_HEAD {
                return Err(broken(format!(
                    "expected at most {MAX_HEAD} bytes of response headers, got {so_far} and more"
                )));
            }
            let Some(end) = end else { return Ok(None) };
            let response = parse(&mut self.received[..end])?;
            self.received.drain(..end);
            self.searched = 0;
            match response.status().as_u16() {
                101 => return Ok(Some(response)),
                100..200 => self.skipped += end,
                _ => return Ok(Some(response)),
            }
        }
    }

    /// Takes what came behind the head.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// How many bytes came, up to where no head was found.
    pub(crate) fn len(&self) -> usize {
        self.skipped + self.received.len()
    }

    /// Refuses at once what cannot become an HTTP response.
    fn check_beginning(&self) -> Result<()> {
        let expected = b"HTTP/";
        let len = expected.len().min(self.received.len());
        if self.received[..len] == expected[..len] {
            return Ok(());
        }
        let beginning = &self.received[..self.received.len().min(32)];
        Err(broken(format!("expected an HTTP response, got \"{}\"", beginning.escape_ascii())))
    }

    /// Where the first head in `received` ends, if it does. Looks at every
    /// byte once, so that a head in tiny pieces costs no more than a whole one.
    fn end(&mut self) -> Option<usize> {
        let start = self.searched.saturating_sub(3);
        self.searched = self.received.len();
        let bytes = &self.received[start..];
        (0..bytes.len()).find_map(|i| match bytes[i..] {
            [b'\n', b'\n', ..] => Some(start + i + 2),
            [b'\n', b'\r', b'\n', ..] => Some(start + i + 3),
            _ => None,
        })
    }
}

fn parse(head: &mut [u8]) -> Result<Response> {
    // tungstenite parses HTTP/1.1 only, but a refusal in HTTP/1.0 is an answer
    // as well; old proxies give it, and Python's http.server.
    let old = head.starts_with(b"HTTP/1.0");
    if old {
        head[..8].copy_from_slice(b"HTTP/1.1");
    }
    let because = match Response::try_parse(head) {
        Ok(Some((_, response))) if old && response.status() == 101 => {
            return Err(broken("expected status 101 in HTTP/1.1, got it in HTTP/1.0"));
        }
        Ok(Some((size, response))) if size == head.len() => return Ok(response),
        Ok(_) => "it has no end".to_owned(),
        Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::HttparseError(
            error,
        ))) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let beginning = &head[..head.len().min(32)];
    Err(broken(format!(
        "expected an HTTP/1.1 response, got \"{}…\": {because}",
        beginning.escape_ascii()
    )))
}
