//! Moments that a seed rarely meets, or that are worth a name. The witness
//! judges each of them as it does every seed; what is asserted here is that
//! the moment came.

use std::time::Duration;

use longwire_simulation::dice::Dice;
use longwire_simulation::event::MessageKind;
use longwire_simulation::options::{Offline, Reconnect};
use longwire_simulation::plan::{
    Act, Answer, Cut, Dial, Fault, HostPlan, LinkPlan, OnClose, Plan, Say, ServerPlan, Side, Step,
};
use longwire_simulation::run::{self, Outcome};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const PATIENT: HostPlan = HostPlan { budget: 100, blocked: Vec::new(), rests: Duration::ZERO };

/// Runs the plan with either drive, and holds the client to its promises.
fn both(plan: impl Fn() -> Plan, look: impl Fn(&Outcome)) {
    for host in [None, Some(PATIENT)] {
        let mut plan = plan();
        plan.user.host = plan.user.host.or(host);
        let outcome = run::run(plan, Dice::new(1));
        let broken = outcome.failures.join("\n");
        assert!(broken.is_empty(), "{}\n{broken}", outcome.log.join("\n"));
        look(&outcome);
    }
}

/// How many lines of the log have `text`.
fn count(outcome: &Outcome, text: &str) -> usize {
    outcome.log.iter().filter(|line| line.contains(text)).count()
}

fn saw(outcome: &Outcome, text: &str) {
    assert!(count(outcome, text) > 0, "no {text:?} in\n{}", outcome.log.join("\n"));
}

fn send(count: usize, size: usize) -> Act {
    Act::Send { kind: MessageKind::Binary, size, count, in_turn: false, compress: true }
}

fn plan(dials: Vec<Dial>) -> Plan {
    Plan { dials, heals: ms(5000), ..Plan::quiet() }
}

fn dial_with(server: ServerPlan) -> Dial {
    Dial { server, ..Dial::default() }
}

fn says(script: Vec<(Duration, Say)>) -> Dial {
    dial_with(ServerPlan { script, ..ServerPlan::default() })
}

#[test]
fn close_ends_whatever_it_meets() {
    let lookup = Dial { lookup: Step::Done(ms(4000)), ..Dial::default() };
    let tcp = Dial { tcp: Step::Never, ..Dial::default() };
    let handshake = dial_with(ServerPlan { answers_after: ms(4000), ..ServerPlan::default() });
    let back_off = Dial { tcp: Step::Fails(ms(50)), ..Dial::default() };
    for dial in [lookup, tcp, handshake, back_off] {
        both(
            || {
                let mut plan = plan(vec![dial.clone()]);
                plan.config.reconnect.as_mut().unwrap().min_delay = ms(3000);
                plan.user.acts = vec![(ms(100), Act::Close(1000)), (ms(100), send(1, 10))];
                plan
            },
            |outcome| {
                saw(outcome, "   100 Closed");
                assert_eq!(count(outcome, "dials"), 1);
            },
        );
    }
}

#[test]
fn an_event_handler_may_end_the_client() {
    for act in [Act::Close(3000), Act::Release, Act::Free] {
        both(
            || {
                let mut plan = plan(Vec::new());
                plan.user.in_open = 3;
                plan.user.on_open = vec![act.clone(), send(1, 10)];
                plan
            },
            |outcome| {
                saw(outcome, "c2 left");
                assert_eq!(count(outcome, "dials"), 1);
            },
        );
    }
}

#[test]
fn a_lookup_without_end_is_given_up() {
    both(
        || {
            let mut plan = plan(vec![Dial { lookup: Step::Never, ..Dial::default() }; 2]);
            plan.config.connect_timeout = ms(500);
            plan
        },
        |outcome| {
            assert_eq!(count(outcome, "Down Timeout"), 2);
            saw(outcome, "Open, attempt 3");
        },
    );
}

