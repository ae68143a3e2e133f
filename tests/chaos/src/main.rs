//! A server that takes down what arrives, behind a proxy that does to connections what networks do to them.
//!
//! It listens on 127.0.0.1 only and prints a line of JSON when clients can connect. Then it obeys its stdin, and answers each of
//! these words with a line:
//!
//! | | |
//! |-|-|
//! | `start` | There are faults from now on. |
//! | `count` | How many sockets of clients are open, how many faults there were, and how many messages arrived. |
//! | `stop` | No more faults. |
//! | `report` | Everything that is known. |
//!
//! It ends with its stdin, so that it never outlives the test that started it.

mod fault;
mod ledger;
mod message;
mod port;
mod proxy;
mod random;
mod relay;
mod server;
mod weather;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::proxy::{Doors, Proxy};
use crate::server::{Desk, Server};
use crate::weather::{Weather, storm};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let Some(Ok(seed)) = std::env::args().nth(1).map(|seed| seed.parse()) else {
        eprintln!("usage: longwire-chaos SEED");
        return ExitCode::from(2);
    };
    match run(seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longwire-chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(seed: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, obey(seed))
}

/// The server and the proxy, which belong to the storm as long as there is one.
enum Scene {
    Calm(Server, Proxy),
    Storm(JoinHandle<std::io::Result<(Server, Proxy)>>),
}

async fn obey(seed: u64) -> Result<()> {
    let (weather, desk) = (Rc::new(Weather::new(seed)), Rc::new(Desk::open()?));
    let doors = Rc::new(Doors::reserve()?);
    let mut scene = Scene::Calm(Server::start(&desk)?, Proxy::open(&doors, &desk, &weather)?);
    say(&json!({
        "ws": format!("ws://{}", doors.plain.address()),
        "wss": format!("wss://{}", doors.secure.address()),
        "certificate": desk.certificate,
    }))?;
    let clock = Rc::clone(&weather);
    spawn_local(async move { clock.watch_the_clock().await });
    let mut words = stdin();
    while let Some(word) = words.recv().await {
        let answer;
        (scene, answer) = match (word.as_str(), scene) {
            ("start", Scene::Calm(server, proxy)) => {
                weather.set(true);
                let (weather, desk, doors) = (weather.clone(), desk.clone(), doors.clone());
                let storm = spawn_local(storm(weather, desk, doors, server, proxy));
                (Scene::Storm(storm), json!({}))
            }
            ("stop", Scene::Storm(storm)) => {
                weather.set(false);
                let (server, proxy) = storm.await??;
                (Scene::Calm(server, proxy), json!({}))
            }
            ("count", scene) => (
                scene,
                json!({
                    "live": weather.live.get(),
                    "faults": weather.tally.total(),
                    "arrived": desk.ledger.borrow().arrived(),
                }),
            ),
            ("report", scene) => (
                scene,
                json!({
                    "faults": weather.tally.to_json(),
                    "latest": weather.latest.get().as_secs_f64(),
                    "wrong": weather.complaints(),
                    "clients": desk.ledger.borrow().to_json(),
                }),
            ),
            (word, _) => return Err(format!("{word:?} is not to be said now").into()),
        };
        say(&answer)?;
    }
    Ok(())
}

fn say(line: &Value) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// The lines of stdin. A thread waits for them, as stdin may be a file, which no poller watches.
fn stdin() -> mpsc::UnboundedReceiver<String> {
    let (lines, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    received
}
