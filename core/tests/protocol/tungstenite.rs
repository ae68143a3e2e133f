//! The encoder and the decoder against tungstenite in the server's role: an
//! independent reading of the RFC.

use std::io::{Cursor, Read, Write};

use crate::frames::{LIMITS, Owned, decode};
use longwire::protocol::encoder::{Frame, close_payload, encode, encoded_len};
use longwire::protocol::frame::OpCode;
use longwire::protocol::mask;
use proptest::prelude::*;
use tungstenite::protocol::{CloseFrame, Role, WebSocket};
use tungstenite::{Bytes, Message};

/// What we sent to the server, and what it sends to us.
struct Wire {
    to_server: Cursor<Vec<u8>>,
    to_client: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.to_server.read(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.to_client.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn server(to_server: Vec<u8>) -> WebSocket<Wire> {
    let wire = Wire { to_server: Cursor::new(to_server), to_client: Vec::new() };
    WebSocket::from_raw_socket(wire, Role::Server, None)
}

/// Messages in both forms; a close frame only at the end.
fn messages() -> impl Strategy<Value = Vec<Owned>> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let message = prop_oneof![
        4 => "\\PC{0,60}".prop_map(Owned::Text),
        4 => bytes(300).prop_map(Owned::Binary),
        1 => (65_000..70_000usize).prop_map(|len| Owned::Binary(vec![3; len])),
        1 => bytes(126).prop_map(Owned::Ping),
        1 => bytes(126).prop_map(Owned::Pong),
    ];
    let close = prop_oneof![
        Just(None),
        (prop_oneof![1000..=1003u16, 1007..=1013u16, 3000..=4999u16], "[a-zä€]{0,40}")
            .prop_map(Some),
    ];
    (prop::collection::vec(message, 0..10), prop::option::of(close.prop_map(Owned::Close)))
        .prop_map(|(messages, close)| messages.into_iter().chain(close).collect())
}

fn to_tungstenite(message: &Owned) -> Message {
    match message.clone() {
        Owned::Text(text) => Message::text(text),
        Owned::Binary(bytes) => Message::binary(bytes),
        Owned::Ping(bytes) => Message::Ping(bytes.into()),
        Owned::Pong(bytes) => Message::Pong(bytes.into()),
        Owned::Chunk(..) => unreachable!("only whole messages are generated"),
        Owned::Close(close) => Message::Close(
            close.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() }),
        ),
    }
}

fn encoded(message: &Owned, out: &mut Vec<u8>) {
    let (opcode, payload) = match message.clone() {
        Owned::Text(text) => (OpCode::Text, text.into_bytes()),
        Owned::Binary(bytes) => (OpCode::Binary, bytes),
        Owned::Ping(bytes) => (OpCode::Ping, bytes),
        Owned::Pong(bytes) => (OpCode::Pong, bytes),
        Owned::Chunk(..) => unreachable!("only whole messages are generated"),
        Owned::Close(close) => {
            let payload = close.map(|(code, reason)| close_payload(code, &reason));
            (OpCode::Close, payload.unwrap_or_default())
        }
    };
    let start = out.len();
    let key = mask::next_key();
    encode(out, Frame::whole(opcode), key, &payload);
    assert_eq!(out.len() - start, encoded_len(payload.len()));
    let (frame, k, range) = Frame::parse_own(&out[start..]).expect("a frame of ours");
    assert_eq!((frame, k, range.end), (Frame::whole(opcode), key, out.len() - start));
    let mut unmasked = out[start..][range].to_vec();
    mask::apply(key, &mut unmasked);
    assert_eq!(unmasked, payload);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tungstenite_reads_what_we_write(messages in messages()) {
        let mut stream = Vec::new();
        for message in &messages {
            encoded(message, &mut stream);
        }
        let mut server = server(stream);
        for message in &messages {
            prop_assert_eq!(server.read().unwrap(), to_tungstenite(message));
        }
    }

    #[test]
    fn we_read_what_tungstenite_writes(messages in messages(), piece in 1..5000usize) {
        let mut server = server(Vec::new());
        for message in &messages {
            server.write(to_tungstenite(message)).unwrap();
        }
        // A server that has sent a close frame says so.
        let _ = server.flush();
        let stream = &server.get_ref().to_client;
        let pieces: Vec<_> = stream.chunks(piece).collect();
        prop_assert_eq!(decode(&pieces, LIMITS, true), (messages, Ok(())));
    }
}

#[test]
fn tungstenite_puts_our_fragments_together() {
    let mut stream = Vec::new();
    let first = Frame { fin: false, ..Frame::whole(OpCode::Text) };
    encode(&mut stream, first, [1, 2, 3, 4], "tö".as_bytes());
    encode(&mut stream, Frame::whole(OpCode::Ping), [5, 6, 7, 8], b"between");
    encode(&mut stream, Frame::whole(OpCode::Continuation), [9, 10, 11, 12], "gether".as_bytes());
    let mut server = server(stream);
    assert_eq!(server.read().unwrap(), Message::Ping(Bytes::from_static(b"between")));
    assert_eq!(server.read().unwrap(), Message::text("tögether"));
}
