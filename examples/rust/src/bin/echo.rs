//! `echo URL MESSAGE [CA_FILE]`: sends one message, prints the answer, and closes.
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (url, message, ca_file) = match arguments.as_slice() {
        [url, message] => (url, message, None),
        [url, message, ca_file] => (url, message, Some(ca_file)),
        _ => {
            eprintln!("usage: echo URL MESSAGE [CA_FILE]");
            return ExitCode::from(2);
        }
    };
    match converse(url, message.clone(), ca_file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn converse(
    url: &str,
    greeting: String,
    ca_file: Option<&String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::new(url);
    config.tls.ca_file = ca_file.map(Into::into);

    let (tell, told) = mpsc::channel();
    // The receiver outlives the conversation unless `main` gave up, and then
    // nobody wants to be told any more.
    let client = Client::start(config, move |client, event| match event {
        Event::Open(_) => {
            if let Err(error) = client.send(MessageKind::Text, greeting.as_bytes()) {
                eprintln!("echo: {error}");
            }
        }
        Event::Message(message) => {
            let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
            let _ = tell.send(Told::Message(text));
        }
        // Whatever passes, the client tries again by itself.
        Event::Down(down) => eprintln!("echo: {}", down.error),
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
