//! Frames as a server would write them, and a decoder fed in pieces.
#![allow(dead_code)] // Each test program uses what it needs.

use longwire::MessageKind;
use longwire::protocol::decoder::{Decoder, Item, Limits};
use longwire::protocol::violation::Violation;

pub(crate) const FIN: u8 = 0x80;
/// The message is compressed (RFC 7692).
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = FIN | 0x8;
pub(crate) const PING: u8 = FIN | 0x9;
pub(crate) const PONG: u8 = FIN | 0xA;

/// An item that outlives the decoder's next call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
    /// Kind, payload, first and last.
    Chunk(MessageKind, Vec<u8>, bool, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Owned {
    pub(crate) fn of(item: Item<'_>) -> Owned {
        match item {
            Item::Message(message) => match message.kind() {
                MessageKind::Text => {
                    let bytes = message.as_bytes().to_vec();
                    Owned::Text(String::from_utf8(bytes).expect("text is checked"))
                }
                MessageKind::Binary => Owned::Binary(message.into_bytes()),
            },
            Item::Chunk(chunk) => {
                Owned::Chunk(chunk.kind, chunk.payload.to_vec(), chunk.first, chunk.last)
            }
            Item::Ping(payload) => Owned::Ping(payload.to_vec()),
            Item::Pong(payload) => Owned::Pong(payload.to_vec()),
            Item::Close(close) => Owned::Close(close.map(|c| (c.code, c.reason.to_owned()))),
        }
    }
}

pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut frame = match len {
        0..=125 => vec![first, len as u8],
        126..=0xFFFF => {
            let [a, b] = (len as u16).to_be_bytes();
            vec![first, 126, a, b]
        }
        _ => {
            let mut head = vec![first, 127];
            head.extend_from_slice(&(len as u64).to_be_bytes());
            head
        }
    };
    frame.extend_from_slice(payload);
    frame
}

pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

pub(crate) const LIMITS: Limits = Limits { max_message_size: 1 << 20, max_fragments: 100 };

/// All items of a stream that comes in these pieces, and what ended it. With
/// `direct`, the decoder's own memory is received into when it offers any.
pub(crate) fn decode(
    pieces: &[&[u8]],
    limits: Limits,
    direct: bool,
) -> (Vec<Owned>, Result<(), Violation>) {
    decode_by(Decoder::new(limits), pieces, direct)
}

/// The same with a decoder that can do more.
pub(crate) fn decode_by(
    decoder: Decoder,
    pieces: &[&[u8]],
    direct: bool,
) -> (Vec<Owned>, Result<(), Violation>) {
    decode_in_turns(decoder, pieces, &[direct])
}

/// The same, receiving into the decoder's own memory by turns.
pub(crate) fn decode_in_turns(
    mut decoder: Decoder,
    pieces: &[&[u8]],
    direct: &[bool],
) -> (Vec<Owned>, Result<(), Violation>) {
    let mut items = Vec::new();
    for (piece, direct) in pieces.iter().zip(direct.iter().cycle()) {
        let mut input = *piece;
        if *direct && let Some(memory) = decoder.direct() {
            let n = memory.len().min(input.len());
            for (to, from) in memory.iter_mut().zip(input) {
                to.write(*from);
            }
            input = &input[n..];
            // SAFETY: the first `n` bytes were written just now.
            match unsafe { decoder.direct_filled(n) } {
                Ok(item) => items.extend(item.map(Owned::of)),
                Err(violation) => return (items, Err(violation)),
            }
        }
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(item)) => items.push(Owned::of(item)),
                Ok(None) => break,
                Err(violation) => {
                    // Whatever comes now, nothing more comes out.
                    let mut more = &frame(FIN | TEXT, b"more")[..];
                    let after = decoder.decode(&mut input).map(|item| item.is_none());
                    assert_eq!(after, Ok(true), "an item after {violation:?}");
                    assert_eq!(decoder.decode(&mut more).map(|i| i.is_none()), Ok(true));
                    assert!(decoder.direct().is_none());
                    return (items, Err(violation));
                }
            }
        }
        assert!(input.is_empty(), "None means that all input was taken");
    }
    (items, Ok(()))
}

pub(crate) fn decode_whole(stream: &[u8]) -> (Vec<Owned>, Result<(), Violation>) {
    decode(&[stream], LIMITS, false)
}
