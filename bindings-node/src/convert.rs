//! Options, events and errors as JavaScript objects.
//!
//! What is absent in [`NativeConfig`] keeps the core's default: the defaults
//! stand once, in the core. Durations are milliseconds.

use std::time::Duration;

use longwire::{
    Closed, Compression, Config, Down, Error, ErrorKind, Offline, Opened, Pong, Proxy, Reconnect,
};
use napi::Either;
use napi_derive::napi;

/// The options, after `lib/options.js` has checked names and types.
#[napi(object)]
pub struct NativeConfig {
    pub url: String,
    pub headers: Vec<Vec<String>>,
    pub subprotocols: Vec<String>,
    pub origin: Option<String>,
    pub ca_file: Option<String>,
    pub ca_pem: Option<String>,
    pub verify: Option<bool>,
    pub server_name: Option<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub pinned_keys: Vec<String>,
    /// A URL, or `false` for none.
    pub proxy: Option<Either<String, bool>>,
    pub max_redirects: Option<u32>,
    /// `false` for none.
    pub compression: bool,
    pub threshold: Option<f64>,
    pub level: Option<u8>,
    pub memory_level: Option<u8>,
    pub client_no_context_takeover: Option<bool>,
    pub server_no_context_takeover: Option<bool>,
    pub client_max_window_bits: Option<u8>,
    pub server_max_window_bits: Option<u8>,
    pub connect_timeout: Option<f64>,
    pub close_timeout: Option<f64>,
    /// `false` for none.
    pub heartbeat: bool,
    pub heartbeat_interval: Option<f64>,
    pub heartbeat_timeout: Option<f64>,
    /// `false` for a client that lives as long as its first connection.
    pub reconnect: bool,
    pub min_delay: Option<f64>,
    pub max_delay: Option<f64>,
    pub factor: Option<f64>,
    pub max_attempts: Option<u32>,
    pub stable_after: Option<f64>,
    /// Refuse sends while not connected, instead of queueing them.
    pub refuse_offline: bool,
    pub streaming: Option<bool>,
    pub max_message_size: Option<f64>,
    pub max_fragments: Option<u32>,
    pub send_buffer: Option<f64>,
    pub receive_buffer: Option<f64>,
}

fn milliseconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1000.0).unwrap_or(Duration::MAX)
}

fn set<T, U>(place: &mut T, value: Option<U>, convert: impl FnOnce(U) -> T) {
    if let Some(value) = value {
        *place = convert(value);
    }
}

impl NativeConfig {
    pub(crate) fn into_core(self) -> Config {
        let mut config = Config::new(self.url);
        config.headers = self
            .headers
            .into_iter()
            .filter_map(|pair| <[String; 2]>::try_from(pair).ok())
            .map(|[name, value]| (name, value))
            .collect();
        config.subprotocols = self.subprotocols;
        config.origin = self.origin;
        config.tls.ca_file = self.ca_file.map(Into::into);
        config.tls.ca_pem = self.ca_pem;
        set(&mut config.tls.verify, self.verify, |verify| verify);
        config.tls.server_name = self.server_name;
        config.tls.client_cert = self.client_cert.map(Into::into);
        config.tls.client_key = self.client_key.map(Into::into);
        config.tls.pinned_keys = self.pinned_keys;
        config.proxy = match self.proxy {
            Some(Either::A(url)) => Proxy::Url(url),
            Some(Either::B(false)) => Proxy::None,
            Some(Either::B(true)) | None => Proxy::Environment,
        };
        set(&mut config.max_redirects, self.max_redirects, |v| v);
        config.compression = self.compression.then(|| {
            let mut compression = Compression::default();
            set(&mut compression.threshold, self.threshold, |v| v as usize);
            set(&mut compression.level, self.level, |v| v);
            set(&mut compression.memory_level, self.memory_level, |v| v);
            set(
                &mut compression.client_no_context_takeover,
                self.client_no_context_takeover,
                |v| v,
            );
            set(
                &mut compression.server_no_context_takeover,
                self.server_no_context_takeover,
                |v| v,
            );
            set(&mut compression.client_max_window_bits, self.client_max_window_bits, |v| v);
            set(&mut compression.server_max_window_bits, self.server_max_window_bits, |v| v);
            compression
        });
        set(&mut config.connect_timeout, self.connect_timeout, milliseconds);
        set(&mut config.close_timeout, self.close_timeout, milliseconds);
        set(&mut config.heartbeat.interval, self.heartbeat_interval, |v| Some(milliseconds(v)));
        set(&mut config.heartbeat.timeout, self.heartbeat_timeout, milliseconds);
        if !self.heartbeat {
            config.heartbeat.interval = None;
        }
        config.reconnect = self.reconnect.then(|| {
            let mut reconnect = Reconnect::default();
            set(&mut reconnect.min_delay, self.min_delay, milliseconds);
            set(&mut reconnect.max_delay, self.max_delay, milliseconds);
            set(&mut reconnect.factor, self.factor, |factor| factor);
            set(&mut reconnect.max_attempts, self.max_attempts, Some);
            set(&mut reconnect.stable_after, self.stable_after, milliseconds);
            reconnect
        });
        if self.refuse_offline {
            config.offline = Offline::Refuse;
        }
        // A float converts by saturating, and `lib/options.js` lets only whole
        // numbers through.
        set(&mut config.streaming, self.streaming, |v| v);
        set(&mut config.max_message_size, self.max_message_size, |v| v as usize);
        set(&mut config.max_fragments, self.max_fragments, |v| v);
        set(&mut config.send_buffer, self.send_buffer, |v| v as usize);
        set(&mut config.receive_buffer, self.receive_buffer, |v| v as usize);
        config
    }
}

