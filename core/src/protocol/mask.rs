//! Masking (RFC 6455 section 5.3), and the keys for it.
//!
//! **Every frame gets 32 fresh bits that nobody can predict**: a page that
//! chooses the payload must not choose what goes over the wire (section
//! 10.3). Each thread has a ChaCha20 generator seeded by the operating system; a
//! forked child seeds its own anew instead of repeating its parent's keys. A connection draws
//! some at a time.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::entropy::random;

/// Bytes masked in one step, and at the end in smaller ones; multiples of the key's length.
const STEP: usize = 32;
const WORD: usize = 8;

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
    let wide = wide(key);
    let (steps, rest) = bytes.as_chunks_mut::<STEP>();
    for step in steps {
        *step = xor(*step, wide);
    }
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    for word in words {
        *word = xor(*word, wide);
    }
    for (byte, key) in tail.iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= key;
    }
}

/// Writes all of `dst`, which is as long as `src`.
#[inline]
fn mask_into(key: [u8; 4], src: &[u8], dst: &mut [MaybeUninit<u8>]) {
    assert_eq!(src.len(), dst.len());
    let wide = wide(key);
    let (src_steps, src_rest) = src.as_chunks::<STEP>();
    let (dst_steps, _) = dst.as_chunks_mut::<STEP>();
    for (src, dst) in src_steps.iter().zip(dst_steps) {
        *dst = xor(*src, wide).map(MaybeUninit::new);
    }
    if src_rest.is_empty() {
        return;
    }
    if let (Some(src_end), Some(dst_end)) = (src.last_chunk::<STEP>(), dst.last_chunk_mut::<STEP>())
    {
        // A step that overlaps the last one writes the same there once more.
        let turned = wide.rotate_right(8 * (src.len() % key.len()) as u32);
        *dst_end = xor(*src_end, turned).map(MaybeUninit::new);
        return;
    }
    let (src_words, src_tail) = src.as_chunks::<WORD>();
    let (dst_words, dst_tail) = dst.as_chunks_mut::<WORD>();
    for (src, dst) in src_words.iter().zip(dst_words) {
        *dst = xor(*src, wide).map(MaybeUninit::new);
    }
    for ((src, dst), key) in src_tail.iter().zip(dst_tail).zip(wide.to_le_bytes()) {
        dst.write(src ^ key);
    }
}

/// The key, over and over, from the lowest byte on.
#[inline]
fn wide(key: [u8; 4]) -> u64 {
    let key = u64::from(u32::from_le_bytes(key));
    key << 32 | key
}

#[inline]
fn xor<const N: usize>(mut bytes: [u8; N], key: u64) -> [u8; N] {
    for word in bytes.as_chunks_mut::<WORD>().0 {
        *word = (u64::from_le_bytes(*word) ^ key).to_le_bytes();
    }
    bytes
}

/// Grows in every forked child; a generator of an older generation is a copy
/// of the parent's.
static GENERATION: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static KEYS: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

/// A key for one frame.
///
/// # Panics
///
/// If the operating system has no random bytes to give: nothing
/// unpredictable could be sent.
#[inline]
pub fn next_key() -> [u8; 4] {
    with_generator(|generator| generator.next_u32().to_ne_bytes()).unwrap_or_else(random)
}

