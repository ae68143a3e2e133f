//! The C interface of longwire, one module per noun of the header.
//!
//! This crate translates handles, bytes, events and errors, and decides
//! nothing: protocol and policy are the core's. The documentation of what it
//! exports is the documentation of `include/longwire.h`, which is generated
//! from here (`make c-header`) and is therefore written for C programmers.
//!
//! What holds for every entry point: pointers are checked for null, a panic is
//! caught and becomes `LW_EPANIC`, and no Rust enum is taken by value.
#![allow(non_camel_case_types, reason = "the names are those of the header")]
#![allow(clippy::missing_safety_doc, reason = "the header states the contract once, for all")]

mod boundary;
pub mod client;
pub mod config;
pub mod error;
pub mod event;
pub mod message;
pub mod question;
pub mod sending;
pub mod stats;
pub mod version;
