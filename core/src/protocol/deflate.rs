//! permessage-deflate (RFC 7692): the payload of a message as a raw deflate
//! stream (RFC 1951) whose last four bytes are left out.
//!
//! **Compressing all fragments of a message and decompressing them, however
//! both are cut, gives the message back. Decompressing allocates for what came
//! out, never for what was announced.**
//!
//! A context takes memory: about 380 KB to compress with the largest window
//! (165 KB with 12 bits and memory level 5), 48 KB to decompress. None is made before the first
//! compressed message. Where contexts are not taken over from message to message
//! a connection has one only while a message is under way; they go back to
//! a pool that all connections of the process share.

use std::mem::MaybeUninit;
use std::sync::Mutex;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::violation::Violation;
use crate::options::Compression;

/// What a sync flush ends with, and a message leaves out (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The header of an empty stored block, which is all of an empty message that
/// the tail does not have (section 7.2.3.6).
const EMPTY: u8 = 0x00;

/// Everything is decompressed with the largest window: it serves the smaller
/// ones as well, and zlib's idea of a window of 256 bytes does not.
const WINDOW: u8 = 15;

/// Memory for output grows by at least this much.
const STEP: usize = 1024;

/// Contexts kept for whoever needs one next, of each sort.
const POOLED: usize = 4;

/// Output memory that a context keeps.
const KEPT: usize = 16 << 10;

/// What both sides agreed on in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// We compress each message by itself.
    pub client_no_context_takeover: bool,
    /// The server does.
    pub server_no_context_takeover: bool,
    /// The largest window we may compress with: 8 to 15.
    pub client_max_window_bits: u8,
}

/// Decompresses the messages of one connection.
pub struct Inflater {
    context: Option<Inflate>,
    takeover: bool,
    /// Nothing came since the message began, or since a last block.
    complete: bool,
    /// Bytes before and after, since they were last asked for.
    totals: (u64, u64),
}

static INFLATES: Mutex<Vec<Inflate>> = Mutex::new(Vec::new());

impl Inflater {
    /// For a server that keeps to `agreement`.
    pub fn new(agreement: &Agreement) -> Inflater {
        Inflater {
            context: None,
            takeover: !agreement.server_no_context_takeover,
            complete: true,
            totals: (0, 0),
        }
    }

    /// How many bytes came since the last call, and what they were before the server compressed
    /// them.
    pub fn take_totals(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.totals)
    }

    /// Decompresses the front of `input`, until all of it is taken or `out` is `most` bytes
    /// long. In the latter case there may be more to come even without input.
    pub fn inflate(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Violation> {
        let context = self.context.get_or_insert_with(|| {
            take(&INFLATES, |_| true).unwrap_or_else(|| Inflate::new(false, WINDOW))
        });
        while out.len() < most {
            if out.capacity() == out.len() {
                let step = STEP.max(input.len().saturating_mul(2)).min(most - out.len());
                out.try_reserve(step).map_err(|_| no_memory(step))?;
            }
            let room = out.spare_capacity_mut();
            let room = room.len().min(most - out.len());
            let (before, produced) = (context.total_in(), context.total_out());
            let spare = &mut out.spare_capacity_mut()[..room];
            let status = context.decompress_uninit(input, spare, InflateFlush::SyncFlush);
            let taken = (context.total_in() - before) as usize;
            let produced = (context.total_out() - produced) as usize;
            *input = &input[taken..];
            self.totals.0 += taken as u64;
            self.totals.1 += produced as u64;
            // SAFETY: zlib-rs wrote the first `produced` bytes of `spare`,
            // which begins behind the last byte of `out`.
            unsafe { out.set_len(out.len() + produced) };
            // What came out before the error stays: it was there first.
            let status = status.map_err(|error| broken(error.as_str()))?;
            self.complete = status == Status::StreamEnd || self.complete && taken == 0;
            if status == Status::StreamEnd {
                // A last block; what follows is another stream (section 7.2.3.4).
                context.reset(false);
            } else if input.is_empty() && produced < room {
                break;
            } else if taken == 0 && produced == 0 {
                return Err(broken("no progress"));
            }
        }
        Ok(())
    }

    /// The message has ended, and all that was in it has come out.
    pub fn finish(&mut self) -> Result<(), Violation> {
        // A last block needs no tail; some servers leave out what makes room
        // for one, or send nothing at all for an empty message.
        if !std::mem::replace(&mut self.complete, true) {
            self.end_block()?;
        }
        if !self.takeover
            && let Some(mut context) = self.context.take()
        {
            context.reset(false);
            give(&INFLATES, context);
        }
        Ok(())
    }

    /// Has the tail end the block that the message broke off in.
    fn end_block(&mut self) -> Result<(), Violation> {
        let Some(context) = &mut self.context else { return Ok(()) };
        // With `Block` zlib stops between two blocks. A message that was cut short
        // is inside one even behind the tail: it takes the byte too many as
        // well, or makes output of all this.
        let [a, b, c, d] = TAIL;
        let mut out = [MaybeUninit::uninit()];
        let (before, produced) = (context.total_in(), context.total_out());
        context
            .decompress_uninit(&[a, b, c, d, 0], &mut out, InflateFlush::Block)
            .map_err(|error| broken(error.as_str()))?;
        if (context.total_in() - before, context.total_out() - produced) != (4, 0) {
            return Err(broken("its last block has no end"));
        }
        Ok(())
    }
}

