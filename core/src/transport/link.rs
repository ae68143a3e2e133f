//! One connection, over TCP or a Unix socket, with TLS or without, as two
//! independent directions.
//!
//! Nothing here blocks and nothing here waits: readiness is the driver's
//! business. Any thread may read while another one writes, as long as each
//! direction has one user at a time: reading belongs to whoever holds the
//! connection's reader, writing to whoever holds the writer's flush.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustls::{AlertDescription, CertificateError, ClientConnection};

use super::scratch::Scratch;
use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind};

/// The most plaintext that is turned into TLS records before they are written.
const RECORDS: usize = 64 << 10;

/// A non-blocking socket and what encrypts it.
pub(crate) struct Link {
    socket: OwnedFd,
    tls: Option<Tls>,
}

struct Tls {
    session: Mutex<ClientConnection>,
    /// Ciphertext on its way to the socket.
    outgoing: Mutex<Outgoing>,
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

/// What a read found.
pub(crate) enum Got<'a> {
    /// Plaintext at the front of the scratch buffer, and whether the socket
    /// may hold more.
    Bytes { bytes: &'a [u8], more: bool },
    /// Nothing for now.
    Nothing,
    /// The peer sends no more.
    End,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd, session: Option<ClientConnection>) -> Link {
        let tls = session.map(|mut session| {
            // The outbox is the bound; rustls has no say in it.
            session.set_buffer_limit(None);
            Tls { session: Mutex::new(session), outgoing: Mutex::default() }
        });
        Link { socket, tls }
    }

