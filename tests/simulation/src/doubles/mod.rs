//! What stands in for the parts of the core that know the operating system.

pub mod driver;
pub mod transport;

/// Locks and counters as they are, and the clock of the simulation.
pub mod sync {
    pub use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
    pub use std::sync::{Mutex, MutexGuard};

    pub use tokio::time::Instant;

    use crate::world::world;

    pub fn coarse_now() -> u64 {
        u64::try_from(world().now().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Randomness that a seed repeats.
pub mod entropy {
    use crate::world::world;

    pub fn random<const N: usize>() -> [u8; N] {
        let world = world();
        let mut dice = world.dice();
        std::array::from_fn(|_| dice.roll() as u8)
    }
}