/// Compresses the messages of one connection.
pub struct Deflater {
    sort: Sort,
    threshold: usize,
    takeover: bool,
    context: Option<Context>,
}

/// Contexts of the same sort can stand in for each other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sort {
    window_bits: u8,
    level: u8,
    memory_level: u8,
}

struct Context {
    sort: Sort,
    deflate: Deflate,
    out: Vec<u8>,
}

static CONTEXTS: Mutex<Vec<Context>> = Mutex::new(Vec::new());

impl Deflater {
    /// For what was agreed on; `None` if we may compress only with a window of
    /// 256 bytes, which zlib cannot.
    pub fn new(options: &Compression, agreement: &Agreement) -> Option<Deflater> {
        let sort = Sort {
            window_bits: agreement.client_max_window_bits,
            level: options.level,
            memory_level: options.memory_level,
        };
        (sort.window_bits > 8).then_some(Deflater {
            sort,
            threshold: options.threshold,
            takeover: !agreement.client_no_context_takeover,
            context: None,
        })
    }

    /// Whether a message of `len` bytes is worth it.
    pub fn is_worth(&self, len: usize) -> bool {
        len >= self.threshold
    }

    /// Hands the payload of one frame that is a whole message to `take`, compressed; `None` if
    /// `payload` is not longer as it is.
    pub fn message<R>(&mut self, payload: &[u8], take: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let takeover = self.takeover;
        self.fragment(payload, true, |compressed| {
            // A context that the server follows has seen the payload.
            take((takeover || compressed.len() < payload.len()).then_some(compressed))
        })
    }

    /// Hands the payload of the next frame of a message to `take`, compressed.
    pub fn fragment<R>(&mut self, payload: &[u8], last: bool, take: impl FnOnce(&[u8]) -> R) -> R {
        let sort = self.sort;
        let context = self.context.get_or_insert_with(|| Context::get(sort));
        context.flush(payload);
        if last {
            match context.out.strip_suffix(&TAIL) {
                Some(stripped) => context.out.truncate(stripped.len()),
                // Nothing has come since the last flush.
                None => context.out.push(EMPTY),
            }
        }
        let result = take(&context.out);
        context.out.clear();
        context.out.shrink_to(KEPT);
        if last
            && !self.takeover
            && let Some(mut context) = self.context.take()
        {
            context.deflate.reset();
            give(&CONTEXTS, context);
        }
        result
    }
}

impl Context {
    fn get(sort: Sort) -> Context {
        take(&CONTEXTS, |context| context.sort == sort).unwrap_or_else(|| {
            let config = DeflateConfig {
                level: sort.level.into(),
                // Negative for a raw stream.
                window_bits: -i32::from(sort.window_bits),
                mem_level: sort.memory_level.into(),
                ..DeflateConfig::default()
            };
            Context { sort, deflate: Deflate::new_with_config(config), out: Vec::new() }
        })
    }

