//! What a user can choose, with the same names in every language.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::proxy::ProxyUrl;

mod log;
mod reconnect;

pub use log::{Level, Line, Log};
pub use reconnect::{Cause, Changes, Reconnect};

/// Everything a client is made from. Start with [`Config::new`] and change
/// what you need.
///
/// ```
/// use std::time::Duration;
/// let mut config = longwire::Config::new("wss://feed.example/ticks");
/// config.subprotocols.push("ticks.v2".into());
/// config.connect_timeout = Duration::from_secs(3);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// `ws://host[:port]/path?query` or `wss://…`, or a Unix socket:
    /// `ws+unix:/path/of/the/socket:/path?query`. User and password before the host
    /// go out as Basic authorization (RFC 7617).
    pub url: String,
    /// Additional request headers, in order. The headers that make the
    /// handshake (`Host`, `Upgrade`, `Connection`, `Sec-WebSocket-*`) cannot
    /// be given here, but `Host` may be replaced.
    pub headers: Vec<(String, String)>,
    /// Subprotocols to offer, most wanted first; no two alike.
    pub subprotocols: Vec<String>,
    /// The `Origin` header; none by default, as this is no browser.
    pub origin: Option<String>,
    /// Certificates and names, for `wss:`.
    pub tls: Tls,
    /// What to connect through. Default: what the environment says.
    pub proxy: Proxy,
    /// How many redirects (301, 302, 303, 307, 308) one attempt follows. Never from
    /// `wss:` to `ws:`; to another origin without credentials. Default 0.
    pub max_redirects: u32,
    /// What to offer of permessage-deflate (RFC 7692); `None` for nothing. Offered by
    /// default.
    pub compression: Option<Compression>,
    /// For one attempt: name lookup, TCP, TLS and the handshake. Default 10 s.
    pub connect_timeout: Duration,
    /// For the closing handshake, after which the TCP connection is dropped.
    /// Default 10 s.
    pub close_timeout: Duration,
    /// Pings that prove that both directions live.
    pub heartbeat: Heartbeat,
    /// How to come back after a loss; `None` for a client that lives as long
    /// as its first connection.
    pub reconnect: Option<Reconnect>,
    /// Whether each attempt waits for [`crate::Client::proceed`], after
    /// [`crate::Event::BeforeConnect`]. Default `false`.
    pub before_connect: bool,
    /// Whether each loss waits for [`crate::Client::decide`], after
    /// [`crate::Event::ShouldReconnect`]. Default `false`.
    pub should_reconnect: bool,
    /// How long the answer to either may take, from the event on. Default 10 s.
    pub hook_timeout: Duration,
    /// What a send does while the client is not connected.
    pub offline: Offline,
    /// Messages that waited so long for a connection are dropped, and counted;
    /// `None` for never. A connection that had taken one and is lost begins its time anew. Default `None`.
    pub offline_max_age: Option<Duration>,
    /// How long messages may wait for a host that fetches none, before
    /// `consumer_action` is taken; `None` for ever. Only for hosted clients: a handler that blocks
    /// the runtime is missed by the server itself. Default `None`.
    pub consumer_timeout: Option<Duration>,
    /// What to do about such a host.
    pub consumer_action: ConsumerAction,
    /// Where to tell of what the client does. Default `None`.
    pub log: Option<Log>,
    /// Whether messages are delivered in pieces, as they arrive
    /// ([`crate::Event::Chunk`]), instead of whole. Then neither `max_message_size`
    /// nor `max_fragments` applies to what is received. Default `false`.
    pub streaming: bool,
    /// The largest message accepted, and the largest sent whole, in bytes. Default 64 MiB.
    pub max_message_size: usize,
    /// The most fragments one message may come in. Default 131,072.
    pub max_fragments: u32,
    /// The most bytes that wait to be sent, in all; one message is always
    /// taken when nothing waits. What is sent from within [`crate::Event::Open`] passes a
    /// queue that is full, up to twice as many. Default 16 MiB.
    pub send_buffer: usize,
    /// The most bytes of messages that wait to be fetched; past it reading
    /// stops. Default 16 MiB.
    pub receive_buffer: usize,
}

impl Config {
    /// The defaults, for `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Config {
            url: url.into(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            origin: None,
            tls: Tls::default(),
            proxy: Proxy::Environment,
            max_redirects: 0,
            compression: Some(Compression::default()),
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            heartbeat: Heartbeat::default(),
            reconnect: Some(Reconnect::default()),
            before_connect: false,
            should_reconnect: false,
            hook_timeout: Duration::from_secs(10),
            offline: Offline::Queue,
            offline_max_age: None,
            consumer_timeout: None,
            consumer_action: ConsumerAction::Report,
            log: None,
            streaming: false,
            max_message_size: 64 << 20,
            max_fragments: 131_072,
            send_buffer: 16 << 20,
            receive_buffer: 16 << 20,
        }
    }
}

