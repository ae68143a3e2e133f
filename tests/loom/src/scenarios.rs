//! **No message is lost or doubled; the messages of a thread keep their order;
//! nothing stays behind while nobody is on to it.**

use std::sync::Arc;
use std::time::Duration;

use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use crate::client::scope::Place;
use crate::client::writer::{Flushed, How, Todo, Turn, Writer};
use crate::doubles::sync::set_step;
use crate::driver::runtime::lock;
use crate::error::ErrorKind;
use crate::event::MessageKind;
use crate::options::Offline;
use crate::protocol::encoder::Frame;
use crate::protocol::frame::OpCode;
use crate::protocol::mask;
use crate::transport::link::Link;

/// Longer than any burst.
const APART: Duration = Duration::from_secs(1);
/// All of it is one burst.
const TOGETHER: Duration = Duration::ZERO;
/// A frame of ours with one byte of payload.
const FRAME: usize = 7;
/// More than a heap, and a chunk, of the outbox.
const LARGE: usize = 70_000;
const ROOMY: usize = usize::MAX;

fn how(turn: Turn) -> How {
    How { compress: false, ahead: false, turn }
}

/// A client, as far as the writer knows it.
struct Client {
    writer: Writer,
    signals: Mutex<Signals>,
    signaled: Condvar,
}

#[derive(Default)]
struct Signals {
    write: bool,
    /// How often there was room again.
    drains: usize,
    /// Nobody will send any more.
    over: bool,
}

impl Client {
    fn new(limit: usize) -> Arc<Client> {
        Arc::new(Client {
            writer: Writer::new(limit, Offline::Queue, None),
            signals: Mutex::new(Signals::default()),
            signaled: Condvar::new(),
        })
    }

    /// Connects and delivers `Open`, as the runtime does.
    fn open(&self, link: &Arc<Link>) {
        let (epoch, _) = self.writer.attach(link.clone(), None).expect("not ended");
        self.follow_up(self.writer.ungate(epoch));
    }

    fn follow_up(&self, todo: Todo) {
        self.signal(|signals| {
            signals.write |= todo.wake;
            signals.drains += usize::from(todo.drain);
        });
    }

    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut lock(&self.signals));
        self.signaled.notify_all();
    }

    /// Sends, and waits where the buffer is full.
    fn send(&self, payload: &[u8], turn: Turn) {
        loop {
            let drains = lock(&self.signals).drains;
            let kind = MessageKind::Binary;
            let joined = match turn {
                Turn::None => self.writer.join_burst(kind, payload, false),
                Turn::Host => None,
            };
            let sent = joined
                .map_or_else(|| self.writer.send(kind, payload, how(turn), Place::Outside), Ok);
            match sent {
                Ok(todo) => {
                    self.follow_up(todo);
                    if todo.owed {
                        // The turn ends.
                        self.writer.new_turn();
                        self.follow_up(self.writer.flush());
                    }
                    return;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Full),
            }
            let mut signals = lock(&self.signals);
            while signals.drains == drains {
                signals = self.signaled.wait(signals).expect("no thread panicked");
            }
        }
    }

    /// The runtime: flushes when it is told to, and goes on when the socket,
    /// which the peer reads from `step` bytes at a time, is writable again.
    fn serve(&self, link: &Link, step: usize) {
        loop {
            {
                let mut signals = lock(&self.signals);
                while !signals.write && !signals.over {
                    signals = self.signaled.wait(signals).expect("no thread panicked");
                }
                if !std::mem::take(&mut signals.write) {
                    return;
                }
            }
            let (todo, again) = self.writer.sweep();
            self.follow_up(todo);
            if again {
                // A moment passes.
                thread::yield_now();
                self.signal(|signals| signals.write = true);
            }
            while self.writer.is_blocked() {
                link.make_room(step);
                let (flushed, drain) = self.writer.resume();
                assert!(flushed != Flushed::Broken);
                self.signal(|signals| signals.drains += usize::from(drain));
            }
        }
    }
}

fn sender(client: &Arc<Client>, bytes: &'static [u8], turn: Turn) -> JoinHandle<()> {
    let client = client.clone();
    thread::spawn(move || {
        for byte in bytes {
            client.send(&[*byte], turn);
        }
    })
}

/// Lets the senders end, and the runtime after them.
fn run(client: &Arc<Client>, link: &Arc<Link>, step: usize, senders: Vec<JoinHandle<()>>) {
    let runtime = {
        let (client, link) = (client.clone(), link.clone());
        thread::spawn(move || client.serve(&link, step))
    };
    for sender in senders {
        sender.join().expect("a sender ends");
    }
    client.signal(|signals| signals.over = true);
    runtime.join().expect("the runtime ends");
    assert!(client.writer.is_empty(), "something stays behind");
    assert_eq!(client.writer.buffered(), 0);
}

/// The payloads of the frames that the peer got, of fragments put together.
fn received(link: &Link) -> Vec<Vec<u8>> {
    let bytes = link.sent();
    let (mut at, mut messages) = (0, Vec::<Vec<u8>>::new());
    let mut unfinished = false;
    while let Some((frame, key, range)) = Frame::parse_own(&bytes[at..]) {
        let mut payload = bytes[at..][range.clone()].to_vec();
        mask::apply(key, &mut payload);
        at += range.end;
        assert_eq!(frame.opcode == OpCode::Continuation, unfinished, "fragments stay together");
        match messages.last_mut() {
            Some(message) if unfinished => message.append(&mut payload),
            _ => messages.push(payload),
        }
        unfinished = !frame.fin;
    }
    assert_eq!(at, bytes.len(), "whole frames");
    messages
}

