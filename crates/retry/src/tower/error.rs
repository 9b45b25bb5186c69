use std::error::Error;

use crate::error::Failure;

/// The last attempt took longer than its [timeout](super::RetryLayer::attempt_timeout): what
/// [`Failure::TimedOut`] is in a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it took too long")]
pub struct TimedOut;

/// The service's own error, as it was, or [`TimedOut`].
impl<E: Into<Box<dyn Error + Send + Sync>>> From<Failure<E>> for Box<dyn Error + Send + Sync> {
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Error(error) => error.into(),
            Failure::TimedOut => TimedOut.into(),
        }
    }
}
