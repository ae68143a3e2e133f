//! One client's connection to the server, and the harm done to it.
//!
//! Bytes pass in order, and each at most once. **What a client has sent on a connection that it has given up never reaches
//! the server**: a message that arrives behind those of a newer connection was sent so by the client.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::fault::{Act, Fault, Script};
use crate::ledger::Fate;
use crate::server::Desk;
use crate::weather::Weather;

const READ_SIZE: usize = 16 << 10;
/// A connection that is to die dies, if the bytes that should pass before do not come.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a client may keep a connection on which it hears nothing, or of which it knows the end. Its own limit is 2 s,
/// for connecting and for the heartbeat; but the machine may be busy.
const NOTICE: Duration = Duration::from_secs(6);
/// A stall of this length is noticed meanwhile.
const LONG_STALL: Duration = Duration::from_secs(4);

/// Serves a client until its socket is closed on this side.
pub(crate) async fn relay(
    client: TcpStream,
    server: SocketAddr,
    secure: bool,
    desk: Rc<Desk>,
    weather: Rc<Weather>,
) {
    weather.live.set(weather.live.get() + 1);
    // A socket that fails in the middle of anything is closed, which is all that the client is to see.
    let _ = connect(client, server, secure, &desk, &weather).await;
    weather.live.set(weather.live.get() - 1);
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    secure: bool,
    desk: &Desk,
    weather: &Weather,
) -> io::Result<()> {
    let deaths = weather.deaths.get();
    let Ok(server) = TcpStream::connect(server).await else {
        // Between the server's death and its new life.
        return client.set_zero_linger();
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ends = (server.local_addr()?, server.peer_addr()?);
    let fate = Fate::default();
    desk.fates.borrow_mut().insert(ends, Rc::clone(&fate));
    let (up, down) = (Way::upward(), Way::downward());
    let mut link = Link { client, server, up, down, fate, weather };
    let ended = link.suffer(weather.script(secure)).await;
    desk.fates.borrow_mut().remove(&ends);
    if link.fate.get().is_none() && weather.is_late() {
        link.fate.set(Some(Fault::Busy));
    }
    if let End::Server { reset } = ended {
        if weather.deaths.get() != deaths {
            link.fate.set(Some(Fault::ServerDeath));
        }
        link.kill(reset).await?;
    }
    Ok(())
}

/// Why bytes no longer pass.
enum End {
    /// The client closed its socket.
    Client,
    /// So did the server, with RST or FIN.
    Server { reset: bool },
    /// As many bytes passed as were allowed.
    Spent,
    /// It was a fault of ours, and everything is done.
    Fault,
}

struct Link<'a> {
    client: TcpStream,
    server: TcpStream,
    up: Way,
    down: Way,
    fate: Fate,
    weather: &'a Weather,
}

