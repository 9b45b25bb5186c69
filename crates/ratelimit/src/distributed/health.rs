use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use crate::Outage;

/// Whether the store answers. While it does not, only one request in each [`PAUSE`] finds out whether it is back: the others would
/// wait for its timeout, each of them.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: State,
    /// Before it no other complaint is worth a word.
    next_word: Option<Timestamp>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Up,
    Down {
        why: Outage,
        since: Timestamp,
        next_probe: Timestamp,
    },
}

const PAUSE: Duration = Duration::from_millis(100);

/// Between two words on a store that answers with errors.
const SILENCE: Duration = Duration::from_secs(10);

impl Health {
    /// Whether a request may ask the store; why not, else.
    pub(super) fn admit(&mut self, now: Timestamp) -> Result<(), Outage> {
        match &mut self.state {
            State::Down {
                why, next_probe, ..
            } if now < *next_probe => Err(*why),
            State::Down { next_probe, .. } => {
                *next_probe = now.after(PAUSE);
                Ok(())
            }
            State::Up => Ok(()),
        }
    }

    /// It answered. Gives for how long it had not, if it is just back.
    pub(super) fn answered(&mut self, now: Timestamp) -> Option<Duration> {
        match std::mem::take(&mut self.state) {
            State::Up => None,
            State::Down { since, .. } => Some(now.since(since)),
        }
    }

    /// It did not answer. Gives whether that is news.
    pub(super) fn failed(&mut self, why: Outage, now: Timestamp) -> bool {
        let since = match self.state {
            State::Up => now,
            State::Down { since, .. } => since,
        };
        let is_news = matches!(self.state, State::Up);
        let next_probe = now.after(PAUSE);
        self.state = State::Down {
            why,
            since,
            next_probe,
        };
        is_news
    }

    /// It answered with an error. Gives whether to say so.
    pub(super) fn complained(&mut self, now: Timestamp) -> bool {
        let is_time = self.next_word.is_none_or(|at| now >= at);
        if is_time {
            self.next_word = Some(now.after(SILENCE));
        }
        is_time
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        match self.state {
            State::Up => None,
            State::Down { why, .. } => Some(why),
        }
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_each_pause_asks_a_store_that_is_out() {
        let at = |ms| Timestamp::from_nanos(0).after(Duration::from_millis(ms));
        let mut health = Health::default();
        assert_eq!(health.admit(at(0)), Ok(()));
        assert!(health.failed(Outage::TimedOut, at(50)));
        assert_eq!(health.admit(at(149)), Err(Outage::TimedOut));
        assert_eq!(health.admit(at(150)), Ok(()));
        assert_eq!(health.admit(at(151)), Err(Outage::TimedOut));
        assert!(!health.failed(Outage::Unreachable, at(160)));
        assert_eq!(health.outage(), Some(Outage::Unreachable));
        assert_eq!(health.admit(at(259)), Err(Outage::Unreachable));
        assert_eq!(health.answered(at(260)), Some(Duration::from_millis(210)));
        assert_eq!(health.answered(at(261)), None);
        assert_eq!(health.outage(), None);
    }
}
