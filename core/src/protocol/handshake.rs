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
pub(super) mod head;
mod request;

use self::answer::Offer;
use self::head::Head;
use super::deflate::Agreement;
use super::target::Target;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::options::Config;

/// The most of a refusal's body that is kept.
const MAX_BODY: usize = 4 * 1024;

/// One opening handshake: a request to send, and the judgement of what comes
/// back.
#[derive(Debug)]
pub struct Handshake {
    request: Vec<u8>,
    offer: Offer,
    head: Head,
    refusal: Option<Refused>,
}

/// A refusal whose body may still be arriving.
#[derive(Debug)]
struct Refused {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// How long the body gets, as far as that is wanted; `None` if nobody knows.
    expected: Option<usize>,
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
            head: Head::default(),
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
        if let Some(mut refused) = self.refusal.take() {
            refused.body.extend_from_slice(input);
            return self.refuse(refused);
        }
        let Some(response) = self.head.receive(input)? else { return Ok(None) };
        let headers = answer::listed(response.headers());
        let rest = self.head.take_rest();
        if response.status() == 101 {
            let agreed = self.offer.verify(response.headers())?;
            return Ok(Some(Accepted {
                subprotocol: agreed.subprotocol,
                extensions: agreed.extensions,
                deflate: agreed.deflate,
                headers,
                leftover: rest,
            }));
        }
        let chunked = answer::is_chunked(response.headers());
        self.refuse(Refused {
            status: response.status().as_u16(),
            headers,
            body: if chunked { answer::dechunked(&rest) } else { rest },
            expected: answer::body_len(&response).map(|len| len.min(MAX_BODY)),
        })
    }

    /// The stream ended, or time ran out, before an answer was complete: the
    /// error to report.
    pub fn end(mut self, ended_by_timeout: bool) -> Error {
        if let Some(refused) = self.refusal.take() {
            return refused.into_error();
        }
        let bytes = self.head.len();
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

    /// Refuses as soon as the expected part of the body is there.
    fn refuse(&mut self, refused: Refused) -> Result<Option<Accepted>> {
        if refused.body.len() < refused.expected.unwrap_or(0) {
            self.refusal = Some(refused);
            return Ok(None);
        }
        Err(refused.into_error())
    }
}

impl Refused {
    fn into_error(mut self) -> Error {
        self.body.truncate(self.expected.unwrap_or(MAX_BODY));
        let refusal = Refusal { status: self.status, headers: self.headers, body: self.body };
        Error::refused(answer::refusal_message(&refusal), refusal)
    }
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Handshake, message)
}
