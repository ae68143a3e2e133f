//! The core as a client of the violations: a case a line on stdin, what
//! happens on stdout. `README.md` has the words. With the argument `hosted` this
//! thread drives the clients, otherwise the runtime's does.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, Write as _, stdin, stdout};
use std::sync::mpsc;
use std::time::Duration;

use longwire::{Client, Closed, Compression, Config, Drive, Event, MessageKind, Reconnect};

/// What a case asks of its user once the connection is open.
#[derive(Clone, Copy, Default)]
enum OnOpen {
    #[default]
    Nothing,
    Close,
    Send(usize),
}

fn main() -> Result<(), Box<dyn Error>> {
    let hosted = std::env::args().nth(1).is_some_and(|argument| argument == "hosted");
    for line in stdin().lock().lines() {
        let (config, on_open) = read(&line?)?;
        if hosted { drive(config, on_open) } else { run(config, on_open) }?;
    }
    Ok(())
}

fn read(line: &str) -> Result<(Config, OnOpen), Box<dyn Error>> {
    let mut config = Config::new("");
    let mut on_open = OnOpen::Nothing;
    config.reconnect = None;
    for word in line.split(' ') {
        let (name, value) = word.split_once('=').ok_or(word)?;
        let mut nobody = Compression::default();
        let offer = config.compression.as_mut().unwrap_or(&mut nobody);
        let millis = || value.parse().map(Duration::from_millis);
        match name {
            "url" => config.url = value.to_owned(),
            "connect_timeout" => config.connect_timeout = millis()?,
            "close_timeout" => config.close_timeout = millis()?,
            "max_message_size" => config.max_message_size = value.parse()?,
            "max_fragments" => config.max_fragments = value.parse()?,
            "subprotocols" => config.subprotocols = value.split(',').map(str::to_owned).collect(),
            "compression" if value == "0" => config.compression = None,
            "server_max_window_bits" => offer.server_max_window_bits = value.parse()?,
            "server_no_context_takeover" => offer.server_no_context_takeover = value == "1",
            "reconnect" => {
                let mut reconnect = Reconnect::default();
                reconnect.min_delay = millis()?;
                reconnect.max_delay = millis()?;
                // Close code 1012 has a wait of its own.
                reconnect.restart_min_delay = millis()?;
                reconnect.restart_max_delay = millis()?;
                config.reconnect = Some(reconnect);
            }
            "on_open" => {
                on_open = match value.split_once(':') {
                    Some((_, size)) => OnOpen::Send(size.parse()?),
                    None => OnOpen::Close,
                };
            }
            _ => return Err(format!("unknown word {word}").into()),
        }
    }
    Ok((config, on_open))
}

fn run(config: Config, on_open: OnOpen) -> Result<(), Box<dyn Error>> {
    let (over, is_over) = mpsc::channel();
    let _client = Client::start(config, move |client, event| {
        if happened(client, event, on_open) {
            let _ = over.send(());
        }
    })?;
    Ok(is_over.recv()?)
}

fn drive(config: Config, on_open: OnOpen) -> Result<(), Box<dyn Error>> {
    let client = Client::start_hosted(config)?;
    loop {
        client.wait(None, &mut false)?;
        let driven = client.drive(64, &mut |event| {
            happened(&client, event, on_open);
        })?;
        if driven == Drive::Finished {
            return Ok(());
        }
    }
}

/// Tells an event; whether it is the last.
fn happened(client: &Client, event: Event<'_>, on_open: OnOpen) -> bool {
    match event {
        Event::Open(opened) => {
            say(&format!("open {}", opened.subprotocol.as_deref().unwrap_or("-")));
            let done = match on_open {
                OnOpen::Nothing => Ok(()),
                OnOpen::Close => client.close(1000, ""),
                OnOpen::Send(size) => client.send(MessageKind::Binary, &vec![0; size]),
            };
            done.expect("what a case asks for is allowed");
        }
        Event::Message(message) => {
            let kind = if message.kind() == MessageKind::Text { "text" } else { "binary" };
            let bytes = message.as_bytes();
            say(&format!("{kind} {} {}", bytes.len(), adler32(bytes)));
        }
        Event::Down(down) => say(&format!("down {}", told(Some(&down.error)))),
        Event::Closed(Closed { code, reason, clean, error, .. }) => {
            let clean = if *clean { "clean" } else { "unclean" };
            say(&format!("closed {code} {clean} {} {}", hex(reason), told(error.as_ref())));
            return true;
        }
        _ => {}
    }
    false
}

/// Symbol, status and message.
fn told(error: Option<&longwire::Error>) -> String {
    let Some(error) = error else { return "- 0 -".to_owned() };
    let status = error.refusal().map_or(0, |refusal| refusal.status);
    format!("{} {status} {}", error.kind().symbol(), hex(error.message()))
}

fn say(line: &str) {
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("stdout is read");
}

fn hex(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (a + b) % 65521)
    });
    b << 16 | a
}
