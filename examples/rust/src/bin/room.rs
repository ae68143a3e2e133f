//! `room URL CA_FILE NAME COUNT`: talks in a room where everybody hears
//! everybody, until COUNT of its own messages have come back.
//!
//! It sends `NAME 0`, `NAME 1`, … every 25 ms and does nothing about lost
//! connections: the client comes back by itself, and what was sent meanwhile
//! goes out then. What was on its way when the connection broke is gone, which
//! is why it counts what came back and not what it sent. At the end it prints
//! one line of JSON.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use longwire::{Client, Closed, Config, Event, MessageKind};
use serde_json::json;

const PACE: Duration = Duration::from_millis(25);
const LIMIT: Duration = Duration::from_secs(60);

/// What the handler tells `main`.
enum Told {
    Open {
        reconnects: u32,
    },
    /// A message, and its number if it is one of our own.
    Heard {
        own: Option<u64>,
        at: Instant,
    },
    Closed(Closed),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, ca_file, name, count] = arguments.as_slice() else {
        eprintln!("usage: room URL CA_FILE NAME COUNT");
        return ExitCode::from(2);
    };
    let Ok(count) = count.parse() else {
        eprintln!("room: COUNT is a number, not {count:?}");
        return ExitCode::from(2);
    };
    match talk(url, ca_file, name, count) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("room: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn talk(
    url: &str,
    ca_file: &str,
    name: &str,
    count: usize,
) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let mut config = Config::new(url);
    config.tls.ca_file = Some(ca_file.into());

    let (tell, told) = mpsc::channel();
    let prefix = format!("{name} ");
    let client = Client::start(config, move |_, event| {
        let news = match event {
            Event::Open(opened) => Some(Told::Open { reconnects: opened.reconnects }),
            Event::Message(message) => {
                let own = own_number(message.as_text(), &prefix);
                Some(Told::Heard { own, at: Instant::now() })
            }
            Event::Closed(closed) => Some(Told::Closed(closed.clone())),
            _ => None,
        };
        if let Some(news) = news {
            // Fails only when `main` has given up and nobody listens.
            let _ = tell.send(news);
        }
    })?;

    let begun = Instant::now();
    let mut next_send = None;
    let mut sent: u64 = 0;
    let mut received: u64 = 0;
    let mut waiting = HashMap::new();
    let mut round_trips = Vec::with_capacity(count);
    let mut reconnects = 0;
    loop {
        if begun.elapsed() > LIMIT {
            return Err(format!("{} of {count} messages after {LIMIT:?}", round_trips.len()).into());
        }
        let due = next_send.unwrap_or(begun + LIMIT);
        match told.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Told::Open { reconnects: so_far }) => {
                reconnects = so_far;
                next_send.get_or_insert_with(Instant::now);
            }
            // Stragglers, while the closing handshake is under way.
            Ok(Told::Heard { .. }) if round_trips.len() == count => {}
            Ok(Told::Heard { own: None, .. }) => received += 1,
            Ok(Told::Heard { own: Some(number), at }) => {
                received += 1;
                let Some(since) = waiting.remove(&number) else {
                    return Err(
                        format!("message {number} came back twice or was never sent").into()
                    );
                };
                round_trips.push(at - since);
                if round_trips.len() == count {
                    next_send = None;
                    client.close(1000, "")?;
                }
            }
            Ok(Told::Closed(Closed { error: Some(error), .. })) => return Err(error.into()),
            Ok(Told::Closed(closed)) if closed.code == 1000 => break,
            Ok(Told::Closed(closed)) => {
                return Err(format!("closed with {} {}", closed.code, closed.reason).into());
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(due) = &mut next_send {
                    let text = format!("{name} {sent}");
                    waiting.insert(sent, Instant::now());
                    client.send(MessageKind::Text, text.as_bytes())?;
                    sent += 1;
                    *due += PACE;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the client went away".into()),
        }
    }

    round_trips.sort_unstable();
    let median = round_trips.get(count / 2).copied().unwrap_or_default();
    Ok(json!({
        "language": "Rust",
        "url": url,
        "sent": sent,
        "received": received,
        "round_trip_us": u64::try_from(median.as_micros())?,
        "reconnects": reconnects,
    }))
}

/// The number in a message of our own, `NAME number`.
fn own_number(text: Option<&str>, prefix: &str) -> Option<u64> {
    text?.strip_prefix(prefix)?.parse().ok()
}
