//! Any messages, compressed with any parameters and decompressed again:
//! **however both are cut, they come back.**

use longwire::Compression;
use longwire::protocol::deflate::{Agreement, Deflater, Inflater};

use super::input::{Pieces, take};

/// Seven bytes of parameters, then messages, each with its length and a
/// repetition before it.
pub fn run(mut data: &[u8]) {
    let [switches, window_bits, level, memory_level, repeat] = take(&mut data);
    let seed = take(&mut data);
    let fresh = switches & 1 != 0;
    let agreement = Agreement {
        client_no_context_takeover: fresh,
        // The server's part is played by our own compressor.
        server_no_context_takeover: fresh,
        client_max_window_bits: 8 + window_bits % 8,
    };
    let mut options = Compression::default();
    options.level = 1 + level % 9;
    options.memory_level = 1 + memory_level % 9;
    let Some(mut deflater) = Deflater::new(&options, &agreement) else {
        assert_eq!(agreement.client_max_window_bits, 8);
        return;
    };
    let mut inflater = Inflater::new(&agreement);
    let mut messages = 0;
    while !data.is_empty() && messages < 8 {
        messages += 1;
        let [len] = take(&mut data);
        let (message, rest) = data.split_at(usize::from(len).min(data.len()));
        data = rest;
        let message =
            if len & 1 != 0 { message.repeat(usize::from(repeat)) } else { message.to_vec() };
        let Some(compressed) = compressed(&mut deflater, &message, switches & 2 != 0, seed) else {
            assert!(fresh, "the other side must not miss a message");
            continue;
        };
        let mut pieces = Pieces::new(&compressed, seed);
        let mut out = Vec::new();
        for mut piece in &mut pieces {
            inflater.inflate(&mut piece, &mut out, 1 << 24).expect("our own message");
            assert!(piece.is_empty());
        }
        inflater.finish().expect("our own message is complete");
        assert!(out == message, "{message:02x?} came back as {out:02x?}");
    }
}

fn compressed(
    deflater: &mut Deflater,
    message: &[u8],
    fragmented: bool,
    seed: [u8; 2],
) -> Option<Vec<u8>> {
    if !fragmented {
        return deflater.message(message, |bytes| bytes.map(<[u8]>::to_vec));
    }
    let mut all = Vec::new();
    let mut fragments = Pieces::new(message, seed);
    while let Some(fragment) = fragments.next() {
        let last = fragments.rest().is_empty() && seed[0] & 1 != 0;
        deflater.fragment(fragment, last, |bytes| all.extend_from_slice(bytes));
        if last {
            return Some(all);
        }
    }
    deflater.fragment(b"", true, |bytes| all.extend_from_slice(bytes));
    Some(all)
}
