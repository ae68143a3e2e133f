//! Masking (RFC 6455 section 5.3).

/// Appends `src`, masked with `key`, to `dst`.
pub fn apply_copy(key: [u8; 4], src: &[u8], dst: &mut Vec<u8>) {
    let start = dst.len();
    dst.extend_from_slice(src);
    apply(key, &mut dst[start..]);
}

/// Masks or unmasks `bytes` in place.
pub fn apply(key: [u8; 4], bytes: &mut [u8]) {
    for (byte, key) in bytes.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// 32 fresh bits.
pub fn next_key() -> [u8; 4] {
    let mut key = [0; 4];
    getrandom::fill(&mut key).expect("random bytes");
    key
}

/// To be called in a forked child.
pub fn forked() {}
