use super::error::InvalidDistributed;

/// What becomes of a request when the store gives no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fail {
    /// It is let through. The limit is none as long as the store is out.
    Open,

    /// It is refused, with [`Denied::Unavailable`](crate::Denied::Unavailable). So it is unless told otherwise.
    Closed,

    /// This process limits its own requests, to this part of the quota: a quarter, for instance, if there are four of them. Its rate is that
    /// part of the rate, and its burst that part of the burst, but at least one. It starts full.
    LocalShare(f32),
}

impl Fail {
    pub(super) fn check(self) -> Result<Self, InvalidDistributed> {
        match self {
            Self::LocalShare(part) if !(part > 0.0 && part <= 1.0) => {
                Err(InvalidDistributed::Share(part))
            }
            fine => Ok(fine),
        }
    }
}
