//! Attempts to connect, one at a time, and the waits between them.

use std::time::Duration;

use tokio::time::Instant;

use super::{Verdict, between};
use crate::event::{Down, State};
use crate::options::{Config, Reconnect};
use crate::wire::Socket;
use crate::world::world;

/// Timers are right to a millisecond; several of them add up.
const SLACK: Duration = Duration::from_millis(4);

#[derive(Default)]
pub struct Attempts {
    all: Vec<Attempt>,
}

struct Attempt {
    began: Instant,
    /// The server's answer is so long, if it opens the connection.
    answer: Option<usize>,
    ended: Option<Ended>,
    /// What the user was told of it.
    retry_in: Option<Duration>,
    told_open: bool,
}

struct Ended {
    at: Instant,
    /// There was a connection, not just an attempt.
    opened: bool,
    /// How many failures in a row there were afterwards, at least and at most.
    failed: (u32, u32),
    /// When the client last got bytes.
    last_delivered: Option<Instant>,
    unread: usize,
    /// When the server's system last acknowledged something, and since when
    /// there was always more to acknowledge.
    upload: Option<(Instant, Instant)>,
}

impl Attempts {
    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn begin(&mut self, config: &Config) -> Verdict {
        let (now, number) = (Instant::now(), self.all.len());
        let verdict = self.may_begin(number, now, config);
        self.all.push(Attempt {
            began: now,
            answer: None,
            ended: None,
            retry_in: None,
            told_open: false,
        });
        verdict
    }

    fn may_begin(&self, number: usize, now: Instant, config: &Config) -> Verdict {
        let Some(before) = self.all.last() else { return Ok(()) };
        let Some(ended) = &before.ended else {
            return Err(format!("#{number} begins while the one before is under way"));
        };
        let Some(options) = &config.reconnect else {
            return Err(format!("#{number} begins though there is to be one only"));
        };
        let waited = between(ended.at, now);
        if options.max_attempts.is_some_and(|most| ended.failed.0 >= most.max(1)) {
            return Err(format!("#{number} begins after {} failures", ended.failed.0));
        }
        if waited + SLACK < options.min_delay || waited > ceiling(options, ended.failed.1) + SLACK {
            return Err(format!("#{number} begins after {waited:?}, failures {:?}", ended.failed));
        }
        match before.retry_in {
            Some(said) if said.abs_diff(waited) > SLACK => {
                Err(format!("#{number} begins after {waited:?}, not {said:?}"))
            }
            _ => Ok(()),
        }
    }

    pub fn answers(&mut self, number: usize, bytes: usize) {
        self.all[number].answer = Some(bytes);
    }

    pub fn end(
        &mut self,
        number: usize,
        state: Option<State>,
        socket: Option<&Socket>,
        config: &Config,
    ) -> Verdict {
        let now = Instant::now();
        let before = match number.checked_sub(1) {
            Some(before) => self.all[before].ended.as_ref().map_or((0, 0), |ended| ended.failed),
            None => (0, 0),
        };
        let attempt = &mut self.all[number];
        if attempt.ended.is_some() {
            return Err(format!("#{number} ended twice"));
        }
        // Before the state says `Down`, the connection is gone already.
        let opened = state == Some(State::Open) && socket.is_some();
        let answered = attempt.answer.and_then(|len| socket?.came_to(len));
        let stable =
            config.reconnect.as_ref().map_or(Duration::ZERO, |options| options.stable_after);
        let lived = answered.filter(|_| opened).map(|since| between(since, now));
        let failed = match lived {
            Some(lived) if lived >= stable + SLACK => (0, 0),
            Some(lived) if lived + SLACK >= stable => (0, before.1.saturating_add(1)),
            _ => (before.0.saturating_add(1), before.1.saturating_add(1)),
        };
        attempt.ended = Some(Ended {
            at: now,
            opened,
            failed,
            last_delivered: socket.map(Socket::last_delivered),
            unread: socket.map_or(0, Socket::unread),
            upload: socket.and_then(Socket::upload),
        });
        let limit = config.connect_timeout + SLACK;
        if socket.is_none() && between(attempt.began, now) > limit {
            return Err(format!("#{number} took longer than the timeout"));
        }
        Ok(())
    }

