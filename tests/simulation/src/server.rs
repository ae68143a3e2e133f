//! The peer: answers the handshake, says what its plan has it say, hears what
//! the client says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tungstenite::handshake::derive_accept_key;

use crate::event::MessageKind;
use crate::messages;
use crate::options::Compression;
use crate::plan::{Answer, OnClose, Say, ServerPlan};
use crate::protocol::deflate::{Agreement, Deflater, Inflater};
use crate::protocol::frame::OpCode;
use crate::transcript::Heard;
use crate::wire::{Found, Socket};
use crate::world::world;

struct Server {
    socket: Arc<Socket>,
    plan: ServerPlan,
    deflater: Option<Deflater>,
    /// Numbers its messages.
    said: usize,
    pings: usize,
    /// It has sent a close frame.
    closing: bool,
    /// It can say no more that makes sense.
    stuck: bool,
    deaf_until: Option<Instant>,
}

pub async fn serve(socket: Arc<Socket>, plan: ServerPlan) {
    let mut server = Server {
        socket,
        plan,
        deflater: None,
        said: 0,
        pings: 0,
        closing: false,
        stuck: false,
        deaf_until: None,
    };
    if let Some((key, compression)) = server.request().await
        && server.answer(&key, compression).await
    {
        server.converse().await;
    }
}

impl Server {
    async fn request(&mut self) -> Option<(String, bool)> {
        loop {
            match self.socket.serve_read(1 << 16) {
                Found::Heard(heard) => {
                    if let Some(Heard::Request { key, compression }) = heard.into_iter().next() {
                        return Some((key, compression));
                    }
                }
                Found::Nothing => self.socket.serve_changed().await,
                Found::End | Found::Reset => return None,
            }
        }
    }

