//! Sees everything that happens and holds the client to its promises.
//!
//! What it knows of messages is in [`ledger`], what it knows of attempts and
//! connections in [`attempts`]. Here is what the user was told, in its order.

mod attempts;
mod ledger;

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use self::attempts::Attempts;
pub use self::ledger::{Class, Number};
use self::ledger::{Ledger, Partial};
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind};
use crate::event::{Closed, Down, Event, MessageKind, State};
use crate::messages;
use crate::options::Config;
use crate::plan::Plan;
use crate::transcript::Heard;
use crate::user::LINGER;
use crate::wire::Socket;
use crate::world::world;

/// Close codes after which no other attempt follows.
const FINAL_CODES: [u16; 7] = [1000, 1002, 1003, 1007, 1008, 1009, 1010];

pub struct Witness {
    config: Config,
    seen: Mutex<Seen>,
}

/// What was seen so far.
struct Seen {
    config: Config,
    attempts: Attempts,
    ledger: Ledger,
    /// The connection whose `Open` came last, until its end came.
    open: Option<usize>,
    opens: usize,
    downs: usize,
    closed: bool,
    /// The user called `close`.
    told_to_close: bool,
    /// The user wants no more events.
    released: bool,
    /// A send was refused as too much, and no `Drain` came since.
    owed_drain: bool,
    /// The message that comes in chunks.
    partial: Option<Partial>,
    handlers_dropped: usize,
    failures: Vec<String>,
}

/// What is wrong, in words.
type Verdict = Result<(), String>;

impl Witness {
    pub fn new(plan: &Plan) -> Witness {
        Witness {
            config: plan.config.clone(),
            seen: Mutex::new(Seen {
                config: plan.config.clone(),
                attempts: Attempts::default(),
                ledger: Ledger::default(),
                open: None,
                opens: 0,
                downs: 0,
                closed: false,
                told_to_close: false,
                released: false,
                owed_drain: false,
                partial: None,
                handlers_dropped: 0,
                failures: Vec::new(),
            }),
        }
    }

    fn judge<R: Default>(&self, judge: impl FnOnce(&mut Seen) -> Result<R, String>) -> R {
        let verdict = judge(&mut lock(&self.seen));
        verdict.unwrap_or_else(|failure| {
            self.fail(failure);
            R::default()
        })
    }

    /// A promise was broken.
    pub fn fail(&self, failure: String) {
        world().note(|| format!("BROKEN {failure}"));
        lock(&self.seen).failures.push(failure);
    }

    pub fn expect(&self, promise: bool, failure: impl FnOnce() -> String) {
        if !promise {
            self.fail(failure());
        }
    }

