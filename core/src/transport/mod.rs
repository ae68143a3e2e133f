//! How bytes travel: names, addresses, TCP, TLS. Nothing here knows a
//! WebSocket frame.

pub(crate) mod dial;
pub(crate) mod link;
pub(crate) mod scratch;
pub(crate) mod tls;
pub(crate) mod watch;
