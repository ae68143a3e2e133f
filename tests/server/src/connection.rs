//! One client's connection: bytes in, bytes out, and the ways it can end.
//!
//! [`Connection::receive`] answers pings, completes the close handshake when the client begins it and tells a client that
//! breaks the protocol so. It writes what was put into the outbox when, and only when, everything that was read is handled:
//! one read and one write per batch, however many messages are in it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::frame::{BINARY, CLOSE, Frame, Inbox, Outbox, PING, PONG, TEXT, Violation, parse_close};
use crate::listener::Stream;

/// How long a client may take to answer a close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take to close its side after the server closed its own.
const LINGER_LIMIT: Duration = Duration::from_secs(2);
const SCRATCH_SIZE: usize = 128 << 10;

thread_local! {
  /// Everything is read here first, so that thousands of idle connections need no buffers.
  static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_SIZE].into());
}

/// What a client sent.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Pong(&'a [u8]),
}

/// Why there is nothing more to receive.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client sent a close frame, with this code and reason.
    Closed(Option<u16>, String),
    /// The client broke the protocol.
    Violation(Violation),
    /// The client closed the TCP connection without a close frame.
    Eof,
    /// The connection failed.
    Failed,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

impl From<Violation> for Ended {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// A client's connection, before and after the handshake.
pub(crate) struct Connection {
    stream: Stream,
    inbox: Inbox,
    pub(crate) outbox: Outbox,
    close_sent: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, inbox: Inbox::default(), outbox: Outbox::default(), close_sent: false }
    }

    /// Waits for the next message or pong, and hands out the outbox to answer it. May be cancelled without loss.
    pub(crate) async fn receive(&mut self) -> Result<(Event<'_>, &mut Outbox), Ended> {
        let frame = match poll_fn(|cx| self.poll_receive(cx)).await {
            Ok(frame) => frame,
            Err(ended) => return Err(self.answer(ended).await),
        };
        let payload = self.inbox.payload(&frame);
        let event = match frame.opcode {
            // The inbox lets no text through that is not UTF-8.
            TEXT => Event::Text(std::str::from_utf8(payload).unwrap_or_default()),
            BINARY => Event::Binary(payload),
            _ => Event::Pong(payload),
        };
        Ok((event, &mut self.outbox))
    }

    /// Waits for the next message, whatever it says.
    pub(crate) async fn receive_message(&mut self) -> Result<(), Ended> {
        while let (Event::Pong(_), _) = self.receive().await? {}
        Ok(())
    }

    /// Writes all of the outbox and says how many messages came meanwhile. Pings are answered while the client is being
    /// flooded, and a close frame of its ends the flood.
    pub(crate) async fn flush(&mut self) -> Result<u64, Ended> {
        let mut messages = 0;
        let result = poll_fn(|cx| {
            loop {
                match self.poll_frame(cx) {
                    Poll::Ready(Ok(frame)) => messages += u64::from(frame.opcode != PONG),
                    Poll::Ready(Err(ended)) => return Poll::Ready(Err(ended)),
                    Poll::Pending => return self.poll_flush(cx).map_err(Ended::from),
                }
            }
        })
        .await;
        match result {
            Ok(()) => Ok(messages),
            Err(ended) => Err(self.answer(ended).await),
        }
    }

    /// Writes all of the outbox and reads nothing.
    pub(crate) async fn write(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends a close frame, waits for the client's, and closes the connection.
    pub(crate) async fn close(&mut self, code: Option<u16>, reason: &str) -> Result<(), Ended> {
        self.outbox.close(code, reason);
        self.close_sent = true;
        // A client that keeps the connection open without answering is cut off like one that answered.
        let _ = timeout(CLOSE_LIMIT, async { while self.receive().await.is_ok() {} }).await;
        self.finish().await
    }

    /// Writes what is left, closes this side, and waits for the client to close its own, so that no byte is lost to a reset.
    pub(crate) async fn finish(&mut self) -> Result<(), Ended> {
        self.write().await?;
        self.stream.shutdown().await?;
        self.drain().await;
        Ok(())
    }

    /// Ends the TCP connection without a close frame or TLS's farewell: in order (FIN), or at once (RST).
    pub(crate) async fn drop_tcp(&mut self, reset: bool) -> Result<(), Ended> {
        let tcp = self.stream.tcp();
        if reset {
            tcp.set_zero_linger()?;
            return Ok(());
        }
        tcp.shutdown().await?;
        self.drain().await;
        Ok(())
    }

    /// The next frame, with nothing answered and nothing written.
    pub(crate) async fn receive_raw(&mut self) -> Result<(u8, &[u8]), Ended> {
        loop {
            if let Some(frame) = self.inbox.next()? {
                return Ok((frame.opcode, self.inbox.payload(&frame)));
            }
            poll_fn(|cx| self.poll_fill(cx)).await?;
        }
    }

    /// Reads until `parse` makes something of the unread bytes and says how many it took.
    pub(crate) async fn read_head<T>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Result<T, Ended> {
        loop {
            if let Some((length, head)) = parse(self.inbox.unread()) {
                self.inbox.consume(length);
                return Ok(head);
            }
            poll_fn(|cx| self.poll_fill(cx)).await?;
        }
    }

    async fn drain(&mut self) {
        let _ = timeout(LINGER_LIMIT, async {
            loop {
                self.inbox.consume(self.inbox.unread().len());
                if poll_fn(|cx| self.poll_fill(cx)).await.is_err() {
                    break;
                }
            }
        })
        .await;
    }

    /// Does what the end of a conversation asks for, and passes its cause on.
    async fn answer(&mut self, ended: Ended) -> Ended {
        if !self.close_sent {
            match &ended {
                Ended::Closed(code, reason) => self.outbox.close(*code, reason),
                Ended::Violation(violation) => {
                    self.outbox.close(Some(violation.code), &violation.reason);
                }
                Ended::Eof | Ended::Failed => return ended,
            }
            self.close_sent = true;
            // The cause of the end tells more than a failure to answer it.
            let _ = self.finish().await;
        }
        ended
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Ended>> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Poll::Ready(Ok(frame));
            }
            ready!(self.poll_flush(cx))?;
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Like `poll_receive`, but reads on when not everything could be written.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Ended>> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Poll::Ready(Ok(frame));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// The next message or pong that lies in the inbox; pings are answered on the way.
    fn next_frame(&mut self) -> Result<Option<Frame>, Ended> {
        while let Some(frame) = self.inbox.next()? {
            match frame.opcode {
                PING => {
                    if !self.close_sent {
                        self.outbox.frame(PONG, self.inbox.payload(&frame));
                    }
                }
                CLOSE => {
                    let (code, reason) = parse_close(self.inbox.payload(&frame))?;
                    return Err(Ended::Closed(code, reason));
                }
                _ => return Ok(Some(frame)),
            }
        }
        Ok(None)
    }

    /// Reads what is there. A message larger than the scratch buffer is read straight to its place.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let missing = self.inbox.missing();
        let buffer = self.inbox.refill();
        let count = if missing > SCRATCH_SIZE {
            buffer.reserve(missing);
            ready!(pin!(self.stream.read_buf(buffer)).poll(cx))?
        } else {
            ready!(SCRATCH.with_borrow_mut(|scratch| {
                let read = pin!(self.stream.read(scratch)).poll(cx);
                if let Poll::Ready(Ok(count)) = read {
                    buffer.extend_from_slice(&scratch[..count]);
                }
                read
            }))?
        };
        Poll::Ready(if count == 0 { Err(Ended::Eof) } else { Ok(()) })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.unwritten().is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, self.outbox.unwritten()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.advance(count);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}
