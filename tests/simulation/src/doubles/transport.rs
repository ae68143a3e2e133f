//! Sockets, names and readiness, as the simulated network has them.

/// There is no TLS; a link that is "encrypted" keeps back what found no room,
/// as TLS does.
pub mod tls {
    use crate::error::Result;
    use crate::options::Tls;

    #[derive(Clone)]
    pub struct Trust;

    impl Trust {
        pub fn new(_: &Tls) -> Result<Trust> {
            Ok(Trust)
        }
    }
}

pub mod dial {
    use std::sync::Arc;

    use super::link::Link;
    use super::tls::Trust;
    use super::watch::Watch;
    use crate::error::{Error, ErrorKind, Result};
    use crate::options::Config;
    use crate::plan::Step;
    use crate::protocol::proxy::ProxyUrl;
    use crate::protocol::target::Target;
    use crate::world::world;

    pub async fn connect(
        target: &Target,
        _: Option<&ProxyUrl>,
        _: Option<&Trust>,
        _: &Config,
    ) -> Result<Watch> {
        let world = world();
        let dialled = world.dial(target);
        take(&dialled.plan.lookup, ErrorKind::Dns).await?;
        take(&dialled.plan.tcp, ErrorKind::Connect).await?;
        let socket = dialled.connected();
        Watch::link(Arc::new(Link::new(socket, dialled.plan.link.encrypted)))
    }

    async fn take(step: &Step, kind: ErrorKind) -> Result<()> {
        match *step {
            Step::Done(after) => {
                if !after.is_zero() {
                    tokio::time::sleep(after).await;
                }
                Ok(())
            }
            Step::Fails(after) => {
                tokio::time::sleep(after).await;
                Err(Error::new(kind, "the simulation has it fail"))
            }
            Step::Never => std::future::pending().await,
        }
    }
}

pub mod link {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::RawFd;
    use std::sync::{Arc, Mutex};

    use super::super::super::transport::scratch::Scratch;
    use crate::driver::runtime::lock;
    use crate::error::{Error, ErrorKind};
    use crate::wire::Socket;
    use crate::world::world;

    pub struct Link {
        socket: Arc<Socket>,
        held_back: Option<Mutex<Vec<u8>>>,
    }

    pub enum Got<'a> {
        Bytes { direct: usize, bytes: &'a [u8], more: bool },
        Nothing,
        End,
    }

    impl Link {
        pub fn new(socket: Arc<Socket>, encrypted: bool) -> Link {
            Link { socket, held_back: encrypted.then(Mutex::default) }
        }

        pub fn socket(&self) -> &Arc<Socket> {
            &self.socket
        }

