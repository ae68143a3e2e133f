//! Lines of the log, on their way from wherever they arise to the host's thread.
//!
//! The runtime's thread never attaches to the interpreter, so it leaves its lines here, and
//! whoever drives hands them to the connection. **Bounded**: of more than [`MOST`] lines that nobody
//! fetches the oldest are dropped, and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use longwire::{Level, Line, Log};
use pyo3::intern;
use pyo3::prelude::*;

use crate::steering::timestamp;

/// The most lines that wait.
const MOST: usize = 256;

/// Nobody who holds its lock runs Python code or waits for the interpreter.
#[derive(Default)]
pub(crate) struct LogQueue {
    lines: Mutex<Lines>,
    /// Spares whoever drives the lock.
    waiting: AtomicBool,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    dropped: usize,
}

impl LogQueue {
    /// A queue, and the log of a client that fills it.
    pub(crate) fn new(level: Level) -> (Arc<LogQueue>, Log) {
        let queue = Arc::new(LogQueue::default());
        let filled = queue.clone();
        (queue, Log::new(level, move |line| filled.push(line)))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &Line) {
        let mut lines = self.lock();
        if lines.lines.len() == MOST {
            lines.lines.pop_front();
            lines.dropped += 1;
        }
        lines.lines.push_back(line.clone());
        self.waiting.store(true, Ordering::Release);
    }

    /// Whether there is anything to hand over.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Hands over what is there.
    pub(crate) fn deliver(&self, connection: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.is_waiting() || !self.waiting.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let Lines { lines, dropped } = std::mem::take(&mut *self.lock());
        if dropped > 0 {
            let text = format!("{dropped} earlier lines were dropped, as nobody fetched them");
            tell(connection, &Line { level: Level::Warning, time: SystemTime::now(), text })?;
        }
        lines.iter().try_for_each(|line| tell(connection, line))
    }
}

fn tell(connection: &Bound<'_, PyAny>, line: &Line) -> PyResult<()> {
    let arguments = (line.level as u8, timestamp(line.time), line.text.as_str());
    connection.call_method1(intern!(connection.py(), "_on_log"), arguments).map(drop)
}
