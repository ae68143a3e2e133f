//! How the server proves who it is, and how the client does.

use std::ffi::c_char;
use std::path::PathBuf;

use super::{lw_config, set};
use crate::boundary::{bytes, invalid, string};

/// Trusts the certificate authorities in this PEM file instead of the
/// system's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_tls_ca_file(
    config: *mut lw_config,
    path: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.tls.ca_file = Some(PathBuf::from(string(path, "path")?));
            Ok(())
        })
    }
}

/// The same as len bytes of PEM text; used together with the file if both
/// are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_tls_ca_pem(
    config: *mut lw_config,
    pem: *const c_char,
    len: usize,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            let pem = str::from_utf8(bytes(pem.cast(), len, "pem")?)
                .map_err(|e| invalid(format!("pem: expected PEM text, got bytes ({e})")))?;
            config.tls.ca_pem = Some(pem.into());
            Ok(())
        })
    }
}

/// false accepts any certificate. Only for tests: anyone between the client
/// and the server can then read and change everything. Default: true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_tls_verify(config: *mut lw_config, verify: bool) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe {
        set(config, |config| {
            config.tls.verify = verify;
            Ok(())
        })
    }
}

/// The name that the certificate must carry and that is sent as SNI. Default:
/// the URL's host.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_tls_server_name(
    config: *mut lw_config,
    name: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.tls.server_name = Some(string(name, "name")?.into());
            Ok(())
        })
    }
}

/// The client's certificate, with what links it to an authority, and its private key,
/// not encrypted: two PEM files, or one twice. Read anew at each attempt, so that they
/// can be replaced while the client lives. Default: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_set_tls_client_cert(
    config: *mut lw_config,
    cert_file: *const c_char,
    key_file: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            let certificate = PathBuf::from(string(cert_file, "cert_file")?);
            let key = PathBuf::from(string(key_file, "key_file")?);
            (config.tls.client_cert, config.tls.client_key) = (Some(certificate), Some(key));
            Ok(())
        })
    }
}

/// Accepts only servers whose public key is this one, or another that was added:
/// sha256// and the base64 of the SHA-256 of its SubjectPublicKeyInfo, as curl has
/// it. All other checks remain. Default: any key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_config_add_tls_pinned_key(
    config: *mut lw_config,
    pin: *const c_char,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        set(config, |config| {
            config.tls.pinned_keys.push(string(pin, "pin")?.into());
            Ok(())
        })
    }
}
