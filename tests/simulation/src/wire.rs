//! The network: one TCP connection with its buffers, its delays and what goes
//! wrong with it.
//!
//! Bytes lie in the buffer of the sender's system, travel, and then lie in
//! that of the receiver's. Two tasks carry them, one for each way; all faults
//! are theirs, so that a fault is always at a byte.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::driver::runtime::lock;
use crate::plan::{Cut, Fault, LinkPlan, Say, Side};
use crate::transcript::{Heard, Transcript};
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
    /// When bytes came to the client, and how many there were then.
    arrivals: Vec<(Instant, usize)>,
    last_delivered: Instant,
    /// When the client last read some.
    last_read: Instant,
    /// When bytes of the client's were last acknowledged.
    last_acknowledged: Instant,
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

/// What the server finds when it reads.
pub enum Found {
    /// What was in those bytes.
    Heard(Vec<Heard>),
    Nothing,
    /// The client sends no more.
    End,
    /// The connection is gone.
    Reset,
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
                arrivals: Vec::new(),
                last_delivered: now,
                last_read: now,
                last_acknowledged: now,
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

    // The server's end.

    /// What the client said since the last call; reads at most `most` bytes.
    pub fn serve_read(&self, most: usize) -> Found {
        let mut state = lock(&self.state);
        let n = most.min(state.up.came.len());
        if n > 0 {
            state.up.came.drain(..n);
            state.heard += n;
            self.up.notify_one();
            let heard = state.heard;
            return Found::Heard(state.transcript.read_to(heard));
        }
        match (state.broken, state.up.ended) {
            (true, _) => Found::Reset,
            (_, true) => Found::End,
            _ => Found::Nothing,
        }
    }

    pub fn serve_write(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if !state.broken && !state.down.finished {
            state.down.sent.extend(bytes);
            self.down.notify_one();
        }
    }

    /// How far the server's bytes reach, counted from the first.
    pub fn serve_sent(&self) -> usize {
        let state = lock(&self.state);
        state.down.moved + state.down.sent.len()
    }

    /// The server closes, with what it sent still on its way.
    pub fn serve_close(&self) {
        let mut state = lock(&self.state);
        state.closed_by_server = true;
        state.down.finished = true;
        let unread = !state.up.came.is_empty();
        drop(state);
        if unread {
            self.reset("the server's system");
        }
        self.down.notify_one();
    }

    /// Agreed on with the answer.
    pub fn compressed(&self, inflater: crate::protocol::deflate::Inflater) {
        lock(&self.state).transcript.compressed(inflater);
    }

    /// Has the server say something.
    pub fn order(&self, say: Say) {
        lock(&self.orders).push_back(say);
        self.server.notify_one();
    }

    pub fn orders(&self) -> VecDeque<Say> {
        std::mem::take(&mut lock(&self.orders))
    }

