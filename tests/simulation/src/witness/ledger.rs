//! Every message of both sides, and what became of it.

use std::collections::BTreeMap;

use super::Verdict;
use crate::event::{Chunk, MessageKind};
use crate::messages;
use crate::options::{Config, Offline};
use crate::transcript::Heard;
use crate::world::world;

pub type Number = usize;

/// What the order of a message depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Normal,
    /// Sent by another thread, while a system call of this one went on.
    Meanwhile,
    /// Sent from within `Open` of this connection.
    Open(usize),
    /// Sent from within the `Open` of a connection that was gone by then.
    Late(usize),
}

#[derive(Default)]
pub struct Ledger {
    ours: Vec<Ours>,
    /// The latest message of each class that left.
    latest: BTreeMap<Class, Number>,
    connections: BTreeMap<usize, Connection>,
    /// Frames that were lost half way, of whole messages or not.
    cut: usize,
}

/// A message of the client's.
struct Ours {
    size: usize,
    kind: MessageKind,
    class: Class,
    fragmented: bool,
    /// `close` had been called before.
    late: bool,
    /// What the client said to it.
    taken: Option<bool>,
    left: Option<usize>,
    heard: bool,
    /// Given back at the end.
    returned: bool,
}

#[derive(Default)]
struct Connection {
    said: Vec<Theirs>,
    delivered: usize,
    /// The rank of the latest message that left here.
    rank: usize,
    /// Messages that left here.
    left: Vec<Number>,
    /// Where the server's close frame ended.
    closed_at: Option<usize>,
    /// It was the first of the two.
    closed_first: bool,
    /// The server's pings, and the byte that each ends with.
    pings: Vec<(String, usize)>,
    /// How many of them have left an answer behind.
    answered: usize,
    pongs: Vec<String>,
}

/// A message of the server's.
struct Theirs {
    kind: MessageKind,
    len: usize,
    /// Its last byte is this one of the connection.
    end: usize,
    size: usize,
}

/// A message that comes in chunks.
pub struct Partial {
    kind: MessageKind,
    bytes: Vec<u8>,
}

impl Ledger {
    pub fn offer(
        &mut self,
        size: usize,
        kind: MessageKind,
        class: Class,
        fragmented: bool,
        late: bool,
    ) -> Number {
        self.ours.push(Ours {
            size,
            kind,
            class,
            fragmented,
            late,
            taken: None,
            left: None,
            heard: false,
            returned: false,
        });
        self.ours.len() - 1
    }

    pub fn answered(&mut self, number: Number, taken: bool) -> Verdict {
        let ours = &mut self.ours[number];
        ours.taken = Some(taken);
        if taken && ours.late {
            return Err(format!("c{number} was taken after close"));
        }
        if !taken && ours.left.is_some() {
            return Err(format!("c{number} was refused and left all the same"));
        }
        Ok(())
    }

    pub fn may_be_offline(&self, number: Number, config: &Config) -> bool {
        config.offline == Offline::Refuse || self.ours[number].fragmented
    }

    /// A message has left whole.
    pub fn left(&mut self, connection: usize, kind: MessageKind, payload: &[u8]) -> Verdict {
        let Some(('c', 0, number)) = messages::parse(payload) else {
            return Err(format!("#{connection} the client sends what nobody sent"));
        };
        let Some(ours) = self.ours.get_mut(number) else {
            return Err(format!("#{connection} c{number} left, which nobody sent"));
        };
        if let Some(before) = ours.left.replace(connection) {
            return Err(format!("c{number} left on #{before} and on #{connection}"));
        }
        if ours.taken == Some(false) {
            return Err(format!("c{number} was refused and left all the same"));
        }
        if kind != ours.kind || payload != messages::payload('c', 0, number, ours.size, ours.kind) {
            return Err(format!("c{number} left as something else"));
        }
        let (class, fragmented) = (ours.class, ours.fragmented);
        if let Some(latest) = self.latest.insert(class, number)
            && latest > number
        {
            return Err(format!("c{number} left after c{latest}"));
        }
        let connection_number = connection;
        let connection = self.connections.entry(connection).or_default();
        connection.left.push(number);
        // What is sent from within `Open` comes first; what an earlier
        // connection had no time for is next; the queue follows.
        let rank = match class {
            Class::Open(opened) => connection_number.saturating_sub(opened),
            Class::Normal | Class::Meanwhile if !fragmented => usize::MAX,
            Class::Normal | Class::Meanwhile | Class::Late(_) => return Ok(()),
        };
        if rank < connection.rank {
            return Err(format!("c{number} ({class:?}) left behind what it precedes"));
        }
        connection.rank = rank;
        Ok(())
    }

