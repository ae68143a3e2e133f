//! TLS configurations, made once and shared.
//!
//! All attempts of a client, and all clients with the same options, use one
//! configuration: sessions are resumed and the system's certificates are read
//! once for the whole process. A client's certificate is read anew at each
//! attempt; one with other contents makes another configuration, so that no
//! session outlives the certificate it was made with.

mod identity;
mod pins;

use std::sync::{Arc, Mutex, Weak};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::task::spawn_blocking;

use crate::driver::fork;
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Tls;
use identity::{Files, Identity};
use pins::{Pin, Pinned};

use super::session::tls_error;

/// How a client proves to itself who the server is, and to the server who it is.
#[derive(Clone)]
pub(crate) struct Trust {
    name: Option<ServerName<'static>>,
    server: Arc<Expected>,
    files: Option<Arc<Files>>,
    /// For the certificate as it was last read.
    config: Arc<Mutex<Arc<ClientConfig>>>,
}

/// What is asked of the server's certificate.
#[derive(PartialEq, Eq)]
struct Expected {
    /// PEM text; `None` for what the system trusts.
    authorities: Option<Vec<u8>>,
    verify: bool,
    pins: Vec<Pin>,
}

/// What makes two configurations the same.
#[derive(PartialEq)]
struct Key {
    server: Arc<Expected>,
    /// The digest of what the client shows.
    client: Option<[u8; 32]>,
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
        let server = Arc::new(Expected {
            authorities: authorities(options)?,
            verify: options.verify,
            pins: options.pinned_keys.iter().map(|pin| Pin::parse(pin)).collect::<Result<_>>()?,
        });
        let files = Files::named_by(options)?;
        let identity = files.as_ref().map(Files::read).transpose()?;
        let config = shared(&server, identity)?;
        Ok(Trust { name, server, files: files.map(Arc::new), config: Arc::new(Mutex::new(config)) })
    }

    /// A session for one connection to `host`, with the client's certificate as it is now.
    ///
    /// Whatever is wrong with its files is [`ErrorKind::Tls`], which is tried again: they may
    /// be in the middle of being replaced.
    pub(crate) async fn session(&self, host: &str) -> Result<UnbufferedClientConnection> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        if let Some(files) = self.files.clone() {
            let server = self.server.clone();
            let read = spawn_blocking(move || {
                let identity = files
                    .read()
                    .map_err(|error| Error::new(ErrorKind::Tls, error.message().to_owned()))?;
                shared(&server, Some(identity))
            });
            *lock(&self.config) = read.await.map_err(|error| {
                Error::new(ErrorKind::Resource, format!("tls client_cert: cannot be read: {error}"))
            })??;
        }
        let config = lock(&self.config).clone();
        UnbufferedClientConnection::new(config, name).map_err(|error| tls_error(&error))
    }

    /// For a session that somebody else makes.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        lock(&self.config).clone()
    }
}

/// The configuration for all who expect and show the same.
fn shared(server: &Arc<Expected>, identity: Option<Identity>) -> Result<Arc<ClientConfig>> {
    let key = Key {
        server: server.clone(),
        client: identity.as_ref().map(|identity| identity.digest),
        generation: fork::generation(),
    };
    let mut shared = lock(&SHARED);
    shared.retain(|(_, config)| config.strong_count() > 0);
    let known = shared.iter().find(|(other, _)| *other == key);
    if let Some(config) = known.and_then(|(_, config)| config.upgrade()) {
        return Ok(config);
    }
    let config = Arc::new(client_config(server, identity)?);
    shared.push((key, Arc::downgrade(&config)));
    Ok(config)
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        Error::new(
            ErrorKind::Invalid,
            format!("tls server_name: expected a host name or an IP address, got {name:?}"),
        )
    })
}

/// The PEM text to trust.
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

fn client_config(server: &Expected, identity: Option<Identity>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_error(&error))?;
    let mut verifier: Arc<dyn ServerCertVerifier> = match &server.authorities {
        _ if !server.verify => Arc::new(AcceptAnything(provider)),
        Some(pem) => web_pki(roots(pem)?, provider)?,
        None => match rustls_platform_verifier::Verifier::new(provider.clone()) {
            Ok(verifier) => Arc::new(verifier),
            // A container without certificates of its own.
            Err(_) => web_pki(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(), provider)?,
        },
    };
    if !server.pins.is_empty() {
        verifier = Arc::new(Pinned::new(verifier, server.pins.clone()));
    }
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver),
        None => builder.with_no_client_auth(),
    })
}

/// What is wrong with PEM text, in words.
fn not_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("not PEM: expected the end of {}", String::from_utf8_lossy(end_marker))
        }
        other => format!("not PEM: {other}"),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let bad = |why: String| Error::new(ErrorKind::Invalid, format!("tls ca_file/ca_pem: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(not_pem(&error)))?;
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
