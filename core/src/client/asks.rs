//! Questions to the user that an attempt, or the end of one, waits for.
//!
//! There is one at a time. **A question that was not delivered waits for ever; one that was, for
//! `hook_timeout`**: a host that is blocked has not failed to answer. Nothing else waits: `close` and
//! `release` go through.

use std::sync::Mutex;

use crate::driver::runtime::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Config;
use crate::protocol::target::Target;
use crate::sync::Instant;

/// Where to connect to and with what, for one attempt.
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) config: Config,
}

pub(crate) enum Answer {
    /// `None`: as the configuration says.
    Proceed(Option<Box<Way>>),
    /// The attempt fails.
    Refuse(Error),
    /// Whether another attempt follows.
    Decide(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    BeforeConnect,
    ShouldReconnect,
}

#[derive(Default)]
pub(crate) struct Asks(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    /// Counts questions.
    number: u64,
    open: Option<Question>,
    delivered: Option<Instant>,
    answer: Option<Answer>,
}

impl Asks {
    /// Begins a question; the number goes with it.
    pub(crate) fn begin(&self, question: Question) -> u64 {
        let mut slot = lock(&self.0);
        let number = slot.number + 1;
        *slot = Slot { number, open: Some(question), delivered: None, answer: None };
        number
    }

    /// The user has been told.
    pub(crate) fn deliver(&self) {
        lock(&self.0).delivered.get_or_insert_with(Instant::now);
    }

    pub(crate) fn delivered(&self) -> Option<Instant> {
        lock(&self.0).delivered
    }

    /// Whether an answer to question `number` would count.
    pub(crate) fn check(&self, number: u64, question: Question) -> Result<()> {
        lock(&self.0).check(number, question)
    }

    /// Takes the user's answer. The first one counts.
    pub(crate) fn answer(&self, number: u64, question: Question, answer: Answer) -> Result<()> {
        let mut slot = lock(&self.0);
        slot.check(number, question)?;
        slot.answer = Some(answer);
        Ok(())
    }

    /// The answer, if there is one; then the question is over.
    pub(crate) fn take(&self) -> Option<Answer> {
        let mut slot = lock(&self.0);
        let answer = slot.answer.take()?;
        slot.open = None;
        Some(answer)
    }

    /// Nobody waits for the answer any more, but for one that came in this moment.
    pub(crate) fn end(&self) -> Option<Answer> {
        let mut slot = lock(&self.0);
        slot.open = None;
        slot.answer.take()
    }
}

impl Slot {
    fn check(&self, number: u64, question: Question) -> Result<()> {
        if self.open == Some(question) && self.number == number && self.answer.is_none() {
            return Ok(());
        }
        let text = format!(
            "expected the number of a question that is open, got {number}: answered already, or too late"
        );
        Err(Error::new(ErrorKind::Invalid, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_to_the_question_of_the_moment_counts() {
        let asks = Asks::default();
        let before = asks.begin(Question::BeforeConnect);
        let now = asks.begin(Question::ShouldReconnect);
        let decide =
            |number, retry| asks.answer(number, Question::ShouldReconnect, Answer::Decide(retry));
        assert_eq!(decide(before, true).unwrap_err().kind(), ErrorKind::Invalid);
        assert!(asks.answer(now, Question::BeforeConnect, Answer::Proceed(None)).is_err());
        assert!(asks.take().is_none());
        decide(now, false).unwrap();
        assert!(decide(now, true).is_err());
        assert!(matches!(asks.take(), Some(Answer::Decide(false))));
        assert!(decide(now, true).is_err());
    }

    #[test]
    fn nobody_hears_a_late_answer() {
        let asks = Asks::default();
        let number = asks.begin(Question::BeforeConnect);
        assert!(asks.end().is_none());
        assert!(asks.check(number, Question::BeforeConnect).is_err());
    }
}
