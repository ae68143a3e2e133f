//! What can happen to a connection, and how often it did.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::random::Random;

/// Something done to a connection, or to all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// RST within the handshake or right behind it.
    ResetEarly,
    /// FIN within the handshake or right behind it.
    EndEarly,
    Reset,
    End,
    /// Nothing is read and nothing written for some time.
    Stall,
    Delay,
    /// A few bytes at a time.
    Trickle,
    /// Accepted, and silent until the client gives up.
    BlackHoleAtOnce,
    /// Everything is read and nothing answered until the client gives up.
    BlackHole,
    /// Nobody listens for some time.
    Refusal,
    /// The server dies with all its connections and is started again.
    ServerDeath,
    /// Not ours: the machine was too busy to answer a ping in time.
    Busy,
}

impl Fault {
    /// What is done on purpose.
    const INJECTED: [Self; 11] = [
        Self::ResetEarly,
        Self::EndEarly,
        Self::Reset,
        Self::End,
        Self::Stall,
        Self::Delay,
        Self::Trickle,
        Self::BlackHoleAtOnce,
        Self::BlackHole,
        Self::Refusal,
        Self::ServerDeath,
    ];

    /// As the table has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResetEarly => "reset early",
            Self::EndEarly => "ended early",
            Self::Reset => "reset",
            Self::End => "ended",
            Self::Stall => "stalled",
            Self::Delay => "delayed",
            Self::Trickle => "trickled",
            Self::BlackHoleAtOnce => "black hole at once",
            Self::BlackHole => "black hole",
            Self::Refusal => "refused",
            Self::ServerDeath => "server killed",
            Self::Busy => "busy machine",
        }
    }
}

/// How often each fault was injected.
#[derive(Default)]
pub(crate) struct Tally([Cell<u64>; Fault::INJECTED.len()]);

impl Tally {
    pub(crate) fn add(&self, fault: Fault) {
        let count = &self.0[fault as usize];
        count.set(count.get() + 1);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(Cell::get).sum()
    }

    pub(crate) fn to_json(&self) -> Value {
        let of = |fault: Fault| (fault.name().into(), self.0[fault as usize].get().into());
        Value::Object(Fault::INJECTED.into_iter().map(of).collect::<Map<_, _>>())
    }
}

/// What comes next on a connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Act {
    /// Nothing happens.
    Flow(Duration),
    /// So many more bytes pass, in either direction, and then the connection dies.
    Kill {
        bytes: usize,
        fault: Fault,
    },
    Stall(Duration),
    Delay {
        by: Duration,
        lasting: Duration,
    },
    Trickle {
        bytes: usize,
        pause: Duration,
        lasting: Duration,
    },
    BlackHole(Fault),
}

/// The life of one connection, drawn while it is lived.
pub(crate) struct Script {
    random: Random,
    secure: bool,
    begun: bool,
    flowed: bool,
}

impl Script {
    pub(crate) fn new(random: Random, secure: bool) -> Self {
        Self { random, secure, begun: false, flowed: false }
    }

    /// A connection that opened before there were faults is past its handshake.
    pub(crate) fn skip_handshake(&mut self) {
        self.begun = true;
    }

    pub(crate) fn next(&mut self) -> Act {
        if !std::mem::replace(&mut self.begun, true)
            && let Some(act) = self.in_handshake()
        {
            return act;
        }
        self.flowed = !self.flowed;
        if self.flowed { Act::Flow(self.random.millis(200, 6000)) } else { self.later() }
    }

    fn in_handshake(&mut self) -> Option<Act> {
        // As many bytes as a handshake takes, and some more.
        let most = if self.secure { 2800 } else { 450 };
        let bytes = self.random.below(most) as usize;
        Some(match self.random.below(100) {
            0..5 => Act::Kill { bytes, fault: Fault::ResetEarly },
            5..10 => Act::Kill { bytes, fault: Fault::EndEarly },
            10..13 => Act::BlackHole(Fault::BlackHoleAtOnce),
            13..18 => self.trickle(),
            18..22 => self.delay(),
            _ => return None,
        })
    }

    fn later(&mut self) -> Act {
        // Sometimes between two messages, sometimes far inside a long one.
        let most = if self.random.coin() { 300 } else { 20_000 };
        let bytes = self.random.below(most) as usize;
        match self.random.below(100) {
            0..26 => Act::Kill { bytes, fault: Fault::Reset },
            26..48 => Act::Kill { bytes, fault: Fault::End },
            48..64 => Act::Stall(self.random.millis(300, 4500)),
            64..76 => self.delay(),
            76..90 => self.trickle(),
            _ => Act::BlackHole(Fault::BlackHole),
        }
    }

    fn delay(&mut self) -> Act {
        let (by, lasting) = (self.random.millis(20, 300), self.random.millis(500, 3000));
        Act::Delay { by, lasting }
    }

    fn trickle(&mut self) -> Act {
        let bytes = 1 + self.random.below(30) as usize;
        let (pause, lasting) = (self.random.millis(4, 20), self.random.millis(300, 2000));
        Act::Trickle { bytes, pause, lasting }
    }
}