/// An error of the core; `lib/errors.js` makes a `LongwireError` of it.
#[napi(object)]
pub struct Failure {
    pub kind: i32,
    pub message: String,
    pub retryable: bool,
    pub status: Option<u32>,
    pub headers: Option<Vec<Vec<String>>>,
    pub body: Option<String>,
}

impl Failure {
    pub(crate) fn new(error: &Error) -> Self {
        let refusal = error.refusal();
        Failure {
            kind: error.kind().code(),
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
            status: refusal.map(|refusal| refusal.status.into()),
            headers: refusal.map(|refusal| headers(&refusal.headers)),
            body: refusal.map(|refusal| String::from_utf8_lossy(&refusal.body).into_owned()),
        }
    }

    pub(crate) fn resource(message: String) -> Self {
        Failure::new(&Error::new(ErrorKind::Resource, message))
    }
}

/// Header values are bytes; JavaScript reads them as Latin-1, as Node does.
fn headers(headers: &[(String, Vec<u8>)]) -> Vec<Vec<String>> {
    headers.iter().map(|(name, value)| vec![name.clone(), latin1(value)]).collect()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn as_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[napi(object)]
pub(crate) struct OpenEvent {
    pub attempt: u32,
    pub reconnects: u32,
    pub subprotocol: Option<String>,
    pub extensions: String,
    pub headers: Vec<Vec<String>>,
}

impl OpenEvent {
    pub(crate) fn from_core(opened: &Opened) -> Self {
        OpenEvent {
            attempt: opened.attempt,
            reconnects: opened.reconnects,
            subprotocol: opened.subprotocol.clone(),
            extensions: opened.extensions.clone(),
            headers: headers(&opened.headers),
        }
    }
}

#[napi(object)]
pub(crate) struct PongEvent {
    /// Each byte as one character.
    pub payload: String,
    pub round_trip: Option<f64>,
}

impl PongEvent {
    pub(crate) fn from_core(pong: Pong<'_>) -> Self {
        PongEvent {
            payload: latin1(pong.payload),
            round_trip: pong.round_trip.map(as_milliseconds),
        }
    }
}

#[napi(object)]
pub(crate) struct DownEvent {
    pub error: Failure,
    pub code: Option<u32>,
    pub attempt: u32,
    pub retry_in: f64,
}

impl DownEvent {
    pub(crate) fn from_core(down: &Down) -> Self {
        DownEvent {
            error: Failure::new(&down.error),
            code: down.code.map(Into::into),
            attempt: down.attempt,
            retry_in: as_milliseconds(down.retry_in),
        }
    }
}

#[napi(object)]
pub(crate) struct ClosedEvent {
    pub code: u32,
    pub reason: String,
    pub clean: bool,
    pub error: Option<Failure>,
}

impl ClosedEvent {
    pub(crate) fn from_core(closed: &Closed) -> Self {
        ClosedEvent {
            code: closed.code.into(),
            reason: closed.reason.clone(),
            clean: closed.clean,
            error: closed.error.as_ref().map(Failure::new),
        }
    }
}
