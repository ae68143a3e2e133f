//! Asking an HTTP proxy for a tunnel (CONNECT, RFC 9110 section 9.3.6).
//!
//! hyper-util has a tunnel of its own, which does not tell what the proxy
//! answered; yet it is the status that says whether to try again.

use http::StatusCode;

use super::handshake::head::Head;
use super::proxy::ProxyUrl;
use super::target::Target;
use crate::error::{Error, ErrorKind, Result, is_retryable_status};

/// One CONNECT: a request to send, and the judgement of what comes back.
#[derive(Debug)]
pub(crate) struct Tunnel {
    request: Vec<u8>,
    head: Head,
    /// For messages: whom was asked for what.
    asked: String,
}

impl Tunnel {
    pub(crate) fn new(proxy: &ProxyUrl, target: &Target) -> Tunnel {
        let place = target.place();
        let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some(credentials) = &proxy.credentials {
            request.push_str(&format!("Proxy-Authorization: {}\r\n", credentials.basic()));
        }
        request.push_str("\r\n");
        Tunnel {
            request: request.into_bytes(),
            head: Head::default(),
            asked: format!("the proxy {proxy}, asked for a tunnel to {place}"),
        }
    }

    /// The request, to be sent as it is.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes the next bytes of the answer. `None` means that more is needed,
    /// `Some` that the tunnel begins behind `input`.
    pub(crate) fn receive(&mut self, input: &[u8]) -> Result<Option<()>> {
        let response = match self.head.receive(input) {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.broken(error.message())),
        };
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(status));
        }
        match self.head.take_rest().len() {
            0 => Ok(Some(())),
            // No server speaks before it is spoken to.
            rest => Err(self.broken(&format!(
                "expected nothing behind the answer before the tunnel is used, got {rest} bytes"
            ))),
        }
    }

    /// The proxy ended the connection before its answer was complete.
    pub(crate) fn ended(&self) -> Error {
        let bytes = self.head.len();
        self.broken(&format!("expected an HTTP response, the connection ended after {bytes} bytes"))
    }

    fn broken(&self, why: &str) -> Error {
        Error::new(ErrorKind::Connect, format!("{}: {why}", self.asked))
    }

    fn refused(&self, status: StatusCode) -> Error {
        let what = match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                ", it wants a user and a password, or other ones"
            }
            _ => "",
        };
        let error = self.broken(&format!("expected status 200, got {status}{what}"));
        if is_retryable_status(status.as_u16()) { error } else { error.into_final() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(proxy: &str) -> Tunnel {
        let target = Target::parse("ws://[::1]/x").unwrap();
        Tunnel::new(&ProxyUrl::parse(proxy).unwrap(), &target)
    }

    fn answer(bytes: &[u8]) -> Result<Option<()>> {
        tunnel("http://user:secret@p:1").receive(bytes)
    }

    #[test]
    fn the_request_names_the_server_and_who_asks() {
        let request = tunnel("http://Aladdin:open%20sesame@p:1").request;
        assert_eq!(
            String::from_utf8(request).unwrap(),
            "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        let request = tunnel("https://p:1").request;
        assert_eq!(request, b"CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    }

    #[test]
    fn any_2xx_opens_it_however_it_arrives() {
        for answer in [
            &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
            b"HTTP/1.0 200 OK\r\nProxy-agent: tinyproxy\r\nContent-Length: 7\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\n\n",
        ] {
            assert_eq!(self::answer(answer).unwrap(), Some(()));
            let mut tunnel = tunnel("http://p");
            let (last, first) = answer.split_last().unwrap();
            for byte in first {
                assert_eq!(tunnel.receive(&[*byte]).unwrap(), None);
            }
            assert_eq!(tunnel.receive(&[*last]).unwrap(), Some(()));
        }
    }

    #[test]
    fn the_status_decides_whether_it_is_tried_again() {
        for (status, again) in
            [(407, false), (403, false), (400, false), (302, false), (502, true), (429, true)]
        {
            let error = answer(format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert_eq!(error.is_retryable(), again, "{status}");
            let message = error.message();
            assert!(
                message.contains(&status.to_string()) && !message.contains("secret"),
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for wrong in [
            &b"SSH-2.0-OpenSSH"[..],
            b"HTTP/1.1 200 OK\r\n\r\nHELLO",
            b"HTTP/1.1 abc\r\n\r\n",
            &[b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 70_000]].concat(),
        ] {
            let error = answer(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(error.message().contains("http://p:1"), "{error}");
        }
    }
}
