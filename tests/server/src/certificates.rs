//! Certificates made on the spot: a CA, a leaf for `localhost` and 127.0.0.1, a leaf for another name, and such as clients
//! show: a good one, an expired one and one of a CA that nobody knows.
//!
//! The CA lives in files (`ca.pem`, `ca.key`), so that clients can be told to trust it and a server started again in the same
//! directory keeps it. The leaf is written as well (`leaf.pem`, `leaf.key`), for other servers that tests put behind or in
//! front of this one, and so are the clients' (`client.pem`, `expired.pem`, `foreign.pem`, each with its `.key`). All of it satisfies strict verifiers: CA flags and key usages, names in the subject alternative
//! names, `serverAuth` or `clientAuth`, and a leaf validity below the 398 days that some of them allow.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

const CA_NAME: &str = "longwire test CA";
const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 396;

/// The CA and the TLS configurations of the TLS ports.
pub(crate) struct Certificates {
    dir: Directory,
    localhost: Arc<ServerConfig>,
    other_name: Arc<ServerConfig>,
    client_cert: Arc<ServerConfig>,
}

impl Certificates {
    /// Makes what is missing in `dir`, or everything in a fresh directory that is removed at the end.
    pub(crate) fn prepare(dir: Option<&Path>) -> Result<Self, String> {
        let dir = Directory::open(dir)?;
        let ca = authority(&dir.path)?;
        let names = ["localhost", "127.0.0.1"];
        let localhost = Leaf::issue(&ca, &names, ExtendedKeyUsagePurpose::ServerAuth, LEAF_DAYS)?;
        localhost.write(&dir.path, "leaf")?;
        let other = ["other.example"];
        let other_name = Leaf::issue(&ca, &other, ExtendedKeyUsagePurpose::ServerAuth, LEAF_DAYS)?;
        let nobody = Issuer::new(authority_params("nobody's CA"), generate_key()?);
        for (name, issuer, days) in
            [("client", &ca, LEAF_DAYS), ("expired", &ca, 0), ("foreign", &nobody, LEAF_DAYS)]
        {
            Leaf::issue(issuer, &[name], ExtendedKeyUsagePurpose::ClientAuth, days)?
                .write(&dir.path, name)?;
        }
        Ok(Self {
            localhost: localhost.server_config(None)?,
            other_name: other_name.server_config(None)?,
            client_cert: localhost.server_config(Some(clients_of(&dir.path)?))?,
            dir,
        })
    }

    /// The file clients are told to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path.join("ca.pem")
    }

    /// For the port whose certificate says `localhost` and 127.0.0.1.
    pub(crate) fn localhost(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.localhost)
    }

    /// For the port whose certificate says `other.example` and nothing else.
    pub(crate) fn other_name(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.other_name)
    }

    /// For the port that demands a client certificate of the CA.
    pub(crate) fn client_cert(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.client_cert)
    }
}

/// Accepts the clients that the CA of `dir` vouches for.
fn clients_of(dir: &Path) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot verify clients: {error}");
    let ca = CertificateDer::from_pem_file(dir.join("ca.pem")).map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|error| failed(&error))?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .map_err(|error| failed(&error))
}

/// Reads the CA of `dir`, or makes one there.
fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, String> {
    let (certificate_file, key_file) = (dir.join("ca.pem"), dir.join("ca.key"));
    if certificate_file.exists() && key_file.exists() {
        let pem = fs::read_to_string(&key_file)
            .map_err(|error| format!("cannot read {}: {error}", key_file.display()))?;
        let key = KeyPair::from_pem(&pem).map_err(|error| {
            format!("{} should hold a PKCS#8 key in PEM: {error}", key_file.display())
        })?;
        // Name and key are all that an issuer is known by; the certificate itself need not be read.
        return Ok(Issuer::new(authority_params(CA_NAME), key));
    }
    let key = generate_key()?;
    let certificate = authority_params(CA_NAME)
        .self_signed(&key)
        .map_err(|error| format!("cannot sign the CA certificate: {error}"))?;
    write_private(&key_file, &key.serialize_pem())?;
    write(&certificate_file, &certificate.pem())?;
    Ok(Issuer::new(authority_params(CA_NAME), key))
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    (params.not_before, params.not_after) = validity(CA_DAYS);
    params
}

struct Leaf {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Leaf {
    fn issue(
        ca: &Issuer<'static, KeyPair>,
        names: &[&str],
        purpose: ExtendedKeyUsagePurpose,
        days: i64,
    ) -> Result<Self, String> {
        let failed = |error: rcgen::Error| {
            format!("cannot make the certificate for {}: {error}", names.join(", "))
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, names[0].as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(days);
        let key = generate_key()?;
        let certificate = params.signed_by(&key, ca).map_err(failed)?;
        Ok(Self { der: certificate.der().clone(), pem: certificate.pem(), key })
    }

    /// As NAME.pem and NAME.key.
    fn write(&self, dir: &Path, name: &str) -> Result<(), String> {
        write(&dir.join(format!("{name}.pem")), &self.pem)?;
        write_private(&dir.join(format!("{name}.key")), &self.key.serialize_pem())
    }

    fn server_config(
        &self,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, String> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = match clients {
                    Some(clients) => builder.with_client_cert_verifier(clients),
                    None => builder.with_no_client_auth(),
                };
                builder.with_single_cert(vec![self.der.clone()], key)
            })
            .map(Arc::new)
            .map_err(|error| format!("cannot configure TLS: {error}"))
    }
}

/// `days` after yesterday it is over, at once with 0; and it began before, for clocks that are a little behind.
fn validity(days: i64) -> (OffsetDateTime, OffsetDateTime) {
    let yesterday = OffsetDateTime::now_utc() - Duration::days(1);
    (yesterday - Duration::days(1), yesterday + Duration::days(days))
}

fn generate_key() -> Result<KeyPair, String> {
    KeyPair::generate().map_err(|error| format!("cannot make a key: {error}"))
}

/// Where the files are; removed at the end when this process made it for itself.
struct Directory {
    path: PathBuf,
    ours: bool,
}

impl Directory {
    fn open(given: Option<&Path>) -> Result<Self, String> {
        let failed =
            |path: &Path, error| format!("cannot use the directory {}: {error}", path.display());
        let path = match given {
            Some(path) => {
                create_dir(path, true).map_err(|error| failed(path, error))?;
                path.canonicalize().map_err(|error| failed(path, error))?
            }
            None => fresh_dir().map_err(|error| failed(&std::env::temp_dir(), error))?,
        };
        Ok(Self { path, ours: given.is_none() })
    }
}

/// A directory that was not there before. A killed server leaves its own behind, and process ids come again.
fn fresh_dir() -> io::Result<PathBuf> {
    let parent = std::env::temp_dir().canonicalize()?;
    let mut attempt = 0u32;
    loop {
        let path = parent.join(format!("longwire-test-server-{}-{attempt}", std::process::id()));
        match create_dir(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            result => return result.map(|()| path),
        }
    }
}

fn create_dir(path: &Path, may_exist: bool) -> io::Result<()> {
    fs::DirBuilder::new().recursive(may_exist).mode(0o700).create(path)
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.ours {
            // Nothing can be done about a file that stays in the directory for temporary ones.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write_private(path: &Path, text: &str) -> Result<(), String> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}
