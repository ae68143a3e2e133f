//! What the client says about itself.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Something was lost.
    Error = 1,
    /// Something went wrong and is being dealt with.
    Warning = 2,
    /// A connection came or went.
    Info = 3,
    /// Each step.
    Debug = 4,
}

/// One line of the log. Never with credentials, and never with what messages say.
#[derive(Clone, Debug)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// When it happened.
    pub time: SystemTime,
    /// What happened.
    pub text: String,
}

type Sink = dyn Fn(&Line) + Send + Sync;

/// Where lines go: a function that is called from the runtime's thread and from those
/// that call the client, several at a time, and must not block. A panic in it is caught.
#[derive(Clone)]
pub struct Log {
    level: Level,
    sink: Arc<Sink>,
}

impl Log {
    /// Hands lines up to `level` to `sink`.
    pub fn new(level: Level, sink: impl Fn(&Line) + Send + Sync + 'static) -> Log {
        Log { level, sink: Arc::new(sink) }
    }

    pub(crate) fn write(&self, level: Level, text: impl FnOnce() -> String) {
        if level <= self.level {
            let line = Line { level, time: SystemTime::now(), text: text() };
            // A log that fails must not take along what it tells of.
            let _ = catch_unwind(AssertUnwindSafe(|| (self.sink)(&line)));
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("level", &self.level).finish_non_exhaustive()
    }
}
