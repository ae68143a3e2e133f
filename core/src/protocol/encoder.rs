//! Frames from client to server: always masked (RFC 6455 section 5.2).

use std::ops::Range;

use super::frame::OpCode;
use super::mask;

/// How long a frame with this payload is.
#[inline]
pub const fn encoded_len(payload_len: usize) -> usize {
    let extended = match payload_len {
        0..=125 => 0,
        126..=0xFFFF => 2,
        _ => 8,
    };
    2 + extended + 4 + payload_len
}

/// Appends one frame to `out`, which grows at most once. `rsv1` marks a
/// compressed message (RFC 7692).
#[inline]
pub fn encode(
    out: &mut Vec<u8>,
    opcode: OpCode,
    fin: bool,
    rsv1: bool,
    key: [u8; 4],
    payload: &[u8],
) {
    let len = payload.len();
    out.reserve(encoded_len(len));
    let first = u8::from(opcode) | u8::from(fin) << 7 | u8::from(rsv1) << 6;
    match len {
        0..=125 => {
            out.extend_from_slice(&[first, MASKED | len as u8, key[0], key[1], key[2], key[3]]);
        }
        126..=0xFFFF => {
            let [a, b] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, MASKED | 126, a, b, key[0], key[1], key[2], key[3]]);
        }
        _ => {
            out.extend_from_slice(&[first, MASKED | 127]);
            out.extend_from_slice(&(len as u64).to_be_bytes());
            out.extend_from_slice(&key);
        }
    }
    mask::apply_copy(key, payload, out);
}

/// The second byte's high bit.
const MASKED: u8 = 0x80;

/// The payload of a close frame. The caller has checked that the code may be
/// sent and that the reason is at most 123 bytes.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// Reads back the header of a frame of ours at the front of `bytes`: opcode,
/// `fin`, key, and where the payload lies. `None` if `bytes` is too short to
/// hold the header, or is not a frame that [`encode`] made; the payload may
/// reach beyond `bytes`.
pub fn parse_own(bytes: &[u8]) -> Option<(OpCode, bool, [u8; 4], Range<usize>)> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let opcode = OpCode::from_u8(first & 0x0F)?;
    if second & MASKED == 0 {
        return None;
    }
    let (len, rest) = match second & !MASKED {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*len)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    };
    let (key, rest) = rest.split_first_chunk()?;
    let start = bytes.len() - rest.len();
    Some((opcode, first & 0x80 != 0, *key, start..start.checked_add(len)?))
}
