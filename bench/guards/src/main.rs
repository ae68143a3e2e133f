//! Runs the protocol's code so that callgrind can count its instructions.
//!
//! callgrind collects inside [`measured`] only, and writes a file at each of its ends. Each
//! case goes through it twice, with N and with 2N messages: the difference, divided by N, is
//! what a message costs, without anything that is done once. For each of these pairs a line
//! `N CASE` is printed, in the order of callgrind's files.
//!
//! Nothing here depends on chance: payloads are made by rule, and where a key for masking is drawn,
//! that costs the same whatever the key is.

mod cases;
mod payloads;

fn main() {
    for case in cases::all() {
        let mut work = case.work;
        // What the first message allocates, and lazy initialisation, is no cost per message.
        work(case.messages);
        measured(&mut work, case.messages);
        measured(&mut work, 2 * case.messages);
        println!("{} {}", case.messages, case.name);
    }
}

/// Where callgrind collects; bench/guards/instructions.py knows the name.
#[inline(never)]
fn measured(work: &mut dyn FnMut(usize), messages: usize) {
    work(messages);
}
