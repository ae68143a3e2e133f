//! The program that uses the client: sends from everywhere, answers events,
//! has enough at some moment, and in between does something else for too long.

use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::handle::{Client, Drive, SendOptions};
use crate::client::message_writer::MessageWriter;
use crate::client::reading::ReaderSlot;
use crate::client::scope::{Batch, Stage};
use crate::dice::Dice;
use crate::driver::runtime::lock;
use crate::error::ErrorKind;
use crate::event::{Event, MessageKind, Opened, State};
use crate::messages;
use crate::plan::{Act, HostPlan, act, ending};
use crate::protocol::encoder::encoded_len;
use crate::watch;
use crate::witness::{Class, Number};
use crate::world::{World, world};

/// What the core leaves the peer after the last frame.
pub const LINGER: Duration = Duration::from_secs(1);
/// For timers, latencies and the guard's tick.
pub const SLACK: Duration = Duration::from_millis(500);

pub struct User {
    handle: Mutex<Option<Client>>,
    sending: Mutex<Option<Sending>>,
    dice: Mutex<Dice>,
    pings: Mutex<usize>,
    /// The largest message so far.
    largest: Mutex<usize>,
}

/// A message that is sent piece by piece.
struct Sending {
    writer: MessageWriter,
    number: Number,
    rest: Vec<u8>,
    size: usize,
}

/// Told when the handler is dropped.
struct Handler;

impl Drop for Handler {
    fn drop(&mut self) {
        world().note(|| "the handler is dropped".into());
        world().witness().handler_dropped();
    }
}

impl User {
    pub fn new(dice: Dice) -> User {
        User {
            handle: Mutex::default(),
            sending: Mutex::default(),
            dice: Mutex::new(dice),
            pings: Mutex::default(),
            largest: Mutex::default(),
        }
    }

    /// Starts the client, and whoever drives it.
    pub fn start(&self) {
        let world = world();
        let config = world.plan.config.clone();
        let client = match &world.plan.user.host {
            Some(_) => Client::start_hosted(config),
            None => {
                let handler = Handler;
                Client::start(config, move |client, event| {
                    let _ = &handler;
                    self::world().user.event(client, &event);
                })
            }
        };
        let client = client.expect("the options are valid");
        world.meet(client.downgrade());
        *lock(&self.handle) = Some(client);
        if let Some(host) = &world.plan.user.host {
            tokio::spawn(drive(host.clone()));
        }
        tokio::spawn(perform(world.clone()));
        tokio::spawn(watch::watch(world.clone()));
    }

    pub fn handle(&self) -> Option<Client> {
        lock(&self.handle).clone()
    }

    fn dice<R>(&self, roll: impl FnOnce(&mut Dice) -> R) -> R {
        roll(&mut lock(&self.dice))
    }

    /// Another thread does something.
    pub fn intrude(&self) {
        let Some(client) = self.handle() else { return };
        // It is not inside any event.
        let elsewhere = Stage::default();
        let _outside = Batch::begin(&elsewhere);
        if world().plan.user.host.is_some() && self.dice(|dice| dice.percent(30)) {
            let budget = self.dice(|dice| dice.number(1..4));
            world().note(|| "meanwhile a drive".into());
            self.drive(&client, budget);
            return;
        }
        let act = self.dice(|dice| if dice.percent(3) { ending(dice) } else { act(dice) });
        // A thread that frees would wait for the handler; and this one still holds a handle.
        let act = if matches!(act, Act::Free | Act::Drop) { Act::Release } else { act };
        world().note(|| format!("meanwhile {act:?}"));
        self.act(&client, &act, Class::Meanwhile);
    }

    fn drive(&self, client: &Client, budget: usize) -> Option<Drive> {
        match client.drive(budget, &mut |event| self.event(client, &event)) {
            Ok(left) => Some(left),
            Err(error) if error.kind() == ErrorKind::Busy => None,
            Err(error) => {
                world().witness().fail(format!("drive: {error}"));
                None
            }
        }
    }

    fn event(&self, client: &Client, event: &Event<'_>) {
        let world = world();
        world.note(|| describe(event));
        world.witness().event(event);
        if let Event::Closed(closed) = event {
            let unsent = client.take_unsent().expect("nobody forks");
            world.witness().returned(closed, &unsent);
        }
        self.check(client);
        let mut class = if world.is_intruding() { Class::Meanwhile } else { Class::Normal };
        if let Event::Open(opened) = event {
            class = opening(client, opened);
            for _ in 0..world.plan.user.in_open {
                let size = self.dice(|dice| dice.number(0..200));
                self.send(client, size, MessageKind::Text, SendOptions::default(), class);
            }
            for act in &world.plan.user.on_open {
                self.act(client, act, class);
            }
        }
        if !matches!(event, Event::Closed(_))
            && self.dice(|dice| dice.percent(world.plan.user.answers))
        {
            let act = self.dice(|dice| {
                if dice.percent(2) && !world.is_healed() { ending(dice) } else { act(dice) }
            });
            // Whoever drives holds a handle.
            let act = if matches!(act, Act::Drop) { Act::Release } else { act };
            world.note(|| format!("inside {act:?}"));
            self.act(client, &act, class);
        }
    }

