//! How a target reads its parameters from the front of the fuzzer's bytes.
//!
//! What is missing is read as zero, so that every input means something and
//! stays the same when bytes are cut from its end.

/// Takes `N` bytes from the front.
pub fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let n = data.len().min(N);
    taken[..n].copy_from_slice(&data[..n]);
    *data = &data[n..];
    taken
}

/// A stream cut into pieces, many of them short, by a seed.
pub struct Pieces<'a> {
    rest: &'a [u8],
    seed: u32,
}

impl<'a> Pieces<'a> {
    pub fn new(stream: &'a [u8], seed: [u8; 2]) -> Self {
        // xorshift stays at zero forever.
        Pieces { rest: stream, seed: u32::from(u16::from_be_bytes(seed)) | 0x1_0000 }
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        self.seed % bound
    }

    /// What has not come yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // One length for each order of magnitude, and now and then nothing.
        let magnitude = self.below(16);
        let length = self.below(1 << magnitude) as usize;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
