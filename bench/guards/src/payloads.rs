//! What is sent and received: the same bytes in every run.

/// ASCII, as most text on the wire is.
pub(crate) fn ascii(len: usize) -> String {
    cut("The quick brown fox jumps over the lazy dog. ", len)
}

/// Code points of one to four bytes, in turns.
pub(crate) fn mixed(len: usize) -> String {
    cut("30 °C im Schatten, 東京 und 🦊; ", len)
}

/// `pattern` again and again, exactly `len` bytes long.
fn cut(pattern: &str, len: usize) -> String {
    let mut text = pattern.repeat(len / pattern.len() + 1);
    let end = (0..=len).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text.extend(std::iter::repeat_n('.', len - text.len()));
    text
}

/// Ticks of a market feed, about as compressible as such things are; others with each seed,
/// which is not 0.
pub(crate) fn json(len: usize, mut seed: u32) -> String {
    let mut number = move |below: u32| {
        // xorshift
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed % below
    };
    let mut text = String::from(r#"{"type":"ticks","symbol":"BTC-USD","ticks":["#);
    let end = "]}";
    loop {
        let tick = format!(
            r#"{{"price":{}.{:02},"size":0.{:04},"side":"{}"}},"#,
            60_000 + number(500),
            number(100),
            number(10_000),
            if number(2) == 0 { "buy" } else { "sell" },
        );
        if text.len() + tick.len() + end.len() > len {
            break;
        }
        text += &tick;
    }
    text.pop();
    text += end;
    text.extend(std::iter::repeat_n(' ', len - text.len()));
    text
}

/// The frame of a server, which does not mask.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut frame = vec![first];
    match len {
        0..=125 => frame.push(len as u8),
        126..=0xFFFF => {
            frame.push(126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