    fn act(&self, client: &Client, act: &Act, class: Class) {
        match *act {
            Act::Send { kind, size, count, in_turn, compress } => {
                let mut options = SendOptions::default();
                (options.in_turn, options.compress) = (in_turn, compress);
                for _ in 0..count {
                    self.send(client, size, kind, options, class);
                }
                if in_turn && self.dice(|dice| dice.percent(60)) {
                    client.flush();
                }
            }
            Act::Flush => client.flush(),
            Act::Ping => {
                let number = {
                    let mut pings = lock(&self.pings);
                    *pings += 1;
                    *pings
                };
                // Refused where there is no connection.
                let _ = client.ping(format!("c{number}").as_bytes());
            }
            Act::Piece { size } => self.piece(client, size, class),
            Act::Finish => self.finish(),
            Act::GiveUp => {
                let sending = lock(&self.sending).take();
                if let Some(sending) = sending {
                    world().witness().answered(sending.number, 0, Err(ErrorKind::Lost));
                }
            }
            Act::Close(code) => {
                world().witness().told_to_close();
                let limit = match client.state() {
                    State::Connecting | State::Down => Duration::ZERO,
                    _ => world().plan.config.close_timeout + LINGER,
                };
                if let Err(error) = client.close(code, "enough") {
                    world().witness().fail(format!("close: {error}"));
                }
                tokio::spawn(closes_in_time(limit + SLACK));
            }
            Act::Release | Act::Free => {
                if matches!(act, Act::Free) {
                    client.free();
                } else {
                    client.release();
                }
                world().witness().released();
                tokio::spawn(hangs_up_in_time());
            }
            Act::Drop => self.let_go(),
        }
        self.check(client);
    }

    /// Drops the handle and whatever else keeps the client alive.
    pub fn let_go(&self) {
        let sending = lock(&self.sending).take();
        drop(sending);
        if lock(&self.handle).take().is_some() {
            world().witness().released();
            tokio::spawn(hangs_up_in_time());
        }
    }

    pub fn send(
        &self,
        client: &Client,
        size: usize,
        kind: MessageKind,
        options: SendOptions,
        class: Class,
    ) -> Number {
        let witness = world();
        let witness = witness.witness();
        let number = witness.offer(size, kind, class, false);
        let payload = messages::payload('c', 0, number, size, kind);
        self.grow(payload.len());
        let answer = client.send_with(kind, &payload, options);
        let taken = answer.as_ref().map(drop).map_err(super::error::Error::kind);
        world().note(|| format!("c{number} {} bytes {class:?}: {taken:?}", payload.len()));
        witness.answered(number, payload.len(), taken);
        if matches!(answer, Ok(crate::client::handle::Sent::Deferred)) {
            // The turn ends some time later.
            tokio::spawn(async {
                sleep(Duration::from_millis(2)).await;
                if let Some(client) = world().user.handle() {
                    client.flush();
                }
            });
        }
        number
    }

    fn grow(&self, size: usize) {
        let mut largest = lock(&self.largest);
        *largest = size.max(*largest);
    }

    fn piece(&self, client: &Client, size: usize, class: Class) {
        let sending = lock(&self.sending).take();
        let mut sending = match sending {
            Some(sending) => sending,
            None => {
                let kind = self.dice(|dice| dice.one_of(&[MessageKind::Text, MessageKind::Binary]));
                let Ok(writer) = client.begin_message(kind, SendOptions::default()) else { return };
                let number = world().witness().offer(size, kind, class, true);
                let rest = messages::payload('c', 0, number, size, kind);
                self.grow(rest.len());
                world().note(|| format!("c{number} begins, {} bytes", rest.len()));
                Sending { writer, number, size: rest.len(), rest }
            }
        };
        let len = self.dice(|dice| dice.number(0..sending.rest.len() + 1));
        match sending.writer.write(&sending.rest[..len]) {
            Ok(()) => {
                sending.rest.drain(..len);
            }
            Err(error) if error.kind() == ErrorKind::Full => {}
            Err(error) => {
                world().witness().answered(sending.number, sending.size, Err(error.kind()));
                return;
            }
        }
        let other = (*lock(&self.sending)).replace(sending);
        drop(other);
    }

    /// Ends the message that was begun, unless there is no room.
    pub fn finish(&self) {
        let Some(mut sending) = lock(&self.sending).take() else { return };
        let rest = mem::take(&mut sending.rest);
        match sending.writer.write(&rest) {
            Err(error) if error.kind() == ErrorKind::Full => {
                sending.rest = rest;
                let other = (*lock(&self.sending)).replace(sending);
                drop(other);
            }
            result => {
                let result = result.and_then(|()| sending.writer.finish());
                let result = result.map_err(|error| error.kind());
                world().note(|| format!("c{} ends: {result:?}", sending.number));
                world().witness().answered(sending.number, sending.size, result);
            }
        }
    }

