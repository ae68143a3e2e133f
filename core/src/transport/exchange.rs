//! The request out and the answer in, before there is a connection to read and
//! write: by the runtime, with waiting.

use super::link::{Got, lost, would_block};
use super::scratch;
use super::watch::Watch;
use crate::error::{Error, Result};

/// Writes all of `request`.
pub(crate) async fn write_all(ready: &Watch, mut request: &[u8]) -> Result<()> {
    let link = ready.watched();
    while !request.is_empty() || link.has_unsent() {
        match link.write(request) {
            Ok(n) => request = &request[n..],
            Err(error) if would_block(&error) => {
                ready.writable().await.map_err(|error| lost(&error))?.clear_ready();
            }
            Err(error) => return Err(scratch::with(|scratch| link.why_lost(&error, scratch))),
        }
    }
    Ok(())
}

/// Waits for bytes and hands them to `take` until that has what it wants;
/// `Ok(None)` if the peer's bytes ended first.
pub(crate) async fn read_until<T>(
    ready: &Watch,
    mut take: impl FnMut(&[u8]) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let link = ready.watched();
    let early = link.early_plaintext();
    if !early.is_empty()
        && let Some(done) = take(&early)?
    {
        return Ok(Some(done));
    }
    enum Step<T> {
        Done(T),
        Again,
        Wait,
        End,
    }
    loop {
        let step = scratch::with(|scratch| match link.read(scratch)? {
            Got::Bytes { bytes, .. } => {
                Ok::<_, Error>(take(bytes)?.map_or(Step::Again, Step::Done))
            }
            Got::Nothing => Ok(Step::Wait),
            Got::End => Ok(Step::End),
        })?;
        match step {
            Step::Done(done) => return Ok(Some(done)),
            Step::Again => {}
            Step::Wait => ready.readable().await.map_err(|error| lost(&error))?.clear_ready(),
            Step::End => return Ok(None),
        }
    }
}
