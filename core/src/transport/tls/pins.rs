//! Public keys that a server must have, whoever vouches for it.
//!
//! A pin is what curl and HPKP (RFC 7469) call one: the SHA-256 of the
//! SubjectPublicKeyInfo, so that it outlives the renewal of a certificate whose key
//! stays. **It is checked after everything else, and never instead of it.**

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::{Error, ErrorKind, Result};

/// The digest of a public key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pin([u8; 32]);

impl Pin {
    /// Reads `sha256//` and base64, as curl writes it, or `sha256/`, as OkHttp does.
    pub(super) fn parse(text: &str) -> Result<Pin> {
        let encoded =
            text.strip_prefix("sha256/").map(|rest| rest.strip_prefix('/').unwrap_or(rest));
        let digest = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        digest.and_then(|digest| digest.try_into().ok()).map(Pin).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!(
                    "tls pinned_keys: expected sha256// and the base64 of 32 bytes, got {text:?}"
                ),
            )
        })
    }

    fn of(certificate: &CertificateDer<'_>) -> Result<Pin, rustls::Error> {
        Ok(Pin(sha256(&[&ParsedCertificate::try_from(certificate)?.subject_public_key_info()])))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of `parts` one behind the other, by the hash function that TLS brings along.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("a cipher suite of TLS 1.3");
    let mut hash = suite.common.hash_provider.start();
    for part in parts {
        hash.update(part);
    }
    hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The public key that came instead of a pinned one.
#[derive(Debug)]
struct NotPinned(Pin);

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a server with a pinned public key, got one with {}", self.0)
    }
}

impl std::error::Error for NotPinned {}

/// What `inner` accepts, if its key is pinned.
#[derive(Debug)]
pub(super) struct Pinned {
    inner: Arc<dyn ServerCertVerifier>,
    pins: Vec<Pin>,
}

impl Pinned {
    pub(super) fn new(inner: Arc<dyn ServerCertVerifier>, pins: Vec<Pin>) -> Pinned {
        Pinned { inner, pins }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let pin = Pin::of(end_entity)?;
        if self.pins.contains(&pin) {
            return Ok(verified);
        }
        Err(CertificateError::Other(OtherError(Arc::new(NotPinned(pin)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_curl_and_as_okhttp_write_it() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for prefix in ["sha256//", "sha256/"] {
            let pin = Pin::parse(&format!("{prefix}{empty}")).unwrap();
            assert_eq!(pin.0, sha256(&[]));
            assert_eq!(pin.to_string(), format!("sha256//{empty}"));
        }
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for text in [
            "",
            "sha256//",
            "sha256//AAAA",
            "sha256//not base64",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha1//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;sha256//AAAA",
        ] {
            let error = Pin::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.message().contains(&format!("{text:?}")), "{error}");
        }
    }
}
