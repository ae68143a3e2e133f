//! Lines of the log on their way to JavaScript.
//!
//! They come from any thread, which never waits: a client has a queue with a bound, and the first line
//! in it wakes the loop, which takes them all, at the latest with the next messages. **What finds no
//! room is counted, and the count is told.**

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use longwire::{Level, Line, Log};
use napi::sys;
use napi_derive::napi;

use crate::convert::as_milliseconds;

/// Lines of one client that wait for the loop.
const MOST: usize = 1024;

/// One line.
#[napi(object)]
pub(crate) struct NativeLine {
    /// The number of the core's `Level`.
    pub level: u8,
    /// Milliseconds since the epoch.
    pub time: f64,
    pub text: String,
}

impl From<Line> for NativeLine {
    fn from(Line { level, time, text, .. }: Line) -> NativeLine {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        NativeLine { level: level as u8, time: as_milliseconds(time), text }
    }
}

/// Has one loop come for the lines of a client.
pub(crate) struct Waker(Mutex<Option<Function>>);

struct Function(sys::napi_threadsafe_function);

// SAFETY: a threadsafe function may be called from any thread as long as it is
// not released; `Waker::end` precedes that, under the same lock.
unsafe impl Send for Function {}

impl Waker {
    pub(crate) fn new(function: sys::napi_threadsafe_function) -> Arc<Waker> {
        Arc::new(Waker(Mutex::new(Some(Function(function)))))
    }

    fn wake(&self, client: u32) {
        if let Some(Function(function)) = *lock(&self.0) {
            // SAFETY: the function is alive, see `Function`. It fails only when
            // its environment is ending.
            unsafe {
                sys::napi_call_threadsafe_function(
                    function,
                    std::ptr::without_provenance_mut(client as usize),
                    sys::ThreadsafeFunctionCallMode::nonblocking,
                );
            }
        }
    }

    /// Nobody is woken any more once this returns.
    pub(crate) fn end(&self) {
        if let Some(Function(function)) = lock(&self.0).take() {
            // SAFETY: taken, so nobody calls it.
            unsafe {
                sys::napi_release_threadsafe_function(
                    function,
                    sys::ThreadsafeFunctionReleaseMode::abort,
                );
            }
        }
    }
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    lost: u64,
}

/// The lines of one client.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Queue>);

impl Lines {
    /// The log that fills `self` and has `waker` wake its loop for `client`.
    pub(crate) fn log(self: &Arc<Self>, waker: Arc<Waker>, client: u32) -> Log {
        let lines = Arc::clone(self);
        Log::new(Level::Debug, move |line| {
            if lines.push(line) {
                waker.wake(client);
            }
        })
    }

    /// Whether it is the first one that waits.
    fn push(&self, line: &Line) -> bool {
        let mut queue = lock(&self.0);
        if queue.lines.len() == MOST {
            queue.lost += 1;
            return false;
        }
        queue.lines.push_back(line.clone());
        queue.lines.len() == 1
    }

    /// What waits, in order.
    pub(crate) fn take(&self) -> Vec<NativeLine> {
        let Queue { lines, lost } = std::mem::take(&mut *lock(&self.0));
        let lost = (lost > 0).then(|| Line {
            level: Level::Warning,
            time: SystemTime::now(),
            text: format!("{lost} lines were lost, as nobody came for them"),
        });
        lines.into_iter().chain(lost).map(NativeLine::from).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