    pub fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.seen).failures)
    }

    // Attempts.

    /// An attempt begins; its number.
    pub fn dial(&self) -> usize {
        let mut seen = lock(&self.seen);
        let number = seen.attempts.count();
        let verdict = if seen.closed || seen.told_to_close || seen.released {
            Err(format!("#{number} begins after the end"))
        } else {
            seen.attempts.begin(&self.config)
        };
        drop(seen);
        if let Err(failure) = verdict {
            self.fail(failure);
        }
        number
    }

    /// The server answers attempt `number` as it should, with so many bytes.
    pub fn answers(&self, number: usize, bytes: usize) {
        lock(&self.seen).attempts.answers(number, bytes);
    }

    /// Nothing came over this connection since the peer vanished.
    pub fn vanished(&self, socket: &Socket) {
        self.judge(|seen| {
            let closing = seen.told_to_close || seen.released;
            let open = !closing && seen.open == Some(socket.number);
            if !open {
                return Ok(());
            }
            // A goodbye that began before was longer.
            attempts::in_time(socket, Instant::now(), LINGER, &seen.config)
        });
    }

    /// An attempt has failed, or its connection was given up.
    pub fn ended(&self, number: usize, state: Option<State>, socket: Option<&Socket>) {
        self.judge(|seen| {
            seen.attempts.end(number, state, socket, &seen.config)?;
            if let Some(socket) = socket {
                seen.ledger.connection_ended(number, socket.is_cut());
            }
            Ok(())
        });
    }

    // Messages of the client.

    /// A message is about to be sent.
    pub fn offer(&self, size: usize, kind: MessageKind, class: Class, fragmented: bool) -> Number {
        let mut seen = lock(&self.seen);
        let late = seen.told_to_close;
        seen.ledger.offer(size, kind, class, fragmented, late)
    }

    /// What `send` said to it.
    pub fn answered(&self, number: Number, size: usize, answer: Result<(), ErrorKind>) {
        self.judge(|seen| {
            seen.owed_drain |= answer == Err(ErrorKind::Full);
            let too_big = size > seen.config.max_message_size;
            match answer {
                Err(ErrorKind::TooBig) if !too_big => {
                    return Err(format!("c{number} with {size} bytes refused as too big"));
                }
                Err(ErrorKind::Closed)
                    if !seen.told_to_close && !seen.released && !is_ending(world().state()) =>
                {
                    return Err(format!("c{number} refused as closed"));
                }
                Err(ErrorKind::TooBig | ErrorKind::Closed | ErrorKind::Full | ErrorKind::Lost) => {}
                Err(ErrorKind::Offline) if seen.ledger.may_be_offline(number, &seen.config) => {}
                Err(other) => return Err(format!("c{number} refused with {other:?}")),
                Ok(()) if seen.closed => return Err(format!("c{number} taken after the end")),
                Ok(()) => {}
            }
            seen.ledger.answered(number, answer.is_ok())
        });
    }

    /// Something was said on a connection, as far as the client's system knows.
    pub fn left(&self, connection: usize, heard: &Heard) {
        if let Heard::Message { payload, .. } = heard
            && let Some((_, _, number)) = messages::parse(payload)
        {
            world().note(|| format!("#{connection} c{number} left"));
        }
        self.judge(|seen| match heard {
            Heard::Message { kind, payload, .. } => seen.ledger.left(connection, *kind, payload),
            Heard::Pong(payload) => {
                seen.ledger.answers(connection, payload);
                Ok(())
            }
            Heard::Wrong(what) => Err(format!("#{connection} the client sends {what}")),
            _ => Ok(()),
        });
    }

    /// The server's program has read it.
    pub fn heard(&self, connection: usize, heard: &Heard) {
        self.judge(|seen| {
            seen.ledger.heard(connection, heard);
            Ok(())
        });
    }

    // Messages of the server.

    /// The server sends a message that ends with byte `end` of its connection.
    pub fn said(&self, connection: usize, len: usize, end: usize, kind: MessageKind, size: usize) {
        lock(&self.seen).ledger.said(connection, len, end, kind, size);
    }

    /// The server sends a ping that ends with byte `end` of its connection.
    pub fn server_pings(&self, connection: usize, payload: String, end: usize) {
        lock(&self.seen).ledger.server_pings(connection, payload, end);
    }

    /// Whether whole messages are among the first `delivered` bytes that did not come to the user.
    pub fn has_undelivered(&self, connection: usize, delivered: usize) -> bool {
        lock(&self.seen).ledger.has_undelivered(connection, delivered)
    }

    /// A ping that came with the first `delivered` bytes, and that the client
    /// has not answered.
    pub fn unanswered(&self, connection: usize, delivered: usize) -> Option<String> {
        lock(&self.seen).ledger.unanswered(connection, delivered)
    }

    /// The server closes of its own accord.
    pub fn server_closes_first(&self, connection: usize) {
        lock(&self.seen).ledger.server_closes_first(connection);
    }

    pub fn server_closes(&self, connection: usize, end: usize) {
        lock(&self.seen).ledger.server_closes(connection, end);
    }

    // The user.

    pub fn told_to_close(&self) {
        lock(&self.seen).told_to_close = true;
    }

    pub fn released(&self) {
        lock(&self.seen).released = true;
    }

    pub fn handler_dropped(&self) {
        self.judge(|seen| {
            seen.handlers_dropped += 1;
            if seen.handlers_dropped > 1 {
                Err("the handler was dropped twice".into())
            } else {
                Ok(())
            }
        });
    }

    /// Whether the user knows this connection, and of no end of it.
    pub fn is_open(&self, connection: usize) -> bool {
        let seen = lock(&self.seen);
        seen.open == Some(connection) && !seen.told_to_close && !seen.released
    }

    pub fn is_over(&self) -> bool {
        let seen = lock(&self.seen);
        seen.closed || seen.released
    }

    pub fn is_released(&self) -> bool {
        lock(&self.seen).released
    }

    pub fn is_told_to_stop(&self) -> bool {
        let seen = lock(&self.seen);
        seen.released || seen.told_to_close
    }

    pub fn is_closed(&self) -> bool {
        lock(&self.seen).closed
    }

    pub fn handlers_dropped(&self) -> usize {
        lock(&self.seen).handlers_dropped
    }

    pub fn owes_drain(&self) -> bool {
        lock(&self.seen).owed_drain
    }

    /// Whether all that was said on the connection of the moment has come, both ways.
    pub fn is_settled(&self, connection: usize) -> Verdict {
        lock(&self.seen).ledger.is_settled(connection)
    }

    /// What was taken and is nowhere.
    pub fn missing(&self) -> Verdict {
        lock(&self.seen).ledger.missing()
    }

    /// The client ended, and gave back what never left.
    pub fn returned(&self, closed: &Closed, unsent: &[(MessageKind, Vec<u8>)]) {
        self.judge(|seen| {
            let bytes = unsent.iter().map(|(_, payload)| payload.len()).sum::<usize>();
            if (unsent.len(), bytes) != (closed.unsent_messages, closed.unsent_bytes) {
                return Err(format!("{} messages given back: {closed:?}", unsent.len()));
            }
            seen.ledger.returned(unsent)?;
            seen.ledger.accounted()
        });
    }

    /// The user is told something.
    pub fn event(&self, event: &Event<'_>) {
        self.judge(|seen| seen.event(event));
    }
}

