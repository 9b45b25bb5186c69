use std::time::Duration;

use crate::Random;

/// How much of a delay is left to chance, so that those who failed together don't come back together.
///
/// It only ever shortens a delay, so a maximum holds. The names are those of
/// [Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// All: anything from zero to the delay. It spreads the load best.
    #[default]
    Full,
    /// Half: anything from half the delay to the whole.
    Equal,
    /// None: the delay as it is.
    None,
}

impl Jitter {
    pub(crate) fn apply(self, delay: Duration, random: &mut Random) -> Duration {
        match self {
            Self::Full => random.between(Duration::ZERO, delay),
            Self::Equal => random.between(delay / 2, delay),
            Self::None => delay,
        }
    }
}

/// What a server asked for is the least; up to a tenth more keeps those apart who were told the same.
pub(crate) fn after_hint(hint: Duration, random: &mut Random) -> Duration {
    random.between(hint, hint.saturating_add(hint / 10))
}
