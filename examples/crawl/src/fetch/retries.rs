//! Requests that fail and may turn out otherwise in a moment: which, how soon, and how many of them.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use reqwest::Response;
use serde::Serialize;
use shibuya_retry::{Attempt, Budget, Failure, Policy, RetryError, Verdict, http};

use super::{FetchError, Hop};

/// Who asks for a longer wait is reported as it is: a worker has better things to do.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What the requests of a crawl share.
#[derive(Debug)]
pub(super) struct Retries {
    pub(super) policy: Policy,
    /// A site that is down is asked a fifth more than it would be anyway, and twenty times beside.
    pub(super) budget: Budget,
    requests: AtomicUsize,
    attempts: AtomicUsize,
    recovered: AtomicUsize,
}

impl Retries {
    /// Up to `max` for each request.
    pub(super) fn new(max: u32) -> Self {
        let (first, longest) = (Duration::from_millis(200), Duration::from_secs(5));
        Self {
            policy: Policy::exponential(first, longest)
                .max_retries(max)
                .max_retry_after(RETRY_AFTER_MAX)
                .history(0),
            budget: Budget::ratio(0.2).burst(20).min_per_sec(0),
            requests: AtomicUsize::new(0),
            attempts: AtomicUsize::new(0),
            recovered: AtomicUsize::new(0),
        }
    }

    /// The attempt of this number, from 1, has ended; another may follow if it was a setback.
    pub(super) fn count(&self, number: u32, is_setback: bool) {
        if number == 1 {
            return;
        }
        self.attempts.fetch_add(1, Relaxed);
        if number == 2 {
            self.requests.fetch_add(1, Relaxed);
        }
        if !is_setback {
            self.recovered.fetch_add(1, Relaxed);
        }
    }

    /// What was retried so far.
    pub(super) fn so_far(&self) -> Retried {
        Retried {
            requests: self.requests.load(Relaxed),
            attempts: self.attempts.load(Relaxed),
            recovered: self.recovered.load(Relaxed),
            refused: usize::try_from(self.budget.snapshot().refused).unwrap_or(usize::MAX),
        }
    }
}

/// The requests that were sent again. Redirects and robots.txt are requests, too.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// How many there were.
    pub requests: usize,
    /// How often they were sent again, all together.
    pub attempts: usize,
    /// How many of them got an answer in the end that is worth no other attempt.
    pub recovered: usize,
    /// How often one was not sent again, since too many had been.
    pub refused: usize,
}

/// What came of an attempt that is not to be the last, if it can be helped.
#[derive(Debug)]
pub(super) struct Setback {
    outcome: Result<Hop, FetchError>,
    verdict: Verdict,
}

impl Setback {
    /// For [`classify`](shibuya_retry::Run::classify).
    pub(super) fn verdict(&self, _: &Attempt) -> Verdict {
        self.verdict
    }

    /// When to ask again after `response`, where that is of use: in a moment or when its Retry-After says.
    pub(super) fn worth_of(response: &Response) -> Option<Verdict> {
        http::verdict(response.status(), response.headers(), SystemTime::now())
            .filter(|verdict| *verdict != Verdict::Abort)
    }

    /// An answer, and when to ask for a better one.
    pub(super) fn of_answer(hop: Hop, verdict: Verdict) -> Self {
        Self {
            outcome: Ok(hop),
            verdict,
        }
    }

    /// What the last attempt left, when there are to be no more; each had so much time.
    pub(super) fn settle(ended: RetryError<Self>, timeout: Duration) -> Result<Hop, FetchError> {
        match ended.into_last() {
            Failure::Error(setback) => setback.outcome,
            Failure::TimedOut => Err(FetchError::Timeout(timeout)),
        }
    }
}

impl<E: Into<FetchError>> From<E> for Setback {
    fn from(error: E) -> Self {
        let error = error.into();
        let verdict = match &error {
            FetchError::Transport(error) if !error.is_builder() && !is_no_http(error) => {
                Verdict::Retry
            }
            _ => Verdict::Abort,
        };
        Self {
            outcome: Err(error),
            verdict,
        }
    }
}

/// Whether something answered that speaks another protocol, as it will the next time.
fn is_no_http(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_parse)
}
