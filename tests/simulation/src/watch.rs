//! Looks again and again whether something waits for nothing: bytes that could
//! leave, a user who is to be told of room, a ping without an answer. This is how
//! a wake that was lost shows, before something else makes up for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::client::reading::ReaderSlot;
use crate::driver::runtime::lock;
use crate::event::State;
use crate::world::World;

const LOOK: Duration = Duration::from_millis(50);
/// What is so for so many looks is so for good.
const LOOKS: usize = 4;
/// A host that is slow but alive is left its time, and then the guard has its own.
const PING_LOOKS: usize = 30;

/// Something that must not last.
struct Lasting<T> {
    before: Option<T>,
    looks: usize,
}

impl<T: PartialEq> Lasting<T> {
    fn new() -> Lasting<T> {
        Lasting { before: None, looks: 0 }
    }

    /// Whether it has just lasted for so many looks.
    fn look(&mut self, now: Option<T>, most: usize) -> bool {
        self.looks = if now.is_some() && now == self.before { self.looks + 1 } else { 0 };
        self.before = now;
        self.looks == most
    }
}

pub async fn watch(world: Arc<World>) {
    let (mut bytes, mut drain, mut ping) = (Lasting::new(), Lasting::new(), Lasting::new());
    let witness = world.witness();
    while !witness.is_over() {
        if let Some(connection) = world.unfetchable() {
            let what = "the host has something to fetch, and its descriptor is quiet";
            witness.fail(format!("#{connection}: {what}"));
        }
        if bytes.look(world.waiting_bytes(), LOOKS) {
            witness.fail("bytes wait, the socket has room, and nobody writes".into());
        }
        if drain.look(world.waits_for_drain().then_some(()), LOOKS) {
            witness.fail("there is room, and no Drain".into());
        }
        if ping.look(world.waiting_ping(), PING_LOOKS) {
            witness.fail("a ping is not answered".into());
        }
        sleep(LOOK).await;
    }
}

impl World {
    /// The connection on which whole messages came that a host would not find.
    fn unfetchable(&self) -> Option<usize> {
        let (client, socket) = (self.user.handle()?, self.latest()?);
        let open = client.state() == State::Open && !self.witness().is_told_to_stop();
        let quiet = !self.is_readable(client.poll_fd().ok()?);
        // Nothing is read any more once the connection is being given up.
        let reads = !matches!(*lock(&client.shared().reader), ReaderSlot::Vacant);
        let talks = open && quiet && reads && socket.is_in_conversation();
        let left = talks && self.witness().has_undelivered(socket.number, socket.delivered());
        left.then_some(socket.number)
    }

    /// Bytes in the client that could leave at once: for which connection,
    /// how many left before, and how many wait.
    fn waiting_bytes(&self) -> Option<(usize, usize, usize)> {
        let (client, socket) = (self.client()?, self.latest()?);
        let waiting = client.writer.buffered();
        let open = client.state() == State::Open && self.witness().is_open(socket.number);
        let stuck = open && waiting > 0 && socket.has_nothing_to_do() && !self.user.is_sending();
        stuck.then(|| (socket.number, socket.written(), waiting))
    }

    /// Whether a `Drain` is due that is not there to be fetched either.
    fn waits_for_drain(&self) -> bool {
        let Some(client) = self.user.handle() else { return false };
        let witness = self.witness();
        let fetched = client.poll_fd().is_ok_and(|fd| self.is_readable(fd));
        // With less in it, the buffer may still be too full for a large message.
        let room = client.buffered_amount() == 0;
        // During a goodbye it waits for the end of that.
        let down = matches!(client.state(), State::Down | State::Connecting);
        let idle = down || self.latest().is_some_and(|socket| socket.has_nothing_to_do());
        room && idle && !fetched && witness.owes_drain() && !witness.is_told_to_stop()
    }

    /// A ping that came to the client's system, with nothing in the way of an answer.
    fn waiting_ping(&self) -> Option<String> {
        let (client, socket) = (self.client()?, self.latest()?);
        let full =
            client.host().is_some_and(|host| host.waiting() >= self.plan.config.receive_buffer);
        // One that comes back all the time, but fetches little, is not stood in for.
        let slow = self.plan.user.host.as_ref().is_some_and(|host| !host.rests.is_zero());
        let open = client.state() == State::Open && !self.witness().is_told_to_stop() && !slow;
        if !open || full || !socket.has_nothing_to_do() {
            return None;
        }
        self.witness().unanswered(socket.number, socket.delivered())
    }
}
