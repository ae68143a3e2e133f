//! A plan from a seed.
//!
//! Times are short, as virtual time costs timers all the same; what matters is
//! how they relate to each other.

use std::time::Duration;

use super::{
    Act, Answer, Cut, Dial, Fault, HostPlan, LinkPlan, OnClose, Plan, Say, ServerPlan, Side, Step,
    UserPlan,
};
use crate::dice::Dice;
use crate::event::MessageKind;
use crate::options::{Compression, Config, Heartbeat, Offline, Proxy, Reconnect};

impl Plan {
    /// The plan of this seed.
    pub fn draw(dice: &mut Dice) -> Plan {
        let heals = dice.millis(500..12_000);
        let calm = dice.percent(15);
        let dials = (0..dice.number(0..12)).map(|_| dial(dice, calm)).collect();
        Plan {
            config: config(dice),
            dials,
            user: user(dice, heals),
            heals,
            intrusions: if dice.percent(30) { 1 + dice.below(15) } else { 0 },
        }
    }
}

fn config(dice: &mut Dice) -> Config {
    let mut config = Config::new("ws://server.test/");
    config.proxy = Proxy::None;
    config.connect_timeout = dice.millis(300..3000);
    config.close_timeout = dice.millis(100..3000);
    config.heartbeat = Heartbeat {
        interval: dice.percent(60).then(|| dice.millis(100..3000)),
        timeout: dice.millis(100..2000),
    };
    config.reconnect = dice.percent(88).then(|| {
        let min_delay = dice.millis(1..300);
        Reconnect {
            min_delay,
            max_delay: min_delay + dice.millis(0..3000),
            factor: dice.one_of(&[1.0, 1.5, 2.0, 4.0]),
            max_attempts: dice.percent(20).then(|| 1 + dice.below(6) as u32),
            stable_after: dice.millis(0..2500),
            restart_min_delay: min_delay,
            restart_max_delay: min_delay,
            ..Reconnect::default()
        }
    });
    config.offline = if dice.percent(75) { Offline::Queue } else { Offline::Refuse };
    config.streaming = dice.percent(20);
    config.compression = dice.percent(30).then(|| Compression {
        threshold: dice.number(0..600),
        level: 1,
        memory_level: 1,
        client_no_context_takeover: dice.percent(50),
        server_no_context_takeover: dice.percent(50),
        ..Compression::default()
    });
    if dice.percent(40) {
        config.send_buffer = dice.number(1..20_000);
    }
    if dice.percent(40) {
        config.receive_buffer = dice.number(1..20_000);
    }
    if dice.percent(20) {
        config.max_message_size = dice.number(200..20_000);
    }
    config
}

fn dial(dice: &mut Dice, calm: bool) -> Dial {
    if calm {
        return Dial { link: link(dice, false), server: server(dice, false), ..Dial::default() };
    }
    let lookup = step(dice, 6);
    let tcp = step(dice, 8);
    Dial { lookup, tcp, link: link(dice, true), server: server(dice, true) }
}

fn step(dice: &mut Dice, chance: u64) -> Step {
    if !dice.percent(chance) {
        let waits = dice.percent(60);
        return Step::Done(if waits { dice.millis(0..60) } else { Duration::ZERO });
    }
    match dice.below(4) {
        0 => Step::Never,
        1 => Step::Done(dice.millis(100..4000)),
        _ => Step::Fails(dice.millis(0..200)),
    }
}

fn link(dice: &mut Dice, faults: bool) -> LinkPlan {
    let latency = dice.millis(0..40);
    LinkPlan {
        encrypted: dice.percent(20),
        latency_up: latency,
        latency_down: if dice.percent(70) { latency } else { dice.millis(0..200) },
        send_room: room(dice),
        server_room: room(dice),
        client_room: room(dice),
        short_writes: dice.one_of(&[0, 0, 0, 30, 90]),
        read_size: dice.one_of(&[64 << 10, 64 << 10, 4000, 300, 17]),
        trickle: dice.percent(12).then(|| (dice.number(1..300), dice.millis(0..8))),
        cut: (faults && dice.percent(45)).then(|| cut(dice)),
    }
}

fn room(dice: &mut Dice) -> usize {
    match dice.below(4) {
        0 => dice.number(30..600),
        1 => dice.number(600..8000),
        _ => 64 << 10,
    }
}

fn cut(dice: &mut Dice) -> Cut {
    let way = dice.one_of(&[Side::Client, Side::Server]);
    let at = match dice.below(3) {
        0 => dice.number(0..250),
        1 => dice.number(120..1200),
        _ => dice.number(200..12_000),
    };
    let fault = match dice.below(8) {
        0..=2 => Fault::Reset,
        3 | 4 => Fault::End,
        5 | 6 => Fault::Silence,
        _ => Fault::Stall(dice.millis(10..5000)),
    };
    Cut { way, at, fault }
}

