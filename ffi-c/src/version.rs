//! Which library this is.

use std::ffi::{CStr, c_char};

/// The version of this header, major << 16 | minor << 8 | patch.
pub const LW_VERSION_NUMBER: u32 = 0x000100;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };

/// The version of the library that is loaded, such as "0.1.0". Any thread;
/// never NULL, never freed.
#[unsafe(no_mangle)]
pub extern "C" fn lw_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the library that is loaded, to be compared with
/// LW_VERSION_NUMBER, the version the program was compiled with. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn lw_version_number() -> u32 {
    LW_VERSION_NUMBER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_version_of_the_package() {
        let [major, minor, patch] = [2, 1, 0].map(|i| LW_VERSION_NUMBER >> (8 * i) & 0xff);
        assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
        assert_eq!(VERSION.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    }
}
