//! Randomness of the operating system, which the simulation replaces.

/// Bytes that nobody can predict.
///
/// # Panics
///
/// If the operating system has none to give.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no random bytes: {error}");
    }
    bytes
}
