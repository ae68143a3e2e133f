//! One run: a plan from its beginning, through everything that goes wrong, to
//! the moment when nothing does any more and everything has to be well.

use std::panic;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::client::handle::SendOptions;
use crate::dice::Dice;
use crate::event::{MessageKind, State};
use crate::plan::{Plan, Say};
use crate::user::SLACK;
use crate::witness::Class;
use crate::world::{self, World};

/// The most that a run may take of real time.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether something is so.
const LOOK: Duration = Duration::from_millis(20);

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The promises that were broken.
    pub failures: Vec<String>,
    /// Everything that happened, with virtual milliseconds.
    pub log: Vec<String>,
}

/// Runs the plan of `seed`.
pub fn seed(seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    run(plan, dice)
}

/// Runs `plan`, with whatever it leaves to chance drawn from `dice`.
pub fn run(plan: Plan, dice: Dice) -> Outcome {
    let (tell, told) = channel();
    // A thread of its own, so that nothing a thread keeps outlasts the run.
    let thread = thread::spawn(move || {
        let _ = tell.send(on_this_thread(plan, dice));
    });
    match told.recv_timeout(LIMIT) {
        Ok(outcome) => {
            thread.join().expect("it has nothing left to do");
            outcome
        }
        Err(RecvTimeoutError::Timeout) => Outcome {
            failures: vec![format!("virtual time stands still: no end after {LIMIT:?}")],
            log: Vec::new(),
        },
        Err(RecvTimeoutError::Disconnected) => {
            Outcome { failures: vec!["a panic outside the run".into()], log: Vec::new() }
        }
    }
}

fn on_this_thread(plan: Plan, mut dice: Dice) -> Outcome {
    watch_for_panics();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets");
    let (outcome, _entered) = runtime.block_on(async {
        let (world, entered) = World::enter(plan, &mut dice);
        live(&world).await;
        let outcome = Outcome { failures: world.take_failures(), log: world.take_log() };
        (outcome, entered)
    });
    drop(runtime);
    outcome
}

/// A panic in a task or a handler ends that alone, and nobody would know.
fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !world::panicked(info.to_string()) {
                before(info);
            }
        }));
    });
}

async fn live(world: &Arc<World>) {
    let start = Instant::now();
    world.user.start();
    sleep_until(start + world.plan.heals).await;
    world.heal();
    settle(world).await;
    finish(world).await;
}

/// Waits until `done`, at most for `limit`. Whether it was in time.
async fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
}

/// Nothing goes wrong any more: a client that should be open is, and
/// everything arrives.
async fn settle(world: &World) {
    let config = &world.plan.config;
    let witness = world.witness();
    let back_off = config.reconnect.as_ref().map_or(Duration::ZERO, |options| options.max_delay);
    let silence = config.heartbeat.interval.unwrap_or_default() + config.heartbeat.timeout;
    let limit = config.connect_timeout + back_off + silence + config.close_timeout + 4 * SLACK;
    let is_open = || {
        world.state() == Some(State::Open) && world.latest().is_some_and(|socket| socket.is_alive())
    };
    let is_over = || witness.is_over();
    // Twice, as a connection may be about to end that looks well.
    let settled = within(limit, || is_over() || is_open()).await;
    if is_over() {
        return;
    }
    if witness.is_told_to_stop() || world.state() == Some(State::Closed) {
        let over = within(limit, is_over).await;
        return witness.expect(over, || "the end never came".into());
    }
    witness.expect(settled, || format!("not open again after {limit:?}: {:?}", world.state()));
    if settled {
        exchange(world, limit).await;
    }
}

/// Messages go both ways, and everything sent before has gone, too.
async fn exchange(world: &World, limit: Duration) {
    let witness = world.witness();
    let Some(client) = world.user.handle() else { return };
    let (mut greeted, mut sent) = (None, 0);
    // What was sent before leaves without anything to push it.
    let before = within(limit, || {
        world.user.finish();
        let arrived =
            || world.latest().is_none_or(|socket| witness.is_settled(socket.number).is_ok());
        witness.is_over() || client.buffered_amount() == 0 && arrived()
    });
    let left = before.await;
    witness.expect(left, || {
        format!("{} bytes stay, or something never came", client.buffered_amount())
    });
    let until = Instant::now() + limit + Duration::from_secs(20);
    loop {
        if witness.is_over() {
            return;
        }
        let mut why = Err(format!("the client is {:?}", world.state()));
        if let Some(socket) = world.latest().filter(|socket| socket.is_alive())
            && world.state() == Some(State::Open)
        {
            if greeted != Some(socket.number) {
                greeted = Some(socket.number);
                sent = 0;
                for say in
                    [Say::Message { kind: MessageKind::Text, size: 40, fragments: 1 }, Say::Ping]
                {
                    socket.order(say);
                }
            }
            world.user.finish();
            if sent < 2 && !world.user.is_sending() && client.buffered_amount() == 0 {
                sent += 1;
                world.user.send(
                    &client,
                    40,
                    MessageKind::Text,
                    SendOptions::default(),
                    Class::Normal,
                );
            }
            why = match () {
                () if world.user.is_sending() => Err("no room for the rest of a message".into()),
                () if client.buffered_amount() > 0 => {
                    Err(format!("{} bytes stay", client.buffered_amount()))
                }
                () if sent < 2 => Err("not all was sent".into()),
                () if witness.owes_drain() => Err("Drain never came".into()),
                () => witness.is_settled(socket.number).and_then(|()| witness.missing()),
            };
        }
        match why {
            Ok(()) => return,
            Err(why) if Instant::now() >= until => {
                return witness.fail(format!("all is well, but {why}"));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// The end, if it has not come, and what must not be left behind.
async fn finish(world: &World) {
    let witness = world.witness();
    let limit = world.plan.config.close_timeout + 4 * SLACK;
    if !witness.is_over() {
        if let Some(client) = world.user.handle() {
            world.note(|| "the last close".into());
            witness.told_to_close();
            // Without effect if the client was closed before.
            let _ = client.close(1000, "");
        }
        let over = within(limit, || witness.is_over()).await;
        witness.expect(over, || format!("no Closed {limit:?} after close"));
    }
    world.user.let_go();
    // Everything ends: connections, tasks, and with them the client's memory.
    let gone = within(limit, || world.client().is_none()).await;
    witness.expect(gone, || "something still holds the client".into());
    let alive = world.sockets().iter().any(|socket| !socket.is_closed_by_client());
    witness.expect(!alive, || "a connection is left behind".into());
    let handlers = usize::from(world.plan.user.host.is_none());
    witness.expect(witness.handlers_dropped() == handlers, || "the handler was kept".into());
}
