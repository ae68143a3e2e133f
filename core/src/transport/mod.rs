//! How bytes travel: names, addresses, TCP, Unix sockets, proxies, TLS. Nothing here knows a
//! WebSocket frame.

pub(crate) mod dial;
pub(crate) mod exchange;
pub(crate) mod link;
mod proxy;
mod relay;
pub(crate) mod scratch;
mod session;
pub(crate) mod tls;
pub(crate) mod watch;