    /// Reads once, into the thread's buffer.
    pub(crate) fn read<'a>(&self, scratch: &'a mut Scratch) -> Result<Got<'a>, Error> {
        let Some(tls) = &self.tls else {
            let room = scratch.plain.len();
            let n = match recv(self.fd(), as_uninit(&mut scratch.plain)) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => n,
                Err(error) => return nothing_or(&error),
            };
            return Ok(Got::Bytes { bytes: &scratch.plain[..n], more: n == room });
        };
        let (plain, cipher) = scratch.both();
        let room = cipher.len();
        let n = match recv(self.fd(), as_uninit(cipher)) {
            Ok(0) => return Ok(Got::End),
            Ok(n) => n,
            Err(error) => return nothing_or(&error),
        };
        let filled = tls.decrypt(&cipher[..n], plain)?;
        Ok(Got::Bytes { bytes: &plain[..filled], more: n == room })
    }

    /// Reads straight into `target`, if that saves a copy (it does not under TLS).
    /// `Ok(None)`: nothing for now; `Ok(Some(0))`: the peer sends no more.
    pub(crate) fn read_direct(
        &self,
        target: &mut [MaybeUninit<u8>],
    ) -> Result<Option<usize>, Error> {
        match recv(self.fd(), target) {
            Ok(n) => Ok(Some(n)),
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => Err(lost(&error)),
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether TLS itself has something to say (tickets, key updates, alerts)
    /// or ciphertext is waiting; [`Link::write`] sends it along.
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
        let taken = {
            let mut session = lock(&tls.session);
            let taken = session.writer().write(&bytes[..bytes.len().min(RECORDS)])?;
            while session.wants_write() {
                session.write_tls(&mut outgoing.bytes)?;
            }
            taken
        };
        match outgoing.send(self.fd()) {
            // Part of it may have left, so that it must not be sent again;
            // a failure is there the next time as well.
            Err(_) if taken > 0 => Ok(taken),
            Err(error) => Err(error),
            Ok(()) => Ok(taken),
        }
    }

    /// Takes the TLS handshake as far as it goes without waiting.
    pub(crate) fn tls_handshake(&self, scratch: &mut Scratch) -> Result<Handshake, Error> {
        let Some(tls) = &self.tls else { return Ok(Handshake::Done) };
        loop {
            match self.write(&[]) {
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(Handshake::WantsWrite),
                Err(error) => return Err(lost(&error)),
            }
            if !lock(&tls.session).is_handshaking() {
                return Ok(Handshake::Done);
            }
            let (_, cipher) = scratch.both();
            // Small reads: the bytes behind the handshake stay in the socket
            // until somebody can take their plaintext.
            match recv(self.fd(), as_uninit(&mut cipher[..4096])) {
                Ok(0) => {
                    return Err(Error::new(
                        ErrorKind::Tls,
                        "the server ended the connection during the TLS handshake",
                    ));
                }
                Ok(n) => {
                    // Bound first: within an `if let` the session would stay locked.
                    let absorbed = lock(&tls.session).absorb(&cipher[..n]);
                    if let Err(error) = absorbed {
                        // The alert that tells the server why, as far as it goes.
                        let _ = self.write(&[]);
                        return Err(error);
                    }
                }
                Err(error) if would_block(&error) => return Ok(Handshake::WantsRead),
                Err(error) => return Err(lost(&error)),
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
        let mut early = Vec::new();
        if let Some(tls) = &self.tls {
            // The only error is `WouldBlock`, which ends the plaintext.
            let _ = lock(&tls.session).reader().read_to_end(&mut early);
        }
        early
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

impl Tls {
    /// `plain` is at least as large as `cipher`.
    fn decrypt(&self, cipher: &[u8], plain: &mut [u8]) -> Result<usize, Error> {
        let mut session = lock(&self.session);
        let mut filled = 0;
        let mut rest = cipher;
        while !rest.is_empty() {
            let before = rest.len();
            session.read_tls(&mut rest).map_err(|error| lost(&error))?;
            session.process_new_packets().map_err(|error| tls_error(&error))?;
            filled += drain(&mut session, &mut plain[filled..]);
            if rest.len() == before {
                return Err(more_after_the_end());
            }
        }
        Ok(filled)
    }
}

trait Absorb {
    fn absorb(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

impl Absorb for ClientConnection {
    fn absorb(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let before = bytes.len();
            self.read_tls(&mut bytes).map_err(|error| lost(&error))?;
            self.process_new_packets().map_err(|error| tls_error(&error))?;
            if bytes.len() == before {
                return Err(more_after_the_end());
            }
        }
        Ok(())
    }
}

fn drain(session: &mut ClientConnection, plain: &mut [u8]) -> usize {
    let mut filled = 0;
    // The end of the stream (0) and "nothing for now" (an error) both end it:
    // the socket itself says whether the peer is gone.
    while let Ok(n) = session.reader().read(&mut plain[filled..]) {
        if n == 0 {
            break;
        }
        filled += n;
    }
    filled
}

impl Outgoing {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
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

fn more_after_the_end() -> Error {
    Error::new(ErrorKind::Tls, "the server sent more after it had ended its TLS stream")
}

pub(crate) fn tls_error(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(why)) => {
            Error::new(ErrorKind::Certificate, format!("TLS: {}", why.0))
        }
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Error::new(ErrorKind::Certificate, format!("TLS: {error}"))
        }
        rustls::Error::AlertReceived(alert) => {
            let what = format!("TLS: the server sent the alert {alert:?}{}", meaning(*alert));
            Error::new(ErrorKind::Tls, what)
        }
        other => Error::new(ErrorKind::Tls, format!("TLS: {other}")),
    }
}

/// What an alert says about the client's certificate, if it does (RFC 8446 section 6.2).
fn meaning(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => ": it expects a client certificate (client_cert)",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => ": it does not accept the client's certificate",
        _ => "",
    }
}

pub(crate) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// An I/O error on an established connection.
pub(crate) fn lost(error: &io::Error) -> Error {
    Error::new(ErrorKind::Lost, format!("the connection was lost: {error}"))
}

fn nothing_or<'a>(error: &io::Error) -> Result<Got<'a>, Error> {
    if would_block(error) { Ok(Got::Nothing) } else { Err(lost(error)) }
}

fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: same layout; `recv` only ever writes initialised bytes.
    unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
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
        let session = ClientConnection::new(Arc::new(config), "a".try_into().unwrap()).unwrap();
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
