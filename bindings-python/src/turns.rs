//! Who drives the connection of a blocking program: the threads that wait take turns.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use longwire::{Drive, ErrorKind, Event};
use pyo3::prelude::*;

use crate::reception::Source;
use crate::sync::SyncConnection;
use crate::{error, event, shutdown};

/// How long a thread waits that cannot wait on the descriptor, before it looks
/// after signals and the send buffer.
const SLICE: Duration = Duration::from_millis(50);

/// What is said to whoever waits where it cannot.
pub(crate) const INSIDE: &str = "an event handler cannot wait for its own connection";

/// The least time between two looks that sends take in passing.
const ADVANCE: Duration = Duration::from_millis(1);

/// What a thread that waits does next.
enum Role {
    Drive,
    /// Another thread drives, or nothing may be decoded: wait for a turn after this one. If
    /// nothing may be decoded, there may be a question to ask before.
    Follow {
        turns: u64,
        asks: bool,
    },
    /// This thread drives already, further up the stack.
    Inside,
}

impl SyncConnection {
    /// Drives, or waits for the thread that does, until `done` has an answer.
    /// `None` when `deadline` has passed.
    pub(crate) fn wait_for<T>(
        slf: &Bound<'_, Self>,
        deadline: Option<Instant>,
        mut done: impl FnMut(&Self) -> PyResult<Option<T>>,
    ) -> PyResult<Option<T>> {
        let py = slf.py();
        let this = slf.get();
        let mut last = false;
        loop {
            let turns = this.lock(py).turns;
            if let Some(value) = done(this)? {
                return Ok(Some(value));
            }
            if last {
                return Ok(None);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            last = left.is_some_and(|left| left.is_zero());
            match this.role(py, turns) {
                Role::Drive => Self::drive_once(slf, left)?,
                Role::Follow { turns, asks } => {
                    if asks {
                        Self::ask_once(slf)?;
                    }
                    let slice = left.map_or(SLICE, |left| left.min(SLICE));
                    py.detach(|| this.follow(turns, slice));
                    py.check_signals()?;
                }
                Role::Inside => {
                    return Err(error::raise_kind(py, ErrorKind::Busy, INSIDE));
                }
            }
        }
    }

    fn role(&self, py: Python<'_>, turns: u64) -> Role {
        let mut state = self.lock(py);
        let me = thread::current().id();
        match state.driver {
            Some(driver) if driver == me => Role::Inside,
            None if state.inbox.is_full() && self.asks && !state.finished => {
                state.driver = Some(me);
                // The turn that asking makes is none to wait for.
                Role::Follow { turns: turns + 1, asks: true }
            }
            None if !state.inbox.is_full() && !state.finished => {
                state.driver = Some(me);
                Role::Drive
            }
            _ => Role::Follow { turns, asks: false },
        }
    }

    fn follow(&self, turns: u64, slice: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.turns == turns {
            drop(self.turned.wait_timeout(state, slice));
        }
        shutdown::stay_if_over();
    }

    /// One wait on the descriptor and what came of it, as the driving thread.
    fn drive_once(slf: &Bound<'_, Self>, left: Option<Duration>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut interrupted = false;
        let waited = py.detach(|| {
            let waited = this.client.wait(left, &mut interrupted);
            shutdown::stay_if_over();
            waited
        });
        let outcome = match waited {
            Ok(true) => Self::drive(slf),
            Ok(false) => Ok(()),
            Err(failure) => Self::fail(slf, failure),
        };
        this.stop_driving(py);
        if interrupted {
            py.check_signals()?;
        }
        outcome
    }

    /// Asks what waits to be asked, and nothing else, as the driving thread.
    fn ask_once(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut outcome = Ok(());
        let asked = slf.get().client.drive_questions(&mut |event| {
            outcome = Self::tell(slf, &event);
        });
        let outcome = match asked {
            Ok(_) => outcome.and(slf.get().deliver_log(slf.as_any())),
            Err(failure) => Self::fail(slf, failure),
        };
        slf.get().stop_driving(py);
        outcome
    }

    fn stop_driving(&self, py: Python<'_>) {
        let mut state = self.lock(py);
        state.driver = None;
        state.turns += 1;
        drop(state);
        self.turned.notify_all();
    }

    fn deliver_log(&self, connection: &Bound<'_, PyAny>) -> PyResult<()> {
        self.log.as_ref().map_or(Ok(()), |log| log.deliver(connection))
    }

    fn drive(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let budget = this.lock(py).inbox.budget();
        let mut outcome = Ok(());
        let driven = this.client.drive(budget, &mut |event| {
            let delivered = match &event {
                Event::Message(message) => {
                    this.keep(py, event::entry(py, message), message.as_bytes().len())
                }
                Event::Chunk(chunk) => {
                    this.keep(py, event::chunk_entry(py, chunk), chunk.payload.len())
                }
                other => Self::tell(slf, other),
            };
            if outcome.is_ok() {
                outcome = delivered;
            }
        });
        match driven {
            Ok(Drive::Finished) => this.lock(py).finished = true,
            Ok(_) => {}
            Err(failure) => Self::fail(slf, failure)?,
        }
        outcome.and(this.deliver_log(slf.as_any()))
    }

    fn tell(slf: &Bound<'_, Self>, event: &Event<'_>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        // What led to the event was said before.
        let logged = this.deliver_log(slf.as_any());
        let mut delivered = event::deliver(slf.as_any(), event).and(logged);
        let ended = matches!(event, Event::Down(_) | Event::Closed(_));
        if ended && this.lock(py).inbox.is_unfinished() {
            // Not kept if the user closes, who wants no rest then.
            delivered = delivered.and(this.keep(py, event::cut_entry(slf.as_any(), event), 0));
        }
        if let Event::Closed(_) = event {
            this.lock(py).finished = true;
        }
        delivered
    }

    /// The client cannot be driven any more.
    fn fail(slf: &Bound<'_, Self>, failure: longwire::Error) -> PyResult<()> {
        if failure.kind() == ErrorKind::Forked {
            return Err(error::raise(slf.py(), &failure));
        }
        Self::tell(slf, &Event::Closed(&event::failed(failure)))
    }

    /// Looks after the connection in passing, for programs that only send:
    /// what was queued while the connection was down leaves after its `Open`
    /// was delivered, and that is up to somebody who drives.
    pub(crate) fn advance(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.client.buffered_amount() == 0 {
            return Ok(());
        }
        {
            let mut state = this.lock(py);
            let idle = state.driver.is_none() && !state.finished && !state.inbox.is_full();
            if !idle || state.advanced.elapsed() < ADVANCE {
                return Ok(());
            }
            state.advanced = Instant::now();
            state.driver = Some(thread::current().id());
        }
        Self::drive_once(slf, Some(Duration::ZERO))
    }
}
