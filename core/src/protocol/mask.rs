//! Masking (RFC 6455 section 5.3), and the keys for it.
//!
//! **Every frame gets 32 fresh bits that nobody can predict**: a page that
//! chooses the payload must not choose what goes over the wire (section
//! 10.3). Keys come from the operating system's generator, in blocks, one
//! block per thread; a forked child does not use up its parent's block.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes masked in one step; a multiple of the key's length.
const STEP: usize = 32;

/// Appends `src`, masked with `key`, to `dst`.
#[inline]
pub fn apply_copy(key: [u8; 4], src: &[u8], dst: &mut Vec<u8>) {
    dst.reserve(src.len());
    mask_into(key, src, &mut dst.spare_capacity_mut()[..src.len()]);
    // SAFETY: `reserve` made room for `src.len()` bytes behind the end, and
    // `mask_into` wrote all of them.
    unsafe { dst.set_len(dst.len() + src.len()) };
}

/// Masks or unmasks `bytes` in place.
#[inline]
pub fn apply(key: [u8; 4], bytes: &mut [u8]) {
    let (steps, tail) = bytes.as_chunks_mut::<STEP>();
    let wide = wide(key);
    for step in steps {
        *step = xor(*step, wide);
    }
    for (byte, key) in tail.iter_mut().zip(wide) {
        *byte ^= key;
    }
}

/// Writes all of `dst`, which is as long as `src`.
#[inline]
fn mask_into(key: [u8; 4], src: &[u8], dst: &mut [MaybeUninit<u8>]) {
    assert_eq!(src.len(), dst.len());
    let (src_steps, src_tail) = src.as_chunks::<STEP>();
    let (dst_steps, dst_tail) = dst.as_chunks_mut::<STEP>();
    let wide = wide(key);
    for (src, dst) in src_steps.iter().zip(dst_steps) {
        *dst = xor(*src, wide).map(MaybeUninit::new);
    }
    for ((src, dst), key) in src_tail.iter().zip(dst_tail).zip(wide) {
        dst.write(src ^ key);
    }
}

#[inline]
fn wide(key: [u8; 4]) -> [u8; STEP] {
    std::array::from_fn(|i| key[i % key.len()])
}

#[inline]
fn xor(bytes: [u8; STEP], key: [u8; STEP]) -> [u8; STEP] {
    std::array::from_fn(|i| bytes[i] ^ key[i])
}

/// How many keys are fetched at once.
const BLOCK: usize = 256;

/// Grows in every forked child; a block of an older generation is the
/// parent's.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Keys that no frame has used.
struct Keys {
    block: [[u8; 4]; BLOCK],
    left: usize,
    generation: u32,
}

thread_local! {
    static KEYS: RefCell<Keys> = const {
        RefCell::new(Keys { block: [[0; 4]; BLOCK], left: 0, generation: 0 })
    };
}

/// A key for one frame.
///
/// # Panics
///
/// If the operating system has no random bytes to give: nothing
/// unpredictable could be sent.
#[inline]
pub fn next_key() -> [u8; 4] {
    // The block has nothing to drop and nobody calls back while it is
    // borrowed; should it be out of reach all the same, the key comes
    // straight from the source.
    let key = KEYS.try_with(|keys| keys.try_borrow_mut().ok().map(|mut keys| keys.next()));
    match key {
        Ok(Some(key)) => key,
        _ => {
            let mut key = [[0; 4]];
            fill(&mut key);
            key[0]
        }
    }
}

/// To be called in a forked child, whose blocks are copies of its parent's.
/// Safe in an atfork handler: it only touches an atomic.
pub fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

impl Keys {
    #[inline]
    fn next(&mut self) -> [u8; 4] {
        let generation = GENERATION.load(Ordering::Relaxed);
        if self.left == 0 || self.generation != generation {
            self.refill(generation);
        }
        self.left -= 1;
        self.block[self.left]
    }

    #[cold]
    fn refill(&mut self, generation: u32) {
        self.left = 0;
        fill(&mut self.block);
        self.left = BLOCK;
        self.generation = generation;
    }
}

fn fill(keys: &mut [[u8; 4]]) {
    if let Err(error) = getrandom::fill(keys.as_flattened_mut()) {
        panic!("the operating system gives no random bytes: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Tests that count on the generation, which is the process's.
    static GENERATIONS: Mutex<()> = Mutex::new(());

    fn naive(key: [u8; 4], bytes: &[u8]) -> Vec<u8> {
        bytes.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
    }

    #[test]
    fn masking_is_the_same_at_every_length_and_place() {
        let key = [0x37, 0xFA, 0x21, 0x3D];
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        for len in (0..200).chain([999, 1000]) {
            for start in [0, 1, 3].into_iter().filter(|start| *start <= len) {
                let src = &bytes[start..len];
                let wanted = naive(key, src);
                let mut copied = b"before".to_vec();
                apply_copy(key, src, &mut copied);
                assert_eq!(copied[..6], *b"before");
                assert_eq!(copied[6..], wanted, "{start}..{len}");
                let mut in_place = src.to_vec();
                apply(key, &mut in_place);
                assert_eq!(in_place, wanted, "{start}..{len}");
            }
        }
    }

    #[test]
    fn masking_twice_gives_the_bytes_back() {
        let mut bytes = b"Hello, and a little more than one step of them".to_vec();
        apply([1, 2, 3, 4], &mut bytes);
        assert_ne!(bytes[..5], *b"Hello");
        apply([1, 2, 3, 4], &mut bytes);
        assert_eq!(bytes[..5], *b"Hello");
    }

    #[test]
    fn keys_differ_over_blocks_and_threads() {
        let many = || (0..5 * BLOCK).map(|_| next_key()).collect::<HashSet<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(many)).collect();
        let mut all = many();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
        // 6400 random keys of 32 bits: five collisions have odds of 1e-14.
        assert!(all.len() > 25 * BLOCK - 5, "{}", all.len());
    }

    #[test]
    fn every_bit_of_a_key_is_random() {
        let (mut ones, mut zeros) = (0, 0);
        for _ in 0..100 {
            let key = u32::from_ne_bytes(next_key());
            ones |= key;
            zeros |= !key;
        }
        assert_eq!((ones, zeros), (u32::MAX, u32::MAX));
    }

    #[test]
    fn a_forked_child_does_not_use_its_parents_block() {
        let _alone = GENERATIONS.lock().unwrap_or_else(PoisonError::into_inner);
        next_key();
        let inherited = KEYS.with_borrow(|keys| keys.block[..keys.left].to_vec());
        forked();
        let taken: HashSet<_> = (0..inherited.len()).map(|_| next_key()).collect();
        let repeated = inherited.iter().filter(|key| taken.contains(*key)).count();
        assert!(repeated < 3, "{repeated} keys of the parent were used again");
    }

    #[test]
    fn keys_are_there_while_a_thread_ends() {
        struct AtEnd(Arc<Mutex<Vec<[u8; 4]>>>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                self.0.lock().unwrap().extend((0..20).map(|_| next_key()));
            }
        }
        thread_local! { static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) } }
        let taken = Arc::new(Mutex::new(Vec::new()));
        let at_end = AtEnd(taken.clone());
        std::thread::spawn(move || LAST.with(|last| *last.borrow_mut() = Some(at_end)))
            .join()
            .unwrap();
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len(), 20);
        assert!(taken.iter().collect::<HashSet<_>>().len() > 18);
    }
}
