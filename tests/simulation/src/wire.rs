//! The network: one TCP connection with its buffers, its delays and what goes
//! wrong with it.
//!
//! Bytes lie in the buffer of the sender's system, travel, and then lie in
//! that of the receiver's. Two tasks carry them, one for each way; all faults
//! are theirs, so that a fault is always at a byte.

mod carry;
mod ready;
mod serve;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::ready::{Registration, Way};
pub use self::serve::Found;
use crate::driver::runtime::lock;
use crate::plan::{LinkPlan, Say, Side};
use crate::transcript::Transcript;
use crate::world::world;

/// Both ends of a connection.
pub struct Socket {
    pub fd: RawFd,
    /// The number of the attempt that made it.
    pub number: usize,
    plan: LinkPlan,
    state: Mutex<State>,
    registrations: Mutex<Vec<Weak<Registration>>>,
    /// Something changed for the task of this way.
    up: Notify,
    down: Notify,
    /// Something changed for the server.
    server: Notify,
    /// What the server is to say next.
    orders: Mutex<VecDeque<Say>>,
}

struct State {
    up: Pipe,
    down: Pipe,
    /// What the client sends, as far as its system took it.
    transcript: Transcript,
    /// Bytes of it that the server's program has read.
    heard: usize,
    /// The client's system has yet to say this.
    error: Option<ErrorKind>,
    /// Nothing goes either way any more.
    broken: bool,
    /// The client met a full buffer and waits for room.
    wants_room: bool,
    closed_by_client: bool,
    closed_by_server: bool,
    silent: bool,
    frozen_until: Option<Instant>,
    /// What the plan has for this connection has happened.
    cut_done: bool,
    /// When bytes came to the client, and how many there were then.
    arrivals: Vec<(Instant, usize)>,
    last_delivered: Instant,
    /// When the client last read some.
    last_read: Instant,
    /// When bytes of the client's were last acknowledged.
    last_acknowledged: Instant,
    /// When nothing of the client's was on its way any more.
    last_emptied: Instant,
    silent_since: Option<Instant>,
}

/// One way.
#[derive(Default)]
struct Pipe {
    sent: VecDeque<u8>,
    came: VecDeque<u8>,
    /// Bytes that ever went from `sent` to `came`.
    moved: usize,
    /// The sender sends no more.
    finished: bool,
    /// And the receiver knows.
    ended: bool,
}

impl Socket {
    pub fn new(fd: RawFd, number: usize, plan: LinkPlan) -> Arc<Socket> {
        let now = Instant::now();
        let socket = Arc::new(Socket {
            fd,
            number,
            plan,
            state: Mutex::new(State {
                up: Pipe::default(),
                down: Pipe::default(),
                transcript: Transcript::default(),
                heard: 0,
                error: None,
                broken: false,
                wants_room: false,
                closed_by_client: false,
                closed_by_server: false,
                silent: false,
                frozen_until: None,
                cut_done: false,
                arrivals: Vec::new(),
                last_delivered: now,
                last_read: now,
                last_acknowledged: now,
                last_emptied: now,
                silent_since: None,
            }),
            registrations: Mutex::default(),
            up: Notify::new(),
            down: Notify::new(),
            server: Notify::new(),
            orders: Mutex::default(),
        });
        for way in [Side::Client, Side::Server] {
            tokio::spawn(socket.clone().carry(way));
        }
        socket
    }

    // The client's end.

