//! One connection, over TCP or a Unix socket, with TLS or without, as two
//! independent directions.
//!
//! Nothing here blocks and nothing here waits: readiness is the driver's
//! business. Any thread may read while another one writes, as long as each
//! direction has one user at a time: reading belongs to whoever holds the
//! connection's reader, writing to whoever holds the writer's flush.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::UnbufferedClientConnection;

use super::scratch::Scratch;
use super::session::{Session, with_records};
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind};

/// A non-blocking socket and what encrypts it.
pub(crate) struct Link {
    socket: OwnedFd,
    tls: Option<Tls>,
}

struct Tls {
    session: Mutex<Session>,
    /// Ciphertext that the socket did not take.
    outgoing: Mutex<Outgoing>,
    /// [`Session::is_at_end`], for whoever asks without the lock.
    at_end: AtomicBool,
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

/// What a read found.
pub(crate) enum Got<'a> {
    /// So many bytes at the front of what is read into directly, those that came after them in the
    /// scratch buffer, and whether the socket may hold more.
    Bytes { direct: usize, bytes: &'a [u8], more: bool },
    /// Nothing for now.
    Nothing,
    /// The peer sends no more.
    End,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd, session: Option<UnbufferedClientConnection>) -> Link {
        let tls = session.map(|session| Tls {
            session: Mutex::new(Session::new(session)),
            outgoing: Mutex::default(),
            at_end: AtomicBool::new(false),
        });
        Link { socket, tls }
    }

