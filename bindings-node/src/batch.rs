//! Messages and events on their way to JavaScript.
//!
//! Crossing the border costs more than a message does, so whatever one wake
//! brings crosses together: texts as the arguments of one call, binary messages
//! as one `ArrayBuffer` with a table of where each of them ends. The order is
//! kept: a message of the other sort, or an event, first sends out what was
//! collected.

use longwire::{Event, Message, MessageKind};
use napi::bindgen_prelude::ToNapiValue;
use napi::sys;

use crate::convert::{ClosedEvent, DownEvent, OpenEvent, PongEvent};
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

/// What was collected and not yet handed over.
#[derive(Default)]
pub(crate) struct Batch {
    /// Handles; they live in the scope of the wake.
    texts: Vec<sys::napi_value>,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Batch {
    pub(crate) fn add(&mut self, link: &Link, event: Event<'_>) {
        match event {
            Event::Message(message) => self.message(link, &message),
            Event::Open(opened) => self.event(link, "open", OpenEvent::from_core(opened)),
            Event::Pong(pong) => self.event(link, "pong", PongEvent::from_core(pong)),
            Event::Down(down) => self.event(link, "down", DownEvent::from_core(down)),
            Event::Drain => self.event(link, "drain", ()),
            Event::Closed(closed) => self.event(link, "close", ClosedEvent::from_core(closed)),
            _ => {}
        }
    }

    fn message(&mut self, link: &Link, message: &Message<'_>) {
        let payload = message.as_bytes();
        match message.kind() {
            MessageKind::Text => {
                if !self.ends.is_empty() {
                    self.deliver(link);
                }
                // A string the engine cannot hold was excluded by the limit on
                // `maxMessageSize`; what is left is an engine that is ending.
                let Some(text) = js::string(link.env(), payload) else { return };
                self.texts.push(text);
                if self.texts.len() == TEXTS {
                    self.deliver(link);
                }
            }
            MessageKind::Binary if payload.len() >= LARGE => {
                self.deliver(link);
                if let Some(buffer) = js::array_buffer(link.env(), payload) {
                    link.call_binary(&[buffer]);
                }
            }
            MessageKind::Binary => {
                if !self.texts.is_empty()
                    || self.ends.len() == ENDS
                    || self.bytes.len() + payload.len() > CHUNK
                {
                    self.deliver(link);
                }
                self.bytes.extend_from_slice(payload);
                self.ends.push(self.bytes.len() as u32);
            }
        }
    }

    /// Hands over what was collected.
    pub(crate) fn deliver(&mut self, link: &Link) {
        if !self.texts.is_empty() {
            link.call_texts(&self.texts);
            self.texts.clear();
        }
        if !self.ends.is_empty() {
            let env = link.env();
            if let Some(buffer) = js::array_buffer(env, &self.bytes) {
                if self.ends.len() == 1 {
                    link.call_binary(&[buffer]);
                } else {
                    link.host().write_ends(&self.ends);
                    link.call_binary(&[buffer, js::number(env, self.ends.len() as u32)]);
                }
            }
            self.bytes.clear();
            self.ends.clear();
        }
    }

    fn event<T: ToNapiValue>(&mut self, link: &Link, name: &str, detail: T) {
        self.deliver(link);
        let env = link.env();
        // SAFETY: on the environment's thread, in the scope of the wake.
        let detail = unsafe { T::to_napi_value(env, detail) };
        if let (Some(name), Ok(detail)) = (js::string(env, name.as_bytes()), detail) {
            link.call_event(&[name, detail]);
        }
    }
}
