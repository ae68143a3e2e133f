//! Frames from server to client.
#![allow(missing_docs, unused_variables, dead_code)]
use std::mem::MaybeUninit;

use super::violation::Violation;
use crate::event::Message;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_message_size: usize,
    pub max_fragments: u32,
}
#[derive(Debug)]
pub enum Item<'a> {
    Message(Message<'a>),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(Option<Close<'a>>),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    pub code: u16,
    pub reason: &'a str,
}
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
}
impl Decoder {
    pub fn new(limits: Limits) -> Self {
        Decoder { limits }
    }
    pub fn decode<'a>(&'a mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a>>, Violation> {
        todo!()
    }
    pub fn direct(&mut self) -> Option<&mut [MaybeUninit<u8>]> {
        todo!()
    }
    /// # Safety
    /// The first `n` bytes of the last `direct()` were initialised.
    pub unsafe fn direct_filled(&mut self, n: usize) -> Result<Option<Item<'_>>, Violation> {
        todo!()
    }
    pub fn is_mid_message(&self) -> bool {
        todo!()
    }
}
