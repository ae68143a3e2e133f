//! One open connection, from `Open` to its loss: waits for readiness, requests
//! and time. The bytes themselves are moved by `reading` and `writer`.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::consumer::Consumer;
use super::handle::Client;
use super::handler::Outcome;
use super::heartbeat::Beat;
use super::lifecycle::emit;
use super::loss::Loss;
use super::reading::{Pumped, ReaderSlot};
use super::shared::{HINTS, Mode, Shared, signal};
use super::writer::Flushed;
use crate::connection::reader::{End, Reader};
use crate::driver::host::Stored;
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind};
use crate::event::{Opened, State};
use crate::options::Level;
use crate::protocol::deflate::Agreement;
use crate::sync::coarse_now;
use crate::transport::link::{Got, Link};
use crate::transport::scratch;
use crate::transport::watch::{Ready, Watch, deadline, unwatchable};

/// After the last frame, this long for the peer to end the TCP connection,
/// which is its part to do first (RFC 6455 section 7.1.1).
const LINGER: Duration = Duration::from_secs(1);

/// Why [`Connection::wait`] ended.
enum Cause {
    /// The peer's side ended.
    End(End),
    Heartbeat,
    CloseTimeout,
    Released,
    /// The user asked for another connection.
    Replaced,
    /// The host has taken nothing for too long.
    Stalled,
}

/// What [`Connection::wait`] was woken by.
enum Woken<'a> {
    Signaled,
    Readable(std::io::Result<Ready<'a>>),
    Writable(std::io::Result<Ready<'a>>),
    Timed,
}

struct Connection<'a> {
    client: &'a Client,
    shared: &'a Shared,
    epoch: u64,
    link: Arc<Link>,
    io: Io,
    beat: Beat,
    consumer: Consumer,
    /// Our close frame was queued, and this is how long the peer may take.
    close_by: Option<Instant>,
    broken: bool,
}

/// Readiness, as far as the runtime has to wait for it.
enum Io {
    /// The runtime reads and writes.
    Runtime(Watch),
    /// The host reads; a duplicate of the socket waits for room to write,
    /// once that was needed.
    Hosted { key: u64, writable: Option<Watch> },
}

pub(crate) async fn serve(
    client: &Client,
    ready: Watch,
    mut opened: Opened,
    deflate: Option<&Agreement>,
    early: Vec<u8>,
) -> Loss {
    let shared = client.shared();
    let link = ready.watched().clone();
    shared.received.store(coarse_now(), Ordering::Relaxed);
    shared.pings.forget();
    // Asked for before there was this connection, which may be the first of another network, or
    // the last of the one before.
    shared.forget_signals(signal::RECONNECT);
    // Before a thread can have anything to say about it.
    shared.begin(shared.writer.next_epoch());
    let attached = shared.writer.attach(link.clone(), shared.deflater(deflate));
    let Some((epoch, expired)) = attached else {
        return Loss { stop: true, error: None, ..Loss::failure(lost()) };
    };
    opened.expired = expired;
    shared.set_state(State::Open);
    shared.notes.opened();
    log_open(shared, &opened);
    // `Open` first: whoever finds the reader may read messages.
    emit(client, Stored::Open(epoch, opened));
    let reader = Box::new(Reader::new(link.clone(), shared.decoder(deflate), early));
    let io = match &shared.mode {
        Mode::Runtime(_) => {
            *lock(&shared.reader) = ReaderSlot::Idle(epoch, reader);
            Io::Runtime(ready)
        }
        Mode::Hosted(host) => {
            drop(ready);
            let weak = client.downgrade();
            let watched = shared.shard.guard().watch(shared.shard, link.fd(), weak);
            let key = *watched.as_ref().unwrap_or(&0);
            // Whoever finds the reader may have to name the key.
            shared.watch_key.store(key, Ordering::Relaxed);
            *lock(&shared.reader) = ReaderSlot::Idle(epoch, reader);
            if let Err(error) = watched.and_then(|_| host.attach(link.fd())) {
                shared.record_end(epoch, End::Failed(unwatchable(&error)));
            }
            if shared.has_hidden() {
                shared.shard.guard().remember(key);
                host.signal();
            }
            Io::Hosted { key, writable: None }
        }
    };
    let beat = Beat::new(shared.config.heartbeat);
    let consumer = Consumer::new(&shared.config);
    let mut connection = Connection {
        client,
        shared,
        epoch,
        link,
        io,
        beat,
        consumer,
        close_by: None,
        broken: false,
    };
    let cause = connection.wait().await;
    let loss = connection.finish(cause).await;
    // The user may have had enough during the goodbye; then it was no failure to want another one.
    let stop = loss.stop || shared.is_told_to_stop();
    let error = loss.error.filter(|_| !(stop && loss.replaced));
    Loss { stop, error, ..loss }
}

