//! What the decoder makes of single streams: every form of frame, and every
//! violation of RFC 6455 a server can commit.

use crate::frames::*;
use longwire::protocol::decoder::{Decoder, Item, Limits};
use longwire::{ErrorKind, MessageKind};

fn text(s: &str) -> Owned {
    Owned::Text(s.to_owned())
}

#[track_caller]
fn items(stream: &[u8]) -> Vec<Owned> {
    let (items, end) = decode_whole(stream);
    assert_eq!(end, Ok(()));
    assert_eq!(
        decode(&stream.chunks(1).collect::<Vec<_>>(), LIMITS, true),
        (items.clone(), Ok(()))
    );
    items
}

/// Refused whole and byte by byte alike; returns the items before.
#[track_caller]
fn refused(stream: &[u8], kind: ErrorKind, code: u16) -> Vec<Owned> {
    let (items, end) = decode_whole(stream);
    let violation = end.expect_err("a violation");
    assert_eq!((violation.kind, violation.close_code()), (kind, code), "{violation}");
    let message = &violation.message;
    assert!(message.contains("expected") && message.contains("got"), "{message}");
    let bytewise = decode(&stream.chunks(1).collect::<Vec<_>>(), LIMITS, false);
    assert_eq!(bytewise, (items.clone(), Err(violation)));
    items
}

#[track_caller]
fn protocol(stream: &[u8]) {
    assert_eq!(refused(stream, ErrorKind::Protocol, 1002), []);
}

#[test]
fn messages_of_every_length_form() {
    for len in [0, 1, 125, 126, 127, 0xFFFF, 0x1_0000, 0x1_0001] {
        let payload = vec![b'x'; len];
        let stream = [frame(FIN | BINARY, &payload), frame(FIN | TEXT, &payload)].concat();
        let (items, end) = decode_whole(&stream);
        assert_eq!(end, Ok(()));
        let as_text = Owned::Text(String::from_utf8(payload.clone()).unwrap());
        assert_eq!(items, [Owned::Binary(payload), as_text], "{len}");
    }
}

#[test]
fn fragments_are_put_together_with_control_frames_between() {
    let stream = [
        frame(TEXT, b"a"),
        frame(PING, b"1"),
        frame(CONTINUATION, b""),
        frame(PONG, b""),
        frame(FIN | CONTINUATION, b"b"),
        frame(BINARY, b""),
        frame(FIN | CONTINUATION, b""),
        frame(FIN | TEXT, b"c"),
    ]
    .concat();
    assert_eq!(
        items(&stream),
        [
            Owned::Ping(b"1".to_vec()),
            Owned::Pong(Vec::new()),
            text("ab"),
            Owned::Binary(Vec::new()),
            text("c"),
        ]
    );
}

#[test]
fn control_frames_carry_up_to_125_bytes() {
    for len in [0, 1, 125] {
        let payload = vec![7; len];
        let stream = [frame(PING, &payload), frame(PONG, &payload)].concat();
        assert_eq!(items(&stream), [Owned::Ping(payload.clone()), Owned::Pong(payload)]);
    }
    for opcode in [CLOSE, PING, PONG] {
        protocol(&frame(opcode, &[0; 126]));
        protocol(&[opcode, 127]);
    }
}

#[test]
fn nothing_follows_a_close_frame() {
    let stream = [frame(CLOSE, b""), frame(FIN | TEXT, b"x"), vec![0xFF; 20]].concat();
    assert_eq!(items(&stream), [Owned::Close(None)]);
    let stream = [frame(TEXT, b"begun"), close(1001, "geht wäg".as_bytes())].concat();
    assert_eq!(items(&stream), [Owned::Close(Some((1001, "geht wäg".into())))]);
    let longest = "r".repeat(123);
    assert_eq!(items(&close(4999, longest.as_bytes())), [Owned::Close(Some((4999, longest)))]);
}

#[test]
fn close_frames_must_be_sound() {
    protocol(&frame(CLOSE, b"x"));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        protocol(&close(code, b""));
    }
    for code in [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
        assert_eq!(items(&close(code, b"")), [Owned::Close(Some((code, String::new())))]);
    }
    refused(&close(1000, b"\xFF"), ErrorKind::Utf8, 1007);
    refused(&close(1000, b"a\xE2\x82"), ErrorKind::Utf8, 1007);
    // Each at the byte that decides it, whatever was to follow.
    protocol(&[CLOSE, 1]);
    protocol(&[CLOSE, 125, 0x03, 0xE7]);
    refused(&[CLOSE, 125, 0x03, 0xE8, b'a', 0xC3, b'('], ErrorKind::Utf8, 1007);
    assert_eq!(items(&[CLOSE, 125, 0x03, 0xE8, b'a', 0xC3]), []);
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bits in 1..8 {
        for opcode in [FIN | TEXT, FIN | BINARY, PING, CLOSE] {
            protocol(&[bits << 4 | opcode, 0]);
        }
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        protocol(&[FIN | opcode, 0]);
    }
}

