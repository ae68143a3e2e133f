//! Streaming UTF-8 against the standard library, for every way to cut.

use longwire::protocol::utf8::Utf8Stream;
use proptest::prelude::*;

/// Tricky texts and broken ones.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs: Vec<Vec<u8>> = [
        &b""[..],
        b"plain",
        "aé€😀z".as_bytes(),
        "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
        "\u{d7ff}\u{e000}\u{feff}\u{fffe}".as_bytes(),
        "😀😀😀😀".as_bytes(),
        b"\xC0\x80",                                                       // overlong NUL
        b"\xC1\xBF",                                                       // overlong
        b"\xE0\x80\x80",                                                   // overlong
        b"\xE0\x9F\xBF",                                                   // overlong
        b"\xF0\x8F\xBF\xBF",                                               // overlong
        b"\xED\xA0\x80",                                                   // high surrogate
        b"\xED\xBF\xBF",                                                   // low surrogate
        b"\xF4\x90\x80\x80",                                               // beyond U+10FFFF
        b"\xF5\x80\x80\x80",                                               // never a lead byte
        b"\xFE",                                                           // never a byte
        b"\xFF",                                                           // never a byte
        b"\x80",                                                           // lone continuation
        b"a\xBFb",                                                         // lone continuation
        b"\xC3",                                                           // incomplete
        b"\xE2\x82",                                                       // incomplete
        b"\xF0\x9F\x98",                                                   // incomplete
        b"\xE2\x82a",                                                      // interrupted
        b"\xF0\x9F\x98\xF0",                                               // interrupted
        b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80ed", // Autobahn 6.4
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    // Long enough for the vector code, with the trouble at either end.
    let bulk = "0123456789äöü€😀".repeat(20);
    for trouble in [&b"\xED\xA0\x80"[..], b"\xE2\x82", b"\xF0\x9F\x98\x80", b"\xFF"] {
        inputs.push([bulk.as_bytes(), trouble].concat());
        inputs.push([trouble, bulk.as_bytes()].concat());
    }
    inputs
}

/// How many bytes it takes until no continuation could be valid.
fn decided_at(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len()).find(|end| {
        std::str::from_utf8(&bytes[..*end]).is_err_and(|error| error.error_len().is_some())
    })
}

#[track_caller]
fn check(pieces: &[&[u8]]) {
    let whole = pieces.concat();
    let decided = decided_at(&whole);
    let mut stream = Utf8Stream::default();
    let mut pushed = 0;
    for piece in pieces {
        pushed += piece.len();
        let refused = stream.push(piece).is_err();
        assert_eq!(
            refused,
            decided.is_some_and(|decided| decided <= pushed),
            "after {pushed} of {pieces:02x?}"
        );
        if refused {
            return;
        }
    }
    assert_eq!(stream.finish().is_ok(), std::str::from_utf8(&whole).is_ok(), "{pieces:02x?}");
    assert_eq!(stream.push(b"next"), Ok(()), "a finished stream begins anew");
    assert_eq!(stream.finish(), Ok(()));
}

#[test]
fn any_two_cuts_agree_with_std() {
    for input in inputs() {
        let step = if input.len() > 64 { 29 } else { 1 };
        for first in (0..=input.len()).step_by(step) {
            for second in (first..=input.len()).step_by(step) {
                check(&[&input[..first], &input[first..second], &input[second..]]);
            }
        }
    }
}

#[test]
fn single_bytes_are_refused_at_the_first_that_decides() {
    for input in inputs() {
        check(&input.chunks(1).collect::<Vec<_>>());
    }
}

#[test]
fn every_two_byte_beginning_is_judged_as_std_does() {
    for first in 0..=0xFF {
        for second in 0..=0xFF {
            check(&[&[first], &[second]]);
            check(&[b"x", &[first, second], b"\x80", b"\xBF"]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_in_random_pieces_agree_with_std(
        text in "\\PC{0,40}",
        flip in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut bytes = text.into_bytes();
        if let (Some((at, to)), false) = (flip, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        check(&pieces);
    }
}
