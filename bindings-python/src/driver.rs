//! Drives a client from an asyncio event loop.
//!
//! The [`Driver`] is what the loop calls when the descriptor is readable. It
//! knows its connection only weakly: a connection that nobody refers to is
//! collected although the loop still watches its descriptor.
//!
//! Only the loop's thread drives. The state is behind a lock all the same,
//! since a finalizer may run on any thread.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longwire::{Client, Drive, ErrorKind, Event};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::awaitable::Send;
use crate::config::Config;
use crate::event;
use crate::inbox::{Inbox, Popped};
use crate::log::LogQueue;
use crate::on_message::Batch;
use crate::reception::{self, Source, Want};
use crate::waiter::Waiter;

/// So many seconds a task may take with the last messages before the
/// connection ends behind its back.
const PATIENCE: f64 = 0.1;

#[pyclass(frozen, module = "longwire._longwire")]
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) event_loop: Py<PyAny>,
    thread: libc::pthread_t,
    fd: RawFd,
    /// Whether another connection follows one that is lost.
    pub(crate) persistent: bool,
    /// Whether there are hooks to ask.
    pub(crate) asks: bool,
    /// Whether somebody watches over the program's taking messages.
    watched_over: bool,
    log: Option<Arc<LogQueue>>,
    /// Messages go to `on_message`.
    pub(crate) calls_back: bool,
    pub(crate) delivering: AtomicBool,
    /// The user closes: `on_message` gets nothing any more.
    pub(crate) closing: AtomicBool,
    /// An `on_open` is not over: sends may be its.
    pub(crate) held: AtomicBool,
    /// Sends that found no room and are not over, awaited or not: nothing may
    /// overtake them.
    pub(crate) unsent: AtomicUsize,
    state: Mutex<State>,
}

pub(crate) struct State {
    inbox: Inbox,
    /// The connection, once it is watched.
    owner: Option<Py<PyWeakrefReference>>,
    /// Whether the loop watches the descriptor.
    pub(crate) watching: bool,
    /// The end of the connection waits for a task that deals with its last messages.
    end_put_off: bool,
    receiver: Option<Py<Waiter>>,
    /// Sends that wait for room, first come first served.
    pub(crate) senders: VecDeque<Py<Send>>,
    /// The hold of the `on_open` that is not over, and what tells whether a send is its.
    pub(crate) opening: Option<(u64, Py<PyAny>)>,
    drained: bool,
    pub(crate) retry_scheduled: bool,
    pub(crate) flush_scheduled: bool,
    /// No event will ever come.
    pub(crate) finished: bool,
}

impl Driver {
    pub(crate) fn new(
        client: Client,
        event_loop: Py<PyAny>,
        config: &Config,
        calls_back: bool,
    ) -> Result<Driver, longwire::Error> {
        let fd = client.poll_fd()?;
        let Config { inner: config, log } = config;
        Ok(Driver {
            client,
            event_loop,
            // SAFETY: always succeeds.
            thread: unsafe { libc::pthread_self() },
            fd,
            persistent: config.reconnect.is_some(),
            asks: config.before_connect || config.should_reconnect,
            watched_over: config.consumer_timeout.is_some(),
            log: log.clone(),
            calls_back,
            delivering: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            held: AtomicBool::new(false),
            unsent: AtomicUsize::new(0),
            state: Mutex::new(State {
                inbox: Inbox::new(config),
                owner: None,
                watching: false,
                end_put_off: false,
                receiver: None,
                senders: VecDeque::new(),
                opening: None,
                drained: false,
                retry_scheduled: false,
                flush_scheduled: false,
                finished: false,
            }),
        })
    }

    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn on_loop_thread(&self) -> bool {
        // SAFETY: always succeeds.
        self.thread == unsafe { libc::pthread_self() }
    }

    /// Whether an event handler is running, which cannot wait.
    pub(crate) fn is_delivering(&self) -> bool {
        self.delivering.load(Ordering::Relaxed)
    }

    pub(crate) fn is_finished(&self, py: Python<'_>) -> bool {
        self.lock(py).finished
    }

    /// Has the loop watch the descriptor on behalf of `owner`.
    pub(crate) fn start(slf: &Bound<'_, Self>, owner: &Bound<'_, PyAny>) -> PyResult<()> {
        let weak = PyWeakrefReference::new(owner)?.unbind();
        slf.get().lock(slf.py()).owner = Some(weak);
        Self::watch(slf)
    }

    /// Goes on with the connection's end once a task asks for the next message,
    /// and so has replied to those before it, or after a moment.
    fn put_end_off(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        Self::unwatch(slf)?;
        slf.get().lock(py).end_put_off = true;
        let watch = slf.getattr(intern!(py, "watch_again"))?;
        let event_loop = slf.get().event_loop.bind(py);
        event_loop.call_method1(intern!(py, "call_later"), (PATIENCE, watch)).map(drop)
    }

