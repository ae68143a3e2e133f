//! **However the input is cut into chunks, the items are the same**: for any
//! stream, sound or mutated, compressed or not, received by copy or in the
//! decoder's own memory, taken whole or in chunks.

use longwire::protocol::decoder::{Decoder, Limits};
use longwire::protocol::deflate::{Agreement, Deflater, Inflater};
use longwire::{Compression, MessageKind};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::frames::*;
use crate::streams::{any_stream, compressed_stream, fragmented, payload, pieces};

const SMALL: Limits = Limits { max_message_size: 60_000, max_fragments: 6 };

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

/// For each piece by turns, whether the decoder's own memory is received into.
fn turns() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 1..5)
}

fn inflating(limits: Limits, takeover: bool) -> Decoder {
    let agreement = Agreement {
        client_no_context_takeover: !takeover,
        server_no_context_takeover: !takeover,
        client_max_window_bits: 15,
    };
    Decoder::new(limits).inflating(Inflater::new(&agreement))
}

/// Chunks put together to the messages they are parts of; what was not
/// completed is left out.
fn put_together(items: Vec<Owned>) -> Vec<Owned> {
    let mut message = Vec::new();
    let mut whole = Vec::new();
    for item in items {
        let Owned::Chunk(kind, bytes, first, last) = item else {
            whole.push(item);
            continue;
        };
        if first {
            message.clear();
        }
        message.extend_from_slice(&bytes);
        match kind {
            _ if !last => {}
            MessageKind::Text => {
                whole.push(Owned::Text(String::from_utf8(message.clone()).unwrap()));
            }
            MessageKind::Binary => whole.push(Owned::Binary(message.clone())),
        }
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn cutting_changes_nothing(stream in any_stream(), cuts in cuts(), direct in turns()) {
        let whole = decode(&[&stream], SMALL, false);
        let decoder = || Decoder::new(SMALL);
        prop_assert_eq!(&decode_in_turns(decoder(), &pieces(&stream, &cuts), &direct), &whole);
        let size = if stream.len() > 2000 { 997 } else { 1 };
        let even: Vec<_> = stream.chunks(size).collect();
        prop_assert_eq!(&decode_in_turns(decoder(), &even, &direct), &whole);
    }

    #[test]
    fn cutting_compressed_messages_changes_nothing(
        stream in compressed_stream(), cuts in cuts(), direct in turns(), takeover in any::<bool>(),
    ) {
        let whole = decode_by(inflating(SMALL, takeover), &[&stream], false);
        let cut = pieces(&stream, &cuts);
        prop_assert_eq!(&decode_in_turns(inflating(SMALL, takeover), &cut, &direct), &whole);
        let size = if stream.len() > 2000 { 997 } else { 1 };
        let even: Vec<_> = stream.chunks(size).collect();
        prop_assert_eq!(&decode_in_turns(inflating(SMALL, takeover), &even, &direct), &whole);
    }

    #[test]
    fn chunks_are_the_messages_cut(stream in compressed_stream(), cuts in cuts()) {
        const ROOMY: Limits = Limits { max_message_size: 1 << 24, max_fragments: 1 << 20 };
        let (items, end) = decode_by(inflating(ROOMY, true), &[&stream], false);
        let cut = pieces(&stream, &cuts);
        let (chunks, chunks_end) = decode_by(inflating(ROOMY, true).streaming(), &cut, true);
        // No size is too big for chunks.
        if end.as_ref().err().is_none_or(|violation| violation.close_code() != 1009) {
            prop_assert_eq!(put_together(chunks), items);
            let code = |end: Result<(), longwire::protocol::violation::Violation>| {
                end.err().map(|violation| violation.close_code())
            };
            prop_assert_eq!(code(chunks_end), code(end));
        }
    }

    #[test]
    fn any_bytes_end_in_items_or_one_violation(
        bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts(),
    ) {
        let whole = decode(&[&bytes], SMALL, false);
        prop_assert_eq!(&decode(&pieces(&bytes, &cuts), SMALL, true), &whole);
    }

    #[test]
    fn sound_messages_come_out_as_they_went_in(
        payloads in prop::collection::vec((any::<bool>(), "\\PC{0,50}"), 0..6), cuts in cuts(),
    ) {
        let mut stream = Vec::new();
        let mut wanted = Vec::new();
        for (text, payload) in payloads {
            stream.extend(frame(FIN | if text { TEXT } else { BINARY }, payload.as_bytes()));
            wanted.push(if text { Owned::Text(payload) } else { Owned::Binary(payload.into()) });
        }
        prop_assert_eq!(decode(&pieces(&stream, &cuts), SMALL, true), (wanted, Ok(())));
    }

    #[test]
    fn compressed_messages_come_out_as_they_went_in(
        payloads in prop::collection::vec((payload(), cuts(), any::<bool>()), 0..6),
        (level, memory_level, window) in (1..=9u8, 1..=9u8, 9..=15u8),
        fresh in any::<bool>(),
        cuts in cuts(),
    ) {
        let agreement = Agreement {
            client_no_context_takeover: fresh,
            server_no_context_takeover: fresh,
            client_max_window_bits: window,
        };
        let mut options = Compression::default();
        (options.level, options.memory_level) = (level, memory_level);
        let mut deflater = Deflater::new(&options, &agreement).expect("a window above 8 bits");
        let mut stream = Vec::new();
        let mut wanted = Vec::new();
        for (payload, fragments, compress) in payloads {
            let compressed = if compress {
                deflater.message(&payload, |bytes| bytes.map(<[u8]>::to_vec))
            } else {
                None
            };
            let (rsv, bytes) = compressed.map_or((0, payload.clone()), |bytes| (RSV1, bytes));
            stream.extend(fragmented(false, rsv, &bytes, &fragments, &[]).concat());
            wanted.push(Owned::Binary(payload));
        }
        let limits = Limits { max_message_size: 70_000, max_fragments: 13 };
        let decoder = Decoder::new(limits).inflating(Inflater::new(&agreement));
        prop_assert_eq!(decode_by(decoder, &pieces(&stream, &cuts), true), (wanted, Ok(())));
    }
}
