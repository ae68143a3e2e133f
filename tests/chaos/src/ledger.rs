//! What arrived at the server, and what is wrong with it.
//!
//! Every client numbers its messages from 1 on, across all its connections. **A number must be greater than all before it, and
//! the first message of a connection is the greeting that the client sent from within its `open`.** A connection that has delivered something makes all older ones
//! of its client mute: a message on one of those was sent over two connections at once.
//!
//! Which numbers are missing is written down, for whoever knows what the client was told about them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::message::{self, Upward};

/// So many complaints about one client are kept.
const COMPLAINTS: usize = 5;

/// The latest fault of a connection, if there was any.
pub(crate) type Fate = Rc<Cell<Option<Fault>>>;

#[derive(Default)]
pub(crate) struct Ledger {
    clients: BTreeMap<u32, Client>,
    /// Connections so far; each gets the next number as its name.
    connections: u64,
}

#[derive(Default)]
struct Client {
    /// In the order of their handshakes.
    connections: Vec<Connection>,
    /// The greatest number that arrived.
    last: u64,
    arrived: u64,
    /// Answers so far.
    told: u64,
    /// The newest connection that delivered something.
    speaking: u64,
    twice: u64,
    disordered: u64,
    wrong: Vec<String>,
}

struct Connection {
    name: u64,
    fate: Fate,
    greeted: bool,
    /// The first and the last number that arrived here; 0 for none.
    arrived: (u64, u64),
    /// What is missing in between, both ends included.
    holes: Vec<(u64, u64)>,
    /// The first and the last answer.
    told: (u64, u64),
}

impl Ledger {
    /// A handshake of this client is about to be answered.
    pub(crate) fn open(&mut self, client: u32, fate: Fate) -> u64 {
        self.connections += 1;
        let name = self.connections;
        self.clients.entry(client).or_default().connections.push(Connection {
            name,
            fate,
            greeted: false,
            arrived: (0, 0),
            holes: Vec::new(),
            told: (0, 0),
        });
        name
    }

    /// Takes down one message, and returns the answer to it.
    pub(crate) fn arrive(
        &mut self,
        client: u32,
        connection: u64,
        payload: &[u8],
        is_text: bool,
    ) -> Option<String> {
        let client = self.clients.get_mut(&client)?;
        let place = client.connections.iter().rposition(|one| one.name == connection)?;
        if connection < client.speaking {
            let newer = client.speaking;
            client.complain(format!("a message on connection {connection} after one on {newer}"));
        }
        client.speaking = client.speaking.max(connection);
        match message::read(payload, is_text) {
            Err(what) => client.complain(what),
            Ok(Upward::Greeting { connection, heard }) => client.greet(place, connection, heard),
            Ok(Upward::Numbered(number)) => return client.number(place, number),
        }
        None
    }

    /// Something else is wrong with what a client sent.
    pub(crate) fn complain(&mut self, client: u32, what: String) {
        self.clients.entry(client).or_default().complain(what);
    }

    pub(crate) fn arrived(&self) -> u64 {
        self.clients.values().map(|client| client.arrived).sum()
    }

    pub(crate) fn to_json(&self) -> Value {
        self.clients.iter().map(|(name, client)| (name.to_string(), client.to_json())).collect()
    }
}

impl Client {
    fn greet(&mut self, place: usize, meant_for: u64, heard: u64) {
        if heard > self.told {
            self.complain(format!("heard {heard} of {} answers", self.told));
        }
        let connection = &mut self.connections[place];
        let name = connection.name;
        // Like every message, a greeting goes out on the next connection if its own was lost before.
        if meant_for == name && !connection.greeted {
            connection.greeted = true;
        } else if meant_for >= name || !connection.greeted {
            self.complain(format!("the greeting of connection {meant_for} on connection {name}"));
        }
    }

    fn number(&mut self, place: usize, number: u64) -> Option<String> {
        let name = self.connections[place].name;
        if !self.connections[place].greeted {
            self.complain(format!("{number} on connection {name} before the greeting"));
        }
        if number <= self.last {
            if self.has(number) {
                self.twice += 1;
                self.complain(format!("{number} on connection {name}, for the second time"));
            } else {
                self.disordered += 1;
                self.complain(format!("{number} on connection {name}, after {}", self.last));
            }
            return None;
        }
        self.told += 1;
        self.arrived += 1;
        let connection = &mut self.connections[place];
        if connection.arrived.0 == 0 {
            connection.arrived.0 = number;
            connection.told.0 = self.told;
        } else if number > connection.arrived.1 + 1 {
            connection.holes.push((connection.arrived.1 + 1, number - 1));
        }
        connection.arrived.1 = number;
        connection.told.1 = self.told;
        self.last = number;
        Some(message::answer(name, self.told, number))
    }

