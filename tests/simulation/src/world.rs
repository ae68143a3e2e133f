//! What everything in one run has in common: clock, chance, descriptors, the
//! plan and how far it has come.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client::Shared;
use crate::dice::Dice;
use crate::doubles::driver::poll::Set;
use crate::driver::runtime::lock;
use crate::event::State;
use crate::plan::{Dial, Plan};
use crate::protocol::target::Target;
use crate::server;
use crate::user::User;
use crate::wire::Socket;
use crate::witness::Witness;

thread_local! {
    static CURRENT: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// The world of this thread, which has one for as long as its run lasts.
pub fn world() -> Arc<World> {
    CURRENT.with_borrow(|current| current.clone().expect("a run is under way"))
}

/// Notes a panic of this thread, if it has a world.
pub fn panicked(what: String) -> bool {
    let world =
        CURRENT.try_with(|current| current.try_borrow().ok().and_then(|world| world.clone()));
    let Ok(Some(world)) = world else { return false };
    lock(&world.panics).push(what);
    true
}

pub struct World {
    pub plan: Plan,
    pub user: User,
    start: Instant,
    dice: Mutex<Dice>,
    log: Mutex<Vec<String>>,
    witness: Witness,
    descriptors: Mutex<Vec<Descriptor>>,
    sockets: Mutex<Vec<Arc<Socket>>>,
    panics: Mutex<Vec<String>>,
    client: OnceLock<Weak<Shared>>,
    changed: Notify,
    healed: AtomicBool,
    /// Another thread of the user's is doing something.
    intruding: AtomicBool,
}

/// What a number stands for.
pub enum Descriptor {
    Socket(Weak<Socket>),
    Signal(Arc<AtomicBool>),
    Poll(Set),
}

/// Ends the world of this thread when dropped.
pub struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.take();
    }
}

impl World {
    /// Makes the world of this thread.
    pub fn enter(plan: Plan, dice: &mut Dice) -> (Arc<World>, Entered) {
        let world = Arc::new(World {
            user: User::new(dice.fork()),
            witness: Witness::new(&plan),
            plan,
            start: Instant::now(),
            dice: Mutex::new(dice.fork()),
            log: Mutex::default(),
            descriptors: Mutex::default(),
            sockets: Mutex::default(),
            panics: Mutex::default(),
            client: OnceLock::new(),
            changed: Notify::new(),
            healed: AtomicBool::new(false),
            intruding: AtomicBool::new(false),
        });
        CURRENT.set(Some(world.clone()));
        world.note(|| format!("{:?}", world.plan.config));
        world.note(|| format!("{:?}, heals after {:?}", world.plan.user.host, world.plan.heals));
        (world, Entered)
    }

    /// The time since the run began.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    /// Whether something happens that happens so many times in a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        percent > 0 && self.dice().percent(percent)
    }

    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Writes a line into the log of events.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let now = self.now().as_millis();
        lock(&self.log).push(format!("{now:>6} {}", line()));
    }

    /// What was broken, panics first.
    pub fn take_failures(&self) -> Vec<String> {
        let mut failures = std::mem::take(&mut *lock(&self.panics));
        failures.extend(self.witness.take_failures());
        failures
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.log))
    }

    pub(crate) fn meet(&self, client: Weak<Shared>) {
        self.client.set(client).expect("one client in each run");
    }

    pub(crate) fn client(&self) -> Option<Arc<Shared>> {
        self.client.get()?.upgrade()
    }

    /// What the client says of itself; `None` once nothing of it is left.
    pub fn state(&self) -> Option<State> {
        self.client().map(|client| client.state())
    }

    // Descriptors.

    pub fn describe(&self, descriptor: Descriptor) -> RawFd {
        let mut descriptors = lock(&self.descriptors);
        descriptors.push(descriptor);
        descriptors.len() as RawFd + 2
    }

    pub fn is_readable(&self, fd: RawFd) -> bool {
        let set = {
            let descriptors = lock(&self.descriptors);
            match &descriptors[(fd - 3) as usize] {
                Descriptor::Signal(given) => return given.load(Ordering::Relaxed),
                Descriptor::Socket(socket) => {
                    return socket.upgrade().is_some_and(|socket| socket.is_readable());
                }
                Descriptor::Poll(set) => set.clone(),
            }
        };
        let members: Vec<_> = lock(&set).keys().copied().collect();
        members.into_iter().any(|fd| self.is_readable(fd))
    }

    /// Some descriptor may have become readable.
    pub fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `fd` is readable.
    pub async fn readable(&self, fd: RawFd) {
        loop {
            let changed = self.changed.notified();
            if self.is_readable(fd) {
                return;
            }
            changed.await;
        }
    }

    // Connections.

    /// The client begins to connect.
    pub fn dial(self: &Arc<Self>, target: &Target) -> Dialled {
        let number = self.witness.dial();
        let good = Dial::default();
        let plan =
            if self.is_healed() { &good } else { self.plan.dials.get(number).unwrap_or(&good) };
        self.note(|| format!("#{number} dials {}, {:?}", target.host, plan.link));
        Dialled { plan: plan.clone(), number, connected: AtomicBool::new(false) }
    }

    /// A link to `socket` was dropped.
    pub fn hung_up(&self, socket: &Socket) {
        self.note(|| format!("#{} hung up in {:?}", socket.number, self.state()));
        self.witness.ended(socket.number, self.state(), Some(socket));
    }

    /// The connection of the moment, or the last one.
    pub fn latest(&self) -> Option<Arc<Socket>> {
        lock(&self.sockets).last().cloned()
    }

    pub fn sockets(&self) -> Vec<Arc<Socket>> {
        lock(&self.sockets).clone()
    }

    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// From here on nothing goes wrong.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        self.note(|| "the network is whole".into());
        for socket in self.sockets() {
            if !socket.is_closed_by_client() {
                self.witness.vanished(&socket);
            }
            socket.heal();
        }
    }

    pub fn is_intruding(&self) -> bool {
        self.intruding.load(Ordering::Relaxed)
    }

    /// The client's thread is inside the kernel, where it holds no lock:
    /// another thread may do something meanwhile.
    pub fn system_call(&self) {
        if !self.is_healed()
            && self.chance(self.plan.intrusions)
            && !self.intruding.swap(true, Ordering::Relaxed)
        {
            self.user.intrude();
            self.intruding.store(false, Ordering::Relaxed);
        }
    }
}

/// One attempt, until there is a connection.
pub struct Dialled {
    pub plan: Dial,
    number: usize,
    connected: AtomicBool,
}

impl Dialled {
    pub fn connected(&self) -> Arc<Socket> {
        let world = world();
        self.connected.store(true, Ordering::Relaxed);
        let fd = {
            let mut descriptors = lock(&world.descriptors);
            descriptors.push(Descriptor::Socket(Weak::new()));
            descriptors.len() as RawFd + 2
        };
        let socket = Socket::new(fd, self.number, self.plan.link.clone());
        lock(&world.descriptors)[(fd - 3) as usize] = Descriptor::Socket(Arc::downgrade(&socket));
        lock(&world.sockets).push(socket.clone());
        world.note(|| format!("#{} connected", self.number));
        tokio::spawn(server::serve(socket.clone(), self.plan.server.clone()));
        socket
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        if !self.connected.load(Ordering::Relaxed) {
            let world = world();
            world.note(|| format!("#{} came to nothing", self.number));
            world.witness.ended(self.number, world.state(), None);
        }
    }
}