/// Each of the messages came once, those of one thread in their order.
fn assert_in_order(received: &[Vec<u8>], threads: &[&[u8]]) {
    for thread in threads {
        let of_thread: Vec<u8> =
            received.iter().flatten().copied().filter(|byte| thread.contains(byte)).collect();
        assert_eq!(of_thread, *thread, "{received:?}");
    }
    assert_eq!(received.len(), threads.iter().map(|thread| thread.len()).sum::<usize>());
}

fn two_senders(
    step: Duration,
    turn: Turn,
    limit: usize,
    link: impl Fn() -> Link + Sync + Send + 'static,
) {
    senders([b"ab", b"xy"], step, turn, limit, link);
}

fn senders(
    messages: [&'static [u8]; 2],
    step: Duration,
    turn: Turn,
    limit: usize,
    link: impl Fn() -> Link + Sync + Send + 'static,
) {
    loom::model(move || {
        set_step(step);
        let client = Client::new(limit);
        let link = Arc::new(link());
        client.open(&link);
        let senders = messages.map(|bytes| sender(&client, bytes, turn));
        run(&client, &link, 2 * FRAME, senders.into());
        assert_in_order(&received(&link), &messages);
    });
}

pub fn whoever_flushes_takes_along_what_others_add() {
    two_senders(APART, Turn::None, ROOMY, || Link::new(ROOMY, false));
}

pub fn a_burst_is_left_to_the_runtime() {
    two_senders(TOGETHER, Turn::None, ROOMY, || Link::new(ROOMY, false));
}

pub fn what_a_heap_leaves_behind_leaves_too() {
    loom::model(|| {
        set_step(TOGETHER);
        let client = Client::new(ROOMY);
        let link = Arc::new(Link::new(ROOMY, false));
        client.open(&link);
        // What is sent directly, so that a burst goes on.
        client.send(b"1", Turn::None);
        client.send(b"2", Turn::None);
        let large = {
            let client = client.clone();
            thread::spawn(move || {
                client.send(&[b'a'; LARGE], Turn::None);
                client.send(b"b", Turn::None);
            })
        };
        let senders = vec![large, sender(&client, b"x", Turn::None)];
        run(&client, &link, ROOMY, senders);
        let mut received = received(&link);
        received.iter_mut().for_each(Vec::dedup);
        assert_in_order(&received, &[b"12ab", b"x"]);
    });
}

pub fn what_is_owed_leaves_at_the_end_of_the_turn() {
    two_senders(TOGETHER, Turn::Host, ROOMY, || Link::new(ROOMY, false));
}

pub fn a_full_socket_is_gone_on_with_when_it_is_writable() {
    two_senders(APART, Turn::None, ROOMY, || Link::new(FRAME + 3, false));
}

pub fn what_tls_holds_back_leaves_too() {
    two_senders(APART, Turn::None, ROOMY, || Link::new(FRAME + 3, true));
}

pub fn a_sender_whose_message_was_refused_is_told_of_room() {
    // One message less: waiting has many orders.
    senders([b"ab", b"x"], APART, Turn::None, FRAME + 1, || Link::new(3, false));
}

pub fn what_a_lost_connection_did_not_begin_leaves_on_the_next() {
    loom::model(|| {
        set_step(APART);
        let client = Client::new(ROOMY);
        let (first, second) =
            (Arc::new(Link::new(FRAME, false)), Arc::new(Link::new(ROOMY, false)));
        client.open(&first);
        let sender = sender(&client, b"abc", Turn::None);
        while client.writer.detach().is_none() {
            thread::yield_now();
        }
        client.open(&second);
        run(&client, &second, FRAME, vec![sender]);
        let all = [received(&first), received(&second)].concat();
        assert_in_order(&all, &[b"abc"]);
    });
}

pub fn nothing_comes_between_the_fragments_of_a_message() {
    loom::model(|| {
        set_step(APART);
        let client = Client::new(ROOMY);
        let link = Arc::new(Link::new(FRAME + 3, false));
        client.open(&link);
        let fragments = {
            let client = client.clone();
            thread::spawn(move || {
                let outside = Place::Outside;
                let epoch = client
                    .writer
                    .begin(MessageKind::Binary, how(Turn::None), outside)
                    .expect("open");
                client.follow_up(client.writer.fragment(epoch, b"a", outside).expect("open"));
                client.follow_up(client.writer.fragment(epoch, b"b", outside).expect("open"));
                client.follow_up(client.writer.finish(epoch, outside).expect("open"));
            })
        };
        let senders = vec![fragments, sender(&client, b"xy", Turn::None)];
        run(&client, &link, 2 * FRAME, senders);
        let received = received(&link);
        assert_eq!(received.len(), 3, "{received:?}");
        assert!(received.contains(&b"ab".to_vec()), "{received:?}");
        let whole: Vec<_> = received.into_iter().filter(|message| message != b"ab").collect();
        assert_in_order(&whole, &[b"xy"]);
    });
}