    pub async fn serve_changed(&self) {
        self.server.notified().await;
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

    /// How long bytes are under way there and back, if nothing holds them up.
    pub fn round_trip(&self) -> Option<Duration> {
        let LinkPlan { latency_up, latency_down, .. } = self.plan;
        let narrow = |room| room < 64 << 10;
        let rooms = [self.plan.send_room, self.plan.server_room, self.plan.client_room];
        let held_up =
            self.plan.cut.is_some() || self.plan.trickle.is_some() || rooms.into_iter().any(narrow);
        (!held_up).then_some(latency_up + latency_down)
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

    /// Carries what one side sends.
    async fn carry(self: Arc<Self>, from: Side) {
        let (latency, notify) = match from {
            Side::Client => (self.plan.latency_up, &self.up),
            Side::Server => (self.plan.latency_down, &self.down),
        };
        loop {
            match self.next_step(from) {
                Next::Over => return,
                Next::Wait => notify.notified().await,
                Next::Frozen(until) => {
                    tokio::select! {
                        biased;
                        () = notify.notified() => {}
                        () = sleep_until(until) => {}
                    }
                }
                Next::Carry => {
                    if !latency.is_zero() {
                        sleep(latency).await;
                    }
                    self.carry_some(from);
                    if let Some((most, pace)) = self.trickle()
                        && lock(&self.state).pipe(from).moved < most
                    {
                        sleep(pace).await;
                    }
                }
            }
        }
    }

    fn next_step(&self, from: Side) -> Next {
        let mut state = lock(&self.state);
        if state.broken {
            return Next::Over;
        }
        if state.silent {
            return Next::Wait;
        }
        if let Some(until) = state.frozen_until {
            if until > Instant::now() {
                return Next::Frozen(until);
            }
            state.frozen_until = None;
        }
        let room = self.receive_room(from);
        let pipe = state.pipe(from);
        let ending = pipe.finished && !pipe.ended && pipe.sent.is_empty();
        if ending || !pipe.sent.is_empty() && pipe.came.len() < room {
            Next::Carry
        } else if pipe.ended {
            Next::Over
        } else {
            Next::Wait
        }
    }

    fn trickle(&self) -> Option<(usize, Duration)> {
        self.plan.trickle.filter(|_| !world().is_healed())
    }

    fn send_room(&self) -> usize {
        if world().is_healed() { 1 << 20 } else { self.plan.send_room }
    }

    fn receive_room(&self, from: Side) -> usize {
        match from {
            _ if world().is_healed() => 1 << 20,
            Side::Client => self.plan.server_room,
            Side::Server => self.plan.client_room,
        }
    }

    fn carry_some(&self, from: Side) {
        let mut state = lock(&self.state);
        if state.broken || state.silent || state.frozen_until.is_some() {
            return;
        }
        let cut = self.plan.cut.filter(|cut| {
            cut.way == from && state.pipe(from).moved <= cut.at && !world().is_healed()
        });
        let trickles = self.trickle().is_some_and(|(most, _)| state.pipe(from).moved < most);
        let pipe = state.pipe(from);
        let room = self.receive_room(from).saturating_sub(pipe.came.len());
        let mut n = room.min(pipe.sent.len());
        if trickles {
            n = n.min(1);
        }
        if let Some(cut) = cut {
            n = n.min(cut.at - pipe.moved);
        }
        let bytes: Vec<u8> = pipe.sent.drain(..n).collect();
        pipe.came.extend(bytes);
        pipe.moved += n;
        let ends = pipe.finished && pipe.sent.is_empty() && !pipe.ended;
        pipe.ended |= ends;
        let moved = pipe.moved;
        let cut = cut.filter(|cut| cut.at == moved);
        let now = Instant::now();
        match from {
            Side::Client if n > 0 => state.last_acknowledged = now,
            Side::Server if n > 0 => {
                state.last_delivered = now;
                // An answer is no longer.
                if moved - n < 4096 {
                    state.arrivals.push((now, moved));
                }
            }
            _ => {}
        }
        let gone = state.closed_by_server && from == Side::Client && n > 0;
        let late = state.closed_by_client && from == Side::Server && n > 0;
        drop(state);
        match from {
            Side::Client => {
                self.server.notify_one();
                self.make_room();
            }
            Side::Server if n > 0 || ends => {
                if ends {
                    world().note(|| format!("#{} the server's side ended", self.number));
                }
                self.edge(Way::Read);
                world().changed();
            }
            Side::Server => {}
        }
        if let Some(cut) = cut {
            self.cut(cut);
        } else if gone {
            self.reset("a server that had closed");
        } else if late {
            self.reset("a client that had closed");
        }
    }

    fn cut(&self, cut: Cut) {
        world().note(|| format!("#{} {cut:?}", self.number));
        match cut.fault {
            Fault::Reset => self.reset("the network"),
            Fault::End => {
                let mut state = lock(&self.state);
                state.down.sent.clear();
                drop(state);
                self.serve_close();
                self.server.notify_one();
            }
            Fault::Silence => {
                let mut state = lock(&self.state);
                state.silent = true;
                state.silent_since = Some(Instant::now());
            }
            Fault::Stall(time) => {
                lock(&self.state).frozen_until = Some(Instant::now() + time);
            }
        }
    }

    /// A system tells of room once there is some worth it, and only to whom
    /// had found none.
    fn make_room(&self) {
        let mut state = lock(&self.state);
        let told = state.wants_room && self.has_room(&state);
        if told {
            state.wants_room = false;
            drop(state);
            self.edge(Way::Write);
        }
    }

    fn has_room(&self, state: &State) -> bool {
        let (taken, room) = (state.up.sent.len(), self.send_room());
        taken * 3 <= room * 2 && taken < room
    }

    // Readiness.

    pub fn register(self: &Arc<Self>) -> Arc<Registration> {
        let registration = Arc::new(Registration::default());
        lock(&self.registrations).push(Arc::downgrade(&registration));
        let mut state = lock(&self.state);
        let (readable, writable) = (state.is_readable(), state.broken || self.has_room(&state));
        state.wants_room |= !writable;
        let over = |way| state.is_over(way);
        let mut ways = registration.ways();
        for (way, ready) in [(Way::Read, readable), (Way::Write, writable)] {
            ways[way as usize].ready = ready;
            ways[way as usize].over = over(way);
        }
        drop(ways);
        drop(state);
        registration
    }

    fn edge(&self, way: Way) {
        let over = lock(&self.state).is_over(way);
        lock(&self.registrations).retain(|registration| {
            let Some(registration) = registration.upgrade() else { return false };
            registration.set(way, over);
            true
        });
    }
}

enum Next {
    Carry,
    Wait,
    Frozen(Instant),
    Over,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Read = 0,
    Write = 1,
}

/// What one watch of a socket knows.
#[derive(Default)]
pub struct Registration {
    ways: Mutex<[Readiness; 2]>,
    told: Notify,
}

#[derive(Clone, Copy, Default)]
pub struct Readiness {
    ready: bool,
    /// For good: tokio keeps in mind that a way has ended.
    over: bool,
    /// Counts what was told.
    edges: u64,
}

impl Registration {
    fn ways(&self) -> MutexGuard<'_, [Readiness; 2]> {
        lock(&self.ways)
    }

    fn set(&self, way: Way, over: bool) {
        let mut ways = self.ways();
        let readiness = &mut ways[way as usize];
        readiness.ready = true;
        readiness.over |= over;
        readiness.edges += 1;
        drop(ways);
        self.told.notify_waiters();
    }

    pub fn clear(&self, way: Way, seen: u64) {
        let readiness = &mut self.ways()[way as usize];
        readiness.ready &= readiness.edges != seen || readiness.over;
    }

    /// Waits until this way is ready; the answer is for [`Registration::clear`].
    pub async fn wait(&self, way: Way) -> u64 {
        loop {
            let told = self.told.notified();
            let readiness = self.ways()[way as usize];
            if readiness.ready {
                return readiness.edges;
            }
            told.await;
        }
    }
}
