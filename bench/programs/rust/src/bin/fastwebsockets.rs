//! fastwebsockets.

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket, handshake};
use http_body_util::Empty;
use hyper::Request;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use measure::{Client, Outcome, Socket};
use tokio::io::BufWriter;
use url::Url;

struct Fast<S> {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    below: std::marker::PhantomData<S>,
}

impl<S: Socket> Client<S> for Fast<S> {
    async fn open(socket: S, url: &Url, _deflate: bool) -> Outcome<Self> {
        let request = Request::get(&url[url::Position::BeforePath..])
            .header("Host", &url[url::Position::BeforeHost..url::Position::AfterPort])
            .header("Upgrade", "websocket")
            .header("Connection", "upgrade")
            .header("Sec-WebSocket-Key", handshake::generate_key())
            .header("Sec-WebSocket-Version", "13")
            .body(Empty::<Bytes>::new())?;
        let (mut socket, _) = handshake::client(&TokioExecutor::new(), request, socket).await?;
        socket.set_writev(true);
        socket.set_auto_apply_mask(true);
        Ok(Self { socket: FragmentCollector::new(socket), below: std::marker::PhantomData })
    }

    async fn send(&mut self, payload: Bytes, text: bool) -> Outcome<()> {
        let opcode = if text { OpCode::Text } else { OpCode::Binary };
        // A copy that can be masked where it is.
        let frame = Frame::new(true, opcode, None, Payload::Owned(payload.to_vec()));
        Ok(self.socket.write_frame(frame).await?)
    }

    async fn receive<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Outcome<R> {
        let frame = self.socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => Ok(take(&frame.payload)),
            _ => Err("the server closed".into()),
        }
    }

    /// A frame is a write, so that whoever sends many buffers below it.
    async fn fill(self, payload: Bytes, count: u64) -> Outcome<Vec<u8>> {
        let buffered = BufWriter::with_capacity(128 * 1024, self.socket.into_inner());
        let mut socket = WebSocket::after_handshake(buffered, Role::Client);
        for _ in 0..count {
            socket.write_frame(Frame::binary(Payload::Owned(payload.to_vec()))).await?;
        }
        socket.flush().await?;
        Ok(socket.read_frame().await?.payload.to_vec())
    }
}

measure::run!(Fast, deflate: false);