#[test]
fn a_server_that_ends_every_connection_is_met_ever_more_rarely() {
    let at_once = says(vec![(Duration::ZERO, Say::End)]);
    both(
        || {
            let mut plan = plan(vec![at_once.clone(); 5]);
            plan.config.reconnect = Some(reconnect(Some(5)));
            plan
        },
        |outcome| {
            assert_eq!(count(outcome, "Open, attempt"), 5);
            saw(outcome, "Closed {");
        },
    );
}

fn reconnect(max_attempts: Option<u32>) -> Reconnect {
    let mut options = Reconnect::default();
    (options.min_delay, options.max_delay) = (ms(20), ms(2000));
    (options.restart_min_delay, options.restart_max_delay) = (ms(20), ms(20));
    options.max_attempts = max_attempts;
    options
}

#[test]
fn an_answer_that_comes_twice_is_no_conversation() {
    both(
        || plan(vec![dial_with(ServerPlan { answer: Answer::Twice, ..ServerPlan::default() })]),
        |outcome| saw(outcome, "Down Protocol"),
    );
}

#[test]
fn what_a_closing_server_does_not_read_goes_to_its_successor() {
    for encrypted in [false, true] {
        let deaf = Dial {
            link: LinkPlan { encrypted, ..LinkPlan::default() },
            ..says(vec![(Duration::ZERO, Say::Deaf(ms(3000))), (ms(500), Say::Close(Some(1012)))])
        };
        both(
            || {
                let mut plan = plan(vec![deaf.clone()]);
                plan.user.acts = vec![(ms(200), send(1000, 1000))];
                plan
            },
            |outcome| {
                saw(outcome, "#0 c0 left");
                saw(outcome, "#1 c999 left");
            },
        );
    }
}

#[test]
fn a_full_buffer_is_told_of_room() {
    both(
        || {
            let mut plan = plan(vec![says(vec![(Duration::ZERO, Say::Deaf(ms(1000)))])]);
            plan.config.send_buffer = 10_000;
            plan.user.acts = vec![(ms(200), send(200, 1000))];
            plan
        },
        |outcome| {
            saw(outcome, "Err(Full)");
            saw(outcome, "Drain");
        },
    );
}

#[test]
fn a_peer_that_vanishes_during_an_upload_is_noticed() {
    for encrypted in [false, true] {
        let link = LinkPlan {
            encrypted,
            cut: Some(Cut { way: Side::Client, at: 50_000, fault: Fault::Silence }),
            ..LinkPlan::default()
        };
        let vanishes = Dial { link, ..Dial::default() };
        both(
            || {
                let mut plan = plan(vec![vanishes.clone()]);
                plan.config.heartbeat.interval = Some(ms(400));
                plan.config.heartbeat.timeout = ms(300);
                plan.user.acts = vec![(ms(200), send(200, 1000))];
                plan
            },
            |outcome| saw(outcome, "Down Heartbeat"),
        );
    }
}

#[test]
fn a_host_that_sleeps_finds_everything_in_order() {
    let first = says(vec![
        (ms(100), Say::Message { kind: MessageKind::Text, size: 50, fragments: 1 }),
        (ms(100), Say::Ping),
        (ms(100), Say::Close(Some(1012))),
    ]);
    let second =
        says(vec![(ms(100), Say::Message { kind: MessageKind::Text, size: 50, fragments: 2 })]);
    let sleeps = || {
        let mut plan = plan(vec![first.clone(), second.clone()]);
        plan.config.reconnect = Some(reconnect(None));
        plan.user.in_open = 2;
        plan.user.host = Some(HostPlan { blocked: vec![(ms(0), ms(3000))], ..PATIENT });
        plan
    };
    both(sleeps, |outcome| {
        assert_eq!(count(outcome, "  3000 Open"), 2);
        saw(outcome, "  3000 Down Closed");
        saw(outcome, "  3000 Message Some(('s', 1, 0))");
    });
}

