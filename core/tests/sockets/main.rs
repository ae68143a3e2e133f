//! Clients over real sockets, against the test server and against peers made
//! for one test.
//!
//! One program, since linking costs more than compiling. What concerns a whole
//! process (fork, shutdown, the count of descriptors) has programs of its own
//! beside this one.

mod adversity;
mod client_certificates;
mod conversation;
mod fragments;
mod last_word;
mod lifetime;
mod persistence;
mod pinned_keys;
mod questions;
mod reach_places;
mod reach_proxies;
mod reach_redirects;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