fn server(dice: &mut Dice, faults: bool) -> ServerPlan {
    let answer = match dice.below(100) {
        _ if !faults => Answer::Good,
        0..=3 => Answer::Status(dice.one_of(&[503, 500, 429, 408, 502])),
        4 => Answer::Status(dice.one_of(&[200, 302, 401, 403, 404])),
        5 => Answer::Garbage,
        6 => Answer::WrongKey,
        7 => Answer::Twice,
        8 | 9 => Answer::Nothing,
        10..=12 => Answer::End,
        13 => Answer::Reset,
        _ => Answer::Good,
    };
    let reads = match dice.below(4) {
        0 => (dice.number(1..2000), dice.millis(1..40)),
        1 => (dice.number(10..300), Duration::ZERO),
        _ => (64 << 10, Duration::ZERO),
    };
    ServerPlan {
        answer,
        answers_after: if dice.percent(30) { dice.millis(0..400) } else { Duration::ZERO },
        compresses: dice.percent(70),
        script: script(dice, faults),
        reads,
        answers_pings: !faults || dice.percent(95),
        on_close: match dice.below(10) {
            0 if faults => OnClose::Ignore,
            1 if faults => OnClose::Reset,
            2 => OnClose::Linger,
            _ => OnClose::Echo,
        },
    }
}

fn script(dice: &mut Dice, faults: bool) -> Vec<(Duration, Say)> {
    let at_once = dice.percent(25);
    let mut script = Vec::new();
    for _ in 0..dice.number(0..20) {
        let after = match at_once || dice.percent(30) {
            true => Duration::ZERO,
            false => dice.millis(0..700),
        };
        script.push((after, say(dice, faults)));
    }
    script
}

fn say(dice: &mut Dice, faults: bool) -> Say {
    match dice.below(100) {
        0..=3 if faults => Say::Close(match dice.below(6) {
            0 => None,
            1 => Some(dice.one_of(&[1000, 1002, 1003, 1007, 1008, 1009, 1010])),
            _ => Some(dice.one_of(&[1001, 1011, 1012, 1013, 1014, 3000, 4999])),
        }),
        4 if faults => Say::Violation,
        5 if faults => Say::HalfMessage,
        6 | 7 if faults => Say::End,
        8 if faults => Say::Reset,
        9..=12 if faults => Say::Deaf(dice.millis(10..2500)),
        13..=22 => Say::Ping,
        23 | 24 => Say::Pong,
        _ => Say::Message {
            kind: kind(dice),
            size: size(dice),
            fragments: if dice.percent(15) { dice.number(2..6) } else { 1 },
        },
    }
}

fn kind(dice: &mut Dice) -> MessageKind {
    dice.one_of(&[MessageKind::Text, MessageKind::Binary])
}

fn size(dice: &mut Dice) -> usize {
    match dice.below(10) {
        0 => dice.number(1000..30_000),
        1..=3 => dice.number(100..1000),
        _ => dice.number(0..100),
    }
}

fn user(dice: &mut Dice, heals: Duration) -> UserPlan {
    let until = u64::try_from(heals.as_millis()).unwrap_or(1);
    let mut acts: Vec<_> =
        (0..dice.number(0..30)).map(|_| (dice.millis(0..until), act(dice))).collect();
    if dice.percent(30) {
        // Somewhere, or while the first connection is being made.
        let at = if dice.percent(50) { dice.millis(0..until) } else { dice.millis(0..150) };
        acts.push((at, ending(dice)));
    }
    acts.sort_by_key(|(at, _)| *at);
    let host = dice.percent(50).then(|| HostPlan {
        budget: dice.one_of(&[1, 2, 10, 1000]),
        blocked: (0..dice.number(0..4))
            .map(|_| (dice.millis(0..until), dice.millis(10..4000)))
            .collect(),
        rests: if dice.percent(30) { dice.millis(0..100) } else { Duration::ZERO },
    });
    UserPlan {
        host,
        acts,
        in_open: if dice.percent(50) { dice.number(0..5) } else { 0 },
        on_open: Vec::new(),
        answers: dice.one_of(&[0, 10, 50]),
    }
}

/// Something that a user does in between.
pub fn act(dice: &mut Dice) -> Act {
    match dice.below(20) {
        0..=9 => Act::Send {
            kind: kind(dice),
            size: size(dice),
            count: if dice.percent(30) { dice.number(2..12) } else { 1 },
            in_turn: dice.percent(30),
            compress: dice.percent(80),
        },
        10 | 11 => Act::Ping,
        12 | 13 => Act::Flush,
        14..=16 => Act::Piece { size: size(dice) },
        17 | 18 => Act::Finish,
        _ if dice.percent(20) => Act::GiveUp,
        _ => Act::Finish,
    }
}

/// How a user has enough.
pub fn ending(dice: &mut Dice) -> Act {
    match dice.below(10) {
        0 => Act::Release,
        1 => Act::Free,
        2 => Act::Drop,
        _ => Act::Close(dice.one_of(&[0, 1000, 1001, 3000])),
    }
}
