//! What is counted by way of the [metrics] crate: the names, which stay.
//!
//! | name | kind | of what |
//! |---|---|---|
//! | `shibuya_ratelimit_granted_total` | counter | requests that were let through, whatever they asked for; `limit` says by what |
//! | `shibuya_ratelimit_denied_total` | counter | requests that were not; `limit`, and the `reason` |
//! | `shibuya_ratelimit_wait_seconds` | histogram | how long those stood in line who were let through then; `limit` |
//! | `shibuya_ratelimit_waiters` | gauge | how many stand in line, all limits together; `limit` |
//! | `shibuya_ratelimit_calls_total` | counter | calls under a concurrency limit that ended; `outcome` is `success`, `overloaded` or `ignored` |
//! | `shibuya_ratelimit_concurrency_limit` | gauge | a concurrency limit after it changed: of several the one that did so last |
//! | `shibuya_ratelimit_distributed_total` | counter | what a limit that processes share has done; `event` |
//!
//! `limit` is `rate` or `concurrency`. `reason` is `retry_after`, `at_limit`, `exceeds_burst`, `queue_full`, `hopeless`, `timed_out`,
//! `too_many_keys`, `closed` or `unavailable`, as the variants of [`Denied`].
//!
//! `event` is a counter of [`DistributedSnapshot`](crate::distributed::DistributedSnapshot) in the singular: `round_trip`, `outage`, `granted`,
//! `granted_from_lease`, `denied`, `denied_from_memory`, `failed_open`, `failed_closed`, `granted_from_share` or `denied_from_share`.
//!
//! What is dropped before an answer came is neither granted nor denied, and a reservation is granted when it is made. A
//! [`Throttle`](crate::Throttle) asks two limits, and both are counted.
//!
//! They go to the recorder that is in force where the thing happens. It is called outside of all locks. Counting costs more than most
//! checks do.

use crate::Denied;

/// Requests that were let through, by `limit`.
pub const GRANTED: &str = "shibuya_ratelimit_granted_total";
/// Requests that were not let through, by `limit` and `reason`.
pub const DENIED: &str = "shibuya_ratelimit_denied_total";
/// How long those stood in line who were let through then, in seconds, by `limit`.
pub const WAIT: &str = "shibuya_ratelimit_wait_seconds";
/// How many stand in line, by `limit`.
pub const WAITERS: &str = "shibuya_ratelimit_waiters";
/// Calls under a concurrency limit that ended, by `outcome`.
pub const ENDED: &str = "shibuya_ratelimit_calls_total";
/// A concurrency limit after it changed.
pub const LIMIT: &str = "shibuya_ratelimit_concurrency_limit";

/// What a limit that processes share has done, by `event`.
pub const DISTRIBUTED: &str = "shibuya_ratelimit_distributed_total";

/// The `reason` of [`DENIED`].
pub(crate) fn label(denied: &Denied) -> &'static str {
    match denied {
        Denied::RetryAfter(_) => "retry_after",
        Denied::AtLimit { .. } => "at_limit",
        Denied::ExceedsBurst { .. } => "exceeds_burst",
        Denied::QueueFull { .. } => "queue_full",
        Denied::Hopeless { .. } => "hopeless",
        Denied::TimedOut { .. } => "timed_out",
        Denied::TooManyKeys { .. } => "too_many_keys",
        Denied::Closed => "closed",
        Denied::Unavailable(_) => "unavailable",
    }
}
