//! TLS between buffers of ours: what came is decrypted where it was received, what is to be sent
//! is encrypted straight into what the socket is given (the unbuffered interface of rustls).
//!
//! **No complete record waits here**: whatever came is decrypted at once. What stays of it is the
//! beginning of one record (after a failure, whatever came after it), which goes in front of the
//! bytes that come next. rustls remembers places in it, so it is given nothing else.

use std::cell::Cell;
use std::io;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{AlertDescription, CertificateError};

use super::scratch;
use crate::error::{Error, ErrorKind};

/// The most plaintext that is turned into records at once.
const PLAIN: usize = 64 << 10;
/// Records of so much, and what TLS may have to say in front of them.
const RECORDS: usize = PLAIN + (4 << 10);

pub(super) struct Session {
    connection: UnbufferedClientConnection,
    /// The beginning of a record.
    begun: Vec<u8>,
    /// What TLS itself says: the handshake, alerts.
    said: Vec<u8>,
    /// Plaintext that nobody has asked for yet.
    early: Vec<u8>,
    /// The peer has ended its stream. What follows is ignored (RFC 8446 section 6.1).
    closed: bool,
    /// Why nothing more can be decrypted.
    failed: Option<Error>,
}

impl Session {
    pub(super) fn new(connection: UnbufferedClientConnection) -> Session {
        Session {
            connection,
            begun: Vec::new(),
            said: Vec::new(),
            early: Vec::new(),
            closed: false,
            failed: None,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write() || !self.said.is_empty()
    }

    /// Says that nothing more will be sent, with the next write.
    pub(super) fn send_close_notify(&mut self) {
        let mut notice = [0; 64];
        let mut queued = None;
        // A session that cannot say it any more is at its end already.
        let _ = self.settle(|traffic| queued = traffic.queue_close_notify(&mut notice).ok());
        self.said.extend_from_slice(&notice[..queued.unwrap_or(0)]);
    }

    /// Plaintext that came with the end of the handshake.
    pub(super) fn take_early(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    /// Lets `receive` put bytes into `cipher`, behind the record that was begun, and hands their
    /// plaintext over. `Ok(None)` if there were none, `Ok(Some((0, _)))` at their end, else how
    /// many came, and whether there was room for more.
    pub(super) fn receive(
        &mut self,
        cipher: &mut [u8],
        receive: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Error>,
        mut plaintext: impl FnMut(&[u8]),
    ) -> Result<Option<(usize, bool)>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.closed {
            return Ok(Some((0, false)));
        }
        let (begun, room) = (self.begun.len(), cipher.len() - self.begun.len());
        if room == 0 {
            return Err(self.failed.insert(too_long(begun)).clone());
        }
        cipher[..begun].copy_from_slice(&self.begun);
        let n = match receive(&mut cipher[begun..])? {
            Some(n) if n > 0 => n,
            none => return Ok(none.map(|_| (0, false))),
        };
        let cipher = &mut cipher[..begun + n];
        let mut any = false;
        let plaintext = |bytes: &[u8]| {
            any = true;
            plaintext(bytes);
        };
        let (taken, advanced) = self.advance(cipher, plaintext, |_| {});
        // After a failure too: what rustls knows of the bytes must stay true.
        self.begun.clear();
        self.begun.extend_from_slice(&cipher[taken..]);
        if self.begun.is_empty() {
            // An idle connection holds no memory for it.
            self.begun = Vec::new();
        }
        if let Err(error) = advanced {
            let error = self.failed.insert(tls_error(&error));
            // What came before it is served before it.
            if !any {
                return Err(error.clone());
            }
        }
        Ok(Some((n, n == room || self.is_at_end())))
    }

    /// Whether the next [`Session::receive`] tells of the end, whatever the socket holds.
    pub(super) fn is_at_end(&self) -> bool {
        self.closed || self.failed.is_some()
    }

    /// The handshake's part of [`Session::receive`].
    pub(super) fn absorb(
        &mut self,
        cipher: &mut [u8],
        receive: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Error>,
    ) -> Result<Option<usize>, Error> {
        let mut early = std::mem::take(&mut self.early);
        let received = self.receive(cipher, receive, |bytes| early.extend_from_slice(bytes));
        self.early = early;
        Ok(received?.map(|(n, _)| n))
    }

    /// Moves what TLS has to say behind `said`, and encrypts the front of `plain` into `records`,
    /// which belong behind that. How much of `plain` it was, and how long they are.
    pub(super) fn encrypt(
        &mut self,
        plain: &[u8],
        said: &mut Vec<u8>,
        records: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        let plain = &plain[..plain.len().min(PLAIN)];
        let mut encrypted = None;
        let settled = self.settle(|traffic| {
            if !plain.is_empty() {
                encrypted = Some(traffic.encrypt(plain, records));
            }
        });
        let len = match encrypted {
            Some(Err(error @ EncryptError::InsufficientSize(_))) => {
                unreachable!("{RECORDS} bytes hold the records of {PLAIN}: {error}")
            }
            // The keys have served their time; the alert that says so leaves all the same.
            Some(Err(exhausted)) => self.settle(|_| {}).and(Err(io::Error::other(exhausted))),
            Some(Ok(len)) => settled.map(|()| len),
            None if plain.is_empty() => settled.map(|()| 0),
            // It is too early, or too late.
            None => settled.and(Err(io::ErrorKind::BrokenPipe.into())),
        };
        said.append(&mut self.said);
        self.said = Vec::new();
        len.map(|len| (plain.len(), len))
    }

    /// Takes the connection as far as it goes without the peer, and lets `say` say something behind
    /// all that TLS had to say before, if that may be.
    fn settle(
        &mut self,
        say: impl FnMut(&mut WriteTraffic<'_, ClientConnectionData>),
    ) -> io::Result<()> {
        if self.failed.is_some() {
            // The alert. Going on would find the same failure once more.
            while self.connection.wants_write()
                && let Ok(ConnectionState::EncodeTlsData(data)) =
                    self.connection.process_tls_records(&mut self.begun).state
            {
                encode(data, &mut self.said).map_err(io::Error::other)?;
            }
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut begun = std::mem::take(&mut self.begun);
        let mut early = std::mem::take(&mut self.early);
        let plaintext = |bytes: &[u8]| early.extend_from_slice(bytes);
        let (taken, advanced) = self.advance(&mut begun, plaintext, say);
        begun.drain(..taken);
        (self.begun, self.early) = (begun, early);
        advanced.map_err(io::Error::other)
    }

    /// Takes the connection as far as it goes with `incoming`, and lets `say` say something once it
    /// may. How many bytes of it were taken.
    fn advance(
        &mut self,
        incoming: &mut [u8],
        mut plaintext: impl FnMut(&[u8]),
        mut say: impl FnMut(&mut WriteTraffic<'_, ClientConnectionData>),
    ) -> (usize, Result<(), rustls::Error>) {
        let mut at = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.connection.process_tls_records(&mut incoming[at..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        Some(Ok(record)) => {
                            discard += record.discard;
                            plaintext(record.payload);
                        }
                        Some(Err(error)) => break Err(error),
                        None => break Ok(true),
                    }
                },
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.said).map(|()| true)
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.closed = true;
                    Ok(true)
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    say(&mut traffic);
                    Ok(false)
                }
                // It waits for the peer, or is at its end.
                Ok(_) => Ok(false),
                Err(error) => Err(error),
            };
            at += discard;
            match goes_on {
                Ok(true) => {}
                Ok(false) => return (at, Ok(())),
                Err(error) => return (at, Err(error)),
            }
        }
    }
}

