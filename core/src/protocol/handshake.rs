//! The opening handshake.
#![allow(missing_docs, unused_variables)]
use super::target::Target;
use crate::error::{Error, Result};
use crate::options::Config;
#[derive(Debug)]
pub struct Handshake {
    request: Vec<u8>,
}
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub subprotocol: Option<String>,
    pub extensions: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub leftover: Vec<u8>,
}
impl Handshake {
    pub fn new(target: &Target, config: &Config) -> Result<Handshake> {
        todo!()
    }
    pub fn request(&self) -> &[u8] {
        &self.request
    }
    pub fn receive(&mut self, input: &[u8]) -> Result<Option<Accepted>> {
        todo!()
    }
    pub fn end(self, ended_by_timeout: bool) -> Error {
        todo!()
    }
}
