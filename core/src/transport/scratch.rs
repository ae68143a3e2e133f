//! One large read buffer per thread, none per connection.
//!
//! Whichever thread drives a connection reads into its own buffer and decodes
//! there. A handler that drives another client from inside its own event gets
//! a buffer made for the occasion.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// Large enough that a flood costs few system calls, small enough for L2.
const PLAIN: usize = 256 << 10;
/// Plaintext is never longer than the TLS records it came in, so a full
/// `cipher` always fits into `plain`.
const CIPHER: usize = 128 << 10;

pub(crate) struct Scratch {
    pub(crate) plain: Buffer,
    cipher: Option<Buffer>,
    /// Empty memory for what a turn leaves undecoded. A connection has it until that is
    /// decoded, and gives it back.
    pub(crate) spare: Vec<u8>,
}

impl Scratch {
    fn new() -> Box<Scratch> {
        Box::new(Scratch { plain: Buffer::new(PLAIN), cipher: None, spare: Vec::new() })
    }

    /// Both buffers, for a TLS connection.
    pub(crate) fn both(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.plain, self.cipher.get_or_insert_with(|| Buffer::new(CIPHER)))
    }
}

const PAGE: usize = 4096;
const CACHE_LINE: usize = 64;

/// Memory to receive into. It begins a cache line past the beginning of a page: what the kernel has
/// often begins a page, and a processor's string instructions, with which it is copied, may take
/// several times as long to a place that is less than 32 bytes further into its page than where
/// it comes from. A large allocation of glibc's begins 16 bytes into its page.
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Buffer {
    fn new(len: usize) -> Buffer {
        let memory = vec![0; len + PAGE + CACHE_LINE].into_boxed_slice();
        // It may be anything; then it is slower, and no more than that.
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE) + CACHE_LINE;
        Buffer { memory, start, len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_begins_a_cache_line_into_a_page() {
        for len in [1, PLAIN, CIPHER] {
            let mut buffer = Buffer::new(len);
            assert_eq!((buffer.as_ptr().addr() % PAGE, buffer.len()), (CACHE_LINE, len));
            assert_eq!(buffer.as_mut_ptr().addr() % PAGE, CACHE_LINE);
        }
    }
}
