//! Any answer to any offer of permessage-deflate: **what is agreed on is
//! something that the offer allowed, and a second reading agrees.**

use longwire::Compression;
use longwire::protocol::handshake::extensions::{agreement, offer};

use super::input::take;

/// Three bytes of what is offered, then the answer.
pub fn run(mut data: &[u8]) {
    let [switches, client_bits, server_bits] = take(&mut data);
    let Ok(answer) = std::str::from_utf8(data) else { return };
    let mut options = Compression::default();
    options.client_no_context_takeover = switches & 1 != 0;
    options.server_no_context_takeover = switches & 2 != 0;
    options.client_max_window_bits = 9 + client_bits % 7;
    options.server_max_window_bits = 9 + server_bits % 7;
    let offered = offer(&options);
    assert!(offered.is_ascii() && offered.starts_with("permessage-deflate"));

    let none = answer.bytes().all(|b| b == b',' || b.is_ascii_whitespace());
    assert_eq!(agreement(None, answer).is_ok(), none, "nothing was offered");
    match agreement(Some(&options), answer) {
        Ok(None) => assert!(none, "an extension was overlooked"),
        Ok(Some(agreed)) => {
            assert!((8..=options.client_max_window_bits).contains(&agreed.client_max_window_bits));
            assert!(agreed.client_no_context_takeover || !options.client_no_context_takeover);
            assert!(agreed.server_no_context_takeover || !options.server_no_context_takeover);
            // Its parts may stand in quotes and among spaces: said plainly, it
            // means the same.
            let plain = plainly(answer);
            assert_eq!(agreement(Some(&options), &plain), Ok(Some(agreed)), "{plain}");
            let allowed = plain.split("; ").skip(1).all(|parameter| {
                let name = parameter.split('=').next().unwrap_or_default();
                NAMES.contains(&name)
            });
            assert!(allowed, "{plain}");
        }
        Err(expected) => assert!(!expected.is_empty()),
    }
}

const NAMES: [&str; 4] = [
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
];

fn plainly(answer: &str) -> String {
    let answer = answer.replace('"', "");
    let answer = answer.trim_matches(|c: char| c == ',' || c.is_ascii_whitespace());
    let trimmed = |parameter: &str| {
        let parts: Vec<_> = parameter.split('=').map(str::trim_ascii).collect();
        parts.join("=")
    };
    answer.split(';').map(trimmed).collect::<Vec<_>>().join("; ")
}