impl Seen {
    fn event(&mut self, event: &Event<'_>) -> Verdict {
        if self.closed || self.released {
            return Err(format!("an event after the last: {event:?}"));
        }
        match event {
            Event::Open(opened) => {
                if let Some(open) = self.open {
                    return Err(format!("Open while #{open} is open"));
                }
                let connection = opened.headers.iter().find(|(name, _)| name == "x-connection");
                let connection = connection.and_then(|(_, value)| str::from_utf8(value).ok());
                let connection = connection.and_then(|value| value.parse().ok());
                let connection: usize = connection.ok_or("Open without its headers")?;
                if opened.reconnects as usize != self.opens {
                    return Err(format!(
                        "{} reconnects said, {} seen",
                        opened.reconnects, self.opens
                    ));
                }
                self.opens += 1;
                self.open = Some(connection);
                self.attempts.opened(connection, opened.attempt)
            }
            Event::Message(message) => {
                let connection = self.open.ok_or("a message outside any connection")?;
                self.ledger.delivered(connection, message.kind(), message.as_bytes())
            }
            Event::Chunk(chunk) => {
                let connection = self.open.ok_or("a chunk outside any connection")?;
                self.ledger.chunk(&mut self.partial, connection, chunk)
            }
            Event::BeforeConnect(_) | Event::ShouldReconnect(_) => Ok(()),
            Event::Pong(_) => self.open.map(drop).ok_or("a pong outside any connection".into()),
            Event::Down(down) => self.down(down),
            Event::Drain => {
                self.owed_drain = false;
                Ok(())
            }
            Event::Closed(closed) => self.is_closed(closed),
        }
    }

    fn down(&mut self, down: &Down) -> Verdict {
        let attempt = self.downs;
        self.downs += 1;
        self.attempts.down(attempt, down, &self.config)?;
        self.connection_over(down.code, Some(&down.error))?;
        let again = match down.code {
            Some(code) => !FINAL_CODES.contains(&code),
            None => is_retried(&down.error),
        };
        if again { Ok(()) } else { Err(format!("another attempt after {:?}", down.error)) }
    }

    fn is_closed(&mut self, closed: &Closed) -> Verdict {
        self.closed = true;
        if let Some(error) = closed.error.as_ref().filter(|error| error.kind() == ErrorKind::Panic)
        {
            return Err(error.to_string());
        }
        let last = self.attempts.count().saturating_sub(1);
        let stopped = self.told_to_close;
        let by_peer = (closed.code != 1006).then_some(closed.code);
        self.connection_over(by_peer, closed.error.as_ref())?;
        let again = match (by_peer, &closed.error) {
            (Some(code), _) => !FINAL_CODES.contains(&code),
            (None, Some(error)) => is_retried(error),
            (None, None) => true,
        };
        if stopped && closed.clean {
            self.ledger.missing_after_close()?;
        }
        let given_up = self.attempts.is_given_up(last, &self.config);
        if again && !stopped && self.config.reconnect.is_some() && !given_up {
            return Err(format!("the client ended for no reason: {closed:?}"));
        }
        Ok(())
    }

    /// The user was told of the end of the connection, if there was one.
    fn connection_over(&mut self, code: Option<u16>, error: Option<&Error>) -> Verdict {
        self.partial = None;
        let Some(connection) = self.open.take() else { return Ok(()) };
        if code.is_some() {
            self.ledger.all_delivered(connection, "its close frame")?;
        }
        let Some(error) = error else { return Ok(()) };
        match error.kind() {
            ErrorKind::Heartbeat => self.attempts.heartbeat(connection, &self.config),
            ErrorKind::Lost if error.message().starts_with("the server ended") => {
                self.ledger.all_delivered(connection, "its end")
            }
            _ => Ok(()),
        }
    }
}

/// Whether the documentation has a client try again after this error.
fn is_retried(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Timeout
        | ErrorKind::Dns
        | ErrorKind::Connect
        | ErrorKind::Protocol
        | ErrorKind::Utf8
        | ErrorKind::TooBig
        | ErrorKind::Lost
        | ErrorKind::Heartbeat => true,
        ErrorKind::Status => error
            .refusal()
            .is_some_and(|refusal| matches!(refusal.status, 408 | 425 | 429 | 500..600)),
        _ => false,
    }
}

fn is_ending(state: Option<State>) -> bool {
    matches!(state, None | Some(State::Closing | State::Closed))
}

/// The time from one moment to a later one.
fn between(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}
