//! **However the input is cut into chunks, the items are the same**: for any
//! stream, sound or mutated, received by copy or in the decoder's own memory.

mod frames;

use frames::streams::{any_stream, pieces};
use frames::*;
use longwire::protocol::decoder::Limits;
use proptest::prelude::*;

const SMALL: Limits = Limits { max_message_size: 60_000, max_fragments: 6 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn cutting_changes_nothing(
        stream in any_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        direct in any::<bool>(),
    ) {
        let whole = decode(&[&stream], SMALL, false);
        prop_assert_eq!(&decode(&pieces(&stream, &cuts), SMALL, direct), &whole);
        let size = if stream.len() > 2000 { 997 } else { 1 };
        let even: Vec<_> = stream.chunks(size).collect();
        prop_assert_eq!(&decode(&even, SMALL, direct), &whole);
    }

    #[test]
    fn any_bytes_end_in_items_or_one_violation(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = decode(&[&bytes], SMALL, false);
        prop_assert_eq!(&decode(&pieces(&bytes, &cuts), SMALL, true), &whole);
    }

    #[test]
    fn sound_messages_come_out_as_they_went_in(
        payloads in prop::collection::vec((any::<bool>(), "\\PC{0,50}"), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream = Vec::new();
        let mut wanted = Vec::new();
        for (text, payload) in payloads {
            stream.extend(frame(FIN | if text { TEXT } else { BINARY }, payload.as_bytes()));
            wanted.push(if text { Owned::Text(payload) } else { Owned::Binary(payload.into()) });
        }
        prop_assert_eq!(decode(&pieces(&stream, &cuts), SMALL, true), (wanted, Ok(())));
    }
}
