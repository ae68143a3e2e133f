//! What stands in for the parts of the core around the writer.

/// loom's lock and counters, and a clock that the scenario sets.
pub mod sync {
    use std::cell::Cell;
    use std::time::Duration;

    pub use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
    pub use loom::sync::{Mutex, MutexGuard};

    thread_local! {
        // All threads of a model are one of the system's.
        static STEP: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// How long after the other any two moments are.
    pub fn set_step(step: Duration) {
        STEP.set(step);
    }

    /// A moment.
    #[derive(Clone, Copy)]
    pub struct Instant;

    impl Instant {
        pub fn now() -> Instant {
            Instant
        }

        pub fn duration_since(self, _: Instant) -> Duration {
            STEP.get()
        }
    }
}

pub mod driver {
    pub mod runtime {
        use loom::sync::{Mutex, MutexGuard};

        pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
            mutex.lock().expect("no thread panicked")
        }
    }
}

/// As much of the options as the writer and what it compresses with know.
pub mod options {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Offline {
        Queue,
        Refuse,
    }

    pub struct Compression {
        pub threshold: usize,
        pub level: u8,
        pub memory_level: u8,
    }
}

pub mod transport {
    pub mod link {
        use std::io;

        use loom::sync::Mutex;

        use crate::driver::runtime::lock;

        /// A socket that takes `room` bytes until it is read from. An encrypted
        /// one takes everything and keeps what finds no room.
        pub struct Link {
            wire: Mutex<Wire>,
            encrypted: bool,
        }

        struct Wire {
            room: usize,
            /// What the peer can read.
            sent: Vec<u8>,
            held_back: Vec<u8>,
            in_use: bool,
        }

        impl Link {
            pub fn new(room: usize, encrypted: bool) -> Link {
                let wire = Wire { room, sent: Vec::new(), held_back: Vec::new(), in_use: false };
                Link { wire: Mutex::new(wire), encrypted }
            }

            pub fn is_encrypted(&self) -> bool {
                self.encrypted
            }

            pub fn has_unsent(&self) -> bool {
                !lock(&self.wire).held_back.is_empty()
            }

            pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
                let mut wire = lock(&self.wire);
                assert!(!wire.in_use, "one thread writes at a time");
                wire.in_use = true;
                // The system call takes its time.
                drop(wire);
                let mut wire = lock(&self.wire);
                wire.in_use = false;
                if self.encrypted {
                    wire.held_back.extend_from_slice(bytes);
                    let n = wire.room.min(wire.held_back.len());
                    let sent: Vec<_> = wire.held_back.drain(..n).collect();
                    wire.take(&sent);
                    let blocked = bytes.is_empty() && !wire.held_back.is_empty();
                    return if blocked { Err(full()) } else { Ok(bytes.len()) };
                }
                let n = wire.room.min(bytes.len());
                wire.take(&bytes[..n]);
                if n == 0 { Err(full()) } else { Ok(n) }
            }

            /// The peer reads: there is room for `n` bytes more.
            pub fn make_room(&self, n: usize) {
                let mut wire = lock(&self.wire);
                wire.room = wire.room.saturating_add(n);
            }

            /// All that the peer got.
            pub fn sent(&self) -> Vec<u8> {
                lock(&self.wire).sent.clone()
            }
        }

        impl Wire {
            fn take(&mut self, bytes: &[u8]) {
                self.room -= bytes.len();
                self.sent.extend_from_slice(bytes);
            }
        }

        fn full() -> io::Error {
            io::ErrorKind::WouldBlock.into()
        }

        pub fn would_block(error: &io::Error) -> bool {
            error.kind() == io::ErrorKind::WouldBlock
        }
    }
}
