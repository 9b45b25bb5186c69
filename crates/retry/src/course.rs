//! What follows a failure: decisions over time, without a clock.

use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use crate::backoff::Backoff;
use crate::error::Reason;
use crate::jitter::after_hint;
use crate::policy::Policy;
use crate::random::Random;
use crate::verdict::Verdict;

/// How far a series of attempts has come.
#[derive(Debug)]
pub(crate) struct Course {
    /// Since the first, or since one that ran for long enough.
    retries: u32,
    last_delay: Duration,
    random: Random,
}

impl Course {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self {
            retries: 0,
            last_delay: Duration::ZERO,
            random: Random::new(seed),
        }
    }

    /// An attempt failed `now`, after it `ran` for that long: gives the delay before the next one, or why
    /// there is none.
    pub(crate) fn after<B: Backoff>(
        &mut self,
        policy: &Policy<B>,
        verdict: Verdict,
        ran: Duration,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<Duration, Reason> {
        if policy.reset_after.is_some_and(|healthy| ran >= healthy) {
            self.retries = 0;
            self.last_delay = Duration::ZERO;
        }
        if verdict == Verdict::Abort {
            return Err(Reason::Aborted);
        }
        if self.retries >= policy.max_retries {
            return Err(Reason::Exhausted);
        }
        let random = &mut self.random;
        let hint = match verdict {
            Verdict::RetryAfter(hint) if hint > policy.max_retry_after => {
                return Err(Reason::RetryAfter);
            }
            Verdict::RetryAfter(hint) => after_hint(hint, random),
            _ => Duration::ZERO,
        };
        let delay = policy.backoff.delay(self.retries, self.last_delay, random);
        self.last_delay = delay;
        // Who says "at once", or names a time that is over, does not ask for all to come at once.
        let delay = policy.jitter.apply(delay, random).max(hint);
        if deadline != Timestamp::NEVER && now.after(delay) >= deadline {
            return Err(Reason::Deadline);
        }
        self.retries = self.retries.saturating_add(1);
        Ok(delay)
    }
}
