//! Where a URL leads.
#![allow(missing_docs, unused_variables)]
use crate::error::Error;
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    pub authority: String,
    pub path_and_query: String,
}
impl Target {
    pub fn parse(url: &str) -> Result<Target, Error> {
        todo!()
    }
}
