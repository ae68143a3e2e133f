//! The options, already checked and named by `longwire.options`.

use std::path::PathBuf;
use std::time::Duration;

use longwire::{Compression, Offline, Proxy, Reconnect};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Stands for "no limit" where the core wants a number: ten years.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A URL, or whether to look into the environment.
#[derive(FromPyObject)]
pub(crate) enum ProxyChoice {
    Url(String),
    Environment(bool),
}

/// `longwire.Deflate`: the fields of the core's [`Compression`], under the same names.
#[derive(FromPyObject)]
pub(crate) struct Details {
    threshold: usize,
    level: u8,
    memory_level: u8,
    client_no_context_takeover: bool,
    server_no_context_takeover: bool,
    client_max_window_bits: u8,
    server_max_window_bits: u8,
}

impl Details {
    fn into_core(self) -> Compression {
        let mut compression = Compression::default();
        compression.threshold = self.threshold;
        compression.level = self.level;
        compression.memory_level = self.memory_level;
        compression.client_no_context_takeover = self.client_no_context_takeover;
        compression.server_no_context_takeover = self.server_no_context_takeover;
        compression.client_max_window_bits = self.client_max_window_bits;
        compression.server_max_window_bits = self.server_max_window_bits;
        compression
    }
}

/// What a connection is made from.
#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Config {
    pub(crate) inner: longwire::Config,
}

#[pymethods]
impl Config {
    #[new]
    #[pyo3(signature = (
        url, *, headers, subprotocols, origin, proxy, max_redirects, compression, open_timeout,
        close_timeout, ping_interval, ping_timeout, streaming, max_size, max_fragments,
        send_buffer, receive_buffer, offline, reconnect, ca_file, ca_pem, verify, server_name,
        client_cert, client_key, pinned_keys,
    ))]
    #[expect(clippy::too_many_arguments, reason = "all are keywords")]
    fn new(
        url: String,
        headers: Vec<(String, String)>,
        subprotocols: Vec<String>,
        origin: Option<String>,
        proxy: ProxyChoice,
        max_redirects: u32,
        compression: Option<Details>,
        open_timeout: Option<f64>,
        close_timeout: Option<f64>,
        ping_interval: Option<f64>,
        ping_timeout: Option<f64>,
        streaming: bool,
        max_size: Option<usize>,
        max_fragments: Option<u32>,
        send_buffer: Option<usize>,
        receive_buffer: Option<usize>,
        offline: &str,
        reconnect: Option<(f64, f64, f64, Option<u32>, f64)>,
        ca_file: Option<PathBuf>,
        ca_pem: Option<String>,
        verify: bool,
        server_name: Option<String>,
        client_cert: Option<PathBuf>,
        client_key: Option<PathBuf>,
        pinned_keys: Vec<String>,
    ) -> PyResult<Config> {
        let mut config = longwire::Config::new(url);
        config.headers = headers;
        config.subprotocols = subprotocols;
        config.origin = origin;
        config.proxy = match proxy {
            ProxyChoice::Url(url) => Proxy::Url(url),
            ProxyChoice::Environment(true) => Proxy::Environment,
            ProxyChoice::Environment(false) => Proxy::None,
        };
        config.max_redirects = max_redirects;
        config.compression = compression.map(Details::into_core);
        config.connect_timeout = seconds_or_never("open_timeout", open_timeout)?;
        config.close_timeout = seconds_or_never("close_timeout", close_timeout)?;
        config.heartbeat.interval =
            ping_interval.map(|value| seconds("ping_interval", value)).transpose()?;
        config.heartbeat.timeout = seconds_or_never("ping_timeout", ping_timeout)?;
        config.streaming = streaming;
        config.max_message_size = max_size.unwrap_or(isize::MAX as usize);
        config.max_fragments = max_fragments.unwrap_or(config.max_fragments);
        config.send_buffer = send_buffer.unwrap_or(config.send_buffer);
        config.receive_buffer = receive_buffer.unwrap_or(config.receive_buffer);
        config.offline = match offline {
            "queue" => Offline::Queue,
            "refuse" => Offline::Refuse,
            other => {
                return Err(PyValueError::new_err(format!(
                    "offline must be 'queue' or 'refuse', not {other:?}"
                )));
            }
        };
        config.reconnect = match reconnect {
            None => None,
            Some((min_delay, max_delay, factor, max_attempts, stable_after)) => {
                let mut reconnect = Reconnect::default();
                reconnect.min_delay = seconds("min_delay", min_delay)?;
                reconnect.max_delay = seconds("max_delay", max_delay)?;
                reconnect.factor = factor;
                reconnect.max_attempts = max_attempts;
                reconnect.stable_after = seconds("stable_after", stable_after)?;
                Some(reconnect)
            }
        };
        config.tls.ca_file = ca_file;
        config.tls.ca_pem = ca_pem;
        config.tls.verify = verify;
        config.tls.server_name = server_name;
        config.tls.client_cert = client_cert;
        config.tls.client_key = client_key;
        config.tls.pinned_keys = pinned_keys;
        Ok(Config { inner: config })
    }
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(value) {
        Ok(duration) => Ok(duration.min(NEVER)),
        Err(_) => Err(PyValueError::new_err(format!(
            "{name} must be a number of seconds, zero or more, not {value}"
        ))),
    }
}

fn seconds_or_never(name: &str, value: Option<f64>) -> PyResult<Duration> {
    value.map_or(Ok(NEVER), |value| seconds(name, value))
}
