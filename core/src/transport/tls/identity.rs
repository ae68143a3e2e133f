//! The certificate and the key by which a client proves who it is.
//!
//! They are read from files whose contents may change under a client that lives for
//! weeks. **What was read is whole or an error**: a certificate and a key that do not
//! belong together, as in the middle of their being replaced, are not used.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, crypto::aws_lc_rs};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::not_pem;
use super::pins::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Tls;

/// No chain of certificates comes near it.
const LARGEST: u64 = 1 << 20;

/// Where the certificate and its key are.
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the files held.
pub(super) struct Identity {
    pub(super) resolver: Arc<dyn ResolvesClientCert>,
    /// Of the files' contents, to tell others from them without keeping the key.
    pub(super) digest: [u8; 32],
}

impl Files {
    pub(super) fn named_by(options: &Tls) -> Result<Option<Files>> {
        let (certificate, key) = match (&options.client_cert, &options.client_key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => {
                return Err(invalid("tls: expected client_key beside client_cert, got none"));
            }
            (None, Some(_)) => {
                return Err(invalid("tls: expected client_cert beside client_key, got none"));
            }
        };
        Ok(Some(Files { certificate, key }))
    }

    /// Whatever is wrong with the files is [`ErrorKind::Invalid`].
    pub(super) fn read(&self) -> Result<Identity> {
        let chain_bytes = read(&self.certificate).map_err(|error| self.bad_certificate(&error))?;
        let key_bytes = read(&self.key).map_err(|error| self.bad_key(&error))?;
        let chain = CertificateDer::pem_slice_iter(&chain_bytes)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|error| self.bad_certificate(&not_pem(&error)))?;
        if chain.is_empty() {
            return Err(self.bad_certificate(&"expected at least one PEM certificate, found none"));
        }
        let key = private_key(&key_bytes).map_err(|why| self.bad_key(&why))?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| self.unusable(&error))?;
        // With the length, no bytes can move from one file to the other unnoticed.
        let length = chain_bytes.len().to_le_bytes();
        Ok(Identity {
            resolver: Arc::new(SingleCertAndKey::from(certified)),
            digest: sha256(&[&length, &chain_bytes, &key_bytes]),
        })
    }

    fn unusable(&self, error: &rustls::Error) -> Error {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let certificate = self.certificate.display();
                self.bad_key(&format!("expected the key of the certificate in {certificate}"))
            }
            rustls::Error::InvalidCertificate(_) => self.bad_certificate(error),
            other => self.bad_key(other),
        }
    }

    fn bad_certificate(&self, why: &dyn std::fmt::Display) -> Error {
        invalid(format!("tls client_cert {}: {why}", self.certificate.display()))
    }

    fn bad_key(&self, why: &dyn std::fmt::Display) -> Error {
        invalid(format!("tls client_key {}: {why}", self.key.display()))
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// The contents of a regular file; of others one cannot know whether they ever end, or
/// can be read a second time.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("expected a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("expected at most {LARGEST} bytes, got more")));
    }
    Ok(bytes)
}

/// The first private key of a PEM file.
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // PKCS #8, and what OpenSSL wrote before it.
    let marks: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    if marks.iter().any(|mark| pem.windows(mark.len()).any(|window| window == *mark)) {
        return Err("expected a key without a passphrase, got an encrypted one".into());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => "expected a PEM private key, found none".into(),
        other => not_pem(&other),
    })
}
