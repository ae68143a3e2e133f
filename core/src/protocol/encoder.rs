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

/// What the first byte of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub opcode: OpCode,
    /// It is the last of its message, or the only one.
    pub fin: bool,
    /// It is the first of a compressed message (RFC 7692).
    pub rsv1: bool,
}

impl Frame {
    /// The frame of a message in one piece, not compressed.
    pub const fn whole(opcode: OpCode) -> Frame {
        Frame { opcode, fin: true, rsv1: false }
    }
}

/// Appends one frame to `out`, which grows at most once.
#[inline]
pub fn encode(out: &mut Vec<u8>, frame: Frame, key: [u8; 4], payload: &[u8]) {
    let len = payload.len();
    out.reserve(encoded_len(len));
    let first = u8::from(frame.opcode) | u8::from(frame.fin) << 7 | u8::from(frame.rsv1) << 6;
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

impl Frame {
    /// Reads back the header of a frame of ours at the front of `bytes`, its key, and where the
    /// payload lies. `None` if `bytes` is too short to hold the header, or is not a frame that
    /// [`encode`] made; the payload may reach beyond `bytes`.
    pub fn parse_own(bytes: &[u8]) -> Option<(Frame, [u8; 4], Range<usize>)> {
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
        let frame = Frame { opcode, fin: first & 0x80 != 0, rsv1: first & 0x40 != 0 };
        Some((frame, *key, start..start.checked_add(len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    #[test]
    fn the_example_of_the_rfc() {
        let mut out = Vec::new();
        encode(&mut out, Frame::whole(OpCode::Text), KEY, b"Hello");
        assert_eq!(out, [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        for (len, head) in [(0, 2), (125, 2), (126, 4), (0xFFFF, 4), (0x1_0000, 10)] {
            let mut out = b"before".to_vec();
            encode(&mut out, Frame::whole(OpCode::Binary), KEY, &vec![0; len]);
            let frame = &out[6..];
            assert_eq!(frame.len(), head + 4 + len);
            assert_eq!(frame.len(), encoded_len(len));
            let own = Frame::whole(OpCode::Binary);
            assert_eq!(Frame::parse_own(frame), Some((own, KEY, head + 4..frame.len())));
            assert_eq!(
                Frame::parse_own(&frame[..head + 4]).map(|own| own.2.end),
                Some(frame.len())
            );
            for short in 0..head + 4 {
                assert_eq!(Frame::parse_own(&frame[..short]), None, "{short} of {len}");
            }
        }
    }

    #[test]
    fn fin_and_rsv1_are_set_as_told() {
        for (fin, rsv1, first) in
            [(true, false, 0x82), (false, false, 0x02), (true, true, 0xC2), (false, true, 0x42)]
        {
            let mut out = Vec::new();
            let frame = Frame { fin, rsv1, ..Frame::whole(OpCode::Binary) };
            encode(&mut out, frame, KEY, b"");
            assert_eq!(out[0], first);
            assert_eq!(Frame::parse_own(&out), Some((frame, KEY, 6..6)));
        }
    }

    #[test]
    fn foreign_frames_are_not_ours() {
        assert_eq!(Frame::parse_own(&[0x81, 0x05, 1, 2, 3, 4, 5]), None, "not masked");
        assert_eq!(Frame::parse_own(&[0x83, 0x80, 1, 2, 3, 4]), None, "no opcode");
        assert_eq!(Frame::parse_own(&[&[0x82, 0xFF][..], &[0xFF; 12]].concat()), None, "no length");
    }

    #[test]
    fn a_close_payload_is_code_and_reason() {
        assert_eq!(close_payload(1000, ""), [0x03, 0xE8]);
        assert_eq!(close_payload(4000, "bye"), [0x0F, 0xA0, b'b', b'y', b'e']);
    }
}
