//! yawc.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use measure::{Client, Outcome, Socket};
use url::Url;
use yawc::{CompressionLevel, Frame, OpCode, Options, WebSocket};

struct Yawc<S>(WebSocket<S>);

impl<S: Socket> Client<S> for Yawc<S> {
    async fn open(socket: S, url: &Url, deflate: bool) -> Outcome<Self> {
        let limit = 64 << 20;
        let options = Options::default()
            .with_limits(limit, 2 * limit)
            .with_read_buffer_capacity(128 * 1024)
            .with_write_buffer_capacity(128 * 1024)
            .with_backpressure_boundary(128 * 1024)
            .with_utf8();
        let options = if deflate {
            options.with_compression_level(CompressionLevel::default())
        } else {
            options
        };
        Ok(Self(WebSocket::handshake(url.clone(), socket, options).await?))
    }

    async fn send(&mut self, payload: Bytes, text: bool) -> Outcome<()> {
        Ok(self.0.send(if text { Frame::text(payload) } else { Frame::binary(payload) }).await?)
    }

    async fn receive<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Outcome<R> {
        let frame = self.0.next().await.ok_or("the server closed")?;
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => Ok(take(frame.payload())),
            other => Err(format!("expected a message, not {other:?}").into()),
        }
    }

    async fn fill(mut self, payload: Bytes, count: u64) -> Outcome<Vec<u8>> {
        for _ in 0..count {
            self.0.feed(Frame::binary(payload.clone())).await?;
        }
        self.0.flush().await?;
        self.receive(<[u8]>::to_vec).await
    }
}

measure::run!(Yawc, deflate: true);
