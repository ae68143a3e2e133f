//! `/room`: everybody hears everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tungstenite::handshake::server::Request;

use crate::connection::{Connection, Event};
use crate::endpoints::Failure;
use crate::handshake;

/// Texts that wait for a member who reads slowly; one more and the member has to leave.
const QUEUE: usize = 1 << 16;
/// How much is put together before it is written.
const BATCH: usize = 64 << 10;

/// The members of the one room, on ws and wss alike.
#[derive(Default)]
pub(crate) struct Room(Mutex<Members>);

#[derive(Default)]
struct Members {
    joined: u64,
    queues: HashMap<u64, Sender<Arc<str>>>,
}

impl Room {
    pub(crate) async fn join(
        &self,
        connection: &mut Connection,
        request: &Request,
    ) -> Result<(), Failure> {
        handshake::queue_accept(connection, request, None)?;
        // A member before the client can know it, so that it misses nothing from the 101 on.
        let mut member = self.enter();
        connection.write().await?;
        loop {
            tokio::select! {
                said = listen(connection) => match said? {
                    Some(text) => self.broadcast(&text),
                    None => return Ok(connection.close(Some(1003), "the room takes text only").await?),
                },
                heard = member.queue.recv() => {
                    let Some(text) = heard else {
                        return Ok(connection.close(Some(1013), "too far behind the others").await?);
                    };
                    connection.outbox.text(&text);
                    while connection.outbox.unwritten().len() < BATCH
                        && let Ok(text) = member.queue.try_recv()
                    {
                        connection.outbox.text(&text);
                    }
                    // Who reads slowly fills the queue, not the memory.
                    connection.write().await?;
                }
            }
        }
    }

    fn enter(&self) -> Member<'_> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let mut members = self.members();
        members.joined += 1;
        let id = members.joined;
        members.queues.insert(id, sender);
        Member { room: self, id, queue }
    }

    fn broadcast(&self, text: &Arc<str>) {
        self.members().queues.retain(|_, queue| queue.try_send(Arc::clone(text)).is_ok());
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room, given up when dropped.
struct Member<'a> {
    room: &'a Room,
    id: u64,
    queue: Receiver<Arc<str>>,
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.room.members().queues.remove(&self.id);
    }
}

/// The next text from the client; `None` for a binary message.
async fn listen(connection: &mut Connection) -> Result<Option<Arc<str>>, Failure> {
    loop {
        let (event, _) = connection.receive().await?;
        match event {
            Event::Text(text) => return Ok(Some(text.into())),
            Event::Binary(_) => return Ok(None),
            Event::Pong(_) => {}
        }
    }
}