impl Link<'_> {
    /// Plays the script while there are faults, until the connection is over.
    async fn suffer(&mut self, mut script: Script) -> End {
        if !self.weather.is_foul() {
            script.skip_handshake();
        }
        loop {
            let ended = if self.weather.is_foul() {
                self.play(script.next()).await
            } else {
                let weather = self.weather;
                tokio::select! {
                    biased;
                    () = weather.becomes(true) => None,
                    ended = self.carry(Pace::Plain, None) => Some(ended),
                }
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    async fn play(&mut self, act: Act) -> Option<End> {
        match act {
            Act::Flow(time) => self.flow(Pace::Plain, time).await,
            Act::Delay { by, lasting } => {
                self.suffers(Fault::Delay);
                self.flow(Pace::Delay(by), lasting).await
            }
            Act::Trickle { bytes, pause, lasting } => {
                self.suffers(Fault::Trickle);
                self.flow(Pace::Trickle { bytes, pause }, lasting).await
            }
            Act::Stall(time) => {
                self.suffers(Fault::Stall);
                let called_off = self.weather.lasts(time).await;
                if hung_up(&self.client).await {
                    return Some(End::Client);
                }
                if time >= LONG_STALL && !called_off {
                    self.weather.complain(format!("a stall of {time:?} was not noticed"));
                }
                None
            }
            Act::BlackHole(fault) => {
                self.suffers(fault);
                self.await_departure("said nothing").await;
                Some(End::Fault)
            }
            Act::Kill { bytes, fault } => {
                let weather = self.weather;
                let budget = Cell::new(bytes);
                let ended = tokio::select! {
                    biased;
                    ended = self.carry(Pace::Plain, Some(&budget)) => ended,
                    called_off = weather.lasts(PATIENCE) => {
                        if called_off {
                            return None;
                        }
                        End::Spent
                    }
                };
                if !matches!(ended, End::Spent) {
                    return Some(ended);
                }
                self.suffers(fault);
                // The sockets may be dead already.
                let _ = self.kill(matches!(fault, Fault::Reset | Fault::ResetEarly)).await;
                Some(End::Fault)
            }
        }
    }

    fn suffers(&self, fault: Fault) {
        self.weather.tally.add(fault);
        self.fate.set(Some(fault));
    }

    /// Lets bytes pass for a time. `None` if nothing but the time ended.
    async fn flow(&mut self, pace: Pace, time: Duration) -> Option<End> {
        let weather = self.weather;
        tokio::select! {
            biased;
            ended = self.carry(pace, None) => Some(ended),
            _ = weather.lasts(time) => None,
        }
    }

    /// Lets bytes pass in both directions. May be cancelled without loss.
    async fn carry(&mut self, pace: Pace, budget: Option<&Cell<usize>>) -> End {
        let Self { client, server, up, down, .. } = self;
        tokio::select! {
            ended = up.carry(client, server, pace, budget) => ended,
            ended = down.carry(server, client, pace, budget) => ended,
        }
    }

    /// Ends both sides, with RST or FIN.
    async fn kill(&mut self, reset: bool) -> io::Result<()> {
        if reset {
            self.server.set_zero_linger()?;
            return self.client.set_zero_linger();
        }
        // The client is told even if the server is gone.
        let _ = self.server.shutdown().await;
        self.client.shutdown().await?;
        self.await_departure("had ended").await;
        Ok(())
    }

    /// Reads and forgets what the client sends until it closes its socket.
    async fn await_departure(&mut self, what: &str) {
        let mut buffer = vec![0; READ_SIZE];
        let gone = async { while let Ok(1..) = self.client.read(&mut buffer).await {} };
        if timeout(NOTICE, gone).await.is_err() {
            self.weather
                .complain(format!("after {NOTICE:?} a client still had a socket that {what}"));
        }
    }
}

/// How bytes pass.
#[derive(Clone, Copy)]
enum Pace {
    Plain,
    Delay(Duration),
    Trickle { bytes: usize, pause: Duration },
}

/// One direction: what was read from one side and not written to the other.
struct Way {
    held: Vec<u8>,
    is_upward: bool,
}

impl Way {
    fn upward() -> Self {
        Self { held: Vec::new(), is_upward: true }
    }

    fn downward() -> Self {
        Self { held: Vec::new(), is_upward: false }
    }

    async fn carry(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        pace: Pace,
        budget: Option<&Cell<usize>>,
    ) -> End {
        let at_source = |reset| if self.is_upward { End::Client } else { End::Server { reset } };
        let at_target = if self.is_upward { End::Server { reset: true } } else { End::Client };
        loop {
            if budget.is_some_and(|left| left.get() == 0) {
                return End::Spent;
            }
            if self.held.is_empty() {
                if from.readable().await.is_err() {
                    return at_source(true);
                }
                self.held.reserve_exact(READ_SIZE);
                match from.try_read_buf(&mut self.held) {
                    Ok(0) => return at_source(false),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(_) => return at_source(true),
                }
                if let Pace::Delay(by) = pace {
                    sleep(by).await;
                }
            }
            let mut most = budget.map_or(self.held.len(), |left| left.get().min(self.held.len()));
            if let Pace::Trickle { bytes, pause } = pace {
                sleep(pause).await;
                most = most.min(bytes);
            }
            if to.writable().await.is_err() {
                return at_target;
            }
            if self.is_upward && hung_up(from).await {
                return End::Client;
            }
            match to.try_write(&self.held[..most]) {
                Ok(count) => {
                    self.held.drain(..count);
                    if let Some(left) = budget {
                        left.set(left.get().saturating_sub(count));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return at_target,
            }
        }
    }
}

/// Whether the other side has closed its socket, read or unread what it sent before.
async fn hung_up(stream: &TcpStream) -> bool {
    tokio::select! {
        biased;
        ready = stream.ready(Interest::READABLE) => ready.is_ok_and(tokio::io::Ready::is_read_closed),
        () = std::future::ready(()) => false,
    }
}
