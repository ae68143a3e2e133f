//! What the messages look like, in both directions.
//!
//! | | |
//! |-|-|
//! | `hello CONNECTION HEARD` | The client, from within each `open`: the greatest answer it has. |
//! | `NUMBER FILLER` | The client: text if the number is odd, else binary. |
//! | `CONNECTION TOLD NUMBER FILLER` | The server's answer, in the same kind, numbered itself. |
//!
//! The filler is the alphabet again and again. How long it is and where it begins follows from the numbers, so that both sides know every
//! byte. Most are short; every 97th is of 20 to 60 KB.

use std::sync::LazyLock;

/// More than the longest filler, wherever it begins.
static FILLER: LazyLock<String> = LazyLock::new(|| "abcdefghijklmnopqrstuvwxyz".repeat(2400));
const GREETING: &str = "hello ";

/// What a client says.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Upward {
    Greeting { connection: u64, heard: u64 },
    Numbered(u64),
}

/// What a payload says, if it is as it should be.
pub(crate) fn read(payload: &[u8], is_text_message: bool) -> Result<Upward, String> {
    let head = &payload[..payload.len().min(60)];
    let text = String::from_utf8_lossy(head);
    if let Some(rest) = text.strip_prefix(GREETING) {
        let numbers = rest.split_once(' ').and_then(|(connection, heard)| {
            Some(Upward::Greeting {
                connection: connection.parse().ok()?,
                heard: heard.parse().ok()?,
            })
        });
        return numbers.ok_or_else(|| format!("{text:?} is no greeting"));
    }
    match text.split(' ').next().unwrap_or_default().parse() {
        Ok(number)
            if payload == upward(number).as_bytes() && is_text(number) == is_text_message =>
        {
            Ok(Upward::Numbered(number))
        }
        Ok(number) => Err(format!("message {number} is not what was sent")),
        Err(_) => Err(format!("expected a number, got {text:?}")),
    }
}

pub(crate) fn is_text(number: u64) -> bool {
    number % 2 == 1
}

/// The client's message of this number.
pub(crate) fn upward(number: u64) -> String {
    filled(format!("{number} "), number, number)
}

/// The server's answer to it.
pub(crate) fn answer(connection: u64, told: u64, number: u64) -> String {
    filled(format!("{connection} {told} {number} "), told, number)
}

fn filled(mut payload: String, start: u64, number: u64) -> String {
    let start = (start % 26) as usize;
    payload.push_str(&FILLER[start..start + length(number)]);
    payload
}

fn length(number: u64) -> usize {
    (match number {
        _ if number.is_multiple_of(97) => 20_000 + number * 7919 % 40_000,
        _ if number.is_multiple_of(19) => 1000 + number * 31 % 7000,
        _ => number * 13 % 100,
    }) as usize
}