#[test]
fn a_peer_that_ignores_the_close_frame_is_left() {
    both(
        || {
            let server = ServerPlan { on_close: OnClose::Ignore, ..ServerPlan::default() };
            let mut plan = plan(vec![dial_with(server)]);
            plan.config.close_timeout = ms(700);
            plan.user.acts = vec![(ms(100), Act::Close(1000))];
            plan
        },
        |outcome| saw(outcome, "   800 Closed"),
    );
}

#[test]
fn a_client_that_refuses_while_down_takes_again_when_open() {
    both(
        || {
            let mut plan = plan(vec![says(vec![(ms(100), Say::Reset)])]);
            plan.config.offline = Offline::Refuse;
            plan.config.reconnect.as_mut().unwrap().min_delay = ms(500);
            plan.config.reconnect.as_mut().unwrap().max_delay = ms(500);
            plan.user.acts = vec![(ms(300), send(1, 10)), (ms(2000), send(1, 10))];
            plan
        },
        |outcome| {
            saw(outcome, "c0 10 bytes Normal: Err(Offline)");
            saw(outcome, "#1 c1 left");
        },
    );
}

#[test]
fn a_message_without_end_ends_its_connection_and_no_other() {
    both(
        || {
            let mut plan = plan(Vec::new());
            plan.user.acts = vec![
                (ms(100), Act::Piece { size: 1000 }),
                (ms(110), Act::Piece { size: 1000 }),
                (ms(120), send(3, 50)),
                (ms(130), Act::GiveUp),
                (ms(140), send(3, 50)),
            ];
            plan
        },
        |outcome| {
            saw(outcome, "Down Lost: a message that was sent in fragments");
            saw(outcome, "#1 c6 left");
            assert_eq!(count(outcome, "dials"), 2);
        },
    );
}

#[test]
fn a_flood_comes_through_to_its_last_message() {
    let message = Say::Message { kind: MessageKind::Binary, size: 30_000, fragments: 1 };
    // All at once, and not before the client waits for it.
    let mut script = vec![(Duration::ZERO, message); 200];
    script[0].0 = ms(100);
    let flood = Dial {
        link: LinkPlan { client_room: 16 << 20, read_size: 256 << 10, ..LinkPlan::default() },
        ..says(script)
    };
    both(|| plan(vec![flood.clone()]), |outcome| saw(outcome, "Message Some(('s', 0, 199))"));
}

#[test]
fn a_server_hears_pongs_from_a_client_whose_host_sleeps() {
    let pings = says(vec![(ms(300), Say::Ping); 10]);
    both(
        || {
            let mut plan = plan(vec![pings.clone()]);
            plan.user.host = Some(HostPlan { blocked: vec![(ms(100), ms(4000))], ..PATIENT });
            plan
        },
        |outcome| assert_eq!(count(outcome, "server: Ping"), 11),
    );
}

#[test]
fn what_comes_with_the_answer_is_seen_by_a_host_that_sleeps() {
    let glued = Dial {
        link: LinkPlan { read_size: 200, ..LinkPlan::default() },
        ..says(vec![
            (Duration::ZERO, Say::Message { kind: MessageKind::Text, size: 10, fragments: 1 }),
            (Duration::ZERO, Say::Ping),
        ])
    };
    both(
        || {
            let mut plan = plan(vec![glued.clone()]);
            plan.user.host = Some(HostPlan { blocked: vec![(ms(0), ms(4000))], ..PATIENT });
            plan
        },
        |outcome| saw(outcome, "Message Some(('s', 0, 0))"),
    );
}

#[test]
fn a_server_that_breaks_the_protocol_hears_so() {
    // What it says meanwhile must not make the system take back our close frame.
    let mut script = vec![(ms(2), Say::Ping); 50];
    script[0] = (ms(100), Say::Violation);
    let link = LinkPlan { latency_up: ms(40), ..LinkPlan::default() };
    let wrong = Dial { link, ..says(script) };
    both(|| plan(vec![wrong.clone()]), |outcome| saw(outcome, "#0 hears Close(1002)"));
}
