//! TLS configurations, made once and shared.
//!
//! All attempts of a client, and all clients with the same options, use one
//! configuration: sessions are resumed and the system's certificates are read
//! once for the whole process.

use std::sync::{Arc, Mutex, Weak};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::driver::fork;
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Tls;

/// How a client proves to itself who the server is.
#[derive(Clone)]
pub(crate) struct Trust {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

/// What makes two configurations the same.
#[derive(PartialEq)]
struct Key {
    authorities: Option<Vec<u8>>,
    verify: bool,
    /// A configuration holds locks, which no forked child may share.
    generation: u32,
}

static SHARED: Mutex<Vec<(Key, Weak<ClientConfig>)>> = Mutex::new(Vec::new());

impl Trust {
    /// Reads the files that `options` name. May read the system's certificates.
    pub(crate) fn new(options: &Tls) -> Result<Trust> {
        let name = match &options.server_name {
            Some(name) => Some(server_name(name)?),
            None => None,
        };
        let key = Key {
            authorities: authorities(options)?,
            verify: options.verify,
            generation: fork::generation(),
        };
        let mut shared = lock(&SHARED);
        shared.retain(|(_, config)| config.strong_count() > 0);
        let known = shared.iter().find(|(other, _)| *other == key);
        if let Some(config) = known.and_then(|(_, config)| config.upgrade()) {
            return Ok(Trust { config, name });
        }
        let config = Arc::new(client_config(&key)?);
        shared.push((key, Arc::downgrade(&config)));
        Ok(Trust { config, name })
    }

    /// A session for one connection to `host`.
    pub(crate) fn session(&self, host: &str) -> Result<ClientConnection> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        ClientConnection::new(self.config.clone(), name)
            .map_err(|error| super::link::tls_error(&error))
    }

    /// For a session that somebody else makes.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::new(
            ErrorKind::Invalid,
            format!("tls server_name: expected a host name or an IP address, got {name:?}"),
        )
    })
}

/// The PEM text to trust; `None` for what the system trusts.
fn authorities(options: &Tls) -> Result<Option<Vec<u8>>> {
    let mut pem = Vec::new();
    if let Some(path) = &options.ca_file {
        pem = std::fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("tls ca_file {}: {error}", path.display()))
        })?;
        pem.push(b'\n');
    }
    if let Some(text) = &options.ca_pem {
        pem.extend_from_slice(text.as_bytes());
    }
    let given = options.ca_file.is_some() || options.ca_pem.is_some();
    Ok(given.then_some(pem))
}

fn client_config(key: &Key) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| super::link::tls_error(&error))?;
    let verifier: Arc<dyn ServerCertVerifier> = match &key.authorities {
        _ if !key.verify => Arc::new(AcceptAnything(provider)),
        Some(pem) => web_pki(roots(pem)?, provider)?,
        None => match rustls_platform_verifier::Verifier::new(provider.clone()) {
            Ok(verifier) => Arc::new(verifier),
            // A container without certificates of its own.
            Err(_) => web_pki(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(), provider)?,
        },
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let bad = |why: String| Error::new(ErrorKind::Invalid, format!("tls ca_file/ca_pem: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(format!("not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("expected at least one PEM certificate, found none".into()));
    }
    Ok(roots)
}

fn web_pki(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("tls: {error}")))?;
    Ok(verifier)
}

/// The `verify: false` of [`Tls`]: the handshake is still checked to come
/// from the holder of the certificate, but the certificate may be anyone's.
#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
