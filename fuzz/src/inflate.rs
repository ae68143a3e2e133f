//! Any bytes as compressed messages: **however they are cut, and however
//! little room there is, the same comes out; no more memory is taken than for
//! the context and what came out.**

use longwire::protocol::deflate::{Agreement, Inflater};

use super::input::{Pieces, take};
use super::memory;

/// Four bytes of parameters, then messages, each with its length before it.
pub fn run(mut data: &[u8]) {
    let [options] = take(&mut data);
    let seed = take(&mut data);
    let [room] = take(&mut data);
    let agreement = Agreement {
        client_no_context_takeover: false,
        server_no_context_takeover: options & 1 != 0,
        client_max_window_bits: 15,
    };
    let mut whole = Inflater::new(&agreement);
    let mut cut = Inflater::new(&agreement);
    while !data.is_empty() {
        let len = usize::from(u16::from_be_bytes(take(&mut data)));
        let (message, rest) = data.split_at(len.min(data.len()));
        data = rest;

        let at_once = inflated(&mut whole, [message], MOST);
        let pieces = Pieces::new(message, seed);
        let in_pieces = inflated(&mut cut, pieces, usize::from(room) + 1);
        assert_eq!(at_once, in_pieces, "a cut made a difference");
        if at_once.1.is_some() {
            return;
        }
    }
}

/// Where a bomb is given up.
const MOST: usize = 1 << 16;

/// What came out, and how it ended if not well.
fn inflated<'a>(
    inflater: &mut Inflater,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    room: usize,
) -> (Vec<u8>, Option<&'static str>) {
    let mut all = Vec::new();
    for mut piece in pieces {
        loop {
            let mut out = Vec::new();
            let before = piece.len();
            let (result, taken) = memory::peak(|| inflater.inflate(&mut piece, &mut out, room));
            assert!(out.len() <= room, "{} bytes where {room} were allowed", out.len());
            let most = 200 * 1024 + 3 * room.min(before * 1032 + 1024);
            assert!(taken <= most, "{taken} bytes were taken for {} that came out", out.len());
            all.extend_from_slice(&out);
            if all.len() >= MOST {
                all.truncate(MOST);
                return (all, Some("too much"));
            }
            if result.is_err() {
                return (all, Some("broken"));
            }
            if out.len() < room {
                assert!(piece.is_empty(), "there was room for more");
                break;
            }
        }
    }
    let end = inflater.finish().err().map(|_| "unfinished");
    (all, end)
}