    /// Compresses `input` into `out`, to the last byte.
    fn flush(&mut self, mut input: &[u8]) {
        loop {
            self.out.reserve(STEP.max(input.len() / 4));
            let (before, written) = (self.deflate.total_in(), self.deflate.total_out());
            let spare: &mut [MaybeUninit<u8>] = self.out.spare_capacity_mut();
            let room = spare.len();
            let status = self.deflate.compress_uninit(input, spare, DeflateFlush::SyncFlush);
            debug_assert!(status.is_ok(), "{status:?}");
            let taken = (self.deflate.total_in() - before) as usize;
            let written = (self.deflate.total_out() - written) as usize;
            input = &input[taken..];
            // SAFETY: zlib-rs wrote the first `written` bytes of `spare`, which
            // begins behind the last byte of `out`.
            unsafe { self.out.set_len(self.out.len() + written) };
            if input.is_empty() && written < room {
                return;
            }
        }
    }
}

/// A pooled context. A pool that is in use, perhaps by a thread that did not
/// survive a fork, is passed over.
fn take<T>(pool: &Mutex<Vec<T>>, fits: impl FnMut(&T) -> bool) -> Option<T> {
    let mut pool = pool.try_lock().ok()?;
    let at = pool.iter().position(fits)?;
    Some(pool.swap_remove(at))
}

fn give<T>(pool: &Mutex<Vec<T>>, context: T) {
    if let Ok(mut pool) = pool.try_lock() {
        if pool.len() == POOLED {
            pool.remove(0);
        }
        pool.push(context);
    }
}

#[cold]
fn broken(why: &str) -> Violation {
    Violation::protocol(format!("expected a compressed message (RFC 7692), got other bytes: {why}"))
}

