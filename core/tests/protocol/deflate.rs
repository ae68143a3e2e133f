//! Compressed messages and messages in chunks, as the decoder sees them.

use crate::frames::*;
use longwire::protocol::decoder::{Decoder, Limits};
use longwire::protocol::deflate::{Agreement, Deflater, Inflater};
use longwire::protocol::violation::Violation;
use longwire::{Compression, ErrorKind, MessageKind};

const AGREED: Agreement = Agreement {
    client_no_context_takeover: false,
    server_no_context_takeover: false,
    client_max_window_bits: 15,
};

fn decoder(max_message_size: usize) -> Decoder {
    let limits = Limits { max_message_size, max_fragments: 100 };
    Decoder::new(limits).inflating(Inflater::new(&AGREED))
}

/// The payloads of messages that a server compresses one after another.
fn compressed(messages: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut deflater = Deflater::new(&Compression::default(), &AGREED).unwrap();
    messages.iter().map(|message| deflater.message(message, |c| c.unwrap().to_vec())).collect()
}

fn violation(decoder: Decoder, stream: &[u8]) -> Violation {
    decode_by(decoder, &[stream], false).1.expect_err("a violation")
}

#[test]
fn compressed_and_plain_messages_take_turns_however_they_are_cut() {
    let text = "ticks, ticks and more ticks ".repeat(3000);
    let payloads = compressed(&[text.as_bytes(), text.as_bytes(), b""]);
    let (head, tail) = payloads[1].split_at(payloads[1].len() / 2);
    let stream = [
        frame(FIN | RSV1 | TEXT, &payloads[0]),
        frame(FIN | TEXT, b"plain"),
        frame(RSV1 | BINARY, head),
        frame(PING, b"between"),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, tail),
        frame(FIN | RSV1 | TEXT, &payloads[2]),
    ]
    .concat();
    let wanted = vec![
        Owned::Text(text.clone()),
        Owned::Text("plain".into()),
        Owned::Ping(b"between".to_vec()),
        Owned::Binary(text.clone().into_bytes()),
        Owned::Text(String::new()),
    ];
    for size in [1, 2, 7, 100, stream.len()] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        assert_eq!(decode_by(decoder(1 << 20), &pieces, true), (wanted.clone(), Ok(())), "{size}");
    }
}

#[test]
fn the_limit_counts_what_comes_out() {
    let payloads = compressed(&[&[b'x'; 5000], &[b'y'; 5001]]);
    let exact = frame(FIN | RSV1 | BINARY, &payloads[0]);
    let over = frame(FIN | RSV1 | BINARY, &payloads[1]);
    for size in [1, 3, 1000] {
        let stream = [&exact[..], &over].concat();
        let pieces: Vec<_> = stream.chunks(size).collect();
        let (items, end) = decode_by(decoder(5000), &pieces, false);
        assert_eq!(items, [Owned::Binary(vec![b'x'; 5000])]);
        let violation = end.unwrap_err();
        assert_eq!((violation.kind, violation.close_code()), (ErrorKind::TooBig, 1009));
    }
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let bomb = compressed(&[&vec![0; 64 << 20]]).remove(0);
    assert!(bomb.len() < 100_000);
    let violation = violation(decoder(1 << 20), &frame(FIN | RSV1 | BINARY, &bomb));
    assert_eq!(violation.close_code(), 1009);
}

#[test]
fn what_is_not_compressed_as_agreed_is_refused() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let plain = Decoder::new(Limits { max_message_size: 1000, max_fragments: 10 });
    assert_eq!(violation(plain, &frame(FIN | RSV1 | TEXT, &hello)).close_code(), 1002);
    for first in [PING | RSV1, CLOSE | RSV1, FIN | RSV1 | CONTINUATION, FIN | 0x20 | TEXT] {
        let stream = [frame(TEXT, b"begun"), frame(first, b"")].concat();
        assert_eq!(violation(decoder(1000), &stream).close_code(), 1002, "{first:#x}");
    }
    for (payload, code) in [
        (&hello[..3], 1002),
        (&[0x07], 1002),
        // A stored block with 0xFF in it.
        (&[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00], 1007),
    ] {
        let stream = frame(FIN | RSV1 | TEXT, payload);
        assert_eq!(violation(decoder(1000), &stream).close_code(), code, "{payload:x?}");
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(decode_by(decoder(1000), &bytes, false).1.unwrap_err().close_code(), code);
    }
}

#[test]
fn chunks_put_together_are_the_messages() {
    let text = "größer, größer und größer ".repeat(20_000);
    let payload = compressed(&[text.as_bytes()]).remove(0);
    let (head, tail) = payload.split_at(100);
    let stream = [
        frame(RSV1 | TEXT, head),
        frame(PING, b"between"),
        frame(FIN | CONTINUATION, tail),
        frame(BINARY, b"two "),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, b"pieces"),
        frame(FIN | BINARY, b""),
    ]
    .concat();
    for size in [1, 3, 50, stream.len()] {
        let pieces: Vec<_> = stream.chunks(size).collect();
        let (items, end) = decode_by(decoder(10).streaming(), &pieces, true);
        assert_eq!(end, Ok(()));
        let (mut messages, mut open) = (Vec::new(), Vec::new());
        for item in items {
            let Owned::Chunk(kind, payload, first, last) = item else {
                assert_eq!(item, Owned::Ping(b"between".to_vec()));
                continue;
            };
            assert_eq!(first, open.is_empty() || messages.len() == 2, "{size}");
            open.extend(payload);
            if last {
                messages.push((kind, std::mem::take(&mut open)));
            }
        }
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[0], (MessageKind::Text, text.clone().into_bytes()));
        assert_eq!(messages[1], (MessageKind::Binary, b"two pieces".to_vec()));
        assert_eq!(messages[2], (MessageKind::Binary, Vec::new()));
    }
}

#[test]
fn chunks_of_broken_text_end_in_a_violation() {
    let stream = [frame(TEXT, b"a\xC3"), frame(FIN | CONTINUATION, b"(")].concat();
    let (items, end) = decode_by(decoder(10).streaming(), &[&stream], false);
    assert_eq!(items, [Owned::Chunk(MessageKind::Text, b"a\xC3".to_vec(), true, false)]);
    assert_eq!(end.unwrap_err().close_code(), 1007);
}

#[test]
fn of_two_violations_the_first_counts_however_they_are_cut() {
    // Text that is none, and behind it a block of a type that there is not.
    let text = [&compressed(&[b"\xFFab"])[0][..], b"\x07\xFF"].concat();
    let stream = frame(FIN | RSV1 | TEXT, &text);
    for pieces in [vec![&stream[..]], stream.chunks(1).collect()] {
        for decoder in [decoder(1000), decoder(1000).streaming()] {
            let violation = decode_by(decoder, &pieces, false).1.expect_err("a violation");
            assert_eq!(violation.kind, ErrorKind::Utf8, "{violation}");
        }
    }
}
