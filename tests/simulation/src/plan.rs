//! What happens in one run: the options, what each attempt to connect meets,
//! what the server says and what the user does. All of it is drawn before the
//! run begins.

mod draw;

pub use draw::{act, ending};

use std::time::Duration;

use crate::event::MessageKind;
use crate::options::Config;

pub struct Plan {
    pub config: Config,
    /// What the attempts meet, in their order; those after the last, and all
    /// that begin after `heals`, meet nothing bad.
    pub dials: Vec<Dial>,
    pub user: UserPlan,
    /// From here on nothing goes wrong any more.
    pub heals: Duration,
    /// How often, of a hundred system calls of the client's, another thread of
    /// the user's does something meanwhile.
    pub intrusions: u64,
}

impl Plan {
    /// A client that nothing happens to.
    pub fn quiet() -> Plan {
        let mut config = Config::new("ws://server.test/");
        config.proxy = crate::options::Proxy::None;
        if let Some(reconnect) = &mut config.reconnect {
            (reconnect.restart_min_delay, reconnect.restart_max_delay) = Default::default();
        }
        Plan {
            config,
            dials: Vec::new(),
            user: UserPlan::default(),
            heals: Duration::from_secs(1),
            intrusions: 0,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Dial {
    pub lookup: Step,
    pub tcp: Step,
    pub link: LinkPlan,
    pub server: ServerPlan,
}

/// One step of an attempt.
#[derive(Clone, Debug)]
pub enum Step {
    Done(Duration),
    Fails(Duration),
    Never,
}

impl Default for Step {
    fn default() -> Step {
        Step::Done(Duration::ZERO)
    }
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

#[derive(Clone, Debug)]
pub struct LinkPlan {
    pub encrypted: bool,
    pub latency_up: Duration,
    pub latency_down: Duration,
    /// The client's system takes so much before it is full.
    pub send_room: usize,
    /// So much waits at the server, and at the client, before it has to be read.
    pub server_room: usize,
    pub client_room: usize,
    /// How many in a hundred writes take less than they could.
    pub short_writes: u64,
    /// The most that one read gives.
    pub read_size: usize,
    /// So many bytes of each way come one by one, with this pause.
    pub trickle: Option<(usize, Duration)>,
    pub cut: Option<Cut>,
}

impl Default for LinkPlan {
    fn default() -> LinkPlan {
        LinkPlan {
            encrypted: false,
            latency_up: Duration::from_millis(5),
            latency_down: Duration::from_millis(5),
            send_room: 64 << 10,
            server_room: 64 << 10,
            client_room: 64 << 10,
            short_writes: 0,
            read_size: 64 << 10,
            trickle: None,
            cut: None,
        }
    }
}

/// What goes wrong once so many bytes have gone this way.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub way: Side,
    pub at: usize,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Reset,
    /// The server's system ends the connection.
    End,
    /// The peer vanishes without a word.
    Silence,
    /// Nothing goes either way for so long.
    Stall(Duration),
}

#[derive(Clone, Debug)]
pub struct ServerPlan {
    pub answer: Answer,
    pub answers_after: Duration,
    pub compresses: bool,
    /// What it does once the connection is open, each so long after the one before.
    pub script: Vec<(Duration, Say)>,
    /// How much it reads at once, and how long it rests afterwards.
    pub reads: (usize, Duration),
    pub answers_pings: bool,
    pub on_close: OnClose,
}

impl Default for ServerPlan {
    fn default() -> ServerPlan {
        ServerPlan {
            answer: Answer::Good,
            answers_after: Duration::ZERO,
            compresses: true,
            script: Vec::new(),
            reads: (64 << 10, Duration::ZERO),
            answers_pings: true,
            on_close: OnClose::Echo,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Good,
    /// Twice the same.
    Twice,
    Status(u16),
    Garbage,
    /// With the accept key of somebody else.
    WrongKey,
    Nothing,
    /// The connection ends without one.
    End,
    Reset,
}

#[derive(Clone, Copy, Debug)]
pub enum OnClose {
    /// Answers, and ends the connection.
    Echo,
    /// Answers, and leaves the connection as it is.
    Linger,
    Ignore,
    Reset,
}

#[derive(Clone, Copy, Debug)]
pub enum Say {
    Message {
        kind: MessageKind,
        size: usize,
        fragments: usize,
    },
    Ping,
    Pong,
    Close(Option<u16>),
    /// A frame that no server may send.
    Violation,
    /// A message whose end never comes.
    HalfMessage,
    End,
    Reset,
    /// Reads nothing for so long.
    Deaf(Duration),
}

#[derive(Clone, Debug, Default)]
pub struct UserPlan {
    /// `None` for a client that the runtime drives.
    pub host: Option<HostPlan>,
    pub acts: Vec<(Duration, Act)>,
    /// How many messages it sends from within `Open`.
    pub in_open: usize,
    /// What it does from within `Open` after that.
    pub on_open: Vec<Act>,
    /// How many in a hundred events it answers with an act.
    pub answers: u64,
}

#[derive(Clone, Debug)]
pub struct HostPlan {
    pub budget: usize,
    /// When it does something else, and for how long.
    pub blocked: Vec<(Duration, Duration)>,
    /// It rests so long after each drive.
    pub rests: Duration,
}

#[derive(Clone, Debug)]
pub enum Act {
    Send {
        kind: MessageKind,
        size: usize,
        count: usize,
        in_turn: bool,
        compress: bool,
    },
    Flush,
    Ping,
    /// Begins a message, or sends the next piece of it, or ends it.
    Piece {
        size: usize,
    },
    Finish,
    /// Drops an unfinished message.
    GiveUp,
    Close(u16),
    Release,
    Free,
    Drop,
}
