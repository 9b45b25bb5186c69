use thiserror::Error;

/// What was wrong with a setting of a [`Distributed`](super::Distributed).
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidDistributed {
    /// A share that is no part of the quota.
    #[error("a share of {0}: it must be above 0 and at most 1")]
    Share(f32),

    /// No time at all for an answer.
    #[error("the timeout is zero: it must be long enough for a round trip to the store")]
    ZeroTimeout,

    /// A lease of nothing.
    #[error("a lease of 0: it must be at least 1, and for none there is `Lease::NONE`")]
    EmptyLease,

    /// No key would be remembered.
    #[error("a table of 0 keys: it must have room for at least one")]
    NoKeys,
}