#[test]
fn masked_frames_are_refused() {
    for opcode in [FIN | TEXT, FIN | BINARY, TEXT, PING, CLOSE] {
        protocol(&[opcode, 0x80 | 1, 1, 2, 3, 4, b'x' ^ 1]);
    }
}

#[test]
fn lengths_are_minimal_and_below_2_63() {
    for stream in [
        &[FIN | BINARY, 126, 0, 125][..],
        &[FIN | BINARY, 126, 0, 0],
        &[FIN | TEXT, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        &[FIN | TEXT, 127, 0, 0, 0, 0, 0, 0, 0, 1],
        &[FIN | BINARY, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        &[FIN | BINARY, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    ] {
        protocol(stream);
    }
}

#[test]
fn fragments_come_in_order() {
    protocol(&frame(CONTINUATION, b""));
    protocol(&frame(FIN | CONTINUATION, b"x"));
    for first in [TEXT, BINARY] {
        for next in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            protocol(&[frame(first, b"a"), frame(next, b"b")].concat());
        }
    }
    for opcode in [0x8, 0x9, 0xA] {
        protocol(&frame(opcode, b""));
    }
    let done = [frame(TEXT, b"a"), frame(FIN | CONTINUATION, b"b")].concat();
    let after = [done, frame(FIN | CONTINUATION, b"c")].concat();
    assert_eq!(refused(&after, ErrorKind::Protocol, 1002), [text("ab")]);
}

#[test]
fn the_first_byte_alone_decides_what_it_can() {
    for first in [FIN | 0x3, 0x70 | FIN | TEXT, 0x8, CONTINUATION] {
        assert!(decode_whole(&[first]).1.is_err(), "{first:#x}");
    }
    assert!(decode_whole(&[FIN | TEXT, 0x80]).1.is_err());
    assert!(decode_whole(&[PING, 126]).1.is_err());
}

#[test]
fn text_must_be_utf8() {
    for broken in [&b"\xFF"[..], b"ok \xC0\x80", b"\xED\xA0\x80", b"cut \xE2\x82", b"\xF4\x90"] {
        refused(&frame(FIN | TEXT, broken), ErrorKind::Utf8, 1007);
        let large = [&[b'x'; 70_000][..], broken].concat();
        refused(&frame(FIN | TEXT, &large), ErrorKind::Utf8, 1007);
        let fragments = [frame(TEXT, broken), frame(FIN | CONTINUATION, b"")].concat();
        refused(&fragments, ErrorKind::Utf8, 1007);
        assert_eq!(items(&frame(FIN | BINARY, broken)), [Owned::Binary(broken.to_vec())]);
    }
}

#[test]
fn code_points_may_be_cut_by_fragments() {
    let all = "aé€😀";
    for cut in 0..=all.len() {
        let (a, b) = all.as_bytes().split_at(cut);
        let stream = [frame(TEXT, a), frame(PING, b""), frame(FIN | CONTINUATION, b)].concat();
        assert_eq!(items(&stream), [Owned::Ping(Vec::new()), text(all)]);
    }
}

#[test]
fn broken_text_is_refused_before_its_frame_is_complete() {
    // Autobahn 6.4.3: the byte that decides it comes, the rest never does.
    let mut stream = frame(FIN | TEXT, &[b'x'; 100]);
    stream[10] = 0xF4;
    stream[11] = 0x90;
    assert_eq!(decode_whole(&stream[..11]).1, Ok(()));
    let violation = decode_whole(&stream[..12]).1.unwrap_err();
    assert_eq!(violation.kind, ErrorKind::Utf8);
    assert!(violation.message.contains("offset 8"), "{violation}");
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header() {
    let limits = Limits { max_message_size: 1000, max_fragments: 10 };
    let whole = |stream: &[u8]| decode(&[stream], limits, false);
    assert_eq!(whole(&frame(FIN | BINARY, &[0; 1000])).1, Ok(()));
    let head = |first: u8, len: u64| [&[first, 127][..], &len.to_be_bytes()].concat();
    for stream in [
        frame(FIN | BINARY, &[0; 1001]),
        frame(FIN | TEXT, &[0; 1001])[..4].to_vec(),
        head(FIN | BINARY, 0x1_0000),
        head(BINARY, u64::MAX >> 1),
        [frame(TEXT, &[b'x'; 1000]), frame(CONTINUATION, b"x")[..2].to_vec()].concat(),
        [frame(TEXT, b"x"), head(FIN | CONTINUATION, u64::MAX >> 1)].concat(),
    ] {
        let violation = whole(&stream).1.expect_err("too big");
        assert_eq!((violation.kind, violation.close_code()), (ErrorKind::TooBig, 1009));
        assert!(violation.message.contains("at most 1000 bytes"), "{violation}");
    }
    let exact = [frame(TEXT, &[b'x'; 600]), frame(FIN | CONTINUATION, &[b'x'; 400])].concat();
    assert_eq!(whole(&exact).1, Ok(()));
    // A limit is for messages: control frames pass, and empty messages do.
    let nothing = Limits { max_message_size: 0, max_fragments: 0 };
    let stream = [frame(PING, b"x"), frame(FIN | TEXT, b"")].concat();
    assert_eq!(decode(&[&stream], nothing, false).0.len(), 2);
}

#[test]
fn fragments_are_counted() {
    let stream = |count: usize| {
        let mut stream = frame(TEXT, b"");
        stream.extend(frame(CONTINUATION, b"").repeat(count - 2));
        stream.extend(frame(FIN | CONTINUATION, b"x"));
        stream
    };
    let limits = Limits { max_message_size: 10, max_fragments: 1000 };
    for count in [2, 1000] {
        assert_eq!(decode(&[&stream(count)], limits, false), (vec![text("x")], Ok(())));
    }
    // Each message has a count of its own.
    assert_eq!(decode(&[&stream(700).repeat(2)], limits, false).0.len(), 2);
    for count in [1001, 1_000_000] {
        let violation = decode(&[&stream(count)], limits, false).1.unwrap_err();
        assert_eq!(violation.close_code(), 1009);
        assert!(violation.message.contains("1000 fragments"), "{violation}");
    }
}

/// The memory of the next message, and whether it lies in `stream`.
#[track_caller]
fn memory_of(decoder: &mut Decoder, mut stream: &[u8]) -> (bool, usize) {
    let range = stream.as_ptr_range();
    match decoder.decode(&mut stream).unwrap() {
        Some(Item::Message(message)) => {
            let inside = range.contains(&message.as_bytes().as_ptr());
            (inside, message.into_bytes().capacity())
        }
        other => panic!("expected a message, got {other:?}"),
    }
}

#[test]
fn a_message_that_lies_whole_in_the_input_is_not_copied() {
    let mut decoder = Decoder::new(LIMITS);
    for len in [1, 200, 70_000] {
        for opcode in [TEXT, BINARY] {
            let stream = frame(FIN | opcode, &vec![b'x'; len]);
            assert!(memory_of(&mut decoder, &stream).0, "{len}");
        }
    }
    // Also when its header came before.
    let stream = frame(FIN | TEXT, b"hello");
    assert!(decoder.decode(&mut &stream[..2]).unwrap().is_none());
    assert!(memory_of(&mut decoder, &stream[2..]).0);
}

#[test]
fn an_assembled_message_has_its_final_memory_from_the_start() {
    let mut decoder = Decoder::new(LIMITS);
    let stream = frame(FIN | BINARY, &[7; 100_000]);
    for piece in stream[..100_009].chunks(1000) {
        assert!(decoder.decode(&mut &*piece).unwrap().is_none());
        assert!(decoder.is_mid_message());
    }
    assert_eq!(memory_of(&mut decoder, &stream[100_009..]), (false, 100_000));
    assert!(!decoder.is_mid_message());
}

#[test]
fn memory_is_lent_out_while_much_is_missing() {
    let mut decoder = Decoder::new(LIMITS);
    assert!(decoder.direct().is_none());
    let stream = frame(FIN | BINARY, &[7; 40_000]);
    assert!(decoder.decode(&mut &stream[..104]).unwrap().is_none());
    assert_eq!(decoder.direct().unwrap().len(), 39_900);
    let place = decoder.direct().unwrap().as_ptr();
    // SAFETY: nothing is claimed to be initialised.
    assert!(unsafe { decoder.direct_filled(0) }.unwrap().is_none());
    for (to, from) in decoder.direct().unwrap().iter_mut().zip(&stream[104..30_104]) {
        to.write(*from);
    }
    // SAFETY: 30,000 bytes were written just now.
    assert!(unsafe { decoder.direct_filled(30_000) }.unwrap().is_none());
    assert!(decoder.direct().is_none(), "9,900 bytes are not worth it");
    let mut rest = &stream[30_104..];
    let Ok(Some(Item::Message(message))) = decoder.decode(&mut rest) else { panic!() };
    assert_eq!(message.kind(), MessageKind::Binary);
    assert_eq!(message.as_bytes(), &stream[4..]);
    assert_eq!(message.as_bytes()[100..].as_ptr(), place.cast(), "received in place");
}

#[test]
fn a_message_can_be_completed_in_lent_memory() {
    for (byte, sound) in [(b'x', true), (0xFF, false), (0xC3, false)] {
        let mut decoder = Decoder::new(LIMITS);
        let mut stream = frame(FIN | TEXT, &[b'x'; 40_000]);
        stream[40_003] = byte;
        assert!(decoder.decode(&mut &stream[..4]).unwrap().is_none());
        for (to, from) in decoder.direct().unwrap().iter_mut().zip(&stream[4..]) {
            to.write(*from);
        }
        // SAFETY: all of the slice was written just now.
        match unsafe { decoder.direct_filled(40_000) } {
            Ok(Some(Item::Message(message))) => {
                assert!(sound);
                assert_eq!(message.as_bytes(), &stream[4..]);
            }
            Err(violation) => {
                assert!(!sound);
                assert_eq!(violation.close_code(), 1007);
            }
            other => panic!("expected a message, got {other:?}"),
        }
        let next = decoder.decode(&mut &frame(FIN | TEXT, b"next")[..]).map(|item| item.is_some());
        assert_eq!(next, Ok(sound));
    }
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() < 200, "{} bytes", size_of::<Decoder>());
}
