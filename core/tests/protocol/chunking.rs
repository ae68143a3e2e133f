//! **However the input is cut into chunks, the items are the same**: for any
//! stream, sound or mutated, received by copy or in the decoder's own memory.

use crate::frames::*;
use longwire::protocol::decoder::Limits;
use proptest::prelude::*;

const SMALL: Limits = Limits { max_message_size: 60_000, max_fragments: 6 };

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "\\PC{0,30}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (0..400usize).prop_map(|len| "aé€😀".repeat(len / 10).into_bytes()),
        1 => (16_000..70_000usize).prop_map(|len| vec![b'x'; len]),
    ]
}

/// A message in one to eight fragments with control frames between, as bytes.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..8);
    (any::<bool>(), payload(), cuts, any::<bool>()).prop_map(|(text, payload, cuts, pings)| {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut stream = Vec::new();
        let mut start = 0;
        for (i, cut) in cuts.iter().copied().chain([payload.len()]).enumerate() {
            let opcode = match i {
                0 if text => TEXT,
                0 => BINARY,
                _ => CONTINUATION,
            };
            let fin = if i == cuts.len() { FIN } else { 0 };
            stream.extend(frame(fin | opcode, &payload[start..cut]));
            if pings {
                stream.extend(frame(PING, &[i as u8; 3]));
            }
            start = cut;
        }
        stream
    })
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => message(),
        2 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(|p| frame(PONG, &p)),
        1 => (any::<u16>(), "\\PC{0,20}").prop_map(|(code, s)| close(code, s.as_bytes())),
        1 => (1000..1004u16).prop_map(|code| close(code, b"bye")),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(first, payload)| frame(first, &payload)),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0..20usize);
    (prop::collection::vec(any_frame(), 1..8), prop::option::of(mutation)).prop_map(
        |(frames, mutation)| {
            let mut stream = frames.concat();
            if let Some((place, byte, near_start)) = mutation {
                // Headers are rare among the bytes of large payloads.
                let limit = if near_start < 10 { stream.len().min(64) } else { stream.len() };
                if limit > 0 {
                    stream[place.index(limit)] = byte;
                }
            }
            stream
        },
    )
}

fn pieces<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts.into_iter().chain([stream.len()]) {
        pieces.push(&stream[start..cut]);
        start = cut;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn cutting_changes_nothing(
        stream in stream(),
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