#[cold]
fn no_memory(bytes: usize) -> Violation {
    Violation::too_big(format!("no memory for {bytes} bytes of a compressed message"))
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGREED: Agreement = Agreement {
        client_no_context_takeover: false,
        server_no_context_takeover: false,
        client_max_window_bits: 15,
    };

    fn inflated(inflater: &mut Inflater, mut bytes: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        inflater.inflate(&mut bytes, &mut out, 1 << 20)?;
        inflater.finish()?;
        Ok(out)
    }

    fn message(deflater: &mut Deflater, payload: &[u8]) -> Option<Vec<u8>> {
        deflater.message(payload, |compressed| compressed.map(<[u8]>::to_vec))
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // Section 7.2.3.1 to 7.2.3.6.
        let mut inflater = Inflater::new(&AGREED);
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflated(&mut inflater, &hello).unwrap(), b"Hello");
        let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(inflated(&mut inflater, &again).unwrap(), b"Hello", "from the window");
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(inflated(&mut inflater, &stored).unwrap(), b"Hello", "not compressed");
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(inflated(&mut inflater, &last).unwrap(), b"Hello", "a last block");
        assert_eq!(inflated(&mut inflater, &last[..7]).unwrap(), b"Hello", "nothing behind it");
        let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflated(&mut inflater, &two).unwrap(), b"Hello", "two blocks");
        assert_eq!(inflated(&mut inflater, &[EMPTY]).unwrap(), b"");
    }

    #[test]
    fn a_message_comes_back_with_every_agreement_in_pieces_or_not() {
        let text = "longwire, longwire, and 30 °C in the shade. ".repeat(2000);
        let text = text.as_bytes();
        for bits in 9..=15 {
            for fresh in [false, true] {
                let agreed = Agreement {
                    client_no_context_takeover: fresh,
                    server_no_context_takeover: fresh,
                    client_max_window_bits: bits,
                };
                let options = Compression { memory_level: bits - 8, ..Compression::default() };
                let mut deflater = Deflater::new(&options, &agreed).unwrap();
                let mut inflater = Inflater::new(&agreed);
                for _ in 0..3 {
                    let whole = message(&mut deflater, text).unwrap();
                    assert!(whole.len() < text.len() / 4);
                    assert_eq!(inflated(&mut inflater, &whole).unwrap(), text);
                    let mut pieces = Vec::new();
                    for piece in text.chunks(7777) {
                        deflater.fragment(piece, false, |bytes| pieces.extend_from_slice(bytes));
                    }
                    deflater.fragment(b"", true, |bytes| pieces.extend_from_slice(bytes));
                    assert_eq!(inflated(&mut inflater, &pieces).unwrap(), text);
                }
                assert_eq!(deflater.context.is_none(), fresh);
                assert_eq!(inflater.context.is_none(), fresh);
            }
        }
    }

    #[test]
    fn a_message_cut_short_anywhere_is_refused() {
        let text = "The quick brown fox jumps over the lazy dog, which does not care. ".repeat(3);
        let text = format!("{text}Sphinx of black quartz, judge my vow; pack five dozen jugs.");
        let mut deflater = Deflater::new(&Compression::default(), &AGREED).unwrap();
        let whole = message(&mut deflater, text.as_bytes()).unwrap();
        for cut in 1..whole.len() {
            let came = inflated(&mut Inflater::new(&AGREED), &whole[..cut]);
            assert!(came.is_err(), "{cut} of {} bytes: {came:?}", whole.len());
        }
    }

    #[test]
    fn an_empty_message_of_no_bytes_leaves_the_context_alone() {
        let mut inflater = Inflater::new(&AGREED);
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
        for (bytes, text) in [(&[][..], ""), (&hello, "Hello"), (&[], ""), (&again, "Hello")] {
            assert_eq!(inflated(&mut inflater, bytes).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_window_of_256_bytes_is_not_compressed_with() {
        let agreed = Agreement { client_max_window_bits: 8, ..AGREED };
        assert!(Deflater::new(&Compression::default(), &agreed).is_none());
    }

    #[test]
    fn what_does_not_shrink_is_left_alone_unless_the_server_follows() {
        let noise = [0x9d, 0x01, 0xfe, 0x6b, 0x33];
        let alone = Agreement { client_no_context_takeover: true, ..AGREED };
        let mut deflater = Deflater::new(&Compression::default(), &alone).unwrap();
        assert_eq!(message(&mut deflater, &noise), None);
        let mut deflater = Deflater::new(&Compression::default(), &AGREED).unwrap();
        let mut inflater = Inflater::new(&AGREED);
        for _ in 0..2 {
            let compressed = message(&mut deflater, &noise).unwrap();
            assert_eq!(inflated(&mut inflater, &compressed).unwrap(), noise);
            let empty = message(&mut deflater, b"").unwrap();
            assert_eq!(inflated(&mut inflater, &empty).unwrap(), b"");
        }
    }

    #[test]
    fn output_ends_where_it_has_to() {
        let mut deflater = Deflater::new(&Compression::default(), &AGREED).unwrap();
        let bomb = message(&mut deflater, &vec![0; 10 << 20]).unwrap();
        let mut inflater = Inflater::new(&AGREED);
        let (mut input, mut out) = (&bomb[..], Vec::new());
        inflater.inflate(&mut input, &mut out, 1000).unwrap();
        assert_eq!(out.len(), 1000);
        assert!(out.capacity() < 100_000);
        let mut total = 0;
        while !out.is_empty() {
            total += out.len();
            out.clear();
            inflater.inflate(&mut input, &mut out, 1000).unwrap();
        }
        inflater.finish().unwrap();
        assert_eq!((total, input.len()), (10 << 20, 0));
    }

    #[test]
    fn broken_streams_are_refused() {
        for (bytes, what) in [
            (&[0x07][..], "a reserved type of block"),
            (&[0x00, 0x05, 0x00, 0x00, 0x00], "a stored block whose length is wrong"),
            (&[0x00, 0x05, 0x00, 0xfa, 0xff, b'H', b'e'], "a stored block without its end"),
            (&[0xff; 20], "noise"),
        ] {
            let mut inflater = Inflater::new(&AGREED);
            assert!(inflated(&mut inflater, bytes).is_err(), "{what}");
        }
    }
}
