//! What a program can say about the life of a client, and ask about it.

use super::asks::{Answer, Question, Way};
use super::handle::Client;
use super::shared::signal;
use super::stats::Stats;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, MessageKind};
use crate::options::Changes;
use crate::protocol::handshake::Handshake;
use crate::protocol::target::Target;

impl Client {
    /// Connects anew: at once instead of waiting for the next attempt, or in place of a
    /// connection that is open, which is given up (code 1001). An attempt that is under way goes on;
    /// if it fails, the next one follows at once.
    ///
    /// [`ErrorKind::Unsupported`] for a client that does not reconnect.
    pub fn reconnect(&self) -> Result<()> {
        self.shared().check_fork()?;
        if self.shared().config.reconnect.is_none() {
            let text = "this client does not reconnect";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        self.shared().signal(signal::RECONNECT);
        Ok(())
    }

    /// A hint that another network may be in use. A client that waits for its next attempt makes it at
    /// once, with the back-off begun anew. An open connection is asked for a sign of life, and lost
    /// ([`ErrorKind::Heartbeat`]) without one within 5 s, or the heartbeat's timeout if that is shorter.
    pub fn network_changed(&self) -> Result<()> {
        self.shared().check_fork()?;
        self.shared().network_changed();
        Ok(())
    }

    /// Has the attempt of [`Event::BeforeConnect`] go on, changed for this once as `changes` says. From any thread.
    ///
    /// [`ErrorKind::Invalid`] if `ask` is not the number of a question that is open: answered already, or too
    /// late. Changes that cannot be used are refused ([`ErrorKind::Url`], [`ErrorKind::Invalid`]), and the
    /// question stays open.
    pub fn proceed(&self, ask: u64, changes: Changes) -> Result<()> {
        let shared = self.shared();
        shared.check_fork()?;
        shared.asks.check(ask, Question::BeforeConnect)?;
        let way = self.way(changes)?;
        self.answer(ask, Question::BeforeConnect, Answer::Proceed(way))
    }

    /// Has the attempt of [`Event::BeforeConnect`] fail with [`ErrorKind::Hook`] and `reason`. Another
    /// follows if `retry` says so, as after any failure; else the client ends. From any thread.
    pub fn refuse(&self, ask: u64, reason: &str, retry: bool) -> Result<()> {
        self.shared().check_fork()?;
        let error = Error::new(ErrorKind::Hook, format!("before_connect: {reason}"));
        let error = if retry { error } else { error.into_final() };
        self.answer(ask, Question::BeforeConnect, Answer::Refuse(error))
    }

    /// Answers [`Event::ShouldReconnect`]: whether another attempt follows. From any thread.
    pub fn decide(&self, ask: u64, retry: bool) -> Result<()> {
        self.shared().check_fork()?;
        self.answer(ask, Question::ShouldReconnect, Answer::Decide(retry))
    }

    /// From within [`Event::Open`]: what was queued while down waits until [`Client::ready`], so that an
    /// answer of the server's can be awaited first. What is sent with [`SendOptions::ahead`](super::SendOptions::ahead) goes out.
    ///
    /// The answer numbers the connection; `None` if there is none that has just opened.
    pub fn hold(&self) -> Option<u64> {
        self.shared().check_fork().ok()?;
        self.shared().writer.hold(self.place())
    }

    /// Has the queue follow on the connection that was held. Without effect if that one is gone.
    pub fn ready(&self, hold: u64) {
        if self.shared().check_fork().is_ok() {
            self.shared().follow_up(self.shared().writer.ready(hold));
        }
    }

    /// The client at this moment, from any thread.
    pub fn stats(&self) -> Result<Stats> {
        self.shared().check_fork()?;
        Ok(self.shared().stats())
    }

    /// The messages that never left, in order, once the client is closed for good; a second call finds none.
    pub fn take_unsent(&self) -> Result<Vec<(MessageKind, Vec<u8>)>> {
        self.shared().check_fork()?;
        let unsent = self.shared().writer.take_unsent();
        Ok(unsent.into_iter().map(|message| (message.kind, message.bytes)).collect())
    }

    /// Delivers a question that waits ([`Event::BeforeConnect`], [`Event::ShouldReconnect`]) and nothing else,
    /// for a host that takes no messages at the moment. Whether there was one.
    pub fn drive_questions(&self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<bool> {
        self.shared().drive_questions(self.host()?, on_event)
    }

    /// Tells a hosted client whether its host holds messages that the program has not taken, and that it took
    /// one. Only for hosts with a queue of their own: [`Config::consumer_timeout`](crate::Config::consumer_timeout) goes by it.
    pub fn note_consumer(&self, holding: bool) {
        if let Ok(host) = self.host() {
            host.note_consumer(holding);
        }
    }

    fn answer(&self, ask: u64, question: Question, answer: Answer) -> Result<()> {
        self.shared().asks.answer(ask, question, answer)?;
        self.shared().signal(signal::ANSWER);
        Ok(())
    }

    /// The way to go with `changes`, checked like a configuration.
    fn way(&self, changes: Changes) -> Result<Option<Box<Way>>> {
        let Changes { url, headers, subprotocols } = changes;
        if url.is_none() && headers.is_none() && subprotocols.is_none() {
            return Ok(None);
        }
        let mut config = self.shared().config.clone();
        config.url = url.unwrap_or(config.url);
        config.headers = headers.unwrap_or(config.headers);
        config.subprotocols = subprotocols.unwrap_or(config.subprotocols);
        let target = Target::parse(&config.url)?;
        Handshake::new(&target, &config)?;
        Ok(Some(Box::new(Way { target, config })))
    }
}
