//! Messages and events on their way to JavaScript.
//!
//! Crossing the border costs more than a message does, so whatever one wake
//! brings crosses together: texts as the arguments of one call, binary messages
//! as one `ArrayBuffer` with a table of where each of them ends. The order is
//! kept.
//!
//! **JavaScript runs after the fetching, not within it**, so that a handler
//! which computes for long does not keep the runtime from reading in its place.
//! `open` is the exception, as what is sent from within it comes first; the core
//! holds nothing while it delivers that. With an `onOpen` only what that sends does,
//! and it is no exception: see [`Link::hold`].

use std::ops::Range;

use longwire::{Chunk, Event, Message, MessageKind};
use napi::bindgen_prelude::ToNapiValue;
use napi::sys;

use crate::convert::{AttemptEvent, ClosedEvent, DownEvent, OpenEvent, OutageEvent, PongEvent};
use crate::js;
use crate::link::Link;

/// Texts in one call; bounded because they lie on the engine's stack.
const TEXTS: usize = 128;
/// Bytes in one chunk. A view that is kept pins its chunk, so chunks are small:
/// twice what Node's own pool of small buffers pins.
const CHUNK: usize = 16 * 1024;
/// Binary messages in one chunk, and places in the table.
pub(crate) const ENDS: usize = 512;
/// A binary message of this size gets an `ArrayBuffer` of its own.
const LARGE: usize = 4 * 1024;
/// What a chunk is.
const CHUNK_TEXT: u32 = 1;
const CHUNK_FIRST: u32 = 2;
const CHUNK_LAST: u32 = 4;

/// What was collected and not yet handed over. Values live in the scope of the
/// wake.
#[derive(Default)]
pub(crate) struct Batch {
    texts: Vec<sys::napi_value>,
    ends: Vec<u32>,
    /// Complete calls, in order.
    calls: Vec<Call>,
    /// The bytes of the chunk that is being filled, and its place in `ends`.
    bytes: Vec<u8>,
    chunk: usize,
    /// The place in `texts` of the call that is being filled.
    run: usize,
}

enum Call {
    /// `texts(...)`, a part of `Batch::texts`.
    Texts(Range<usize>),
    /// `binary(buffer)`, or with a part of `Batch::ends`.
    Binary(sys::napi_value, Range<usize>),
    /// `binary(buffer, flags)`
    Chunk([sys::napi_value; 2]),
    /// `event(name, detail)`
    Event([sys::napi_value; 2]),
}

impl Batch {
    pub(crate) fn add(&mut self, link: &Link, event: Event<'_>) {
        match event {
            Event::Message(message) => self.message(link.env(), &message),
            Event::Chunk(chunk) => self.chunk(link.env(), &chunk),
            Event::Open(opened) => {
                let hold = link.hold();
                self.event(link.env(), "open", OpenEvent::from_core(opened, hold));
                if hold.is_none() {
                    self.deliver(link);
                }
            }
            Event::Pong(pong) => self.event(link.env(), "pong", PongEvent::from_core(pong)),
            Event::Down(down) => self.event(link.env(), "down", DownEvent::from_core(down)),
            Event::Drain => self.event(link.env(), "drain", ()),
            Event::Closed(closed) => {
                self.event(link.env(), "close", ClosedEvent::from_core(closed));
            }
            Event::BeforeConnect(attempt) => {
                self.event(link.env(), "beforeConnect", AttemptEvent::from_core(attempt));
            }
            Event::ShouldReconnect(outage) => {
                self.event(link.env(), "shouldReconnect", OutageEvent::from_core(outage));
            }
            _ => {}
        }
    }

    fn message(&mut self, env: sys::napi_env, message: &Message<'_>) {
        let payload = message.as_bytes();
        if message.kind() == MessageKind::Text {
            self.end_chunk(env);
            // A string that the engine cannot hold was excluded by the limit on
            // `maxMessageSize`; what is left is an engine that is ending.
            let Some(text) = js::string(env, payload) else { return };
            self.texts.push(text);
            if self.texts.len() - self.run == TEXTS {
                self.end_texts();
            }
            return;
        }
        self.end_texts();
        if payload.len() >= LARGE {
            self.end_chunk(env);
            if let Some(buffer) = js::array_buffer(env, payload) {
                self.calls.push(Call::Binary(buffer, 0..0));
            }
            return;
        }
        if self.ends.len() - self.chunk == ENDS || self.bytes.len() + payload.len() > CHUNK {
            self.end_chunk(env);
        }
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len() as u32);
    }

    /// A part of a message. A client has such or whole messages, never both.
    fn chunk(&mut self, env: sys::napi_env, chunk: &Chunk<'_>) {
        let flags = [
            (chunk.kind == MessageKind::Text, CHUNK_TEXT),
            (chunk.first, CHUNK_FIRST),
            (chunk.last, CHUNK_LAST),
        ];
        let flags = flags.iter().fold(0, |all, (set, flag)| if *set { all | flag } else { all });
        if let Some(buffer) = js::array_buffer(env, chunk.payload) {
            self.calls.push(Call::Chunk([buffer, js::number(env, flags)]));
        }
    }

    fn event<T: ToNapiValue>(&mut self, env: sys::napi_env, name: &str, detail: T) {
        self.end_texts();
        self.end_chunk(env);
        // SAFETY: on the environment's thread, in the scope of the wake.
        let detail = unsafe { T::to_napi_value(env, detail) };
        if let (Some(name), Ok(detail)) = (js::string(env, name.as_bytes()), detail) {
            self.calls.push(Call::Event([name, detail]));
        }
    }

    fn end_texts(&mut self) {
        if self.texts.len() > self.run {
            self.calls.push(Call::Texts(self.run..self.texts.len()));
            self.run = self.texts.len();
        }
    }

    fn end_chunk(&mut self, env: sys::napi_env) {
        if self.ends.len() > self.chunk {
            if let Some(buffer) = js::array_buffer(env, &self.bytes) {
                self.calls.push(Call::Binary(buffer, self.chunk..self.ends.len()));
            }
            self.bytes.clear();
            self.chunk = self.ends.len();
        }
    }

    /// Hands over what was collected.
    pub(crate) fn deliver(&mut self, link: &Link) {
        let env = link.env();
        self.end_texts();
        self.end_chunk(env);
        // What the client says of an event, it says before the event.
        link.deliver_lines();
        for call in self.calls.drain(..) {
            match call {
                Call::Texts(texts) => link.call_texts(&self.texts[texts]),
                Call::Binary(buffer, ends) if ends.len() < 2 => link.call_binary(&[buffer]),
                Call::Binary(buffer, ends) => {
                    let count = js::number(env, ends.len() as u32);
                    link.host().write_ends(&self.ends[ends]);
                    link.call_binary(&[buffer, count]);
                }
                Call::Chunk(arguments) => link.call_binary(&arguments),
                Call::Event(arguments) => link.call_event(&arguments),
            }
        }
        self.texts.clear();
        self.ends.clear();
        self.run = 0;
        self.chunk = 0;
    }
}