    fn watch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        {
            let mut state = slf.get().lock(py);
            if state.watching || state.finished {
                return Ok(());
            }
            state.watching = true;
            state.end_put_off = false;
        }
        slf.get()
            .event_loop
            .bind(py)
            .call_method1(intern!(py, "add_reader"), (slf.get().fd, slf))
            .map(drop)
    }

    /// Has the loop not watch the descriptor any more. A closed loop does not anyway.
    pub(crate) fn unwatch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        {
            let mut state = slf.get().lock(py);
            if !state.watching {
                return Ok(());
            }
            state.watching = false;
        }
        let event_loop = slf.get().event_loop.bind(py);
        if event_loop.call_method0(intern!(py, "is_closed"))?.is_truthy()? {
            return Ok(());
        }
        event_loop.call_method1(intern!(py, "remove_reader"), (slf.get().fd,)).map(drop)
    }

    /// The user closes: reading goes on until the end, messages are not kept.
    pub(crate) fn begin_closing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().closing.store(true, Ordering::Relaxed);
        slf.get().lock(slf.py()).inbox.close();
        Self::watch(slf)
    }

    /// Lets go of everything, for a connection that is being finalized.
    pub(crate) fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().client.release();
        slf.get().closing.store(true, Ordering::Relaxed);
        slf.get().lock(py).finished = true;
        if slf.get().on_loop_thread() {
            return Self::unwatch(slf);
        }
        let event_loop = slf.get().event_loop.bind(py);
        if event_loop.call_method0(intern!(py, "is_closed"))?.is_truthy()? {
            return Ok(());
        }
        let unwatch = slf.getattr(intern!(py, "unwatch_now"))?;
        event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (unwatch,)).map(drop)
    }

    /// Takes what is wanted, if it is there, and goes on reading when there is room again.
    pub(crate) fn take(slf: &Bound<'_, Self>, want: Want) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let mut state = slf.get().lock(py);
        let mut popped = Popped::Other;
        let held = !state.inbox.is_empty();
        if let Want::Message(_) = want {
            popped = state.inbox.pop();
        }
        let mut resume = state.may_resume();
        drop(state);
        let taken = match popped {
            Popped::Nothing => Ok(None),
            Popped::Message(message) => want.whole(py, message, 0).map(Some),
            Popped::Other => {
                let taken = reception::take(py, slf.get(), want);
                resume = slf.get().lock(py).may_resume();
                taken
            }
        };
        if held {
            slf.get().note_consumer(py);
        }
        if resume {
            Self::watch(slf)?;
        }
        taken
    }

    /// Whether a task waits for the next message. One that was cancelled does
    /// not, even if it has not been told yet.
    pub(crate) fn has_receiver(&self, py: Python<'_>) -> bool {
        let receiver = self.lock(py).receiver.as_ref().map(|receiver| receiver.clone_ref(py));
        receiver.is_some_and(|receiver| !receiver.get().done(py))
    }

    /// A waiter for the next message. Whoever waits has dealt with what came before.
    pub(crate) fn receive(slf: &Bound<'_, Self>) -> PyResult<Py<Waiter>> {
        let py = slf.py();
        let waiter = Waiter::new(py, &slf.get().event_loop)?;
        let mut state = slf.get().lock(py);
        let before = state.receiver.replace(waiter.clone_ref(py));
        let ending = state.end_put_off;
        drop(state);
        drop(before);
        if ending {
            Self::watch(slf)?;
        }
        Ok(waiter)
    }

    /// Takes `waiter` back.
    pub(crate) fn forget_receiver(&self, py: Python<'_>, waiter: &Py<Waiter>) {
        let mut state = self.lock(py);
        if state.receiver.as_ref().is_some_and(|receiver| receiver.is(waiter)) {
            let receiver = state.receiver.take();
            drop(state);
            drop(receiver);
        }
    }

    pub(crate) fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let owner = self.lock(py).owner.as_ref().map(|owner| owner.clone_ref(py))?;
        owner.bind(py).upgrade()
    }

    /// Hands over the lines of the log.
    pub(crate) fn deliver_log(&self, py: Python<'_>) -> PyResult<()> {
        let Some(log) = self.log.as_ref().filter(|log| log.is_waiting()) else { return Ok(()) };
        self.owner(py).map_or(Ok(()), |owner| log.deliver(&owner))
    }

    /// Asks what waits to be asked, and nothing else.
    fn drive_questions(&self, py: Python<'_>) -> PyResult<()> {
        let mut outcome = Ok(());
        let was_delivering = self.delivering.swap(true, Ordering::Relaxed);
        // What makes it fail is told by the next drive.
        let _ = self.client.drive_questions(&mut |event| outcome = self.tell(py, &event));
        self.delivering.store(was_delivering, Ordering::Relaxed);
        outcome.and(self.deliver_log(py))
    }

    fn drive(&self, py: Python<'_>) -> (Result<Drive, longwire::Error>, PyResult<()>) {
        let mut outcome = Ok(());
        let budget = self.lock(py).inbox.budget();
        let mut batch = Batch::begin(self, py);
        let was_delivering = self.delivering.swap(true, Ordering::Relaxed);
        let driven = self.client.drive(budget, &mut |event| {
            let delivered = match (&event, &mut batch) {
                (Event::Message(message), Some(batch)) => batch.add(message),
                (Event::Message(message), None) => {
                    self.keep(py, event::entry(py, message), message.as_bytes().len())
                }
                (Event::Chunk(chunk), _) => {
                    self.keep(py, event::chunk_entry(py, chunk), chunk.payload.len())
                }
                // Comes while the core reads, and nobody waits for it in order.
                (Event::Pong(_), _) | (_, None) => self.tell(py, &event),
                (_, Some(batch)) => batch.hand_over().and(self.tell(py, &event)),
            };
            if outcome.is_ok() {
                outcome = delivered;
            }
        });
        self.delivering.store(was_delivering, Ordering::Relaxed);
        let handed_over = batch.map_or(Ok(()), |mut batch| {
            self.lock(py).inbox.passed(batch.largest());
            batch.hand_over()
        });
        (driven, outcome.and(handed_over).and(self.deliver_log(py)))
    }

    fn tell(&self, py: Python<'_>, event: &Event<'_>) -> PyResult<()> {
        match event {
            // A new connection has room for a message in fragments.
            Event::Drain | Event::Open(_) => self.lock(py).drained = true,
            Event::Closed(_) => self.lock(py).finished = true,
            _ => {}
        }
        let Some(owner) = self.owner(py) else { return Ok(()) };
        // What led to the event was said before.
        let logged = self.deliver_log(py);
        let delivered = event::deliver(&owner, event).and(logged);
        let ended = matches!(event, Event::Down(_) | Event::Closed(_));
        if ended && self.lock(py).inbox.is_unfinished() {
            // Not kept if the user closes, who wants no rest then.
            return delivered.and(self.keep(py, event::cut_entry(&owner, event), 0));
        }
        delivered
    }
}

