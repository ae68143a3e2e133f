//! Any bytes from a server: **however they are cut, the items and the
//! violation are the same, taken whole or in chunks; and no more memory is
//! taken than the limits allow, whatever is announced.**

use longwire::MessageKind;
use longwire::protocol::decoder::{Decoder, Item, Limits};
use longwire::protocol::deflate::{Agreement, Inflater};
use longwire::protocol::violation::Violation;

use super::input::{Pieces, take};
use super::memory;

/// Nine bytes of parameters, then the stream.
pub fn run(mut data: &[u8]) {
    let [options, switches] = take(&mut data);
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
    let (direct, inflates, takeover) = (switches & 1 != 0, switches & 2 != 0, switches & 4 != 0);
    let decoder = || {
        let decoder = Decoder::new(limits);
        let agreement = Agreement {
            client_no_context_takeover: true,
            server_no_context_takeover: !takeover,
            client_max_window_bits: 15,
        };
        if inflates { decoder.inflating(Inflater::new(&agreement)) } else { decoder }
    };
    let whole = decode(decoder(), &stream);
    // Memory that grows may double, and while it does the old is there as well.
    let most = 3 * limits.max_message_size + 256 * 1024;
    let cut = decode_cut(decoder(), Pieces::new(&stream, seed), direct, most);
    assert_eq!(whole, cut, "a cut made a difference");

    // Limits do not hold for chunks, which hold little each.
    if whole.1.as_ref().is_none_or(|violation| violation.close_code() != 1009) {
        let code = |outcome: Outcome| (outcome.0, outcome.1.map(|v| v.close_code()));
        let chunks =
            decode_cut(decoder().streaming(), Pieces::new(&stream, seed), direct, 256 * 1024);
        assert_eq!(code(whole), code(chunks), "chunks made a difference");
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

pub(crate) type Outcome = (Vec<Owned>, Option<Violation>);

/// All items of a stream at once.
pub(crate) fn decode(mut decoder: Decoder, mut input: &[u8]) -> Outcome {
    let mut collected = Collected::default();
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(item)) => collected.add(item),
            Ok(None) => return (collected.items, None),
            Err(violation) => return (collected.items, Some(violation)),
        }
    }
}

fn decode_cut(mut decoder: Decoder, mut pieces: Pieces<'_>, direct: bool, most: usize) -> Outcome {
    let mut collected = Collected::default();
    while let Some(mut piece) = pieces.next() {
        if direct
            && pieces.below(4) > 0
            && let (Some(memory), taken) = memory::peak(|| decoder.direct())
        {
            assert!(taken <= most, "{taken} bytes were taken where {most} are a lot");
            let n = memory.len().min(piece.len());
            for (to, from) in memory.iter_mut().zip(piece) {
                to.write(*from);
            }
            piece = &piece[n..];
            // SAFETY: the first `n` bytes were written just now.
            match unsafe { decoder.direct_filled(n) } {
                Ok(Some(item)) => collected.add(item),
                Ok(None) => {}
                Err(violation) => return (collected.items, Some(violation)),
            }
        }
        loop {
            let (result, taken) = memory::peak(|| decoder.decode(&mut piece));
            assert!(taken <= most, "{taken} bytes were taken where {most} are a lot");
            match result {
                Ok(Some(item)) => collected.add(item),
                Ok(None) => break,
                Err(violation) => {
                    let mut more = pieces.rest();
                    assert!(matches!(decoder.decode(&mut piece), Ok(None)));
                    assert!(matches!(decoder.decode(&mut more), Ok(None)));
                    assert!(decoder.direct().is_none() && !decoder.has_more());
                    return (collected.items, Some(violation));
                }
            }
            if pieces.below(8) == 0 {
                decoder.recycle();
            }
        }
        assert!(piece.is_empty() && !decoder.has_more(), "None means that all was taken");
    }
    (collected.items, None)
}

/// Items that outlive the decoder's next call, chunks put together.
#[derive(Default)]
struct Collected {
    items: Vec<Owned>,
    message: Option<(MessageKind, Vec<u8>)>,
}

impl Collected {
    fn add(&mut self, item: Item<'_>) {
        let item = match item {
            Item::Message(message) => {
                let kind = message.kind();
                assert_eq!(message.as_text().is_some(), kind == MessageKind::Text);
                sound(kind, message.into_bytes())
            }
            Item::Chunk(chunk) => {
                assert_eq!(chunk.first, self.message.is_none());
                let (kind, mut bytes) = self.message.take().unwrap_or((chunk.kind, Vec::new()));
                assert_eq!(chunk.kind, kind);
                bytes.extend_from_slice(chunk.payload);
                if !chunk.last {
                    self.message = Some((kind, bytes));
                    return;
                }
                sound(kind, bytes)
            }
            Item::Ping(payload) => Owned::Ping(payload.to_vec()),
            Item::Pong(payload) => Owned::Pong(payload.to_vec()),
            Item::Close(close) => Owned::Close(close.map(|c| (c.code, c.reason.to_owned()))),
        };
        self.items.push(item);
    }
}

fn sound(kind: MessageKind, bytes: Vec<u8>) -> Owned {
    assert!(kind == MessageKind::Binary || std::str::from_utf8(&bytes).is_ok(), "text is UTF-8");
    Owned::Message(kind, bytes)
}
