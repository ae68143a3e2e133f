//! What a server may send, at random: sound for the most part, with violations
//! at any place.

use longwire::Compression;
use longwire::protocol::deflate::{Agreement, Deflater};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::frames::*;

/// What goes into a message: text, broken text, and sizes on both sides of
/// each form of length and of the memory lent to be received into.
pub(crate) fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "\\PC{0,30}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (0..400usize).prop_map(|len| "aé€😀".repeat(len / 10).into_bytes()),
        1 => (120..130usize).prop_map(|len| vec![b'x'; len]),
        1 => (16_000..70_000usize).prop_map(|len| vec![b'x'; len]),
    ]
}

/// A control frame that does not end the stream.
fn control() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..4),
        1 => prop::collection::vec(any::<u8>(), 120..=125),
    ];
    (any::<bool>(), payload).prop_map(|(ping, p)| frame(if ping { PING } else { PONG }, &p))
}

/// The frames of a message in one to eight fragments, with control frames
/// between. `rsv` goes into the first byte.
pub(crate) fn fragmented(
    text: bool,
    rsv: u8,
    payload: &[u8],
    cuts: &[Index],
    between: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.sort_unstable();
    let mut frames = Vec::new();
    let mut start = 0;
    for (i, cut) in cuts.iter().copied().chain([payload.len()]).enumerate() {
        let opcode = match i {
            0 if text => TEXT | rsv,
            0 => BINARY | rsv,
            _ => CONTINUATION,
        };
        let fin = if i == cuts.len() { FIN } else { 0 };
        frames.push(frame(fin | opcode, &payload[start..cut]));
        frames.extend(between.get(i).cloned());
        start = cut;
    }
    frames
}

fn message() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let cuts = prop::collection::vec(any::<Index>(), 0..8);
    let between = prop::collection::vec(control(), 0..8);
    (any::<bool>(), payload(), cuts, between)
        .prop_map(|(text, payload, cuts, between)| fragmented(text, 0, &payload, &cuts, &between))
}

/// The same, compressed by itself and now and then broken.
fn compressed_message() -> impl Strategy<Value = Vec<Vec<u8>>> {
    const ALONE: Agreement = Agreement {
        client_no_context_takeover: true,
        server_no_context_takeover: true,
        client_max_window_bits: 15,
    };
    let cuts = prop::collection::vec(any::<Index>(), 0..8);
    let between = prop::collection::vec(control(), 0..8);
    let broken = prop::option::weighted(0.2, (any::<Index>(), any::<u8>()));
    (any::<bool>(), payload(), cuts, between, broken).prop_map(
        |(text, payload, cuts, between, broken)| {
            let mut deflater = Deflater::new(&Compression::default(), &ALONE).expect("15 bits");
            let mut compressed = deflater.fragment(&payload, true, <[u8]>::to_vec);
            if let Some((place, byte)) = broken {
                let place = place.index(compressed.len());
                compressed[place] = byte;
            }
            fragmented(text, RSV1, &compressed, &cuts, &between)
        },
    )
}

fn other_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![
        2 => control().prop_map(|frame| vec![frame]),
        1 => (1000..1004u16).prop_map(|code| vec![close(code, b"bye")]),
    ]
}

/// A frame that is wrong wherever it stands, or wrong where it does.
fn violation() -> impl Strategy<Value = Vec<u8>> {
    let small = || prop::collection::vec(any::<u8>(), 0..30);
    prop_oneof![
        2 => (any::<u8>(), small()).prop_map(|(first, payload)| frame(first, &payload)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(first, second)| vec![first, second | 0x80]),
        1 => (any::<u8>(), any::<u64>().prop_map(u64::to_be_bytes))
            .prop_map(|(first, len)| [&[first, 127][..], &len].concat()),
        1 => (any::<u8>(), 0..200u16)
            .prop_map(|(first, len)| [&[first, 126][..], &len.to_be_bytes()].concat()),
        1 => (any::<u16>(), "\\PC{0,20}").prop_map(|(code, s)| close(code, s.as_bytes())),
        1 => (1000..1002u16, small()).prop_map(|(code, reason)| close(code, &reason)),
    ]
}

/// A stream as a whole: some messages, perhaps a violation between any two of
/// their frames, perhaps one byte changed anywhere.
fn stream_of(frames: impl Strategy<Value = Vec<Vec<u8>>>) -> impl Strategy<Value = Vec<u8>> {
    let insertion = (any::<Index>(), violation());
    let mutation = (any::<Index>(), any::<u8>(), any::<bool>());
    let messages = prop::collection::vec(frames, 1..8);
    (messages, prop::option::of(insertion), prop::option::of(mutation)).prop_map(
        |(messages, insertion, mutation)| {
            let mut frames = messages.concat();
            if let Some((place, violation)) = insertion {
                frames.insert(place.index(frames.len() + 1), violation);
            }
            let mut stream = frames.concat();
            if let Some((place, byte, near_start)) = mutation {
                // Headers are rare among the bytes of large payloads.
                let limit = if near_start { stream.len().min(64) } else { stream.len() };
                stream[place.index(limit)] = byte;
            }
            stream
        },
    )
}

/// What a server without extensions may send.
pub(crate) fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    stream_of(prop_oneof![4 => message(), 1 => other_frames()])
}

/// What a server may send that compresses some of its messages.
pub(crate) fn compressed_stream() -> impl Strategy<Value = Vec<u8>> {
    stream_of(prop_oneof![2 => message(), 3 => compressed_message(), 1 => other_frames()])
}

/// The stream cut at these places.
pub(crate) fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
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