impl Source for Driver {
    fn inbox<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Inbox) -> T) -> T {
        work(&mut self.lock(py).inbox)
    }

    fn watched_over(&self) -> Option<&Client> {
        self.watched_over.then_some(&self.client)
    }
}

impl State {
    /// Whether to watch the descriptor again after the inbox was full.
    fn may_resume(&self) -> bool {
        !self.watching && !self.end_put_off && !self.finished && self.inbox.has_room()
    }
}

#[pymethods]
impl Driver {
    /// The descriptor is readable.
    fn __call__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (driven, delivered) = this.drive(py);
        let ending = matches!(driven, Ok(Drive::Ending));
        match driven {
            Ok(Drive::Finished) => this.lock(py).finished = true,
            Ok(_) => {}
            Err(failure) if failure.kind() == ErrorKind::Busy => {}
            Err(failure) => this.tell(py, &Event::Closed(&event::failed(failure)))?,
        }
        let (stop, send, receiver) = {
            let mut state = this.lock(py);
            let stop = state.finished || state.inbox.is_full();
            let send = std::mem::take(&mut state.drained) || state.finished;
            let wake = state.finished || !state.inbox.is_empty();
            (stop, send, if wake { state.receiver.take() } else { None })
        };
        if stop {
            Self::unwatch(slf)?;
        }
        if send {
            Self::wake_senders(slf)?;
        }
        Self::schedule_retry(slf)?;
        if let Some(receiver) = receiver {
            Waiter::wake_now(receiver.bind(py))?;
        }
        let answered = this.calls_back || this.lock(py).inbox.is_closing() || this.has_receiver(py);
        if ending && !answered {
            Self::put_end_off(slf)?;
        }
        delivered
    }

    /// The end of a turn in which several messages were sent.
    fn flush(&self, py: Python<'_>) {
        self.lock(py).flush_scheduled = false;
        self.client.flush();
    }

    fn retry(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let blind = {
            let mut state = this.lock(py);
            state.retry_scheduled = false;
            !state.watching && !state.finished
        };
        let asked = if blind && this.asks { this.drive_questions(py) } else { Ok(()) };
        Self::wake_senders(slf)?;
        Self::schedule_retry(slf)?;
        asked
    }

    fn unwatch_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::unwatch(slf)
    }

    fn watch_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::watch(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // A lock that is taken belongs to a thread that is at work on it:
        // then this is no garbage.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        visit.call(&state.owner)?;
        visit.call(&state.receiver)?;
        if let Some((_, ask)) = &state.opening {
            visit.call(ask)?;
        }
        for sender in &state.senders {
            visit.call(sender)?;
        }
        for object in state.inbox.objects() {
            visit.call(object)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            let held = (
                state.owner.take(),
                state.receiver.take(),
                std::mem::take(&mut state.senders),
                state.opening.take(),
                state.inbox.clear(),
            );
            drop(state);
            drop(held);
        }
    }
}
