//! Any bytes from a server: **however they are cut, the items and the
//! violation are the same; and no more memory is taken than the limits allow,
//! whatever is announced.**

use longwire::MessageKind;
use longwire::protocol::decoder::{Decoder, Item, Limits};
use longwire::protocol::violation::Violation;

use super::input::{Pieces, take};
use super::memory;

/// Eight bytes of parameters, then the stream.
pub fn run(mut data: &[u8]) {
    let [options] = take(&mut data);
    let seed = take(&mut data);
    // Long payloads, which the fuzzer is slow to come upon by itself: so many
    // bytes of one kind are put in at some place.
    let at = usize::from(u16::from_be_bytes(take(&mut data)));
    let filling = usize::from(u16::from_be_bytes(take(&mut data)));
    let [byte] = take(&mut data);
    let at = at.min(data.len());
    let stream = [&data[..at], &vec![byte; filling], &data[at..]].concat();

    let limits = Limits {
        max_message_size: [0, 10, 1000, 20_000, 65_536, 1 << 20][usize::from(options & 7) % 6],
        max_fragments: [1, 3, 100, 1000][usize::from(options >> 3 & 3)],
    };
    let whole = decode(limits, &stream);
    let cut = decode_cut(limits, Pieces::new(&stream, seed), options & 0x20 != 0);
    assert_eq!(whole, cut, "a cut made a difference");
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

pub(crate) type Outcome = (Vec<Owned>, Option<Violation>);

fn own(item: Item<'_>) -> Owned {
    match item {
        Item::Message(message) => {
            let kind = message.kind();
            assert_eq!(message.as_text().is_some(), kind == MessageKind::Text);
            let bytes = message.into_bytes();
            if kind == MessageKind::Text {
                assert!(std::str::from_utf8(&bytes).is_ok(), "text is UTF-8");
            }
            Owned::Message(kind, bytes)
        }
        Item::Ping(payload) => Owned::Ping(payload.to_vec()),
        Item::Pong(payload) => Owned::Pong(payload.to_vec()),
        Item::Close(close) => Owned::Close(close.map(|c| (c.code, c.reason.to_owned()))),
    }
}

pub(crate) fn decode(limits: Limits, mut input: &[u8]) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(item)) => items.push(own(item)),
            Ok(None) => return (items, None),
            Err(violation) => return (items, Some(violation)),
        }
    }
}

fn decode_cut(limits: Limits, mut pieces: Pieces<'_>, direct: bool) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut items = Vec::new();
    let most = 2 * limits.max_message_size + 64 * 1024;
    while let Some(mut piece) = pieces.next() {
        if direct
            && pieces.below(4) > 0
            && let (Some(memory), taken) = memory::peak(|| decoder.direct())
        {
            assert!(taken <= most, "{taken} bytes were taken for a message of {limits:?}");
            let n = memory.len().min(piece.len());
            for (to, from) in memory.iter_mut().zip(piece) {
                to.write(*from);
            }
            piece = &piece[n..];
            // SAFETY: the first `n` bytes were written just now.
            match unsafe { decoder.direct_filled(n) } {
                Ok(item) => items.extend(item.map(own)),
                Err(violation) => return (items, Some(violation)),
            }
        }
        loop {
            let (result, taken) = memory::peak(|| decoder.decode(&mut piece));
            assert!(taken <= most, "{taken} bytes were taken for a message of {limits:?}");
            match result {
                Ok(Some(item)) => items.push(own(item)),
                Ok(None) => break,
                Err(violation) => {
                    let mut more = pieces.rest();
                    assert!(matches!(decoder.decode(&mut piece), Ok(None)));
                    assert!(matches!(decoder.decode(&mut more), Ok(None)));
                    assert!(decoder.direct().is_none());
                    return (items, Some(violation));
                }
            }
        }
        assert!(piece.is_empty(), "None means that all was taken");
    }
    (items, None)
}
