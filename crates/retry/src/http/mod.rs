//! What HTTP says about trying again: which statuses pass, how long to wait, and what may be sent twice.
//!
//! All of it is pure: no client, no clock. [`classify`] is the whole rule, and the others are its parts.
//!
//! | | |
//! |---|---|
//! | 1xx, 2xx, 3xx | no failure |
//! | 408, 425, 429, 500, 502, 503, 504 | [`Retry`](crate::Verdict::Retry), or [`RetryAfter`](crate::Verdict::RetryAfter) if the response has a `Retry-After` that can be read |
//! | any other | [`Abort`](crate::Verdict::Abort) |
//! | any failure of a request that [may not be replayed](may_replay) | [`Abort`](crate::Verdict::Abort) |
//!
//! So a POST without an `Idempotency-Key` is not sent again after any response, not even a 429 or a 503: the status
//! is of whoever answered, such as a proxy, and does not prove that nobody has begun the work. Who knows more of a
//! server asks [`verdict`] alone.

mod replay;
mod retry_after;
mod status;

pub use self::replay::{IDEMPOTENCY_KEY, attach_idempotency_key, idempotency_key, may_replay};
pub use self::retry_after::retry_after;
pub use self::status::{classify, verdict};
