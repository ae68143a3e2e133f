//! The sending half of a [`Driver`]: what finds room goes out at once, what does not waits in line.
//!
//! **Nothing overtakes**, except what an `on_open` sends that is not over: it precedes
//! everything, also what waits for room.

use std::sync::atomic::Ordering;

use longwire::{ErrorKind, Sent};
use pyo3::intern;
use pyo3::prelude::*;

use crate::awaitable::Send;
use crate::driver::Driver;
use crate::error;
use crate::fragments::Step;
use crate::message::Outgoing;

/// Sends that wait for room look again after so many seconds while the
/// descriptor is not watched, since no `Drain` can be seen then.
const RETRY: f64 = 0.05;

impl Driver {
    /// Sends now. `Ok(false)`: nothing of it was taken, and what becomes of it
    /// shows when there is room, or when a connection that is ending has ended.
    pub(crate) fn try_send(slf: &Bound<'_, Self>, outgoing: &Outgoing) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let ahead = this.is_opening(py)?;
        if !this.on_loop_thread() {
            return match outgoing.send(py, &this.client, ahead) {
                Ok(()) => Ok(true),
                Err(failure) => Err(this.raise(py, &failure)),
            };
        }
        match outgoing.send_in_turn(py, &this.client, ahead) {
            Ok(Sent::Done) => Ok(true),
            Ok(Sent::Deferred) => {
                if !std::mem::replace(&mut this.lock(py).flush_scheduled, true) {
                    let flush = slf.getattr(intern!(py, "flush"))?;
                    this.event_loop.bind(py).call_method1(intern!(py, "call_soon"), (flush,))?;
                }
                Ok(true)
            }
            Err(failure) => this.wait_or_raise(py, &failure, ahead).map(|()| false),
        }
    }

    /// Takes a step of a message in fragments. `Ok(None)`: as for [`Driver::try_send`], or
    /// until another such message is over.
    pub(crate) fn try_step(slf: &Bound<'_, Self>, step: &Step) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let ahead = this.is_opening(py)?;
        match step.run(py, &this.client, ahead)? {
            Ok(result) => Ok(Some(result)),
            Err(failure) => this.wait_or_raise(py, &failure, ahead).map(|()| None),
        }
    }

    /// Raises, unless a send that failed like this is worth waiting for. Not if others wait for
    /// the end of `on_open`, to which it belongs.
    fn wait_or_raise(
        &self,
        py: Python<'_>,
        failure: &longwire::Error,
        ahead: bool,
    ) -> PyResult<()> {
        let ending = match failure.kind() {
            ErrorKind::Closed => true,
            // The end is on its way, and with it the reason.
            ErrorKind::Lost => !self.persistent,
            _ => false,
        };
        let state = self.lock(py);
        let worth = match failure.kind() {
            ErrorKind::Full | ErrorKind::Busy => true,
            _ => ending && state.watching && !state.finished,
        };
        drop(state);
        match worth && !ahead && !self.is_delivering() {
            true => Ok(()),
            false if ending => Err(self.raise_closed(py)),
            false => Err(self.raise(py, failure)),
        }
    }

    /// The exception for `failure`; of a closed connection it tells how it ended.
    pub(crate) fn raise(&self, py: Python<'_>, failure: &longwire::Error) -> PyErr {
        match self.owner(py) {
            Some(owner) if failure.kind() == ErrorKind::Closed => error::raise_closed(&owner),
            _ => error::raise(py, failure),
        }
    }

    /// The exception for a send that comes when the connection is ending.
    pub(crate) fn raise_closed(&self, py: Python<'_>) -> PyErr {
        let closed = "the connection is closed or closing";
        self.raise(py, &longwire::Error::new(ErrorKind::Closed, closed))
    }

    fn has_senders(&self) -> bool {
        self.unsent.load(Ordering::Relaxed) > 0
    }