    /// `Open` came for this connection, which took `attempt` attempts.
    pub fn opened(&mut self, number: usize, attempt: u32) -> Verdict {
        let Some(this) = self.all.get_mut(number) else {
            return Err(format!("Open for #{number}, which there is not"));
        };
        if std::mem::replace(&mut this.told_open, true) {
            return Err(format!("Open twice for #{number}"));
        }
        let before = self.all[..number].iter().rev();
        let failures = before.take_while(|attempt| !attempt.told_open).count();
        if attempt as usize != failures + 1 {
            return Err(format!("#{number} took {} attempts, said {attempt}", failures + 1));
        }
        Ok(())
    }

    /// `Down` came for the attempt with this number.
    pub fn down(&mut self, number: usize, down: &Down, config: &Config) -> Verdict {
        let Some(options) = &config.reconnect else {
            return Err("Down where no other attempt is wanted".into());
        };
        let Some(Attempt { ended: Some(ended), retry_in, .. }) = self.all.get_mut(number) else {
            return Err(format!("Down for #{number}, which has not ended"));
        };
        *retry_in = Some(down.retry_in);
        let failed = down.attempt;
        if !(ended.failed.0..=ended.failed.1).contains(&failed)
            || ended.failed.0 == 0 && failed > 0 && failed != ended.failed.1
        {
            return Err(format!("#{number}: {failed} failures said, {:?} seen", ended.failed));
        }
        ended.failed = (failed, failed);
        if options.max_attempts.is_some_and(|most| failed >= most.max(1)) {
            return Err(format!("Down after {failed} failures"));
        }
        let ceiling = ceiling(options, failed);
        if down.retry_in < options.min_delay || down.retry_in > ceiling {
            let wait = down.retry_in;
            return Err(format!("a wait of {wait:?} after {failed} failures, at most {ceiling:?}"));
        }
        Ok(())
    }

    /// Whether the attempts are used up with the failure of this one.
    pub fn is_given_up(&self, number: usize, config: &Config) -> bool {
        let most = config.reconnect.as_ref().and_then(|options| options.max_attempts);
        let ended = self.all.get(number).and_then(|attempt| attempt.ended.as_ref());
        matches!((most, ended), (Some(most), Some(ended)) if ended.failed.1 >= most.max(1))
    }

    /// The connection was given up because no ping was answered.
    pub fn heartbeat(&self, number: usize, config: &Config) -> Verdict {
        let ended =
            self.all[number].ended.as_ref().ok_or("a connection still alive was given up")?;
        let last = ended.last_delivered.unwrap_or(ended.at);
        let quiet = between(last, ended.at);
        let timeout = config.heartbeat.timeout;
        if let Some((moved, since)) = ended.upload
            && between(moved, ended.at) + SLACK < timeout
            && between(since, ended.at) > timeout + SLACK
        {
            return Err(format!("#{number} given up during an upload"));
        }
        let sockets = world().sockets();
        if let Some(socket) = sockets.iter().find(|socket| socket.number == number) {
            in_time(socket, ended.at, Duration::ZERO, config)?;
        }
        if ended.unread > 0 {
            return Err(format!("#{number} given up with {} bytes unread", ended.unread));
        }
        if quiet + SLACK < config.heartbeat.timeout {
            return Err(format!("#{number} given up though bytes came {quiet:?} before"));
        }
        Ok(())
    }
}

/// Whether a peer that vanished was noticed in time, or `more`.
pub fn in_time(socket: &Socket, now: Instant, more: Duration, config: &Config) -> Verdict {
    let Some(last) = socket.last_sign() else { return Ok(()) };
    let Some(interval) = config.heartbeat.interval else { return Ok(()) };
    if socket.unread() > 0 {
        // A host does not fetch, and what came proves the peer.
        return Ok(());
    }
    let limit = interval + config.heartbeat.timeout + Duration::from_millis(250) + more;
    let took = between(last, now);
    if took > limit {
        return Err(format!("#{} vanished and was noticed after {took:?}", socket.number));
    }
    Ok(())
}

fn ceiling(options: &Reconnect, failed: u32) -> Duration {
    let mut ceiling = options.min_delay.as_secs_f64();
    for _ in 0..=failed.min(1000) {
        ceiling = (ceiling * options.factor).min(options.max_delay.as_secs_f64());
    }
    Duration::from_secs_f64(ceiling).max(options.min_delay) + Duration::from_nanos(10)
}
