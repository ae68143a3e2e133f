//! The process: how it starts, what it promises while it runs, how it ends.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Server, signal, text};
use tungstenite::Message;

#[test]
fn the_ready_line_says_where() {
    let server = Server::start();
    assert_eq!(server.field("ws"), format!("ws://127.0.0.1:{}", server.port("ws")));
    assert_eq!(server.field("wss"), format!("wss://localhost:{}", server.port("wss")));
    assert_eq!(
        server.field("wss_bad_name"),
        format!("wss://127.0.0.1:{}", server.port("wss_bad_name"))
    );
    assert_eq!(
        server.field("wss_client_cert"),
        format!("wss://localhost:{}", server.port("wss_client_cert"))
    );
    assert_eq!(server.ready["pid"], server.pid());
    assert!(Path::new(server.field("ca_file")).is_absolute());
}

#[test]
fn certificates_name_what_they_should() {
    let server = Server::start();
    server.tls("wss", "localhost").unwrap();
    server.tls("wss", "127.0.0.1").unwrap();
    server.tls("wss_bad_name", "other.example").unwrap();
    for (port, name) in
        [("wss_bad_name", "127.0.0.1"), ("wss_bad_name", "localhost"), ("wss", "other.example")]
    {
        let error = server.tls(port, name).expect_err("not its name").to_string();
        assert!(error.contains("not valid for name"), "{error}");
    }
}

#[test]
fn a_restart_keeps_ports_and_ca() {
    let dir = TempDir::new("restart");
    let mut server = Server::start_with(&["--dir", dir.arg()]);
    let ports = [server.port("ws"), server.port("wss")].map(|port| port.to_string());
    let ca = std::fs::read(server.field("ca_file")).unwrap();
    // Connections that the server closed linger in TIME_WAIT, and one is open when it ends.
    for _ in 0..3 {
        common::closed(&mut server.connect("/close?code=1000"));
    }
    let _open = server.connect("/echo");
    signal(server.pid(), "KILL");
    server.wait();

    let again =
        Server::start_with(&["--dir", dir.arg(), "--port", &ports[0], "--tls-port", &ports[1]]);
    assert_eq!([again.port("ws"), again.port("wss")].map(|port| port.to_string()), ports);
    assert_eq!(std::fs::read(again.field("ca_file")).unwrap(), ca);
    let (mut plain, mut tls) = (again.connect("/echo"), again.connect_tls("/echo"));
    plain.send(Message::text("again")).unwrap();
    assert_eq!(text(&mut plain), "again");
    tls.send(Message::text("again")).unwrap();
    assert_eq!(text(&mut tls), "again");
    drop(again);
    for file in ["ca.pem", "ca.key", "leaf.pem", "leaf.key"] {
        assert!(dir.0.join(file).exists(), "{file} is kept");
    }
}

#[test]
fn it_ends_with_its_stdin_and_takes_its_files_along() {
    let server = Server::start();
    let ca_file = PathBuf::from(server.field("ca_file"));
    assert!(ca_file.exists());
    assert!(server.stop().success());
    assert!(!ca_file.exists());
}

#[test]
fn what_a_killed_server_left_is_in_nobodys_way() {
    // Made under the process id that the server gets: `exec` keeps it.
    let script = "mkdir -p \"$1/longwire-test-server-$$-0\" && exec \"$0\" --stdin-guard";
    let temp = TempDir::new("left");
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_longwire-test-server"), temp.arg()])
        .env("TMPDIR", temp.arg())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"{"), "{output:?}");
}

#[test]
fn it_ends_on_sigterm() {
    let mut server = Server::start();
    let _open = server.connect("/stall");
    signal(server.pid(), "TERM");
    assert!(server.wait().success());
}

#[test]
fn it_holds_a_thousand_connections() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..1000).map(|_| server.connect("/echo")).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(Message::text(number.to_string())).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(text(client), number.to_string());
    }
}

#[test]
fn wrong_arguments_are_named() {
    let taken = Server::start();
    let port = taken.port("ws").to_string();
    for (args, sentence) in [
        (["--port", "70000"], "--port expects a port from 0 to 65535, got \"70000\""),
        (["--stdin-guard", "--dir"], "--dir expects a value and got none"),
        (["--verbose", ""], "unknown option \"--verbose\""),
        (["--dir", "/dev/null"], "cannot use the directory /dev/null: "),
        (["--port", &port], &format!("cannot listen on 127.0.0.1:{port}: Address already in use")),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_longwire-test-server")).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(sentence), "{args:?}: {stderr}");
    }
}

/// A directory of the test's own, removed at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir()
            .join(format!("longwire-test-server-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn arg(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