    pub fn is_sending(&self) -> bool {
        lock(&self.sending).is_some()
    }

    /// Holds the buffers to their bounds.
    fn check(&self, client: &Client) {
        let world = world();
        let config = &world.plan.config;
        // A compressed message is held as it was as well.
        let forms = if world.sockets().iter().any(|socket| socket.is_compressed()) { 2 } else { 1 };
        let largest = forms * encoded_len(*lock(&self.largest));
        // Control frames come on top.
        let limit = (forms * config.send_buffer).max(largest) + largest + 2000;
        let buffered = client.buffered_amount();
        world.witness().expect(buffered <= limit, || {
            format!("{buffered} bytes buffered, at most {} wanted", config.send_buffer)
        });
        if let Some(host) = client.shared().host() {
            let waiting = host.waiting();
            let limit = config.receive_buffer + 31_000;
            let given_up = world.sockets().iter().any(|socket| socket.is_closed_by_client());
            world.witness().expect(
                waiting <= limit || given_up || client.state() != State::Open,
                || {
                    format!(
                        "{waiting} bytes in the inbox, at most {} wanted",
                        config.receive_buffer
                    )
                },
            );
        }
    }
}

/// How what is sent from within this event is ordered.
fn opening(client: &Client, opened: &Opened) -> Class {
    let header = opened.headers.iter().find(|(name, _)| name == "x-connection");
    let number = header.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok());
    // A host may come so late that the connection is being given up.
    let late = client.shared().host().is_some()
        && matches!(*lock(&client.shared().reader), ReaderSlot::Vacant);
    match (number, world().latest()) {
        (Some(number), Some(latest))
            if latest.number == number && !latest.is_closed_by_client() && !late =>
        {
            Class::Open(number)
        }
        (number, _) => Class::Late(number.unwrap_or(0)),
    }
}

/// Does what the plan has the user do.
async fn perform(world: Arc<World>) {
    let start = Instant::now();
    for (at, act) in &world.plan.user.acts {
        sleep_until(start + *at).await;
        if world.is_healed() {
            return;
        }
        let Some(client) = world.user.handle() else { return };
        if matches!(act, Act::Drop) {
            drop(client);
            world.note(|| "Drop".into());
            world.user.let_go();
            return;
        }
        world.note(|| format!("{act:?}"));
        world.user.act(&client, act, Class::Normal);
    }
}

/// The event loop of a host.
async fn drive(plan: HostPlan) {
    let world = world();
    let mut idle = 0;
    loop {
        let Some(client) = world.user.handle() else { return };
        let fd = client.poll_fd().expect("a hosted client");
        drop(client);
        world.readable(fd).await;
        let now = world.now();
        let blocked = plan.blocked.iter().find(|(from, time)| *from <= now && now < *from + *time);
        if let Some((from, time)) = blocked
            && !world.is_healed()
        {
            let until = (*from + *time).min(world.plan.heals);
            sleep(until.saturating_sub(now).max(Duration::from_millis(1))).await;
            continue;
        }
        let Some(client) = world.user.handle() else { return };
        let before = world.now();
        let drive = world.user.drive(&client, plan.budget);
        drop(client);
        if drive == Some(Drive::Finished) {
            return;
        }
        idle = if world.now() == before { idle + 1 } else { 0 };
        if idle > 20_000 {
            world.witness().fail("the descriptor stays readable, and nothing is there".into());
            return;
        }
        if !plan.rests.is_zero() && !world.is_healed() {
            sleep(plan.rests).await;
        }
        yield_now().await;
    }
}

/// After `close` a client ends, whatever the peer does.
async fn closes_in_time(limit: Duration) {
    let world = world();
    sleep(limit).await;
    let state = world.state();
    world.witness().expect(state.is_none_or(|state| state == State::Closed), || {
        format!("{state:?} {limit:?} after close")
    });
}

/// Nobody wants the client any more: it lets go of its connection.
async fn hangs_up_in_time() {
    let world = world();
    let limit = LINGER + SLACK;
    sleep(limit).await;
    let alive = world.sockets().iter().find(|socket| !socket.is_closed_by_client()).cloned();
    world.witness().expect(alive.is_none(), || format!("a connection {limit:?} after the release"));
}

fn describe(event: &Event<'_>) -> String {
    match event {
        Event::Open(opened) => format!("Open, attempt {}", opened.attempt),
        Event::Message(message) => {
            format!(
                "Message {:?}, {} bytes",
                messages::parse(message.as_bytes()),
                message.as_bytes().len()
            )
        }
        Event::Chunk(chunk) => {
            format!("Chunk {} bytes, {} {}", chunk.payload.len(), chunk.first, chunk.last)
        }
        Event::Pong(_) => "Pong".into(),
        Event::Down(down) => format!("Down {:?}, again in {:?}", down.error, down.retry_in),
        Event::Drain => "Drain".into(),
        Event::BeforeConnect(attempt) => format!("{attempt:?}"),
        Event::ShouldReconnect(outage) => format!("{outage:?}"),
        Event::Closed(closed) => format!("{closed:?}"),
    }
}
