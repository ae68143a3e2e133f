//! A client as `lib/` holds it.

use std::rc::Rc;

use longwire::{Client, Event, MessageKind, State};
use napi::Either;
use napi::bindgen_prelude::{Buffer, Unknown};
use napi_derive::napi;

use crate::config::NativeChanges;
use crate::convert::{AttemptEvent, Failure, OutageEvent};
use crate::link::{Link, failed};
use crate::send::sender;
use crate::stats::NativeStats;

#[napi]
pub struct NativeClient {
    link: Rc<Link>,
}

impl NativeClient {
    pub(crate) fn new(link: Rc<Link>) -> Self {
        NativeClient { link }
    }

    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    fn call(&self, work: impl FnOnce(&Client) -> longwire::Result<()>) -> Option<Failure> {
        failed(self.link.with_client(work))
    }
}

#[napi]
impl NativeClient {
    /// The function that sends, see [`sender`].
    #[napi]
    pub fn sender(&self) -> napi::Result<Unknown<'_>> {
        let function = sender(&self.link)?;
        // SAFETY: a value of this environment that was just made.
        Ok(unsafe { Unknown::from_raw_unchecked(self.link.env(), function) })
    }

    #[napi]
    pub fn ping(&self, payload: &[u8]) -> Option<Failure> {
        self.call(|client| client.ping(payload))
    }

    #[napi]
    pub fn close(&self, code: u16, reason: Option<String>) -> Option<Failure> {
        self.call(|client| client.close(code, &reason.unwrap_or_default()))
    }

    /// Stops or resumes the delivery of events.
    #[napi]
    pub fn pause(&self, paused: bool) {
        self.link.pause(paused);
    }

    /// Whether this client keeps the loop alive.
    #[napi]
    pub fn keep_alive(&self, keep: bool) {
        self.link.keep_alive(keep);
    }

    /// Ends it without an event.
    #[napi]
    pub fn release(&self) {
        self.link.release();
    }

    /// The number of the core's `State`.
    #[napi(getter)]
    pub fn state(&self) -> u8 {
        self.link.peek(Client::state).unwrap_or(State::Closed) as u8
    }

    #[napi(getter)]
    pub fn buffered_amount(&self) -> f64 {
        self.link.buffered() as f64
    }

    /// The same as the WHATWG interface counts it.
    #[napi(getter)]
    pub fn queued(&self) -> f64 {
        self.link.queued() as f64
    }

    /// Milliseconds.
    #[napi(getter)]
    pub fn round_trip(&self) -> Option<f64> {
        self.link.peek(Client::round_trip)?.map(|time| time.as_secs_f64() * 1000.0)
    }

    #[napi]
    pub fn stats(&self) -> Option<NativeStats> {
        self.link.stats().as_ref().map(NativeStats::from_core)
    }

    /// The messages that never left, once the client has ended.
    #[napi]
    pub fn take_unsent(&self) -> Vec<Either<String, Buffer>> {
        let unsent = self.link.take_unsent().into_iter();
        unsent
            .map(|(kind, bytes)| match kind {
                MessageKind::Text => Either::A(String::from_utf8_lossy(&bytes).into_owned()),
                MessageKind::Binary => Either::B(bytes.into()),
            })
            .collect()
    }

    #[napi]
    pub fn reconnect(&self) -> Option<Failure> {
        self.call(Client::reconnect)
    }

    #[napi]
    pub fn network_changed(&self) -> Option<Failure> {
        self.call(Client::network_changed)
    }

    /// Answers `beforeConnect`.
    #[napi]
    pub fn proceed(&self, ask: f64, changes: NativeChanges) -> Option<Failure> {
        self.call(|client| client.proceed(ask as u64, changes.into_core()))
    }

    /// The same with a failure.
    #[napi]
    pub fn refuse(&self, ask: f64, reason: Option<String>, retry: bool) -> Option<Failure> {
        self.call(|client| client.refuse(ask as u64, &reason.unwrap_or_default(), retry))
    }

    /// Answers `shouldReconnect`.
    #[napi]
    pub fn decide(&self, ask: f64, retry: bool) -> Option<Failure> {
        self.call(|client| client.decide(ask as u64, retry))
    }

    /// The question that waits, if there is one, while the delivery of events is stopped.
    #[napi]
    pub fn question(&self) -> Option<Either<AttemptEvent, OutageEvent>> {
        let mut question = None;
        // Nothing is asked by a client that has ended.
        let _ = self.link.with_client(|client| {
            client.drive_questions(&mut |event| match event {
                Event::BeforeConnect(attempt) => {
                    question = Some(Either::A(AttemptEvent::from_core(attempt)));
                }
                Event::ShouldReconnect(outage) => {
                    question = Some(Either::B(OutageEvent::from_core(outage)));
                }
                _ => {}
            })
        });
        question
    }

    /// Has the queue follow on the connection that `open` named.
    #[napi]
    pub fn ready(&self, hold: f64) {
        self.link.peek(|client| client.ready(hold as u64));
    }

    /// JavaScript took a message, or holds the first one that nobody took.
    #[napi]
    pub fn note_consumer(&self, holding: bool) {
        self.link.peek(|client| client.note_consumer(holding));
    }
}
