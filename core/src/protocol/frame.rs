//! The vocabulary of a frame: opcodes and close codes (RFC 6455 sections 5.2
//! and 7.4).

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the message under way.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A ping, to be answered by a pong.
    Ping = 0x9,
    /// The answer to a ping, or an unasked-for sign of life.
    Pong = 0xA,
}

impl OpCode {
    /// The opcode of these four bits; `None` for those the RFC reserves.
    #[inline]
    pub const fn from_u8(bits: u8) -> Option<OpCode> {
        Some(match bits {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xA => OpCode::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong: never fragmented, at most 125 bytes.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

impl From<OpCode> for u8 {
    #[inline]
    fn from(opcode: OpCode) -> u8 {
        opcode as u8
    }
}

impl TryFrom<u8> for OpCode {
    /// The bits that are no opcode.
    type Error = u8;

    #[inline]
    fn try_from(bits: u8) -> Result<OpCode, u8> {
        OpCode::from_u8(bits).ok_or(bits)
    }
}

/// Whether an endpoint may put `code` into a close frame.
pub const fn is_valid_to_send(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Whether `code` in a close frame from the peer is one that may stand there.
///
/// 1012 to 1014 came after the RFC and are registered at IANA. 1004 to 1006
/// and 1015 never travel, 1016 to 2999 are not assigned.
pub const fn is_valid_received(code: u16) -> bool {
    is_valid_to_send(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_convert_both_ways_and_reserved_ones_do_not() {
        for bits in 0..=0xFF {
            match OpCode::try_from(bits) {
                Ok(opcode) => assert_eq!(u8::from(opcode), bits),
                Err(refused) => {
                    assert_eq!(refused, bits);
                    assert!(!matches!(bits, 0x0..=0x2 | 0x8..=0xA), "{bits:#x} is an opcode");
                }
            }
        }
        assert!(
            OpCode::Close.is_control() && OpCode::Ping.is_control() && OpCode::Pong.is_control()
        );
        assert!(!OpCode::Continuation.is_control() && !OpCode::Binary.is_control());
    }

    #[test]
    fn close_codes_that_never_travel_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!is_valid_received(code), "{code}");
            assert!(!is_valid_to_send(code), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_valid_received(code), "{code}");
            assert!(is_valid_to_send(code), "{code}");
        }
    }
}
