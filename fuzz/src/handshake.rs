//! Any answer to the opening handshake: **however it is cut, the outcome is
//! the same; and what is kept of it is bounded.**

use longwire::protocol::handshake::{Accepted, Handshake};
use longwire::protocol::target::Target;
use longwire::{Config, Error, ErrorKind};
use tungstenite::handshake::derive_accept_key;

use super::input::{Pieces, take};
use super::memory;

/// Three bytes of parameters, then the answer, in which `Accept: $` is filled
/// in with the right key.
pub fn run(mut data: &[u8]) {
    let [options] = take(&mut data);
    let seed = take(&mut data);

    let mut config = Config::new("ws://feed.example/ticks");
    if options & 2 != 0 {
        config.compression = None;
    }
    if options & 1 != 0 {
        config.subprotocols = vec!["v1".into(), "v2".into()];
    }
    let whole = outcome(&config, data, None);
    let cut = outcome(&config, data, Some(seed));
    assert_eq!(whole, cut, "a cut made a difference");
}

/// What can be compared: messages quote what had come by then, and the right
/// key is another for each handshake.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accepted(Accepted),
    /// Status, headers, and the body if its length was announced.
    Refused(u16, Vec<(String, Vec<u8>)>, Option<Vec<u8>>),
    Broken(ErrorKind),
    Unfinished(ErrorKind),
}

fn outcome(config: &Config, answer: &[u8], cut: Option<[u8; 2]>) -> Outcome {
    let target = Target::parse(&config.url).expect("a good URL");
    let mut handshake = Handshake::new(&target, config).expect("a good configuration");
    let accept = accept_of(handshake.request());
    let answer = replaced(answer, PLACE, &accept);
    // The head of an answer is parsed into some hundred bytes per header.
    let most = 512 * 1024 + 4 * answer.len();
    let Some(seed) = cut else {
        return match handshake.receive(&answer) {
            Ok(Some(accepted)) => Outcome::Accepted(emptied(accepted, &accept)),
            Ok(None) => unfinished(handshake, &accept),
            Err(error) => refused(&error, &accept),
        };
    };
    let mut pieces = Pieces::new(&answer, seed);
    while let Some(piece) = pieces.next() {
        let (result, taken) = memory::peak(|| handshake.receive(piece));
        assert!(taken <= most, "{taken} bytes were taken for {} received", answer.len());
        match result {
            Ok(Some(mut accepted)) => {
                accepted.leftover.extend_from_slice(pieces.rest());
                return Outcome::Accepted(emptied(accepted, &accept));
            }
            Ok(None) => {}
            Err(error) => return refused(&error, &accept),
        }
    }
    unfinished(handshake, &accept)
}

fn unfinished(handshake: Handshake, accept: &[u8]) -> Outcome {
    let error = handshake.end(false);
    match error.refusal() {
        Some(_) => refused(&error, accept),
        None => Outcome::Unfinished(error.kind()),
    }
}

fn refused(error: &Error, accept: &[u8]) -> Outcome {
    assert!(error.message().contains("expected"), "{error}");
    let Some(refusal) = error.refusal() else { return Outcome::Broken(error.kind()) };
    let values = |name| refusal.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v);
    let announced = values("transfer-encoding").next().is_none()
        && values("content-length").count() == 1
        && values("content-length").all(|value| {
            std::str::from_utf8(value).is_ok_and(|value| value.trim().parse::<usize>().is_ok())
        });
    // The end of the body may have cut a key in two.
    let body = announced.then(|| match replaced(&refusal.body, b"Accept: ", b"") {
        without if without == refusal.body => without,
        _ => vec![0; refusal.body.len()],
    });
    Outcome::Refused(refusal.status, emptied_headers(&refusal.headers, accept), body)
}

/// Where the right key goes.
const PLACE: &[u8] = b"Accept: $";

/// The key with the name before it, as it stands in the answer.
fn accept_of(request: &[u8]) -> Vec<u8> {
    let request = std::str::from_utf8(request).expect("a request in ASCII");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    format!("Accept: {}", derive_accept_key(key.expect("a key").as_bytes())).into_bytes()
}

fn emptied(mut accepted: Accepted, accept: &[u8]) -> Accepted {
    accepted.headers = emptied_headers(&accepted.headers, accept);
    accepted.leftover = replaced(&accepted.leftover, accept, PLACE);
    accepted
}

fn emptied_headers(headers: &[(String, Vec<u8>)], accept: &[u8]) -> Vec<(String, Vec<u8>)> {
    let key = &accept[b"Accept: ".len()..];
    headers.iter().map(|(name, value)| (name.clone(), replaced(value, key, b"$"))).collect()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(from) {
            result.extend_from_slice(to);
            rest = tail;
        } else {
            result.push(*first);
            rest = tail;
        }
    }
    result
}
