//! What is counted by way of the [metrics] crate: the names, which stay.
//!
//! | name | kind | of what |
//! |---|---|---|
//! | `shibuya_retry_attempts_total` | counter | attempts that began, first ones included |
//! | `shibuya_retry_retries_total` | counter | failures after which another attempt was granted |
//! | `shibuya_retry_delay_seconds` | histogram | the delays before those |
//! | `shibuya_retry_give_ups_total` | counter | calls that failed in the end; `reason` is `exhausted`, `aborted`, `deadline`, `budget` or `retry_after` |
//! | `shibuya_retry_budget_refused_total` | counter | retries and hedges for which a budget had too little |
//! | `shibuya_breaker_opened_total` | counter | breakers that opened |
//! | `shibuya_breaker_closed_total` | counter | breakers that closed again |
//! | `shibuya_breaker_refused_total` | counter | calls that a breaker did not let through |
//! | `shibuya_hedge_hedges_total` | counter | attempts beside another one |
//!
//! They go to the recorder that is in force where the thing happens. It is called outside of all locks.

use crate::error::Reason;

/// Attempts that began.
pub const ATTEMPTS: &str = "shibuya_retry_attempts_total";
/// Failures after which another attempt was granted.
pub const RETRIES: &str = "shibuya_retry_retries_total";
/// The delays before retries, in seconds.
pub const DELAY: &str = "shibuya_retry_delay_seconds";
/// Calls that failed in the end, by `reason`.
pub const GIVE_UPS: &str = "shibuya_retry_give_ups_total";
/// Retries and hedges for which a budget had too little.
pub const BUDGET_REFUSED: &str = "shibuya_retry_budget_refused_total";
/// Breakers that opened.
pub const BREAKER_OPENED: &str = "shibuya_breaker_opened_total";
/// Breakers that closed again.
pub const BREAKER_CLOSED: &str = "shibuya_breaker_closed_total";
/// Calls that a breaker did not let through.
pub const BREAKER_REFUSED: &str = "shibuya_breaker_refused_total";
/// Attempts beside another one.
pub const HEDGES: &str = "shibuya_hedge_hedges_total";

/// The `reason` of [`GIVE_UPS`].
pub(crate) fn label(reason: Reason) -> &'static str {
    match reason {
        Reason::Exhausted => "exhausted",
        Reason::Aborted => "aborted",
        Reason::Deadline => "deadline",
        Reason::Budget => "budget",
        Reason::RetryAfter => "retry_after",
    }
}
