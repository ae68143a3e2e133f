//! Messages that carry their number and can be made again to be compared.

use crate::event::MessageKind;

/// The message with this number; `who` is `c` for the client and `s` for the
/// server, which counts anew on each connection.
pub fn payload(
    who: char,
    connection: usize,
    number: usize,
    size: usize,
    kind: MessageKind,
) -> Vec<u8> {
    let mut payload = format!("{who}{connection}.{number};").into_bytes();
    // Every other one can be compressed.
    let mut filler = (number as u32).wrapping_mul(2_654_435_761) | 1;
    while payload.len() < size {
        if number.is_multiple_of(2) {
            payload.push(b'a' + (payload.len() % 7) as u8);
            continue;
        }
        filler = filler.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (filler >> 24) as u8;
        payload.push(if kind == MessageKind::Text { byte & 0x7F | 0x20 } else { byte });
    }
    payload
}

/// Whose message this is, of which connection, and its number.
pub fn parse(payload: &[u8]) -> Option<(char, usize, usize)> {
    let end = payload.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(&payload[..end]).ok()?;
    let who = head.chars().next()?;
    let (connection, number) = head.get(1..)?.split_once('.')?;
    Some((who, connection.parse().ok()?, number.parse().ok()?))
}