/// Without URL and headers, where credentials travel.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("subprotocols", &self.subprotocols)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .field("compression", &self.compression)
            .field("heartbeat", &self.heartbeat)
            .field("reconnect", &self.reconnect)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Refuses what contradicts itself; the URL and what goes into the
    /// handshake are checked where they are used.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(compression) = &self.compression {
            compression.check()?;
        }
        if let Proxy::Url(url) = &self.proxy {
            ProxyUrl::parse(url)?;
        }
        self.reconnect.as_ref().map_or(Ok(()), Reconnect::check)
    }
}

/// What to connect through.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// `HTTPS_PROXY` for `wss:`, `HTTP_PROXY` for `ws:`, else `ALL_PROXY`, in capitals or
    /// not, unless `NO_PROXY` names the host; read at each attempt.
    #[default]
    Environment,
    /// Nothing, whatever the environment says.
    None,
    /// `http://[user:password@]host:port`, `https://…` (CONNECT, RFC 9110 section 9.3.6),
    /// `socks5://…` (RFC 1928; names are resolved here) or `socks5h://…` (by the proxy).
    Url(String),
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proxy::Environment => f.write_str("Environment"),
            Proxy::None => f.write_str("None"),
            Proxy::Url(_) => f.write_str("Url(…)"),
        }
    }
}

/// An offer of permessage-deflate, and how to compress once it is accepted.
///
/// A context with the default window takes about 380 KB to compress and 48 KB to
/// decompress. By default a connection keeps none to compress, and one to
/// decompress from the first compressed message on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Messages shorter than this are sent as they are. Default 1024 bytes.
    pub threshold: usize,
    /// 1 is the quickest, 9 the smallest. Default 6.
    pub level: u8,
    /// 1 takes the least memory, 9 the most. Default 8.
    pub memory_level: u8,
    /// Each message is compressed by itself, so that nothing is kept between messages.
    /// Default `true`.
    pub client_no_context_takeover: bool,
    /// Asks the server for the same. Default `false`: similar messages get much smaller
    /// one after another.
    pub server_no_context_takeover: bool,
    /// The largest window to compress with, as the logarithm of its bytes, 9 to 15.
    /// Default 15.
    pub client_max_window_bits: u8,
    /// The largest window the server may compress with, 9 to 15. Default 15.
    pub server_max_window_bits: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Compression {
            threshold: 1024,
            level: 6,
            memory_level: 8,
            client_no_context_takeover: true,
            server_no_context_takeover: false,
            client_max_window_bits: 15,
            server_max_window_bits: 15,
        }
    }
}

impl Compression {
    /// Refuses what is out of range, as the start of a client does.
    pub fn check(&self) -> Result<()> {
        for (name, value, least, most) in [
            ("level", self.level, 1, 9),
            ("memory_level", self.memory_level, 1, 9),
            ("client_max_window_bits", self.client_max_window_bits, 9, 15),
            ("server_max_window_bits", self.server_max_window_bits, 9, 15),
        ] {
            if !(least..=most).contains(&value) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("compression: expected {name} of {least} to {most}, got {value}"),
                ));
            }
        }
        Ok(())
    }
}

/// How the server proves who it is, and how the client does if the server asks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// A PEM file with the certificate authorities to trust instead of the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// The same as PEM text; used together with `ca_file` if both are given.
    pub ca_pem: Option<String>,
    /// `false` accepts any certificate. Only for tests: anyone between the
    /// client and the server can then read and change everything.
    pub verify: bool,
    /// The name the certificate must carry, and the name sent as SNI;
    /// the URL's host by default.
    pub server_name: Option<String>,
    /// A PEM file with the client's certificate and what links it to an authority. Read
    /// anew at each attempt, as short-lived certificates are replaced in place.
    pub client_cert: Option<PathBuf>,
    /// A PEM file with the private key of `client_cert`, not encrypted. Read anew at
    /// each attempt.
    pub client_key: Option<PathBuf>,
    /// If there are any, the server's public key must be one of these, whoever vouches
    /// for it: `sha256//` and the base64 of the SHA-256 of its SubjectPublicKeyInfo.
    pub pinned_keys: Vec<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            ca_file: None,
            ca_pem: None,
            verify: true,
            server_name: None,
            client_cert: None,
            client_key: None,
            pinned_keys: Vec::new(),
        }
    }
}

/// When to ping, and how long to wait for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// Ping after nothing was received for this long; `None` for never.
    /// Default 20 s.
    pub interval: Option<Duration>,
    /// The connection is lost if nothing comes back for this long after a
    /// ping. Default 20 s.
    pub timeout: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat { interval: Some(Duration::from_secs(20)), timeout: Duration::from_secs(20) }
    }
}

/// What a send does while the client is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Offline {
    /// Keep the message, within `send_buffer`, and send it once connected.
    #[default]
    Queue,
    /// Answer [`crate::ErrorKind::Offline`].
    Refuse,
}

/// What becomes of a client whose host fetches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ConsumerAction {
    /// It goes on; the log and [`crate::Stats::stalled`] tell of it.
    #[default]
    Report,
    /// The connection is closed with code 1001, so that the server knows, and the client ends
    /// with [`crate::ErrorKind::Timeout`].
    Close,
}
