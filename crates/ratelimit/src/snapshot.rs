use std::time::Duration;

use crate::Quota;

/// How a rate limit stands, from [`RateLimiter::snapshot`](crate::RateLimiter::snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateSnapshot {
    /// What is in force.
    pub quota: Quota,
    /// How many could be had now: none, while somebody waits.
    pub remaining: u32,
    /// How long one who came now would wait.
    pub retry_after: Duration,
    /// After how long the whole burst is there, if nobody takes of it.
    pub reset_after: Duration,
    /// How many wait.
    pub waiters: usize,
    /// What they wait for together.
    pub queued: u64,
}
