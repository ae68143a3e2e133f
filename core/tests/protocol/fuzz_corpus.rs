//! What the fuzzer found worth keeping, run again by the stable compiler: the
//! functions and the corpora are those of `make fuzz`.

use std::path::Path;

use crate::fuzz;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&corpus).expect("each target has a corpus") {
        let path = entry.expect("a directory can be read").path();
        let input = std::fs::read(&path).expect("a file can be read");
        if let Err(panic) = std::panic::catch_unwind(|| run(&input)) {
            eprintln!("the input was {}", path.display());
            std::panic::resume_unwind(panic);
        }
        inputs += 1;
    }
    assert!(inputs > 20, "{inputs} inputs in {}", corpus.display());
}

#[test]
fn decoder() {
    replay("decoder", fuzz::decoder::run);
}

#[test]
fn differential() {
    replay("differential", fuzz::differential::run);
}

#[test]
fn extensions() {
    replay("extensions", fuzz::extensions::run);
}

#[test]
fn handshake() {
    replay("handshake", fuzz::handshake::run);
}

#[test]
fn inflate() {
    replay("inflate", fuzz::inflate::run);
}

#[test]
fn round_trip() {
    replay("round_trip", fuzz::round_trip::run);
}