impl Connection<'_> {
    async fn wait(&mut self) -> Cause {
        // No readiness tells of what came with the handshake.
        let mut untold = true;
        let until = self.next_deadline();
        let timer = sleep_until(until);
        // Both wait on from one turn of the loop to the next: to begin anew costs more.
        let signaled = self.shared.signaled();
        tokio::pin!(timer, signaled);
        // It runs from now on, whoever polls it.
        timer.as_mut().reset(until);
        // Whether the writer is blocked, and whether that may have changed: by a signal, or here.
        let (mut blocked, mut look) = (false, true);
        loop {
            let signals = self.shared.take_signals();
            if signals != 0 {
                if let Some(cause) = self.obey(signals) {
                    return cause;
                }
                timer.as_mut().reset(self.next_deadline());
                look = true;
            }
            if std::mem::take(&mut look) {
                blocked = !self.broken && self.shared.writer.is_blocked();
                if blocked && let Err(error) = self.io.want_writable(&self.link) {
                    self.shared.record_end(self.epoch, End::Failed(error));
                    blocked = false;
                }
            }
            if untold {
                match pump(self.client, self.shared) {
                    Pumped::Ended => return self.ended(),
                    Pumped::More => {
                        self.give_way(blocked).await;
                        look = true;
                    }
                    Pumped::Idle | Pumped::Unavailable => untold = false,
                }
                continue;
            }
            let woken = poll_fn(|cx| {
                // Bytes are what mostly comes; but the socket may always be ready.
                let urgent = self.shared.has_signals() || timer.is_elapsed();
                if !urgent && let Poll::Ready(ready) = self.io.poll_readable(cx) {
                    return Poll::Ready(Woken::Readable(ready));
                }
                if signaled.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Woken::Signaled);
                }
                if timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Woken::Timed);
                }
                if urgent && let Poll::Ready(ready) = self.io.poll_readable(cx) {
                    return Poll::Ready(Woken::Readable(ready));
                }
                if blocked && let Poll::Ready(ready) = self.io.poll_writable(cx) {
                    return Poll::Ready(Woken::Writable(ready));
                }
                Poll::Pending
            });
            match woken.await {
                Woken::Signaled => signaled.set(self.shared.signaled()),
                Woken::Readable(ready) => {
                    let pumped = pump(self.client, self.shared);
                    match (pumped, ready) {
                        (Pumped::Idle | Pumped::Unavailable, Ok(mut ready)) => ready.clear_ready(),
                        (Pumped::More, Ok(_)) => {}
                        (_, Err(error)) => return Cause::End(End::Failed(unwatchable(&error))),
                        (Pumped::Ended, _) => return self.ended(),
                    }
                    if pumped == Pumped::More {
                        self.give_way(blocked).await;
                        look = true;
                    }
                }
                Woken::Writable(ready) => {
                    let flushed = resume(self.client, self.shared);
                    if let (Flushed::Blocked, Ok(mut ready)) = (flushed, ready) {
                        ready.clear_ready();
                    }
                    self.broken |= flushed == Flushed::Broken;
                    look = true;
                }
                Woken::Timed => {
                    if let Some(cause) = self.time() {
                        return cause;
                    }
                    timer.as_mut().reset(self.next_deadline());
                    look = true;
                }
            }
        }
    }

    /// Neither the thread's other connections nor what we have to send wait for the
    /// end of a flood.
    async fn give_way(&mut self, blocked: bool) {
        yield_now().await;
        if blocked {
            self.broken |= resume(self.client, self.shared) == Flushed::Broken;
        }
    }

    /// Reads what is there, unless that is the host's part.
    fn read(&mut self) -> Option<Cause> {
        (pump(self.client, self.shared) == Pumped::Ended).then(|| self.ended())
    }

    fn ended(&self) -> Cause {
        let end = self.shared.take_end();
        Cause::End(end.unwrap_or(End::Eof))
    }

    fn obey(&mut self, signals: u32) -> Option<Cause> {
        if signals & signal::DRAIN != 0 {
            emit(self.client, Stored::Drain);
        }
        // A signal may be a leftover of the connection before; its cause is not.
        if signals & signal::END != 0
            && let Some(end) = self.shared.take_end()
        {
            return Some(Cause::End(end));
        }
        if signals & signal::RELEASE != 0 {
            return Some(Cause::Released);
        }
        let closing = self.close_by.is_some() || self.shared.is_told_to_stop();
        if signals & signal::RECONNECT != 0 && !closing {
            return Some(Cause::Replaced);
        }
        if signals & signal::NETWORK != 0 && !closing {
            self.beat.probe(self.shared, &self.link);
        }
        if signals & signal::CLOSE != 0 && self.close_by.is_none() {
            self.shared.set_state(State::Closing);
            // Sent already, unless the connection came up in that moment.
            self.shared.send_close();
            self.close_by = Some(deadline(self.shared.config.close_timeout));
        }
        if signals & signal::WRITE != 0 {
            self.write();
        }
        None
    }

    /// Writes what a burst left behind, when it seems to be over.
    fn write(&self) {
        let (todo, again) = self.shared.writer.sweep();
        self.shared.follow_up(todo);
        if again && !self.shared.shard.soon(self.client.downgrade()) {
            self.shared.follow_up(self.shared.writer.flush());
        }
    }

    fn next_deadline(&self) -> Instant {
        let next = || self.beat.next(self.shared).min(self.consumer.next());
        self.close_by.unwrap_or_else(next)
    }

    fn time(&mut self) -> Option<Cause> {
        match self.close_by {
            // The answer may be there, behind what the thread was busy with.
            Some(close) if close <= Instant::now() => {
                self.shared.read_rest();
                let end = self.shared.take_end().map(Cause::End);
                Some(end.or_else(|| self.read()).unwrap_or(Cause::CloseTimeout))
            }
            // No pings are sent any more.
            Some(_) => None,
            None if self.beat.tick(self.shared, &self.link) => {
                self.shared.answer_end();
                Some(self.shared.take_end().map_or(Cause::Heartbeat, Cause::End))
            }
            None => self.consumer.tick(self.shared, &self.link).then_some(Cause::Stalled),
        }
    }

    /// Says goodbye as the cause demands, and takes the connection apart.
    async fn finish(mut self, cause: Cause) -> Loss {
        let shared = self.shared;
        let stop = shared.is_told_to_stop();
        if let Some(host) = shared.host() {
            host.detach(self.link.fd());
        }
        let loss = match cause {
            Cause::End(End::Close { code, reason }) => {
                let echo = (code != 1005).then_some(code);
                let closed = Loss { code, reason, closed_by_peer: true, ..Loss::failure(lost()) };
                let loss = Loss { error: None, stop, ..closed };
                self.part(&loss, echo, "");
                let clean = self.say_goodbye(false).await;
                Loss { clean, ..loss }
            }
            Cause::End(End::Violation { code, error }) => {
                let loss = Loss { stop, ..Loss::failure(error.clone()) };
                self.part(&loss, Some(code), closing_reason(&error));
                self.say_goodbye(true).await;
                loss
            }
            Cause::End(end) => {
                let error = end.error().filter(|_| !stop);
                Loss { stop, error, ..Loss::failure(lost()) }
            }
            Cause::Heartbeat => {
                shared.read_rest();
                let limit = self.beat.limit();
                let text = format!("the server answered no ping for {limit:?}");
                Loss { stop, ..Loss::failure(Error::new(ErrorKind::Heartbeat, text)) }
            }
            Cause::CloseTimeout => {
                let limit = shared.config.close_timeout;
                let text = format!("the server did not answer the close frame within {limit:?}");
                Loss { stop, ..Loss::failure(Error::new(ErrorKind::Timeout, text)) }
            }
            Cause::Replaced => {
                if pump(self.client, shared) == Pumped::Unavailable {
                    shared.read_rest();
                }
                let text = "the connection was given up for another one, as the user asked";
                let failure = Loss::failure(Error::new(ErrorKind::Lost, text));
                let loss = Loss { stop, replaced: true, ..failure };
                self.part(&loss, Some(1001), "");
                self.say_goodbye(true).await;
                loss
            }
            Cause::Stalled => {
                let limit = self.consumer.limit();
                let text = format!("the program took no message for {limit:?}");
                let error = Error::new(ErrorKind::Timeout, text);
                let loss = Loss { stop: true, ..Loss::failure(error.clone()) };
                self.part(&loss, Some(1001), closing_reason(&error));
                self.say_goodbye(true).await;
                loss
            }
            Cause::Released => {
                shared.writer.close(Some(1001), "");
                self.say_goodbye(true).await;
                Loss { stop, error: None, ..Loss::failure(lost()) }
            }
        };
        if let Io::Hosted { key, .. } = self.io {
            shared.shard.guard().forget(key, self.link.fd());
        }
        shared.take_reader();
        let drain = loop {
            match shared.writer.detach() {
                Some(todo) => break todo.drain,
                // Another thread is inside a non-blocking write.
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let signals = shared.take_signals();
        shared.signal(signals & HINTS);
        if drain || signals & signal::DRAIN != 0 {
            emit(self.client, Stored::Drain);
        }
        loss
    }

    /// Puts our close frame where it belongs: behind everything sent so far,
    /// or, if another connection will follow, before what that one can send.
    fn part(&self, loss: &Loss, code: Option<u16>, reason: &str) {
        if loss.is_final(self.shared) {
            self.shared.set_state(State::Closing);
            self.shared.writer.close(code, reason);
        } else {
            self.shared.writer.leave(code, reason);
        }
    }

    /// Sends what is left, our close frame last, and lets the peer end the
    /// connection. Whether all of it was sent.
    async fn say_goodbye(&mut self, shut: bool) -> bool {
        // A reader that somebody else holds at this moment has to be left alone.
        let reading = self.shared.take_reader();
        let until = deadline(LINGER.min(self.shared.config.close_timeout));
        let both = Interest::READABLE | Interest::WRITABLE;
        let Ok(io) = Watch::duplicate(&self.link, both) else { return false };
        let sent = loop {
            match resume(self.client, self.shared) {
                Flushed::Done if self.shared.writer.is_empty() => break true,
                // Another thread is flushing; it takes our frame along.
                Flushed::Done => yield_now().await,
                Flushed::Broken => break false,
                Flushed::Blocked => match timeout_at(until, io.writable()).await {
                    Ok(Ok(mut ready)) => ready.clear_ready(),
                    _ => break false,
                },
            }
            if Instant::now() >= until {
                break false;
            }
        };
        if shut {
            self.link.finish_writing();
        }
        // Bytes that nobody reads would make the kernel reset the connection,
        // and our close frame might never arrive.
        while !reading && Instant::now() < until {
            let got = scratch::with(|scratch| match self.link.read(scratch) {
                Ok(Got::Bytes { .. }) => Some(true),
                Ok(Got::Nothing) => Some(false),
                Ok(Got::End) | Err(_) => None,
            });
            match got {
                Some(true) => yield_now().await,
                Some(false) => match timeout_at(until, io.readable()).await {
                    Ok(Ok(mut ready)) => ready.clear_ready(),
                    _ => break,
                },
                None => break,
            }
        }
        sent
    }
}

impl Io {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<Ready<'_>>> {
        match self {
            Io::Runtime(ready) => ready.poll_readable(cx),
            Io::Hosted { .. } => Poll::Pending,
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<Ready<'_>>> {
        match self {
            Io::Runtime(ready) | Io::Hosted { writable: Some(ready), .. } => {
                ready.poll_writable(cx)
            }
            Io::Hosted { writable: None, .. } => Poll::Pending,
        }
    }

    /// Prepares for [`Io::poll_writable`].
    fn want_writable(&mut self, link: &Arc<Link>) -> Result<(), Error> {
        if let Io::Hosted { writable: writable @ None, .. } = self {
            *writable = Some(Watch::duplicate(link, Interest::WRITABLE)?);
        }
        Ok(())
    }
}

/// Goes on writing.
fn resume(client: &Client, shared: &Shared) -> Flushed {
    let (flushed, drain) = shared.writer.resume();
    if drain {
        emit(client, Stored::Drain);
    }
    flushed
}

/// Reads for the handler, if this client has one.
fn pump(client: &Client, shared: &Shared) -> Pumped {
    let Mode::Runtime(slot) = &shared.mode else { return Pumped::Unavailable };
    let (pumped, outcome) = slot.lend(client, |lent| shared.pump(|event| lent.deliver(event)));
    if outcome == Outcome::Panicked {
        shared.signal(signal::RELEASE);
    }
    pumped
}

fn log_open(shared: &Shared, opened: &Opened) {
    shared.log(Level::Info, || {
        let Opened { attempt, reconnects, .. } = opened;
        let subprotocol = opened.subprotocol.as_deref().unwrap_or("none");
        format!(
            "open: attempt {attempt}, reconnect {reconnects}, subprotocol {subprotocol}, extensions {:?}",
            opened.extensions
        )
    });
    if opened.expired > 0 {
        shared.log(Level::Warning, || format!("{} messages waited for too long", opened.expired));
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Lost, "the connection ended")
}

/// A close reason has at most 123 bytes (RFC 6455 section 5.5).
fn closing_reason(error: &Error) -> &str {
    let text = error.message();
    let mut end = text.len().min(123);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