fn encode(
    mut data: EncodeTlsData<'_, ClientConnectionData>,
    said: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let at = said.len();
    let mut room = 512;
    loop {
        said.resize(at + room, 0);
        match data.encode(&mut said[at..]) {
            Ok(n) => {
                said.truncate(at + n);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(needed)) => room = needed.required_size,
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
    }
}

thread_local! {
    static ENCRYPTED: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends this thread's memory for records to `work`.
pub(super) fn with_records<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    scratch::lend(&ENCRYPTED, || vec![0; RECORDS].into_boxed_slice(), work)
}

#[cold]
fn too_long(begun: usize) -> Error {
    let what = format!("TLS: expected the end of a message of the handshake within {begun} bytes");
    Error::new(ErrorKind::Tls, what)
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};
    use rustls::{SupportedProtocolVersion, version};
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    /// Both ends, with the handshake behind them.
    fn pair(version: &'static SupportedProtocolVersion) -> (Session, ServerConnection) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["server".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let name = "server".try_into().unwrap();
        let client = UnbufferedClientConnection::new(client.into(), name).unwrap();
        let mut ends = (Session::new(client), ServerConnection::new(server.into()).unwrap());
        while ends.0.is_handshaking() || ends.1.is_handshaking() {
            say(&mut ends.0, &mut ends.1, b"");
            let answer = records(&mut ends.1);
            hear(&mut ends.0, &answer, answer.len().max(1)).unwrap();
        }
        ends
    }

    /// What the server has to send.
    fn records(server: &mut ServerConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Has the client receive `bytes`, so many at a time.
    fn hear(client: &mut Session, bytes: &[u8], at_once: usize) -> Result<Vec<u8>, Error> {
        let mut cipher = vec![0; 128 << 10];
        let mut plain = Vec::new();
        for piece in bytes.chunks(at_once) {
            let receive = |room: &mut [u8]| {
                room[..piece.len()].copy_from_slice(piece);
                Ok(Some(piece.len()))
            };
            client.receive(&mut cipher, receive, |bytes| plain.extend_from_slice(bytes))?;
        }
        Ok(plain)
    }

    /// Has the client say `plain` and the server hear it.
    fn say(client: &mut Session, server: &mut ServerConnection, mut plain: &[u8]) -> Vec<u8> {
        let (mut heard, mut said) = (Vec::new(), Vec::new());
        while !plain.is_empty() || client.wants_write() {
            with_records(|records| {
                let (taken, len) = client.encrypt(plain, &mut said, records).unwrap();
                said.extend_from_slice(&records[..len]);
                plain = &plain[taken..];
            });
            let mut said = &std::mem::take(&mut said)[..];
            while !said.is_empty() {
                server.read_tls(&mut said).unwrap();
                server.process_new_packets().unwrap();
                while let Ok(n @ 1..) = server.reader().read(&mut [0; 4096]) {
                    heard.resize(heard.len() + n, 7);
                }
            }
        }
        heard
    }

    fn both() -> [&'static SupportedProtocolVersion; 2] {
        [&version::TLS12, &version::TLS13]
    }

    #[test]
    fn plaintext_comes_whole_however_its_records_are_cut() {
        for version in both() {
            let (mut client, mut server) = pair(version);
            for at_once in [1, 5, 4096, 16_406, 100_000] {
                let sent: Vec<u8> = (0..40_000_u32).map(|at| (at % 251) as u8).collect();
                server.writer().write_all(&sent).unwrap();
                let records = records(&mut server);
                assert!(hear(&mut client, &records, at_once).unwrap() == sent);
                assert_eq!(client.begun.capacity(), 0, "nothing is kept for an idle connection");
            }
        }
    }

    #[test]
    fn a_large_write_becomes_records_in_steps() {
        for version in both() {
            let (mut client, mut server) = pair(version);
            assert_eq!(say(&mut client, &mut server, &[7; 3 * PLAIN + 1]).len(), 3 * PLAIN + 1);
        }
    }

    #[test]
    fn what_precedes_a_failure_is_served_before_it() {
        let (mut client, mut server) = pair(&version::TLS13);
        server.writer().write_all(b"good").unwrap();
        let mut bytes = records(&mut server);
        server.writer().write_all(b"to be spoilt").unwrap();
        bytes.extend(records(&mut server));
        *bytes.last_mut().unwrap() ^= 1;
        let len = bytes.len();
        assert_eq!(hear(&mut client, &bytes, len).unwrap(), b"good");
        for _ in 0..2 {
            assert_eq!(hear(&mut client, b"more", 4).unwrap_err().kind(), ErrorKind::Tls);
        }
        // The alert that tells the server.
        let mut said = Vec::new();
        assert!(client.wants_write());
        with_records(|records| client.encrypt(b"more", &mut said, records)).unwrap_err();
        assert!(!said.is_empty() && !client.wants_write());
    }

    #[test]
    fn keys_are_renewed_between_two_messages() {
        let (mut client, mut server) = pair(&version::TLS13);
        server.writer().write_all(b"old").unwrap();
        server.refresh_traffic_keys().unwrap();
        server.writer().write_all(b"new").unwrap();
        let records = records(&mut server);
        assert_eq!(hear(&mut client, &records, 9).unwrap(), b"oldnew");
        assert_eq!(say(&mut client, &mut server, b"an answer").len(), 9);
    }

    #[test]
    fn what_follows_the_end_is_ignored() {
        for version in both() {
            let (mut client, mut server) = pair(version);
            server.writer().write_all(b"last").unwrap();
            server.send_close_notify();
            let mut bytes = records(&mut server);
            bytes.extend_from_slice(b"more");
            assert_eq!(hear(&mut client, &bytes, bytes.len()).unwrap(), b"last");
            let received = client.receive(&mut [0; 64], |_| panic!("nothing is read"), |_| {});
            assert_eq!(received.unwrap(), Some((0, false)));
            // The other direction has an end of its own.
            assert_eq!(say(&mut client, &mut server, b"an answer").len(), 9);
        }
    }
}
