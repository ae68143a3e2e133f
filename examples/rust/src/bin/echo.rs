//! `echo URL [CA_FILE]`: the smallest conversation. Sends one greeting, prints
//! what comes back, closes, and ends with 0 if everything was as it should be.
//!
//! The handler runs on longwire's own thread and must not block, so it only
//! hands things over to `main`.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use longwire::{Client, Closed, Config, Event, MessageKind};

/// What the handler tells `main`.
enum Told {
    Message(String),
    Closed(Closed),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(url) = arguments.next() else {
        eprintln!("usage: echo URL [CA_FILE]");
        return ExitCode::from(2);
    };
    match converse(url, arguments.next()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn converse(url: String, ca_file: Option<String>) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new(url);
    config.tls.ca_file = ca_file.map(Into::into);
    // One connection is enough here; without this line the client would keep
    // trying for as long as the server is away.
    config.reconnect = None;

    let (tell, told) = mpsc::channel();
    // The receiver outlives the conversation unless `main` gave up, and then
    // nobody wants to be told any more.
    let client = Client::start(config, move |client, event| match event {
        Event::Open(_) => {
            if let Err(error) = client.send(MessageKind::Text, b"Hello from Rust") {
                eprintln!("echo: {error}");
            }
        }
        Event::Message(message) => {
            let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
            let _ = tell.send(Told::Message(text));
        }
        Event::Closed(closed) => {
            let _ = tell.send(Told::Closed(closed.clone()));
        }
        _ => {}
    })?;

    loop {
        match told.recv_timeout(Duration::from_secs(30))? {
            Told::Message(text) => {
                println!("{text}");
                client.close(1000, "")?;
            }
            Told::Closed(Closed { error: Some(error), .. }) => return Err(error.into()),
            Told::Closed(closed) if closed.code == 1000 => return Ok(()),
            Told::Closed(closed) => {
                return Err(format!("closed with {} {}", closed.code, closed.reason).into());
            }
        }
    }
}
