//! The server's end.

use std::collections::VecDeque;
use std::mem;

use super::Socket;
use crate::driver::runtime::lock;
use crate::plan::Say;
use crate::protocol::deflate::Inflater;
use crate::transcript::Heard;

/// What the server finds when it reads.
pub enum Found {
    /// What was in those bytes.
    Heard(Vec<Heard>),
    Nothing,
    /// The client sends no more.
    End,
    /// The connection is gone.
    Reset,
}

impl Socket {
    /// What the client said since the last call; reads at most `most` bytes.
    pub fn serve_read(&self, most: usize) -> Found {
        let mut state = lock(&self.state);
        let n = most.min(state.up.came.len());
        if n > 0 {
            state.up.came.drain(..n);
            state.heard += n;
            self.up.notify_one();
            let heard = state.heard;
            return Found::Heard(state.transcript.read_to(heard));
        }
        match (state.broken, state.up.ended) {
            (true, _) => Found::Reset,
            (_, true) => Found::End,
            _ => Found::Nothing,
        }
    }

    pub fn serve_write(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        if !state.broken && !state.down.finished {
            state.down.sent.extend(bytes);
            self.down.notify_one();
        }
    }

    /// How far the server's bytes reach, counted from the first.
    pub fn serve_sent(&self) -> usize {
        let state = lock(&self.state);
        state.down.moved + state.down.sent.len()
    }

    /// The server closes, with what it sent still on its way.
    pub fn serve_close(&self) {
        let mut state = lock(&self.state);
        state.closed_by_server = true;
        state.down.finished = true;
        let unread = !state.up.came.is_empty();
        drop(state);
        if unread {
            self.reset("the server's system");
        }
        self.down.notify_one();
    }

    /// Agreed on with the answer.
    pub fn compressed(&self, inflater: Inflater) {
        lock(&self.state).transcript.compressed(inflater);
    }

    /// Has the server say something.
    pub fn order(&self, say: Say) {
        lock(&self.orders).push_back(say);
        self.server.notify_one();
    }

    pub fn orders(&self) -> VecDeque<Say> {
        mem::take(&mut lock(&self.orders))
    }

    pub async fn serve_changed(&self) {
        self.server.notified().await;
    }
}
