//! What a client is made from, as JavaScript gives it.
//!
//! What is absent in [`NativeConfig`] keeps the core's default: the defaults
//! stand once, in the core. Durations are milliseconds.

use std::time::Duration;

use longwire::{Cause, Changes, Compression, Config, ConsumerAction, Offline, Proxy, Reconnect};
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
    pub max_time: Option<f64>,
    pub stable_after: Option<f64>,
    pub max_retry_after: Option<f64>,
    pub restart_min_delay: Option<f64>,
    pub restart_max_delay: Option<f64>,
    pub exceptions: Vec<NativeException>,
    pub before_connect: bool,
    pub should_reconnect: bool,
    pub hook_timeout: Option<f64>,
    /// Refuse sends while not connected, instead of queueing them.
    pub refuse_offline: bool,
    pub offline_max_age: Option<f64>,
    pub consumer_timeout: Option<f64>,
    /// Close the connection of a consumer that is stuck, instead of reporting it.
    pub close_stalled: bool,
    /// Whether `onOpen` decides when the queue follows.
    pub holds: bool,
    /// Whether somebody wants to know what the client does.
    pub log: bool,
    pub streaming: Option<bool>,
    pub max_message_size: Option<f64>,
    pub max_fragments: Option<u32>,
    pub send_buffer: Option<f64>,
    pub receive_buffer: Option<f64>,
}

/// What is tried again against the rule, or not.
#[napi(object)]
pub struct NativeException {
    /// See [`Cause::from_number`].
    pub cause: i32,
    pub retry: bool,
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
    /// All but the log.
    pub(crate) fn into_core(self) -> longwire::Result<Config> {
        let mut config = Config::new(self.url);
        config.headers = pairs(self.headers);
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
        if self.reconnect {
            let mut reconnect = Reconnect::default();
            set(&mut reconnect.min_delay, self.min_delay, milliseconds);
            set(&mut reconnect.max_delay, self.max_delay, milliseconds);
            set(&mut reconnect.factor, self.factor, |factor| factor);
            set(&mut reconnect.max_attempts, self.max_attempts, Some);
            set(&mut reconnect.max_time, self.max_time, |v| Some(milliseconds(v)));
            set(&mut reconnect.stable_after, self.stable_after, milliseconds);
            set(&mut reconnect.max_retry_after, self.max_retry_after, milliseconds);
            set(&mut reconnect.restart_min_delay, self.restart_min_delay, milliseconds);
            set(&mut reconnect.restart_max_delay, self.restart_max_delay, milliseconds);
            for NativeException { cause, retry } in self.exceptions {
                reconnect.set(Cause::from_number(cause)?, retry);
            }
            config.reconnect = Some(reconnect);
        } else {
            config.reconnect = None;
        }
        config.before_connect = self.before_connect;
        config.should_reconnect = self.should_reconnect;
        set(&mut config.hook_timeout, self.hook_timeout, milliseconds);
        if self.refuse_offline {
            config.offline = Offline::Refuse;
        }
        config.offline_max_age = self.offline_max_age.map(milliseconds);
        config.consumer_timeout = self.consumer_timeout.map(milliseconds);
        if self.close_stalled {
            config.consumer_action = ConsumerAction::Close;
        }
        // A float converts by saturating, and `lib/options.js` lets only whole
        // numbers through.
        set(&mut config.streaming, self.streaming, |v| v);
        set(&mut config.max_message_size, self.max_message_size, |v| v as usize);
        set(&mut config.max_fragments, self.max_fragments, |v| v);
        set(&mut config.send_buffer, self.send_buffer, |v| v as usize);
        set(&mut config.receive_buffer, self.receive_buffer, |v| v as usize);
        Ok(config)
    }
}

/// What `beforeConnect` answers; what is absent stays as it is.
#[napi(object)]
pub struct NativeChanges {
    pub url: Option<String>,
    pub headers: Option<Vec<Vec<String>>>,
    pub subprotocols: Option<Vec<String>>,
}

impl NativeChanges {
    pub(crate) fn into_core(self) -> Changes {
        Changes { url: self.url, headers: self.headers.map(pairs), subprotocols: self.subprotocols }
    }
}

/// Headers, which `lib/options.js` has made pairs.
fn pairs(headers: Vec<Vec<String>>) -> Vec<(String, String)> {
    headers
        .into_iter()
        .filter_map(|pair| <[String; 2]>::try_from(pair).ok())
        .map(|[name, value]| (name, value))
        .collect()
}