    /// Whether a conversation follows.
    async fn answer(&mut self, key: &str, compression: bool) -> bool {
        if !self.plan.answers_after.is_zero() {
            sleep(self.plan.answers_after).await;
        }
        let key = match self.plan.answer {
            Answer::WrongKey => "somebody else's",
            _ => key,
        };
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\nX-Connection: {}\r\n",
            derive_accept_key(key.as_bytes()),
            self.socket.number
        );
        if compression && self.plan.compresses {
            answer += &self.agree();
        }
        answer += "\r\n";
        let number = self.socket.number;
        match self.plan.answer {
            Answer::Good => {
                world().witness().answers(number, answer.len());
                self.socket.serve_write(answer.as_bytes());
                return true;
            }
            Answer::Twice => {
                world().witness().answers(number, answer.len());
                self.socket.serve_write(answer.repeat(2).as_bytes());
                self.stuck = true;
                return true;
            }
            Answer::WrongKey => self.socket.serve_write(answer.as_bytes()),
            Answer::Status(status) => {
                let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: 5\r\n\r\nsorry");
                self.socket.serve_write(refusal.as_bytes());
            }
            Answer::Garbage => self.socket.serve_write(b"220 mail.test ESMTP\r\n\r\n"),
            Answer::Nothing => return false,
            Answer::End => {}
            Answer::Reset => {
                self.socket.reset("the server");
                return false;
            }
        }
        self.socket.serve_close();
        false
    }

    /// Agrees to what can be agreed to; the header that says so.
    fn agree(&mut self) -> String {
        let world = world();
        let Some(options) = &world.plan.config.compression else { return String::new() };
        let (client, server) =
            (options.client_no_context_takeover, options.server_no_context_takeover);
        // A server that compresses is a client seen from the other side.
        let mirrored = Agreement {
            client_no_context_takeover: server,
            server_no_context_takeover: client,
            client_max_window_bits: 15,
        };
        self.socket.compressed(Inflater::new(&mirrored));
        let own = Compression { threshold: 0, level: 1, memory_level: 1, ..*options };
        self.deflater = Deflater::new(&own, &mirrored);
        let mut header = "Sec-WebSocket-Extensions: permessage-deflate".to_owned();
        for (takes_part, name) in
            [(client, "client_no_context_takeover"), (server, "server_no_context_takeover")]
        {
            if takes_part {
                header += &format!("; {name}");
            }
        }
        header + "\r\n"
    }

    async fn converse(&mut self) {
        let mut script: VecDeque<_> = std::mem::take(&mut self.plan.script).into();
        let mut next = script.front().map(|(after, _)| Instant::now() + *after);
        let mut rests_until = None;
        loop {
            if world().is_healed() {
                if self.stuck {
                    return self.socket.reset("a server that was stuck");
                }
                script.clear();
                (next, rests_until, self.deaf_until) = (None, None, None);
                self.plan.reads = (1 << 16, Duration::ZERO);
            }
            for order in self.socket.orders() {
                self.say(order);
            }
            let now = Instant::now();
            if next.is_some_and(|next| next <= now) {
                if let Some((_, say)) = script.pop_front()
                    && !self.say(say)
                {
                    return;
                }
                next = script.front().map(|(after, _)| now + *after);
                continue;
            }
            let waits = self.deaf_until.max(rests_until).filter(|until| *until > now);
            if waits.is_none() {
                match self.socket.serve_read(self.plan.reads.0) {
                    Found::Heard(heard) => {
                        if !self.hear(heard) {
                            return;
                        }
                        if !self.plan.reads.1.is_zero() {
                            rests_until = Some(now + self.plan.reads.1);
                        }
                        continue;
                    }
                    Found::Nothing => {}
                    Found::End => return self.socket.serve_close(),
                    Found::Reset => return,
                }
            }
            let wakes = [next, waits].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = self.socket.serve_changed() => {}
                () = async { sleep_until(wakes.unwrap_or(now)).await }, if wakes.is_some() => {}
            }
        }
    }

    /// Whether the connection goes on.
    fn hear(&mut self, heard: Vec<Heard>) -> bool {
        for heard in heard {
            world().witness().heard(self.socket.number, &heard);
            if let Heard::Close(_) = heard {
                world().note(|| format!("#{} hears {heard:?}", self.socket.number));
            }
            match heard {
                Heard::Ping(payload) if self.plan.answers_pings => {
                    self.frame(OpCode::Pong, &payload);
                }
                Heard::Close(_) if self.closing => {
                    self.socket.serve_close();
                    return false;
                }
                Heard::Close(code) => {
                    let code = code.to_be_bytes();
                    match self.plan.on_close {
                        _ if self.stuck => self.socket.serve_close(),
                        OnClose::Echo => {
                            self.close(&code);
                            self.socket.serve_close();
                        }
                        OnClose::Linger => {
                            self.close(&code);
                            continue;
                        }
                        OnClose::Ignore => continue,
                        OnClose::Reset => self.socket.reset("the server"),
                    }
                    return false;
                }
                _ => {}
            }
        }
        true
    }

    /// Whether the connection goes on.
    fn say(&mut self, say: Say) -> bool {
        if self.closing && !matches!(say, Say::End | Say::Reset | Say::Deaf(_)) {
            return true;
        }
        if self.stuck
            && !matches!(say, Say::End | Say::Reset | Say::Deaf(_) | Say::Ping | Say::Pong)
        {
            return true;
        }
        let number = self.socket.number;
        world().note(|| format!("#{number} server: {say:?}"));
        match say {
            Say::Message { kind, size, fragments } => self.message(kind, size, fragments),
            Say::Ping => {
                self.pings += 1;
                let payload = format!("s{number}.{}", self.pings);
                self.frame(OpCode::Ping, payload.as_bytes());
                let end = self.socket.serve_sent();
                world().witness().server_pings(number, payload, end);
            }
            Say::Pong => self.frame(OpCode::Pong, b"unasked"),
            Say::Close(code) => {
                world().witness().server_closes_first(number);
                self.close(&code.unwrap_or(1005).to_be_bytes());
            }
            Say::Violation => {
                self.stuck = true;
                let wrong: &[&[u8]] = &[
                    &[0x83, 0],
                    &[0x81, 0x80, 1, 2, 3, 4],
                    &[0x09, 0],
                    &[0x80, 0],
                    &[0x88, 2, 3, 237],
                    &[0x81, 1, 0xFF],
                    &[0xA1, 0],
                ];
                let at = world().dice().number(0..wrong.len());
                self.socket.serve_write(wrong[at]);
            }
            Say::HalfMessage => {
                self.stuck = true;
                self.socket.serve_write(&[0x02, 4, 1, 2, 3, 4, 0x00, 3, 1]);
            }
            Say::End => {
                self.socket.serve_close();
                return false;
            }
            Say::Reset => {
                self.socket.reset("the server");
                return false;
            }
            Say::Deaf(time) => self.deaf_until = Some(Instant::now() + time),
        }
        true
    }

    fn message(&mut self, kind: MessageKind, size: usize, fragments: usize) {
        let payload = messages::payload('s', self.socket.number, self.said, size, kind);
        let mut frames = Vec::new();
        let opcode = u8::from(match kind {
            MessageKind::Text => OpCode::Text,
            MessageKind::Binary => OpCode::Binary,
        });
        let compressed = match &mut self.deflater {
            Some(deflater) if self.said.is_multiple_of(3) => {
                deflater.message(&payload, |compressed| compressed.map(<[u8]>::to_vec))
            }
            _ => None,
        };
        let rsv1 = if compressed.is_some() { 0x40 } else { 0 };
        let bytes = compressed.as_ref().unwrap_or(&payload);
        let piece = bytes.len().div_ceil(fragments).max(1);
        let mut pieces: Vec<_> = bytes.chunks(piece).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let last = pieces.len() - 1;
        for (i, piece) in pieces.into_iter().enumerate() {
            let first = if i == 0 { opcode | rsv1 } else { 0 };
            frame(&mut frames, first | if i == last { 0x80 } else { 0 }, piece);
        }
        let end = self.socket.serve_sent() + frames.len();
        world().witness().said(self.socket.number, payload.len(), end, kind, size);
        self.said += 1;
        self.socket.serve_write(&frames);
    }

    fn close(&mut self, code: &[u8; 2]) {
        self.closing = true;
        let code = if u16::from_be_bytes(*code) == 1005 { &[][..] } else { &code[..] };
        self.frame(OpCode::Close, code);
        let end = self.socket.serve_sent();
        world().witness().server_closes(self.socket.number, end);
    }

    fn frame(&self, opcode: OpCode, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame(&mut bytes, u8::from(opcode) | 0x80, payload);
        self.socket.serve_write(&bytes);
    }
}

fn frame(bytes: &mut Vec<u8>, first: u8, payload: &[u8]) {
    bytes.push(first);
    match payload.len() {
        len @ 0..=125 => bytes.push(len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
}
