//! Servers whose public key is known beforehand.

use crate::support::{Probe, Server, first_error, once};
use longwire::{Client, Config, ErrorKind};

/// Nobody's: the digest of nothing.
const OTHER: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn config(server: &Server, pins: &[&str]) -> Config {
    let mut config = once(format!("{}/echo", server.wss));
    config.tls.ca_file = Some(server.ca_file.clone().into());
    config.tls.pinned_keys = pins.iter().map(ToString::to_string).collect();
    config
}

/// The pin that the server's key has, from the message about another one.
fn pin_of(server: &Server) -> String {
    let error = first_error(config(server, &[OTHER])).0;
    assert_eq!(error.kind(), ErrorKind::Certificate);
    let begin = error.message().find("sha256//").unwrap_or_else(|| panic!("no pin in {error}"));
    error.message()[begin..].to_owned()
}

#[test]
fn the_pinned_key_is_accepted_and_no_other() {
    let server = Server::start();
    let pin = pin_of(&server);
    Probe::runtime(config(&server, &[&pin])).open();
    // With one slash it is unambiguous, unless the base64 begins with another.
    let short = match pin.strip_prefix("sha256//") {
        Some(base64) if !base64.starts_with('/') => format!("sha256/{base64}"),
        _ => pin.clone(),
    };
    Probe::hosted(config(&server, &[OTHER, &short])).open();
    let error = first_error(config(&server, &[OTHER])).0;
    let says = format!("expected a server with a pinned public key, got one with {pin}");
    assert!(error.message().contains(&says), "{error}");
    assert!(!error.is_retryable());
}

#[test]
fn a_pin_is_checked_even_if_nothing_else_is() {
    let server = Server::start();
    let pin = pin_of(&server);
    let unverified = |pins: &[&str]| {
        let mut config = config(&server, pins);
        config.tls.ca_file = None;
        config.tls.verify = false;
        config
    };
    Probe::runtime(unverified(&[&pin])).open();
    assert_eq!(first_error(unverified(&[OTHER])).0.kind(), ErrorKind::Certificate);
    // Also when the same server was reached without pins, or with others, just before.
    Probe::runtime(unverified(&[])).open();
    assert_eq!(first_error(unverified(&[OTHER])).0.kind(), ErrorKind::Certificate);
}

#[test]
fn a_pin_stands_for_nothing_else() {
    let server = Server::start();
    let pin = pin_of(&server);
    let mut unknown = config(&server, &[&pin]);
    unknown.tls.ca_file = None;
    let error = first_error(unknown).0;
    assert_eq!(error.kind(), ErrorKind::Certificate);
    assert!(!error.message().contains("pinned"), "{error}");
    let mut other_name = config(&server, &[&pin]);
    other_name.url = format!("{}/echo", server.wss_bad_name);
    let error = first_error(other_name).0;
    assert!(error.message().contains("not valid for name"), "{error}");
}

#[test]
fn what_is_no_pin_is_refused_at_the_start() {
    let server = Server::start();
    for pin in ["", "sha256//", "sha1//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", &OTHER[..20]]
    {
        let error = Client::start_hosted(config(&server, &[OTHER, pin])).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let says = "tls pinned_keys: expected sha256// and the base64 of 32 bytes, got ";
        assert!(error.message().contains(says), "{error}");
    }
}