    /// The client ended, and gave back what it says never left: messages that it took, each
    /// once, and none that left.
    pub fn returned(&mut self, messages: &[(MessageKind, Vec<u8>)]) -> Verdict {
        for (kind, payload) in messages {
            let Some(('c', 0, number)) = messages::parse(payload) else {
                return Err("what nobody sent is given back".into());
            };
            let Some(ours) = self.ours.get_mut(number) else {
                return Err(format!("c{number} is given back, which nobody sent"));
            };
            if ours.left.is_some() || ours.taken == Some(false) || ours.returned {
                let Ours { left, taken, returned, .. } = ours;
                return Err(format!(
                    "c{number} is given back; left {left:?}, taken {taken:?}, before {returned}"
                ));
            }
            ours.returned = true;
            let sent = messages::payload('c', 0, number, ours.size, ours.kind);
            if *kind != ours.kind || *payload != sent {
                return Err(format!("c{number} is given back as something else"));
            }
        }
        Ok(())
    }

    /// Whatever was taken has left or is given back, but what TLS had taken of a connection that
    /// was lost.
    pub fn accounted(&self) -> Verdict {
        let lost: Vec<_> = (self.ours.iter().enumerate())
            .filter(|(_, ours)| ours.taken == Some(true) && !ours.fragmented)
            .filter(|(_, ours)| ours.left.is_none() && !ours.returned)
            .map(|(number, _)| number)
            .collect();
        if lost.len() <= self.cut { Ok(()) } else { Err(format!("{lost:?} disappeared")) }
    }

    pub fn heard(&mut self, connection: usize, heard: &Heard) {
        match heard {
            Heard::Message { payload, .. } => {
                if let Some((_, _, number)) = messages::parse(payload)
                    && let Some(ours) = self.ours.get_mut(number)
                {
                    ours.heard = true;
                }
            }
            Heard::Pong(payload) => {
                let payload = String::from_utf8_lossy(payload).into_owned();
                self.connections.entry(connection).or_default().pongs.push(payload);
            }
            _ => {}
        }
    }

    pub fn connection_ended(&mut self, _: usize, cut: bool) {
        self.cut += usize::from(cut);
    }

    pub fn said(
        &mut self,
        connection: usize,
        len: usize,
        end: usize,
        kind: MessageKind,
        size: usize,
    ) {
        let connection = self.connections.entry(connection).or_default();
        connection.said.push(Theirs { kind, len, end, size });
    }

    pub fn server_pings(&mut self, connection: usize, payload: String, end: usize) {
        self.connections.entry(connection).or_default().pings.push((payload, end));
    }

    pub fn server_closes_first(&mut self, connection: usize) {
        self.connections.entry(connection).or_default().closed_first = true;
    }

    pub fn server_closes(&mut self, connection: usize, end: usize) {
        self.connections.entry(connection).or_default().closed_at = Some(end);
    }

    /// A message of the server's came to the user.
    pub fn delivered(&mut self, number: usize, kind: MessageKind, bytes: &[u8]) -> Verdict {
        let connection = self.connections.entry(number).or_default();
        let at = connection.delivered;
        let Some(theirs) = connection.said.get(at) else {
            return Err(format!("#{number} s{at} came, which nobody sent"));
        };
        connection.delivered += 1;
        let expected = messages::payload('s', number, at, theirs.size, theirs.kind);
        if kind != theirs.kind || bytes != expected {
            let what = messages::parse(bytes);
            return Err(format!(
                "#{number} expected s{at} with {} bytes, {what:?} came",
                theirs.len
            ));
        }
        Ok(())
    }

