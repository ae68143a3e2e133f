//! The server that every test of longwire talks to.
//!
//! It listens on 127.0.0.1 for ws and wss, prints where in one JSON line on stdout as soon as it is ready, and offers one
//! path for each way a peer can behave, well or badly: `README.md` beside this crate has the table.
//!
//! It ends on SIGTERM or SIGINT, and with `--stdin-guard` when its stdin reaches the end, so that it never outlives the test
//! that started it.

mod args;
mod certificates;
mod connection;
mod endpoints;
mod frame;
mod handshake;
mod listener;
mod query;

use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::certificates::Certificates;
use crate::listener::Listeners;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("longwire-test-server: {message}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("longwire-test-server: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    listener::raise_descriptor_limit();
    let certificates = Certificates::prepare(args.dir.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let mut terminate =
            signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
        let mut interrupt =
            signal(SignalKind::interrupt()).map_err(|error| format!("SIGINT: {error}"))?;
        let listeners = Listeners::bind(args.port, args.tls_port, &certificates)?;
        announce(&listeners, &certificates)?;
        listeners.serve();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = end_of_stdin(), if args.stdin_guard => {}
        }
        Ok(())
    })
}

/// Prints the one JSON line that says the server is ready.
fn announce(listeners: &Listeners, certificates: &Certificates) -> Result<(), String> {
    let line = serde_json::json!({
        "ws": format!("ws://127.0.0.1:{}", listeners.ws_port()),
        "wss": format!("wss://localhost:{}", listeners.wss_port()),
        "wss_bad_name": format!("wss://127.0.0.1:{}", listeners.wss_bad_name_port()),
        "wss_client_cert": format!("wss://localhost:{}", listeners.wss_client_cert_port()),
        "ca_file": certificates.ca_file(),
        "pid": std::process::id(),
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot print the ready line: {error}"))
}

/// Completes when stdin reaches its end. The wait is a thread's: stdin may be a file, which no poller watches.
async fn end_of_stdin() {
    let (ended, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // An error on stdin ends the guard like its end does: nobody is there any more.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    let _ = wait.await;
}
