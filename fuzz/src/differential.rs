//! Any bytes from a server, read by us and by tungstenite in the client's
//! role: **both yield the same items and the same verdict, but for the
//! [`Difference`]s listed here.**

use std::io::{Cursor, Read, Write};

use longwire::ErrorKind;
use longwire::MessageKind;
use longwire::protocol::decoder::{Decoder, Limits};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::decoder::{Owned, decode};
use super::input::take;

/// One byte of parameters, then the stream.
pub fn run(mut data: &[u8]) {
    let [options] = take(&mut data);
    let _ = compare(data, [10, 1000, 20_000][usize::from(options) % 3]);
}

/// Where both readings are known to part, and who is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Lengths have to take their shortest form (RFC 6455 section 5.2);
    /// tungstenite takes any.
    LengthForm,
    /// tungstenite hands a close code that may not travel on as 1002, and
    /// with it 1014, which was registered later.
    CloseCode,
    /// tungstenite judges a frame when all of it has come, we at the byte
    /// that decides. It comes to the same verdict once the frame is complete.
    Later,
    /// Of several rules that one frame breaks another comes first: tungstenite
    /// looks at the size, then at the payload, then at the rest.
    Order,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Unfinished,
    Closed,
    Refused(ErrorKind),
}

/// Panics where the readings differ in a way that is not known; returns the
/// way if it is.
pub fn compare(stream: &[u8], max_message_size: usize) -> Option<Difference> {
    let limits = Limits { max_message_size, max_fragments: u32::MAX };
    let (ours, violation) = decode(Decoder::new(limits), stream);
    let our_end = match (&violation, ours.last()) {
        (Some(violation), _) => End::Refused(violation.kind),
        (None, Some(Owned::Close(_))) => End::Closed,
        (None, _) => End::Unfinished,
    };
    let (theirs, their_end) = tungstenite(stream, max_message_size);
    let because = violation.as_ref().map_or("", |violation| &violation.message);

    // A control frame that takes a longer form announces more than it may have.
    let refused_too = matches!(their_end, End::Refused(_)) && ours == theirs;
    if because.contains("in its shortest form")
        || because.contains("one that announces more") && !refused_too
    {
        assert!(theirs.starts_with(&ours), "before the length: {ours:?} and {theirs:?}");
        return Some(Difference::LengthForm);
    }
    if let Some(Owned::Close(Some((1002, said)))) = theirs.last()
        && said == "Protocol violation"
        && (because.contains("expected a close code")
            || matches!(ours.last(), Some(Owned::Close(Some((1014, _))))))
    {
        let before = &theirs[..theirs.len() - 1];
        assert_eq!(&ours[..before.len()], before, "before the close frame");
        return Some(Difference::CloseCode);
    }
    assert_eq!(ours, theirs, "items; {our_end:?} because {because:?}, and {their_end:?}");
    match (&our_end, &their_end) {
        _ if our_end == their_end => None,
        (End::Refused(_), End::Unfinished) => {
            // However the frame goes on, it is refused, or is the other
            // difference in close codes.
            let rest = vec![0; max_message_size.max(125) + 14];
            let (_, their_end) = tungstenite(&[stream, &rest].concat(), max_message_size);
            let refused = matches!(their_end, End::Refused(_))
                || their_end == End::Closed && because.contains("expected a close code");
            assert!(refused, "{because:?}, {their_end:?}");
            Some(Difference::Later)
        }
        (End::Refused(ErrorKind::Protocol), End::Refused(ErrorKind::TooBig | ErrorKind::Utf8)) => {
            Some(Difference::Order)
        }
        _ => panic!("{our_end:?} because {because:?}, but tungstenite: {their_end:?}"),
    }
}

fn tungstenite(stream: &[u8], max_message_size: usize) -> (Vec<Owned>, End) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(max_message_size))
        // It holds for control frames, too.
        .max_frame_size(Some(max_message_size.max(125)));
    let mut client =
        WebSocket::from_raw_socket(Wire(Cursor::new(stream)), Role::Client, Some(config));
    let mut items = Vec::new();
    loop {
        let item = match client.read() {
            Ok(Message::Text(text)) => Owned::Message(MessageKind::Text, text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Owned::Message(MessageKind::Binary, bytes.to_vec()),
            Ok(Message::Ping(payload)) => Owned::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Owned::Pong(payload.to_vec()),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                items.push(Owned::Close(close));
                return (items, End::Closed);
            }
            Ok(Message::Frame(_)) => unreachable!("frames are for writing"),
            Err(error) => return (items, end(&error)),
        };
        items.push(item);
    }
}

fn end(error: &Error) -> End {
    match error {
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            End::Unfinished
        }
        Error::Protocol(_) => End::Refused(ErrorKind::Protocol),
        Error::Capacity(_) => End::Refused(ErrorKind::TooBig),
        Error::Utf8(_) => End::Refused(ErrorKind::Utf8),
        other => panic!("not a verdict about frames: {other}"),
    }
}

/// Reads the stream; pongs and close frames are written to nobody.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
