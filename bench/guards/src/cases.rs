//! What is measured: each step that a message takes through the protocol.

use std::hint::black_box;

use longwire::Compression;
use longwire::protocol::decoder::{Decoder, Item, Limits};
use longwire::protocol::deflate::{Agreement, Deflater, Inflater};
use longwire::protocol::encoder::{Frame, encode};
use longwire::protocol::frame::OpCode;
use longwire::protocol::mask;
use longwire::protocol::utf8::Utf8Stream;

use super::payloads::{ascii, frame, json, mixed};

/// One line of the table.
pub(crate) struct Case {
    pub(crate) name: String,
    /// How many messages make a measurement.
    pub(crate) messages: usize,
    /// Does the work for so many messages.
    pub(crate) work: Box<dyn FnMut(usize)>,
}

const SIZES: [(&str, usize, usize); 3] =
    [("64 B", 64, 1000), ("1 KiB", 1 << 10, 1000), ("1 MB", 1_000_000, 10)];

/// How much of a message comes with one receive, in the cases that say so.
const PIECE: usize = 64 << 10;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const COMPRESSED_TEXT: u8 = 0xC1;

/// Text, as on a connection without memory from message to message, and with it.
const AGREEMENTS: [(&str, Agreement); 2] =
    [("each by itself", agreement(true)), ("context taken over", agreement(false))];

const fn agreement(fresh: bool) -> Agreement {
    Agreement {
        client_no_context_takeover: fresh,
        server_no_context_takeover: fresh,
        client_max_window_bits: 15,
    }
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, messages, work| cases.push(Case { name, messages, work });
    for (size, len, n) in SIZES {
        let binary = frame(BINARY, ascii(len).as_bytes());
        add(format!("decode binary, {size}"), n, decode(decoder(), binary.clone(), binary.len()));
        add(format!("decode ASCII text, {size}"), n, {
            let text = frame(TEXT, ascii(len).as_bytes());
            decode(decoder(), text.clone(), text.len())
        });
        add(format!("decode mixed text, {size}"), n, {
            let text = frame(TEXT, mixed(len).as_bytes());
            decode(decoder(), text.clone(), text.len())
        });
        if len > PIECE {
            add(format!("decode binary in pieces, {size}"), n, decode(decoder(), binary, PIECE));
            add(format!("decode mixed text in pieces, {size}"), n, {
                decode(decoder(), frame(TEXT, mixed(len).as_bytes()), PIECE)
            });
        }
        add(format!("encode and mask, {size}"), n, encode_frames(len));
        add(format!("mask a copy, {size}"), n, mask_copies(len));
        add(format!("mask in place, {size}"), n, mask_in_place(len));
        add(format!("UTF-8, ASCII, {size}"), n, validate(ascii(len)));
        add(format!("UTF-8, mixed, {size}"), n, validate(mixed(len)));
    }
    for (name, agreed) in AGREEMENTS {
        add(format!("deflate JSON, {name}, 1 KiB"), 100, deflate(&agreed));
        add(format!("inflate JSON, {name}, 1 KiB"), 100, inflate(&agreed));
    }
    cases
}

fn decoder() -> Decoder {
    Decoder::new(Limits { max_message_size: 16 << 20, max_fragments: 1000 })
}

/// The same bytes again and again, as they are received: so many at once.
fn decode(mut decoder: Decoder, bytes: Vec<u8>, at_once: usize) -> Box<dyn FnMut(usize)> {
    Box::new(move |messages| {
        for _ in 0..messages {
            let mut came = 0;
            for mut piece in black_box(&bytes).chunks(at_once) {
                while let Some(item) = decoder.decode(&mut piece).expect("sound frames") {
                    let Item::Message(message) = item else { panic!("a message, not {item:?}") };
                    black_box(message.as_bytes());
                    came += 1;
                }
            }
            assert_eq!(came, 1);
            decoder.recycle();
        }
    })
}

fn encode_frames(len: usize) -> Box<dyn FnMut(usize)> {
    let payload = ascii(len);
    let mut out = Vec::new();
    let mut keys = mask::Supply::default();
    Box::new(move |messages| {
        for _ in 0..messages {
            out.clear();
            let payload = black_box(payload.as_bytes());
            encode(&mut out, Frame::whole(OpCode::Binary), keys.take(), payload);
            black_box(&out);
        }
    })
}

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn mask_copies(len: usize) -> Box<dyn FnMut(usize)> {
    let payload = ascii(len);
    let mut out = Vec::new();
    Box::new(move |messages| {
        for _ in 0..messages {
            out.clear();
            mask::apply_copy(black_box(KEY), black_box(payload.as_bytes()), &mut out);
            black_box(&out);
        }
    })
}

fn mask_in_place(len: usize) -> Box<dyn FnMut(usize)> {
    let mut payload = ascii(len).into_bytes();
    Box::new(move |messages| {
        for _ in 0..messages {
            mask::apply(black_box(KEY), black_box(&mut payload));
        }
    })
}

fn validate(text: String) -> Box<dyn FnMut(usize)> {
    Box::new(move |messages| {
        for _ in 0..messages {
            let mut stream = Utf8Stream::default();
            stream.push(black_box(text.as_bytes())).expect("UTF-8");
            stream.finish().expect("whole characters");
        }
    })
}

/// Messages that differ, so that what is taken over from one to the next is no copy of it.
const MESSAGES: u32 = 20;

fn deflater(agreed: &Agreement) -> Deflater {
    Deflater::new(&Compression::default(), agreed).expect("a window that zlib has")
}

fn messages() -> Vec<String> {
    (1..=MESSAGES).map(|seed| json(1024, seed)).collect()
}

fn deflate(agreed: &Agreement) -> Box<dyn FnMut(usize)> {
    let mut deflater = deflater(agreed);
    let texts = messages();
    Box::new(move |messages| {
        for text in texts.iter().cycle().take(messages) {
            deflater.message(black_box(text.as_bytes()), |compressed| {
                black_box(compressed);
            });
        }
    })
}

fn inflate(agreed: &Agreement) -> Box<dyn FnMut(usize)> {
    let mut deflater = deflater(agreed);
    // Where contexts are taken over a stream has no beginning but one.
    let frames: Vec<Vec<u8>> = messages()
        .iter()
        .map(|text| {
            deflater.message(text.as_bytes(), |compressed| {
                frame(COMPRESSED_TEXT, compressed.expect("JSON shrinks"))
            })
        })
        .collect();
    let agreed = *agreed;
    Box::new(move |messages| {
        let mut decoder = decoder().inflating(Inflater::new(&agreed));
        for frame in frames.iter().cycle().take(messages) {
            let item = decoder.decode(&mut black_box(&frame[..])).expect("sound frames");
            black_box(item);
        }
    })
}
