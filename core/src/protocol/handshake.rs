//! The opening handshake (RFC 6455 section 4).
//!
//! **However the answer is cut into chunks, the outcome is the same**, but
//! for one thing: of a refusal without `Content-Length` the body is what
//! arrived together with the headers. Nobody waits for an explanation whose
//! end is unknown.
//!
//! tungstenite writes the request and parses the answer; whether the answer
//! opens a connection is decided here. What the server may not do is
//! [`ErrorKind::Handshake`], an answer other than 101 is
//! [`ErrorKind::Status`].

mod answer;
pub mod extensions;
mod request;

use tungstenite::handshake::client::Response;
use tungstenite::handshake::machine::TryParse;

use self::answer::Offer;
use super::deflate::Agreement;
use super::target::Target;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::options::Config;

/// The most bytes of headers accepted, those of interim responses included.
const MAX_HEAD: usize = 64 * 1024;

/// The most of a refusal's body that is kept.
const MAX_BODY: usize = 4 * 1024;

/// One opening handshake: a request to send, and the judgement of what comes
/// back.
#[derive(Debug)]
pub struct Handshake {
    request: Vec<u8>,
    offer: Offer,
    /// What has arrived and is not understood yet.
    received: Vec<u8>,
    /// How far `received` was searched for the end of the headers.
    searched: usize,
    /// Bytes of interim responses, which are gone from `received`.
    skipped: usize,
    /// A refusal whose body is still arriving, and how long that gets.
    refusal: Option<(Refusal, usize)>,
}

/// What the server agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The subprotocol it chose among those offered.
    pub subprotocol: Option<String>,
    /// The value of `Sec-WebSocket-Extensions`, empty if there is none.
    pub extensions: String,
    /// What was agreed on compression, if it was.
    pub deflate: Option<Agreement>,
    /// Response headers, names in lower case, in the order they came but for
    /// those of the same name, which stand together.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What came behind the answer: the first bytes for the decoder.
    pub leftover: Vec<u8>,
}

impl Handshake {
    /// Prepares the request. [`ErrorKind::Invalid`] if a header, a
    /// subprotocol or the origin cannot stand in one.
    pub fn new(target: &Target, config: &Config) -> Result<Handshake> {
        let (request, key) = request::build(target, config)?;
        Ok(Handshake {
            request,
            offer: Offer::new(&key, config.subprotocols.clone(), config.compression),
            received: Vec::new(),
            searched: 0,
            skipped: 0,
            refusal: None,
        })
    }

    /// The request, to be sent as it is.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes the next bytes of the answer. `None` means that more is needed;
    /// after anything else the handshake is over.
    pub fn receive(&mut self, input: &[u8]) -> Result<Option<Accepted>> {
        self.received.extend_from_slice(input);
        if let Some((refusal, expected)) = self.refusal.take() {
            return self.refuse(refusal, expected);
        }
        loop {
            self.check_beginning()?;
            let end = self.head_end();
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
                101 => {
                    let agreed = self.offer.verify(response.headers())?;
                    return Ok(Some(Accepted {
                        subprotocol: agreed.subprotocol,
                        extensions: agreed.extensions,
                        deflate: agreed.deflate,
                        headers: answer::listed(response.headers()),
                        leftover: std::mem::take(&mut self.received),
                    }));
                }
                100..200 => self.skipped += end,
                _ => {
                    let announced = answer::body_len(&response);
                    let expected = announced.unwrap_or(0).min(MAX_BODY);
                    if announced == Some(0) {
                        self.received.clear();
                    } else if answer::is_chunked(response.headers()) {
                        self.received = answer::dechunked(&self.received);
                    }
                    let refusal = Refusal {
                        status: response.status().as_u16(),
                        headers: answer::listed(response.headers()),
                        body: Vec::new(),
                    };
                    return self.refuse(refusal, expected);
                }
            }
        }
    }

    /// The stream ended, or time ran out, before an answer was complete: the
    /// error to report.
    pub fn end(mut self, ended_by_timeout: bool) -> Error {
        if let Some((refusal, _)) = self.refusal.take() {
            return match self.refuse(refusal, 0) {
                Err(error) => error,
                Ok(_) => broken("the answer ended inside its body"),
            };
        }
        let bytes = self.skipped + self.received.len();
        if ended_by_timeout {
            Error::new(
                ErrorKind::Timeout,
                format!(
                    "expected an HTTP response, it was not complete in time: {bytes} bytes came"
                ),
            )
        } else {
            // Not the server's verdict: one that restarts does the same.
            Error::new(
                ErrorKind::Lost,
                format!("expected an HTTP response, the connection ended after {bytes} bytes"),
            )
        }
    }

    /// Refuses as soon as `expected` bytes of the body are there.
    fn refuse(&mut self, mut refusal: Refusal, expected: usize) -> Result<Option<Accepted>> {
        if self.received.len() < expected {
            self.refusal = Some((refusal, expected));
            return Ok(None);
        }
        refusal.body = std::mem::take(&mut self.received);
        refusal.body.truncate(if expected > 0 { expected } else { MAX_BODY });
        Err(Error::refused(answer::refusal_message(&refusal), refusal))
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
    fn head_end(&mut self) -> Option<usize> {
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

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Handshake, message)
}
