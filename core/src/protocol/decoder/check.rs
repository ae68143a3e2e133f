//! The rules of RFC 6455 that one frame from a server can break, each with
//! the sentence that says so.

use super::super::frame::{OpCode, is_valid_received};
use super::super::violation::Violation;
use super::Close;
use crate::event::MessageKind;

pub(super) const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
pub(super) const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// Checks the first byte of a frame, while `message` is under way.
pub(super) fn first_byte(
    first: u8,
    message: Option<MessageKind>,
    rsv1_allowed: bool,
) -> Result<(), Violation> {
    let opcode = OpCode::from_u8(first & 0x0F);
    let starts_message = matches!(opcode, Some(OpCode::Text | OpCode::Binary));
    let allowed = if rsv1_allowed && starts_message { RSV1 } else { 0 };
    if first & RSV & !allowed != 0 {
        return Err(Violation::protocol(format!(
            "expected the reserved bits of a frame to be 0{}, got a first byte of {first:#04x}",
            if rsv1_allowed {
                ", but for RSV1 at the beginning of a message"
            } else {
                ", as no extension was negotiated"
            }
        )));
    }
    let Some(opcode) = opcode else {
        return Err(Violation::protocol(format!(
            "expected an opcode that RFC 6455 defines, got the reserved opcode {:#x}",
            first & 0x0F
        )));
    };
    if opcode.is_control() {
        if first & FIN == 0 {
            return Err(Violation::protocol(format!(
                "expected control frames in one piece, got a fragment of a {opcode:?} frame"
            )));
        }
        return Ok(());
    }
    match message {
        None if opcode == OpCode::Continuation => Err(Violation::protocol(
            "expected a text, binary or control frame, \
             got a continuation frame with no message to continue",
        )),
        Some(kind) if starts_message => Err(Violation::protocol(format!(
            "expected a continuation of the fragmented {kind:?} message, \
             got a new {opcode:?} frame"
        ))),
        _ => Ok(()),
    }
}

/// Checks the second byte, which follows a sound `first`.
pub(super) fn second_byte(first: u8, second: u8) -> Result<(), Violation> {
    if second & MASKED != 0 {
        return Err(Violation::protocol(
            "expected unmasked frames from the server, got a masked one",
        ));
    }
    if first & 0x08 != 0 && second > 125 {
        return Err(Violation::protocol(
            "expected control frames of at most 125 bytes, got one that announces more",
        ));
    }
    if first & 0x0F == OpCode::Close as u8 && second == 1 {
        return Err(Violation::protocol(
            "expected a close frame that is empty or begins with a code of 2 bytes, \
             got one of 1 byte",
        ));
    }
    Ok(())
}

/// Checks the length that a header with this second byte gave.
pub(super) fn length(second: u8, len: u64) -> Result<(), Violation> {
    if len >> 63 != 0 {
        return Err(Violation::protocol(format!(
            "expected a frame length below 2^63, got {len:#x}"
        )));
    }
    let minimum = match second {
        126 => 126,
        127 => 0x1_0000,
        _ => 0,
    };
    if len < minimum {
        return Err(Violation::protocol(format!(
            "expected a frame length in its shortest form, got {len} in {} bytes",
            if second == 126 { 2 } else { 8 },
        )));
    }
    Ok(())
}

/// What the payload of a close frame says; it is not 1 byte, as
/// `second_byte` saw to.
pub(super) fn close(payload: &[u8]) -> Result<Option<Close<'_>>, Violation> {
    let Some((&code, reason)) = payload.split_first_chunk() else { return Ok(None) };
    let code = u16::from_be_bytes(code);
    if !is_valid_received(code) {
        return Err(Violation::protocol(format!(
            "expected a close code of 1000-1003, 1007-1014 or 3000-4999, got {code}"
        )));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Some(Close { code, reason })),
        Err(error) => Err(Violation::utf8(format!(
            "expected UTF-8 in a close reason, got other bytes at offset {}",
            error.valid_up_to()
        ))),
    }
}

/// Refuses the beginning of a close frame's payload if no rest can mend it.
pub(super) fn close_so_far(payload: &[u8]) -> Result<(), Violation> {
    let whole = match std::str::from_utf8(payload.get(2..).unwrap_or_default()) {
        // The rest of a character may be to come.
        Err(error) if error.error_len().is_none() => 2 + error.valid_up_to(),
        _ => payload.len(),
    };
    close(&payload[..whole]).map(drop)
}

/// `text` is a text message, or its beginning, known to be broken.
#[cold]
pub(super) fn not_utf8(text: &[u8]) -> Violation {
    let offset = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
    Violation::utf8(format!("expected UTF-8 in a text message, got other bytes at offset {offset}"))
}