    fn has(&self, number: u64) -> bool {
        let within = |&(first, last): &(u64, u64)| (first..=last).contains(&number);
        self.connections.iter().any(|one| within(&one.arrived) && !one.holes.iter().any(within))
    }

    fn complain(&mut self, what: String) {
        if self.wrong.len() < COMPLAINTS {
            self.wrong.push(what);
        }
    }

    fn to_json(&self) -> Value {
        let connection = |one: &Connection| {
            json!({
                "name": one.name,
                "fault": one.fate.get().map(Fault::name),
                "arrived": one.arrived,
                "holes": one.holes,
                "told": one.told,
            })
        };
        json!({
            "arrived": self.arrived,
            "twice": self.twice,
            "disordered": self.disordered,
            "wrong": self.wrong,
            "connections": self.connections.iter().map(connection).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Talk(Ledger);

    impl Talk {
        fn new() -> Self {
            Self(Ledger::default())
        }

        /// A connection of client 7 that greets.
        fn open(&mut self) -> u64 {
            let name = self.0.open(7, Fate::default());
            assert_eq!(self.0.arrive(7, name, format!("hello {name} 0").as_bytes(), true), None);
            name
        }

        fn say(&mut self, connection: u64, number: u64) -> Option<String> {
            let payload = message::upward(number);
            self.0.arrive(7, connection, payload.as_bytes(), message::is_text(number))
        }

        fn client(&self) -> &Client {
            &self.0.clients[&7]
        }

        fn complaints(&self) -> String {
            self.client().wrong.join("; ")
        }
    }

    #[test]
    fn what_is_lost_with_a_connection_is_no_fault_of_the_client() {
        let mut talk = Talk::new();
        let one = talk.open();
        assert_eq!(talk.say(one, 1), Some(message::answer(one, 1, 1)));
        talk.say(one, 2);
        let two = talk.open();
        assert_eq!(talk.say(two, 5), Some(message::answer(two, 3, 5)));
        assert_eq!(talk.complaints(), "");
        let spans: Vec<_> = talk.client().connections.iter().map(|one| one.arrived).collect();
        assert_eq!(spans, [(1, 2), (5, 5)]);
    }

    #[test]
    fn a_number_that_comes_twice_is_told_from_one_that_comes_late() {
        let mut talk = Talk::new();
        let one = talk.open();
        for number in [1, 2, 5, 2, 4] {
            talk.say(one, number);
        }
        let client = talk.client();
        assert_eq!((client.twice, client.disordered, client.arrived), (1, 1, 3));
        assert_eq!(client.connections[0].holes, [(3, 4)]);
        assert_eq!(
            talk.complaints(),
            "2 on connection 1, for the second time; 4 on connection 1, after 5"
        );
    }

    #[test]
    fn an_older_connection_must_be_mute() {
        let mut talk = Talk::new();
        let (one, two) = (talk.open(), talk.open());
        talk.say(two, 1);
        talk.say(one, 2);
        assert_eq!(talk.complaints(), "a message on connection 1 after one on 2");
    }

    #[test]
    fn the_greeting_comes_first_and_once() {
        let mut talk = Talk::new();
        let one = talk.0.open(7, Fate::default());
        talk.say(one, 1);
        talk.0.arrive(7, one, b"hello 1 2", true);
        talk.0.arrive(7, one, b"hello 1 1", true);
        let two = talk.0.open(7, Fate::default());
        talk.0.arrive(7, two, b"hello 1 1", true);
        assert_eq!(
            talk.complaints(),
            "1 on connection 1 before the greeting; heard 2 of 1 answers; \
             the greeting of connection 1 on connection 1; \
             the greeting of connection 1 on connection 2"
        );
    }

    #[test]
    fn a_greeting_may_come_late_behind_another() {
        let mut talk = Talk::new();
        talk.open();
        let two = talk.open();
        talk.0.arrive(7, two, b"hello 1 0", true);
        assert_eq!(talk.complaints(), "");
    }

    #[test]
    fn a_message_that_is_not_what_was_sent_is_seen() {
        let mut talk = Talk::new();
        let one = talk.open();
        let payload = message::upward(19).replace('z', "!");
        assert_eq!(talk.0.arrive(7, one, payload.as_bytes(), true), None);
        assert_eq!(talk.complaints(), "message 19 is not what was sent");
    }
}
