//! Memory of large messages, handed from one to the next.
//!
//! Memory that goes back to the system costs more when it comes again, page by page, than a large
//! message does. So a little of it stays here, for all connections of the process: what is
//! to be sent, and what is being received and not taken away by the user.

use std::sync::Mutex;

/// The most that stays, in bytes, …
const MOST: usize = 8 << 20;
/// … and in pieces: they are looked through.
const PIECES: usize = 32;

struct Pool {
    pieces: Vec<Vec<u8>>,
    /// What they hold together.
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { pieces: Vec::new(), bytes: 0 });

/// Empty memory for `len` bytes, and for `most` at most: the smallest there is, and of that the one
/// that was last in use, which the processor may still have in its cache. `None` also if
/// somebody else is at it, perhaps a thread that did not survive a fork.
pub(crate) fn take(len: usize, most: usize) -> Option<Vec<u8>> {
    let mut pool = POOL.try_lock().ok()?;
    let fits = |piece: &Vec<u8>| (len..=most).contains(&piece.capacity());
    let fitting = pool.pieces.iter().enumerate().rev().filter(|(_, piece)| fits(piece));
    let (at, _) = fitting.min_by_key(|(_, piece)| piece.capacity())?;
    let piece = pool.pieces.remove(at);
    pool.bytes -= piece.capacity();
    Some(piece)
}

/// Keeps memory for the next one. What has been here longest makes room.
pub(crate) fn give(mut piece: Vec<u8>) {
    if piece.capacity() > MOST {
        return;
    }
    piece.clear();
    if let Ok(mut pool) = POOL.try_lock() {
        while pool.bytes + piece.capacity() > MOST || pool.pieces.len() == PIECES {
            pool.bytes -= pool.pieces.remove(0).capacity();
        }
        pool.bytes += piece.capacity();
        pool.pieces.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests of this process share the pool: sizes that nobody else uses.
    const ODD: usize = 5_000_011;

    #[test]
    fn memory_comes_back_where_it_fits() {
        give(Vec::with_capacity(ODD));
        assert!(take(ODD + 1, ODD + 9).is_none());
        assert!(take(9, ODD - 1).is_none_or(|other| other.capacity() < ODD));
        if let Some(piece) = take(ODD - 9, ODD) {
            assert_eq!((piece.len(), piece.capacity()), (0, ODD));
        }
    }

    #[test]
    fn no_more_than_the_most_stays() {
        for _ in 0..20 {
            give(vec![7; 1 << 20]);
        }
        give(Vec::with_capacity(MOST + 1));
        for _ in 0..2 * PIECES {
            give(vec![7; 8 << 10]);
        }
        let pool = POOL.lock().unwrap();
        assert!(pool.bytes <= MOST && pool.pieces.len() <= PIECES);
        assert_eq!(pool.bytes, pool.pieces.iter().map(Vec::capacity).sum());
        assert!(pool.pieces.iter().all(Vec::is_empty));
    }
}