    pub fn read_size(&self) -> usize {
        self.plan.read_size
    }

    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let n = into.len().min(state.down.came.len());
        if n > 0 {
            for (to, from) in into.iter_mut().zip(state.down.came.drain(..n)) {
                *to = from;
            }
            state.last_read = Instant::now();
            self.down.notify_one();
            return Ok(n);
        }
        if let Some(error) = state.error.take() {
            return Err(error.into());
        }
        if state.down.ended || state.broken { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        if let Some(error) = state.error.take() {
            return Err(error.into());
        }
        if state.broken || state.up.finished {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = self.send_room().saturating_sub(state.up.sent.len());
        if room == 0 {
            state.wants_room = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut n = room.min(bytes.len());
        if world().chance(self.plan.short_writes) {
            n = world().dice().number(1..n + 1);
        }
        state.up.sent.extend(&bytes[..n]);
        self.up.notify_one();
        Ok(n)
    }

    /// These bytes are on their way, as far as the client can know.
    pub fn taken(&self, bytes: &[u8]) {
        let mut complete = Vec::new();
        lock(&self.state).transcript.feed(bytes, &mut complete);
        for item in complete {
            world().witness().left(self.number, &item);
        }
    }

    pub fn finish_writing(&self) {
        lock(&self.state).up.finished = true;
        self.up.notify_one();
    }

    pub fn unread(&self) -> usize {
        lock(&self.state).down.came.len()
    }

    pub fn unacknowledged(&self) -> usize {
        lock(&self.state).up.sent.len()
    }

    /// Whether a set that holds this socket is readable.
    pub fn is_readable(&self) -> bool {
        lock(&self.state).is_readable()
    }

    pub fn closed_by_client(&self) {
        let reset = {
            let mut state = lock(&self.state);
            state.closed_by_client = true;
            state.up.finished = true;
            !state.down.came.is_empty()
        };
        world().hung_up(self);
        // What nobody read makes the system reset the connection.
        if reset {
            self.reset("the client's system");
        }
        self.up.notify_one();
    }

    // The network.

    /// Both ends find the connection gone; what came stays readable.
    pub fn reset(&self, whose: &str) {
        let mut state = lock(&self.state);
        if state.broken {
            return;
        }
        state.broken = true;
        state.error = Some(ErrorKind::ConnectionReset);
        state.up.sent.clear();
        state.down.sent.clear();
        drop(state);
        world().note(|| format!("#{} reset by {whose}", self.number));
        self.edge(Way::Read);
        self.edge(Way::Write);
        self.everyone();
    }

    /// The network is whole again: a connection that it had lost is found to
    /// be gone, one that it had held up goes on.
    pub fn heal(&self) {
        let silent = {
            let mut state = lock(&self.state);
            state.frozen_until = None;
            std::mem::replace(&mut state.silent, false)
        };
        if silent {
            self.reset("a system that knows nothing of it");
        }
        self.make_room();
        self.everyone();
    }

    pub fn is_closed_by_client(&self) -> bool {
        lock(&self.state).closed_by_client
    }

    /// Whether the client's system could send, but has nothing to send.
    pub fn has_nothing_to_do(&self) -> bool {
        self.is_in_conversation() && lock(&self.state).up.sent.is_empty()
    }

    /// Whether neither side has begun to end it.
    pub fn is_in_conversation(&self) -> bool {
        let state = lock(&self.state);
        !state.broken && !state.down.ended && !state.transcript.is_closed()
    }

    /// Bytes that the client's system ever took.
    pub fn written(&self) -> usize {
        let state = lock(&self.state);
        state.up.moved + state.up.sent.len()
    }

    /// Whether it can carry bytes both ways.
    pub fn is_alive(&self) -> bool {
        let state = lock(&self.state);
        let silent = state.silent || state.broken;
        !silent && !state.closed_by_client && !state.closed_by_server && !state.up.finished
    }

    /// When bytes last came to the client.
    pub fn last_delivered(&self) -> Instant {
        lock(&self.state).last_delivered
    }

    /// When bytes of the client's were last acknowledged, and since when some
    /// are on their way.
    pub fn upload(&self) -> Option<(Instant, Instant)> {
        let state = lock(&self.state);
        (!state.up.sent.is_empty()).then_some((state.last_acknowledged, state.last_emptied))
    }

    /// When the client last had a sign of life, if nothing comes any more.
    pub fn last_sign(&self) -> Option<Instant> {
        let state = lock(&self.state);
        let signs = [state.last_delivered, state.last_read, state.last_acknowledged];
        Some(state.silent_since?.max(signs.into_iter().max()?))
    }

    /// When the first `bytes` had come to the client.
    pub fn came_to(&self, bytes: usize) -> Option<Instant> {
        let state = lock(&self.state);
        let arrival = state.arrivals.iter().find(|(_, moved)| *moved >= bytes);
        arrival.map(|(at, _)| *at).or((state.down.moved >= bytes).then_some(state.last_delivered))
    }

    /// Bytes that ever came to the client's system.
    pub fn delivered(&self) -> usize {
        lock(&self.state).down.moved
    }

    /// Whether compression was agreed on.
    pub fn is_compressed(&self) -> bool {
        lock(&self.state).transcript.is_compressed()
    }

    /// Whether what the client wrote ends inside a frame.
    pub fn is_cut(&self) -> bool {
        lock(&self.state).transcript.is_cut()
    }

    fn everyone(&self) {
        self.up.notify_one();
        self.down.notify_one();
        self.server.notify_one();
        world().changed();
    }
}

impl State {
    fn pipe(&mut self, from: Side) -> &mut Pipe {
        match from {
            Side::Client => &mut self.up,
            Side::Server => &mut self.down,
        }
    }

    fn is_over(&self, way: Way) -> bool {
        self.broken || way == Way::Read && self.down.ended
    }

    fn is_readable(&self) -> bool {
        !self.down.came.is_empty() || self.down.ended || self.broken || self.error.is_some()
    }
}
