//! The decoder and tungstenite in the client's role, side by side: **where
//! their verdicts on the same bytes differ, the difference is one of those
//! listed**, and each of those listed does occur.

use longwire::protocol::decoder::Limits;
use proptest::prelude::*;

use crate::frames::*;
use crate::fuzz::differential::{Difference, compare};
use crate::streams;

const LIMIT: usize = 20_000;

fn difference(stream: &[u8]) -> Option<Difference> {
    compare(stream, LIMIT)
}

#[test]
fn sound_streams_are_read_alike() {
    for stream in [
        vec![],
        frame(FIN | TEXT, "grüße".as_bytes()),
        [frame(TEXT, b"a"), frame(PING, b"p"), frame(FIN | CONTINUATION, b"b")].concat(),
        [frame(FIN | BINARY, &[7; 300]), close(1001, b"bye"), frame(FIN | TEXT, b"more")].concat(),
        frame(CLOSE, b""),
        frame(BINARY, b"begun"),
    ] {
        assert_eq!(difference(&stream), None, "{stream:02x?}");
    }
}

#[test]
fn violations_are_refused_by_both() {
    for stream in [
        frame(FIN | TEXT, b"\xFF"),
        [frame(TEXT, b"\xE2"), frame(FIN | CONTINUATION, b"x")].concat(),
        frame(FIN | CONTINUATION, b""),
        [frame(TEXT, b""), frame(FIN | TEXT, b"")].concat(),
        frame(FIN | 0x40 | TEXT, b""),
        frame(FIN | 0x3, b""),
        frame(PING & !FIN, b""),
        frame(PING, &[0; 126]),
        frame(CLOSE, b"x"),
        close(1000, b"\xFF"),
        vec![FIN | TEXT, 0x80, 1, 2, 3, 4],
        frame(FIN | BINARY, &[0; LIMIT + 1]),
        [frame(BINARY, &[0; LIMIT]), frame(FIN | CONTINUATION, b"x")].concat(),
    ] {
        let limits = Limits { max_message_size: LIMIT, ..LIMITS };
        assert!(decode(&[&stream], limits, false).1.is_err(), "{stream:02x?}");
        assert_eq!(difference(&stream), None, "{stream:02x?}");
    }
}

#[test]
fn each_difference_listed_occurs() {
    use Difference::{CloseCode, Later, LengthForm, Order};
    for (stream, wanted) in [
        (vec![FIN | BINARY, 126, 0, 1, 7], LengthForm),
        (vec![FIN | BINARY, 127, 0, 0, 0, 0, 0, 0, 0, 1, 7], LengthForm),
        (vec![PING, 126, 0, 1, 7], LengthForm),
        (close(1005, b""), CloseCode),
        (close(999, b""), CloseCode),
        (close(1014, b"bad gateway"), CloseCode),
        (vec![FIN | 0x40 | TEXT], Later),
        (vec![FIN | TEXT, 5, b'a', 0xFF], Later),
        (vec![PING & !FIN], Later),
        (vec![FIN | BINARY, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0], Order),
        (close(1005, b"\xFF"), Order),
    ] {
        assert_eq!(difference(&stream), Some(wanted), "{stream:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_stream_is_read_alike(stream in streams::any_stream(), limit in 0..70_000usize) {
        let _ = compare(&stream, limit);
    }

    #[test]
    fn any_bytes_are_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = difference(&bytes);
    }
}