    /// Reads once, into the thread's buffer.
    pub(crate) fn read<'a>(&self, scratch: &'a mut Scratch) -> Result<Got<'a>, Error> {
        self.read_into(&mut [], scratch, usize::MAX)
    }

    /// Reads once: into `target` first, and into the thread's buffer what has no room there. Without
    /// TLS it is one or the other, and then at most `most` bytes of the buffer.
    pub(crate) fn read_into<'a>(
        &self,
        target: &mut [MaybeUninit<u8>],
        scratch: &'a mut Scratch,
        most: usize,
    ) -> Result<Got<'a>, Error> {
        if let Some(tls) = &self.tls {
            return self.read_decrypted(tls, target, scratch);
        }
        let direct = target.len();
        let room = if direct > 0 { direct } else { scratch.plain.len().min(most) };
        let buffer = if direct > 0 { target } else { as_uninit(&mut scratch.plain[..room]) };
        match self.recv(buffer)? {
            Some(0) => Ok(Got::End),
            Some(n) if direct > 0 => Ok(Got::Bytes { direct: n, bytes: &[], more: n == room }),
            Some(n) => Ok(Got::Bytes { direct: 0, bytes: &scratch.plain[..n], more: n == room }),
            None => Ok(Got::Nothing),
        }
    }

    fn read_decrypted<'a>(
        &self,
        tls: &Tls,
        target: &mut [MaybeUninit<u8>],
        scratch: &'a mut Scratch,
    ) -> Result<Got<'a>, Error> {
        let (plain, cipher) = scratch.both();
        let (mut direct, mut filled) = (0, 0);
        let receive = |cipher: &mut [u8]| self.recv(as_uninit(cipher));
        let mut session = lock(&tls.session);
        let received = session.receive(cipher, receive, |bytes| {
            let (front, rest) = bytes.split_at(bytes.len().min(target.len() - direct));
            target[direct..][..front.len()].copy_from_slice(uninit(front));
            direct += front.len();
            plain[filled..][..rest.len()].copy_from_slice(rest);
            filled += rest.len();
        });
        if session.is_at_end() {
            tls.at_end.store(true, Ordering::Relaxed);
        }
        drop(session);
        match received? {
            Some((0, _)) => Ok(Got::End),
            Some((_, more)) => Ok(Got::Bytes { direct, bytes: &plain[..filled], more }),
            None => Ok(Got::Nothing),
        }
    }

    /// `Ok(None)`: nothing for now; `Ok(Some(0))`: the peer sends no more.
    fn recv(&self, target: &mut [MaybeUninit<u8>]) -> Result<Option<usize>, Error> {
        match recv(self.fd(), target) {
            Ok(n) => Ok(Some(n)),
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => Err(lost(&error)),
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the next read tells of the end, although the socket may show nothing.
    pub(crate) fn is_at_end(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.at_end.load(Ordering::Relaxed))
    }

    /// Whether TLS itself has something to say (the handshake, alerts) or ciphertext is waiting;
    /// [`Link::write`] sends it along.
    pub(crate) fn has_unsent(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| lock(&tls.session).wants_write() || !lock(&tls.outgoing).is_empty())
    }

    /// Writes the front of `bytes`; empty `bytes` push out what TLS holds back.
    /// What was taken is on its way, even if the socket blocks right after.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return if bytes.is_empty() { Ok(0) } else { send(self.fd(), bytes) };
        };
        let mut outgoing = lock(&tls.outgoing);
        outgoing.send(self.fd())?;
        with_records(|records| {
            let encrypted = lock(&tls.session).encrypt(bytes, &mut outgoing.bytes, records);
            // An alert is sent also if nothing else can be any more.
            let (taken, len) = *encrypted.as_ref().unwrap_or(&(0, 0));
            match outgoing.send_before(&records[..len], self.fd()) {
                // Part of it may have left, so that it must not be sent again;
                // a failure is there the next time as well.
                Err(error) if taken == 0 => Err(error),
                _ => encrypted.map(|(taken, _)| taken),
            }
        })
    }

    /// Takes the TLS handshake as far as it goes without waiting.
    pub(crate) fn tls_handshake(&self, scratch: &mut Scratch) -> Result<Handshake, Error> {
        let Some(tls) = &self.tls else { return Ok(Handshake::Done) };
        loop {
            match self.write(&[]) {
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(Handshake::WantsWrite),
                Err(error) => return Err(self.why_lost(&error, scratch)),
            }
            if !lock(&tls.session).is_handshaking() {
                return Ok(Handshake::Done);
            }
            // Small reads: the bytes behind the handshake stay in the socket
            // until somebody can take their plaintext.
            let small = |cipher: &mut [u8]| {
                let room = cipher.len().min(4096);
                self.recv(as_uninit(&mut cipher[..room]))
            };
            // Bound first: within a `match` the session would stay locked.
            let absorbed = lock(&tls.session).absorb(scratch.both().1, small);
            match absorbed {
                Ok(Some(0)) => {
                    return Err(Error::new(
                        ErrorKind::Tls,
                        "the server ended the connection during the TLS handshake",
                    ));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Handshake::WantsRead),
                Err(error) => {
                    // The alert that tells the server why, as far as it goes.
                    let _ = self.write(&[]);
                    return Err(error);
                }
            }
        }
    }

    /// What a write that failed with `error` failed for. A server that refuses the
    /// client's certificate in TLS 1.3 says so after the handshake, and closes; its alert
    /// is then still to be read.
    pub(crate) fn why_lost(&self, error: &io::Error, scratch: &mut Scratch) -> Error {
        // Tickets and the like may precede it, but not much.
        for _ in 0..16 {
            match self.read(scratch) {
                Ok(Got::Bytes { .. }) => {}
                Err(alert) if alert.kind() == ErrorKind::Tls => return alert,
                Ok(Got::Nothing | Got::End) | Err(_) => break,
            }
        }
        lost(error)
    }

    /// Plaintext that came along with the end of the TLS handshake.
    pub(crate) fn early_plaintext(&self) -> Vec<u8> {
        self.tls.as_ref().map(|tls| lock(&tls.session).take_early()).unwrap_or_default()
    }

    /// Says that nothing more will be sent, as far as the socket takes it.
    pub(crate) fn finish_writing(&self) {
        if let Some(tls) = &self.tls {
            lock(&tls.session).send_close_notify();
            let _ = self.write(&[]);
        }
        // SAFETY: involves no memory. Its only error is that the connection has ended.
        unsafe { libc::shutdown(self.fd(), libc::SHUT_WR) };
    }

    /// Whether the socket holds bytes that nobody has read.
    pub(crate) fn has_unread(&self) -> bool {
        self.queued(libc::FIONREAD) > 0
    }

    /// Bytes that [`Link::write`] took and the peer's system has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let held_back = self.tls.as_ref().map_or(0, |tls| lock(&tls.outgoing).len());
        self.queued(libc::TIOCOUTQ) + held_back as u64
    }

    fn queued(&self, which: libc::Ioctl) -> u64 {
        let mut bytes: libc::c_int = 0;
        // SAFETY: both requests write one int.
        let result = unsafe { libc::ioctl(self.fd(), which, &raw mut bytes) };
        if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
    }

    /// Another descriptor of the same socket, to be registered for its own readiness.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

