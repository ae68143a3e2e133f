//! The network between the two ends: it carries bytes, and has its faults.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Socket, State, Way};
use crate::driver::runtime::lock;
use crate::plan::{Cut, Fault, Side};
use crate::world::world;

enum Next {
    Carry,
    Wait,
    Frozen(Instant),
    Over,
}

impl Socket {
    /// Carries what one side sends.
    pub(super) async fn carry(self: Arc<Self>, from: Side) {
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

    pub(super) fn send_room(&self) -> usize {
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
        let cut =
            self.plan.cut.filter(|cut| cut.way == from && !state.cut_done && !world().is_healed());
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
        let emptied = pipe.sent.is_empty();
        let cut = cut.filter(|cut| cut.at == moved);
        state.cut_done |= cut.is_some();
        let now = Instant::now();
        match from {
            Side::Client if n > 0 => {
                state.last_acknowledged = now;
                if emptied {
                    state.last_emptied = now;
                }
            }
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
    pub(super) fn make_room(&self) {
        let mut state = lock(&self.state);
        let told = state.wants_room && self.has_room(&state);
        if told {
            state.wants_room = false;
            drop(state);
            self.edge(Way::Write);
        }
    }

    pub(super) fn has_room(&self, state: &State) -> bool {
        let (taken, room) = (state.up.sent.len(), self.send_room());
        taken * 3 <= room * 2 && taken < room
    }
}