    /// A part of a message of the server's came to the user.
    pub fn chunk(
        &mut self,
        partial: &mut Option<Partial>,
        number: usize,
        chunk: &Chunk<'_>,
    ) -> Verdict {
        if chunk.first == partial.is_some() {
            return Err(format!("#{number} a chunk out of place: first is {}", chunk.first));
        }
        let message =
            partial.get_or_insert_with(|| Partial { kind: chunk.kind, bytes: Vec::new() });
        if message.kind != chunk.kind {
            return Err(format!("#{number} a chunk of another kind"));
        }
        message.bytes.extend_from_slice(chunk.payload);
        if !chunk.last {
            return Ok(());
        }
        let Some(message) = partial.take() else { return Ok(()) };
        self.delivered(number, message.kind, &message.bytes)
    }

    /// All that the server said before its end, and that arrived, came to the user.
    pub fn all_delivered(&self, number: usize, end: &str) -> Verdict {
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        let sockets = world().sockets();
        let socket = sockets.iter().find(|socket| socket.number == number);
        let arrived = socket.map_or(0, |socket| socket.delivered());
        let most = connection.closed_at.unwrap_or(usize::MAX).min(arrived);
        let said = connection.said.iter().filter(|theirs| theirs.end <= most).count();
        if said == connection.delivered {
            Ok(())
        } else {
            let came = connection.delivered;
            Err(format!("#{number}: {said} messages arrived before {end}, {came} came"))
        }
    }

    /// Whether nothing is on its way any more.
    pub fn is_settled(&self, number: usize) -> Verdict {
        let waiting =
            self.ours.iter().enumerate().find(|(_, ours)| ours.left == Some(number) && !ours.heard);
        if let Some((waiting, _)) = waiting {
            return Err(format!("c{waiting} does not arrive"));
        }
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        let (said, came) = (connection.said.len(), connection.delivered);
        if came < said {
            return Err(format!("#{number}: {said} messages were sent, {came} came"));
        }
        if let Some((ping, _)) = connection.pings.last()
            && !connection.pongs.contains(ping)
        {
            return Err(format!("#{number}: the ping {ping} is not answered"));
        }
        Ok(())
    }

    /// After a closing handshake all that was sent before is there, unless the
    /// server began it, or a message in fragments without an end was in the way.
    pub fn missing_after_close(&self) -> Verdict {
        let endless = |ours: &Ours| ours.fragmented && ours.taken != Some(true);
        let last = self.connections.last_key_value();
        let first = last.is_some_and(|(_, connection)| connection.closed_first);
        if first || self.ours.iter().any(endless) { Ok(()) } else { self.missing() }
    }

    /// A pong has left.
    pub fn answers(&mut self, connection: usize, payload: &[u8]) {
        let connection = self.connections.entry(connection).or_default();
        let answered = connection.pings.iter().rposition(|(ping, _)| ping.as_bytes() == payload);
        // The earlier ones are answered with it (RFC 6455 section 5.5.3).
        connection.answered = connection.answered.max(answered.map_or(0, |at| at + 1));
    }

    pub fn has_undelivered(&self, connection: usize, delivered: usize) -> bool {
        let connection = self.connections.get(&connection);
        let next = connection.and_then(|connection| connection.said.get(connection.delivered));
        next.is_some_and(|theirs| theirs.end <= delivered)
    }

    /// A ping that came with the first `delivered` bytes, and has no answer.
    pub fn unanswered(&self, connection: usize, delivered: usize) -> Option<String> {
        let connection = self.connections.get(&connection)?;
        let (ping, end) = connection.pings.get(connection.answered)?;
        (*end <= delivered).then(|| ping.clone())
    }

    /// Fails if something that was taken neither left nor can have been lost:
    /// one message of each connection that ended inside a frame.
    pub fn missing(&self) -> Verdict {
        let missing: Vec<_> = (self.ours.iter().enumerate())
            .filter(|(_, ours)| ours.taken == Some(true) && ours.left.is_none() && !ours.fragmented)
            .map(|(number, _)| number)
            .collect();
        if missing.len() <= self.cut {
            return Ok(());
        }
        Err(format!("{missing:?} were taken and never left; {} were cut", self.cut))
    }
}
