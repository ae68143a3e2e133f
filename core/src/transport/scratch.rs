//! One large read buffer per thread, none per connection.
//!
//! Whichever thread drives a connection reads into its own buffer and decodes
//! there. A handler that drives another client from inside its own event gets
//! a buffer made for the occasion.

use std::cell::Cell;
use std::thread::LocalKey;

/// Large enough that a flood costs few system calls, small enough for L2.
const PLAIN: usize = 256 << 10;
/// Plaintext is never longer than the TLS records it came in, so a full
/// `cipher` always fits into `plain`.
const CIPHER: usize = 128 << 10;

pub(crate) struct Scratch {
    pub(crate) plain: Box<[u8]>,
    cipher: Option<Box<[u8]>>,
    /// Empty memory for what a turn leaves undecoded. A connection has it until that is
    /// decoded, and gives it back.
    pub(crate) spare: Vec<u8>,
}

impl Scratch {
    fn new() -> Box<Scratch> {
        Box::new(Scratch { plain: zeroed(PLAIN), cipher: None, spare: Vec::new() })
    }

    /// Both buffers, for a TLS connection.
    pub(crate) fn both(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.plain, self.cipher.get_or_insert_with(|| zeroed(CIPHER)))
    }
}

fn zeroed(len: usize) -> Box<[u8]> {
    vec![0; len].into_boxed_slice()
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends this thread's buffer to `work`.
pub(crate) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    lend(&SCRATCH, Scratch::new, work)
}

/// Lends what this thread has in `kept` to `work`, or one made for the occasion.
pub(super) fn lend<T: ?Sized, R>(
    kept: &'static LocalKey<Cell<Option<Box<T>>>>,
    make: impl FnOnce() -> Box<T>,
    work: impl FnOnce(&mut T) -> R,
) -> R {
    let mut lent = kept.try_with(Cell::take).ok().flatten().unwrap_or_else(make);
    let result = work(&mut lent);
    // A thread that is ending has no place for it any more.
    let _ = kept.try_with(|cell| cell.set(Some(lent)));
    result
}