        pub fn read<'a>(&self, scratch: &'a mut Scratch) -> Result<Got<'a>, Error> {
            self.read_into(&mut [], scratch, usize::MAX)
        }

        pub fn read_into<'a>(
            &self,
            target: &mut [MaybeUninit<u8>],
            scratch: &'a mut Scratch,
            most: usize,
        ) -> Result<Got<'a>, Error> {
            world().system_call();
            let room = self.socket.read_size().min(scratch.plain.len());
            let room = match target.len() {
                _ if self.is_encrypted() => room,
                0 => room.min(most),
                direct => direct.min(scratch.plain.len()),
            };
            let bytes = match self.socket.read(&mut scratch.plain[..room]) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => &scratch.plain[..n],
                Err(error) if would_block(&error) => return Ok(Got::Nothing),
                Err(error) => return Err(lost(&error)),
            };
            let more = bytes.len() == room;
            let (front, bytes) = bytes.split_at(bytes.len().min(target.len()));
            for (target, byte) in target.iter_mut().zip(front) {
                target.write(*byte);
            }
            Ok(Got::Bytes { direct: front.len(), bytes, more })
        }

        pub fn is_encrypted(&self) -> bool {
            self.held_back.is_some()
        }

        pub fn is_at_end(&self) -> bool {
            false
        }

        pub fn has_unsent(&self) -> bool {
            self.held_back.as_ref().is_some_and(|held| !lock(held).is_empty())
        }

        pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            world().system_call();
            let Some(held_back) = &self.held_back else {
                if bytes.is_empty() {
                    return Ok(0);
                }
                let n = self.socket.write(bytes)?;
                self.socket.taken(&bytes[..n]);
                return Ok(n);
            };
            let mut held_back = lock(held_back);
            self.push(&mut held_back)?;
            held_back.extend_from_slice(bytes);
            self.socket.taken(bytes);
            match self.push(&mut held_back) {
                Err(_) if !bytes.is_empty() => Ok(bytes.len()),
                Err(error) => Err(error),
                Ok(()) => Ok(bytes.len()),
            }
        }

        fn push(&self, held_back: &mut Vec<u8>) -> io::Result<()> {
            while !held_back.is_empty() {
                let n = self.socket.write(held_back)?;
                held_back.drain(..n);
            }
            Ok(())
        }

        pub fn why_lost(&self, error: &io::Error, _: &mut Scratch) -> Error {
            lost(error)
        }

        pub fn early_plaintext(&self) -> Vec<u8> {
            Vec::new()
        }

        pub fn finish_writing(&self) {
            if let Some(held_back) = &self.held_back {
                // As far as the socket takes it.
                let _ = self.push(&mut lock(held_back));
            }
            self.socket.finish_writing();
        }

        pub fn has_unread(&self) -> bool {
            self.socket.unread() > 0
        }

        pub fn unacknowledged(&self) -> u64 {
            let held_back = self.held_back.as_ref().map_or(0, |held| lock(held).len());
            (self.socket.unacknowledged() + held_back) as u64
        }

        pub fn fd(&self) -> RawFd {
            self.socket.fd
        }
    }

    impl Drop for Link {
        fn drop(&mut self) {
            self.socket.closed_by_client();
        }
    }

    pub fn would_block(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::WouldBlock
    }

    pub fn lost(error: &io::Error) -> Error {
        Error::new(ErrorKind::Lost, format!("the connection was lost: {error}"))
    }
}

/// Readiness as tokio's `AsyncFd` has it: remembered until it is said to be
/// over, and told of anew when the socket changes.
pub mod watch {
    use std::future::poll_fn;
    use std::io;
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::Interest;
    use tokio::time::Instant;

    use super::link::Link;
    use crate::error::{Error, ErrorKind, Result};
    use crate::wire::{Registration, Way};

    pub struct Watch {
        link: Arc<Link>,
        registration: Arc<Registration>,
    }

    pub struct Ready<'a> {
        registration: &'a Registration,
        way: Way,
        seen: u64,
    }

    impl Ready<'_> {
        /// What came since this was found stays.
        pub fn clear_ready(&mut self) {
            self.registration.clear(self.way, self.seen);
        }
    }

    impl Watch {
        pub fn link(link: Arc<Link>) -> Result<Watch> {
            let registration = link.socket().register();
            Ok(Watch { link, registration })
        }

        pub fn duplicate(link: &Arc<Link>, _: Interest) -> Result<Watch> {
            Watch::link(link.clone())
        }

        pub fn watched(&self) -> &Arc<Link> {
            &self.link
        }

        pub async fn readable(&self) -> io::Result<Ready<'_>> {
            self.ready(Way::Read).await
        }

        pub async fn writable(&self) -> io::Result<Ready<'_>> {
            self.ready(Way::Write).await
        }

        pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
            self.poll_ready(Way::Read, cx)
        }

        pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
            self.poll_ready(Way::Write, cx)
        }

        fn poll_ready(&self, way: Way, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
            let registration = &self.registration;
            registration.poll(way, cx).map(|seen| Ok(Ready { registration, way, seen }))
        }

        async fn ready(&self, way: Way) -> io::Result<Ready<'_>> {
            poll_fn(|cx| self.poll_ready(way, cx)).await
        }
    }

    pub fn unwatchable(error: &dyn std::error::Error) -> Error {
        Error::new(ErrorKind::Resource, format!("cannot watch the socket: {error}"))
    }

    pub fn deadline(wait: Duration) -> Instant {
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        Instant::now() + wait.min(YEAR)
    }
}
