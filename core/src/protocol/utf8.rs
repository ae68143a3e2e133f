//! UTF-8 checked as it arrives, in pieces cut anywhere.
//!
//! **The first byte that no valid text could have at its place is refused by
//! the [`push`](Utf8Stream::push) that brings it**, as RFC 6455 section 8.1
//! allows and Autobahn's cases 6.4 ask for: nobody waits for the end of a
//! message that is broken already.

use simdutf8::basic;

/// The state between two pieces: the beginning of a code point, if the last
/// piece ended inside one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Stream {
    pending: [u8; 3],
    len: u8,
}

#[allow(clippy::result_unit_err)] // There is one way to fail, and the caller knows the place.
impl Utf8Stream {
    /// Checks the next piece.
    #[inline]
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ()> {
        if self.len > 0 {
            bytes = self.complete(bytes)?;
        }
        let (whole, rest) = bytes.split_at(boundary(bytes));
        basic::from_utf8(whole).map_err(|_| ())?;
        if !rest.is_empty() {
            self.keep(rest)?;
        }
        Ok(())
    }

    /// The text ends here; refused if that is inside a code point. Ready for
    /// the next text afterwards.
    #[inline]
    pub fn finish(&mut self) -> Result<(), ()> {
        let complete = self.len == 0;
        *self = Utf8Stream::default();
        if complete { Ok(()) } else { Err(()) }
    }

    /// Finishes the code point the last piece broke off in; returns what
    /// follows it.
    #[cold]
    fn complete<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ()> {
        let mut sequence = [0; 4];
        let mut len = usize::from(self.len);
        sequence[..len].copy_from_slice(&self.pending[..len]);
        for (taken, &byte) in bytes.iter().enumerate() {
            sequence[len] = byte;
            len += 1;
            match std::str::from_utf8(&sequence[..len]) {
                Ok(_) => {
                    self.len = 0;
                    return Ok(&bytes[taken + 1..]);
                }
                Err(error) if error.error_len().is_some() => return Err(()),
                Err(_) => {}
            }
        }
        self.keep(&sequence[..len])?;
        Ok(&[])
    }

    #[cold]
    fn keep(&mut self, beginning: &[u8]) -> Result<(), ()> {
        match std::str::from_utf8(beginning) {
            Err(error) if error.error_len().is_none() => {
                self.pending[..beginning.len()].copy_from_slice(beginning);
                self.len = beginning.len() as u8;
                Ok(())
            }
            _ => Err(()),
        }
    }
}

/// Where the last code point begins if `bytes` ends inside it, else the end.
#[inline]
fn boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for (i, &byte) in bytes[tail..].iter().enumerate().rev() {
        let needed = match byte {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        let start = tail + i;
        return if bytes.len() - start < needed { start } else { bytes.len() };
    }
    bytes.len()
}