    /// Whether a send of this moment has to stay behind others, that wait for room.
    pub(crate) fn would_overtake(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.has_senders() && !self.is_delivering() && !self.is_opening(py)?)
    }

    /// Keeps what was queued waiting until [`Driver::ready`]; what is sent while `is_opening()` is
    /// true precedes it. `None` if no connection has just opened.
    pub(crate) fn hold(&self, py: Python<'_>, is_opening: Py<PyAny>) -> Option<u64> {
        let hold = self.client.hold()?;
        let before = self.lock(py).opening.replace((hold, is_opening));
        drop(before);
        self.held.store(true, Ordering::Relaxed);
        Some(hold)
    }

    /// Has the queue follow.
    pub(crate) fn ready(&self, py: Python<'_>, hold: u64) {
        let over = {
            let mut state = self.lock(py);
            let over = state.opening.take_if(|(other, _)| *other == hold);
            self.held.store(state.opening.is_some(), Ordering::Relaxed);
            over
        };
        drop(over);
        self.client.ready(hold);
    }

    /// Whether this belongs to an `on_open` that is not over.
    #[inline]
    fn is_opening(&self, py: Python<'_>) -> PyResult<bool> {
        if self.held.load(Ordering::Relaxed) { self.ask_whether_opening(py) } else { Ok(false) }
    }

    #[cold]
    fn ask_whether_opening(&self, py: Python<'_>) -> PyResult<bool> {
        let opening = self.lock(py).opening.as_ref().map(|(_, ask)| ask.clone_ref(py));
        opening.map_or(Ok(false), |ask| ask.bind(py).call0()?.is_truthy())
    }

    /// Puts a send behind the others that wait, or before them if they wait for its end.
    pub(crate) fn add_sender(&self, sender: &Bound<'_, Send>, precedes: bool) {
        let mut state = self.lock(sender.py());
        let sender = sender.clone().unbind();
        if precedes {
            state.senders.push_front(sender);
        } else {
            state.senders.push_back(sender);
        }
    }

    pub(crate) fn is_first_sender(&self, sender: &Bound<'_, Send>) -> bool {
        self.lock(sender.py()).senders.front().is_some_and(|first| first.is(sender))
    }

    pub(crate) fn forget_sender(&self, sender: &Bound<'_, Send>) {
        let mut state = self.lock(sender.py());
        let found = state.senders.iter().position(|other| other.is(sender));
        let removed = found.and_then(|index| state.senders.remove(index));
        drop(state);
        drop(removed);
    }

    /// The one that had its turn gave up: another one has it now.
    pub(crate) fn wake_senders_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop.bind(py);
        if !slf.get().has_senders()
            || event_loop.call_method0(intern!(py, "is_closed"))?.is_truthy()?
        {
            return Ok(());
        }
        let retry = slf.getattr(intern!(py, "retry"))?;
        event_loop.call_method1(intern!(py, "call_soon"), (retry,)).map(drop)
    }

    /// Looks after waiting sends and questions by the clock while neither `Drain` nor a question can
    /// be seen.
    pub(crate) fn schedule_retry(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        {
            let mut state = slf.get().lock(py);
            let asks = slf.get().asks && !state.finished;
            if state.watching || state.retry_scheduled || (state.senders.is_empty() && !asks) {
                return Ok(());
            }
            state.retry_scheduled = true;
        }
        let retry = slf.getattr(intern!(py, "retry"))?;
        let event_loop = slf.get().event_loop.bind(py);
        event_loop.call_method1(intern!(py, "call_later"), (RETRY, retry)).map(drop)
    }

    /// Wakes the sends that wait, one after another, as long as each of them
    /// finds room. The caller is a callback of the event loop and no task.
    pub(crate) fn wake_senders(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut woken: Option<Py<Send>> = None;
        loop {
            let first = slf.get().lock(py).senders.front().map(|sender| sender.clone_ref(py));
            let Some(first) = first else { return Ok(()) };
            if woken.is_some_and(|woken| woken.is(&first)) {
                return Ok(());
            }
            Send::wake(first.bind(py))?;
            woken = Some(first);
        }
    }
}
