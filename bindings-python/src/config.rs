//! The options, already checked and named by `longwire.options`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longwire::{Cause, Compression, ConsumerAction, Level, Offline, Proxy, Reconnect};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error;
use crate::log::LogQueue;

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

/// `longwire.Reconnect`: the fields of the core's [`Reconnect`], times in seconds.
#[derive(FromPyObject)]
pub(crate) struct Return {
    min_delay: f64,
    max_delay: f64,
    factor: f64,
    max_attempts: Option<u32>,
    max_time: Option<f64>,
    stable_after: f64,
    max_retry_after: f64,
    restart_delay: (f64, f64),
}

impl Return {
    fn into_core(self) -> PyResult<Reconnect> {
        let mut reconnect = Reconnect::default();
        reconnect.min_delay = seconds("min_delay", self.min_delay)?;
        reconnect.max_delay = seconds("max_delay", self.max_delay)?;
        reconnect.factor = self.factor;
        reconnect.max_attempts = self.max_attempts;
        reconnect.max_time = self.max_time.map(|time| seconds("max_time", time)).transpose()?;
        reconnect.stable_after = seconds("stable_after", self.stable_after)?;
        reconnect.max_retry_after = seconds("max_retry_after", self.max_retry_after)?;
        reconnect.restart_min_delay = seconds("restart_delay", self.restart_delay.0)?;
        reconnect.restart_max_delay = seconds("restart_delay", self.restart_delay.1)?;
        Ok(reconnect)
    }
}

/// What a connection is made from.
#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Config {
    pub(crate) inner: longwire::Config,
    /// What the client of this configuration writes its log into.
    pub(crate) log: Option<Arc<LogQueue>>,
}

#[pymethods]
impl Config {
    #[new]
    #[pyo3(signature = (
        url, *, headers, subprotocols, origin, proxy, max_redirects, compression, open_timeout,
        close_timeout, ping_interval, ping_timeout, streaming, max_size, max_fragments,
        send_buffer, receive_buffer, offline, offline_max_age, reconnect, retry, before_connect,
        should_reconnect, hook_timeout, consumer_timeout, consumer_action, log_level, ca_file,
        ca_pem, verify, server_name, client_cert, client_key, pinned_keys,
    ))]
    #[expect(clippy::too_many_arguments, reason = "all are keywords")]
    fn new(
        py: Python<'_>,
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
        offline_max_age: Option<f64>,
        reconnect: Option<Return>,
        retry: Vec<(i32, bool)>,
        before_connect: bool,
        should_reconnect: bool,
        hook_timeout: Option<f64>,
        consumer_timeout: Option<f64>,
        consumer_action: &str,
        log_level: u8,
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
        config.offline_max_age =
            offline_max_age.map(|age| seconds("offline_max_age", age)).transpose()?;
        config.reconnect = reconnect.map(Return::into_core).transpose()?;
        if let Some(reconnect) = &mut config.reconnect {
            for (number, retry) in retry {
                let cause = Cause::from_number(number);
                reconnect.set(cause.map_err(|failure| error::raise(py, &failure))?, retry);
            }
        }
        config.before_connect = before_connect;
        config.should_reconnect = should_reconnect;
        config.hook_timeout = seconds_or_never("hook_timeout", hook_timeout)?;
        config.consumer_timeout =
            consumer_timeout.map(|time| seconds("consumer_timeout", time)).transpose()?;
        config.consumer_action = match consumer_action {
            "report" => ConsumerAction::Report,
            "close" => ConsumerAction::Close,
            other => {
                return Err(PyValueError::new_err(format!(
                    "consumer_action must be 'report' or 'close', not {other:?}"
                )));
            }
        };
        let (queue, log) = level(log_level).map(LogQueue::new).unzip();
        config.log = log;
        config.tls.ca_file = ca_file;
        config.tls.ca_pem = ca_pem;
        config.tls.verify = verify;
        config.tls.server_name = server_name;
        config.tls.client_cert = client_cert;
        config.tls.client_key = client_key;
        config.tls.pinned_keys = pinned_keys;
        Ok(Config { inner: config, log: queue })
    }
}

/// The level that Python calls by this number; `None` below all of them.
fn level(number: u8) -> Option<Level> {
    [Level::Error, Level::Warning, Level::Info, Level::Debug]
        .into_iter()
        .find(|level| *level as u8 == number)
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
