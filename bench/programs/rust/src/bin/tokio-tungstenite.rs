//! tokio-tungstenite.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use measure::{Client, Outcome, Socket};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use url::Url;

struct Tungstenite<S>(WebSocketStream<S>);

impl<S: Socket> Client<S> for Tungstenite<S> {
    async fn open(socket: S, url: &Url, _deflate: bool) -> Outcome<Self> {
        Ok(Self(client_async(url.as_str(), socket).await?.0))
    }

    async fn send(&mut self, payload: Bytes, text: bool) -> Outcome<()> {
        let message =
            if text { Message::Text(payload.try_into()?) } else { Message::Binary(payload) };
        Ok(self.0.send(message).await?)
    }

    async fn receive<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Outcome<R> {
        match self.0.next().await.ok_or("the server closed")?? {
            Message::Text(text) => Ok(take(text.as_bytes())),
            Message::Binary(data) => Ok(take(&data)),
            other => Err(format!("expected a message, not {other}").into()),
        }
    }

    async fn fill(mut self, payload: Bytes, count: u64) -> Outcome<Vec<u8>> {
        for _ in 0..count {
            self.0.feed(Message::Binary(payload.clone())).await?;
        }
        self.0.flush().await?;
        self.receive(<[u8]>::to_vec).await
    }
}

measure::run!(Tungstenite, deflate: false);