pub(crate) enum Handshake {
    Done,
    WantsRead,
    WantsWrite,
}

impl Outgoing {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends what is here and then `records`, of which the rest stays here.
    fn send_before(&mut self, records: &[u8], fd: RawFd) -> io::Result<()> {
        if !self.is_empty() {
            self.bytes.extend_from_slice(records);
            return self.send(fd);
        }
        let mut rest = records;
        while !rest.is_empty() {
            match send(fd, rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) => {
                    self.bytes.extend_from_slice(rest);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, fd: RawFd) -> io::Result<()> {
        while !self.is_empty() {
            self.sent += send(fd, &self.bytes[self.sent..])?;
        }
        self.sent = 0;
        self.bytes.clear();
        // One burst must not cost memory for as long as the connection lives.
        self.bytes.shrink_to(2048);
        Ok(())
    }
}

pub(crate) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// An I/O error on an established connection.
pub(crate) fn lost(error: &io::Error) -> Error {
    Error::new(ErrorKind::Lost, format!("the connection was lost: {error}"))
}

fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: same layout; `recv` only ever writes initialised bytes.
    unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}

fn uninit(bytes: &[u8]) -> &[MaybeUninit<u8>] {
    // SAFETY: same layout, and nobody can write through it.
    unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) }
}

fn recv(fd: RawFd, into: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    loop {
        // SAFETY: the kernel writes at most `into.len()` bytes into `into`.
        let n = unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) };
        match usize::try_from(n) {
            Ok(n) => return Ok(n),
            Err(_) => interrupted(io::Error::last_os_error())?,
        }
    }
}

fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    loop {
        // SAFETY: the kernel reads `bytes.len()` bytes from `bytes`.
        let n = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), FLAGS) };
        match usize::try_from(n) {
            Ok(n) => return Ok(n),
            Err(_) => interrupted(io::Error::last_os_error())?,
        }
    }
}

fn interrupted(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::transport::scratch;

    #[test]
    fn a_write_that_fails_finds_the_alert_that_came_before_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(
            rustls::crypto::aws_lc_rs::default_provider().into(),
        )
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
        let session =
            UnbufferedClientConnection::new(Arc::new(config), "a".try_into().unwrap()).unwrap();
        let link = Link::new(socket.into(), Some(session));
        link.write(&[]).unwrap();
        // A fatal certificate_required; then an end that throws away what the client sent.
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(&[21, 3, 3, 0, 2, 2, 116]).unwrap();
        server.peek(&mut [0]).unwrap();
        drop(server);
        let deadline = Instant::now() + Duration::from_secs(20);
        let error = loop {
            assert!(Instant::now() < deadline, "a write fails");
            if let Err(error) = send(link.fd(), b"more") {
                break error;
            }
        };
        let error = scratch::with(|scratch| link.why_lost(&error, scratch));
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(error.message().contains("CertificateRequired: it expects a client"), "{error}");
    }
}