/// `None` if the thread's generator is out of reach. Nobody calls back while it is borrowed, and it
/// outlives whatever else the thread drops at its end; but should it happen, keys come straight from
/// the operating system.
#[inline]
fn with_generator<T>(draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> Option<T> {
    let result = KEYS.try_with(|keys| Some(drawn(&mut *keys.try_borrow_mut().ok()?, draw)));
    result.ok().flatten()
}

/// To be called in a forked child, whose generators are copies of its
/// parent's. Safe in an atfork handler: it only touches an atomic.
pub fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A thread's source of keys. ChaCha20 costs a tenth of a system call per
/// kilobyte, and has no frame wait for one.
struct Keys {
    generator: ChaCha20Rng,
    generation: u32,
}

#[inline]
fn drawn<T>(keys: &mut Option<Keys>, draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
    let generation = GENERATION.load(Ordering::Relaxed);
    let keys = match keys {
        Some(keys) if keys.generation == generation => keys,
        _ => seeded(keys, generation),
    };
    draw(&mut keys.generator)
}

#[cold]
fn seeded(keys: &mut Option<Keys>, generation: u32) -> &mut Keys {
    keys.insert(Keys { generator: ChaCha20Rng::from_seed(random()), generation })
}

/// Keys for frames to come: to look up the thread's generator costs more than to draw from it.
#[derive(Default)]
pub struct Supply {
    keys: [[u8; 4]; 16],
    left: usize,
    /// A forked child draws anew.
    generation: u32,
}

impl Supply {
    /// As [`next_key`].
    #[inline]
    pub fn take(&mut self) -> [u8; 4] {
        let generation = GENERATION.load(Ordering::Relaxed);
        if self.left == 0 || self.generation != generation {
            self.draw(generation);
        }
        self.left -= 1;
        self.keys[self.left % self.keys.len()]
    }

    #[cold]
    fn draw(&mut self, generation: u32) {
        self.generation = generation;
        let drawn = self.keys.as_flattened_mut();
        match with_generator(|generator| generator.fill_bytes(drawn)) {
            Some(()) => {}
            None => self.keys = std::array::from_fn(|_| random()),
        }
        self.left = self.keys.len();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex};

    use super::*;

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
    fn keys_differ_over_threads() {
        let many = || (0..1000).map(|_| next_key()).collect::<HashSet<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(many)).collect();
        let mut all = many();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
        // Of 5000 random keys, five collide with odds of 1e-15.
        assert!(all.len() > 4995, "{}", all.len());
    }

    #[test]
    fn every_bit_of_a_key_is_random() {
        let mut supply = Supply::default();
        every_bit_is_random(next_key);
        every_bit_is_random(|| supply.take());
    }

    #[test]
    fn a_supply_gives_no_key_twice() {
        let mut supplies = [Supply::default(), Supply::default()];
        let all: HashSet<_> = (0..2000).map(|i| supplies[i % 2].take()).collect();
        assert!(all.len() > 1997, "{}", all.len());
    }

    fn every_bit_is_random(mut next: impl FnMut() -> [u8; 4]) {
        let (mut ones, mut zeros) = (0, 0);
        for _ in 0..100 {
            let key = u32::from_ne_bytes(next());
            ones |= key;
            zeros |= !key;
        }
        assert_eq!((ones, zeros), (u32::MAX, u32::MAX));
    }

    #[test]
    fn a_forked_child_does_not_repeat_its_parents_keys() {
        let mut supply = Supply::default();
        supply.take();
        let kept: HashSet<_> = supply.keys.into_iter().collect();
        let parents = KEYS.with_borrow_mut(|keys| {
            let keys = keys.as_mut().unwrap();
            let mut copy = ChaCha20Rng::deserialize_state(&keys.generator.serialize_state());
            (0..100).map(|_| copy.next_u32().to_ne_bytes()).collect::<HashSet<_>>()
        });
        forked();
        let repeated = (0..100).filter(|_| kept.contains(&supply.take())).count();
        assert!(repeated < 3, "{repeated} keys that the parent had drawn were used again");
        let repeated = (0..100).filter(|_| parents.contains(&next_key())).count();
        assert!(repeated < 3, "{repeated} keys of the parent were used again");
    }

    #[test]
    fn keys_are_there_while_a_thread_ends() {
        struct AtEnd(Arc<Mutex<Vec<[u8; 4]>>>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                let mut supply = Supply::default();
                let mut taken = self.0.lock().unwrap();
                taken.extend((0..20).flat_map(|_| [next_key(), supply.take()]));
            }
        }
        thread_local! { static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) } }
        let taken = Arc::new(Mutex::new(Vec::new()));
        let at_end = AtEnd(taken.clone());
        std::thread::spawn(move || LAST.with(|last| *last.borrow_mut() = Some(at_end)))
            .join()
            .unwrap();
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len(), 40);
        assert!(taken.iter().collect::<HashSet<_>>().len() > 37);
    }
}
