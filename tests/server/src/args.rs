//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: longwire-test-server [--port N] [--tls-port N] [--dir DIR] [--stdin-guard]
  --port N        port for ws (default 0: a free one)
  --tls-port N    port for wss (default 0: a free one)
  --dir DIR       where certificates are kept; a CA found there is used again (default: a fresh directory, removed at the end)
  --stdin-guard   end when stdin reaches its end";

/// What the command line asked for.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) stdin_guard: bool,
}

impl Args {
    /// `Ok(None)` means that only the usage is wanted.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(option) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| format!("{option} expects a value and got none"));
            match option.as_str() {
                "--port" => args.port = port(&option, &value()?)?,
                "--tls-port" => args.tls_port = port(&option, &value()?)?,
                "--dir" => args.dir = Some(value()?.into()),
                "--stdin-guard" => args.stdin_guard = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {option:?}")),
            }
        }
        Ok(Some(args))
    }
}

fn port(option: &str, value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("{option} expects a port from 0 to 65535, got {value:?}"))
}
