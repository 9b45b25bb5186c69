use std::fmt;
use std::sync::Arc;

use shibuya_cancel::raw::Timestamp;
use tokio::time::Instant;

use crate::line::Loan;
use crate::queue::Queue;

/// What was taken in advance, from [`RateLimiter::reserve`](crate::RateLimiter::reserve).
///
/// Dropping it gives back what would not have been earned by now anyway.
#[must_use = "dropping it gives it back"]
pub struct Reservation {
    limit: Arc<Queue>,
    /// `None` once it is committed.
    loan: Option<Loan>,
    ready_at: Timestamp,
}

impl Reservation {
    pub(crate) fn new(limit: Arc<Queue>, loan: Loan, ready_at: Timestamp) -> Self {
        Self {
            limit,
            loan: Some(loan),
            ready_at,
        }
    }

    /// From when on it may be used; the moment of the reservation if at once. A pause or another rate that comes later does not
    /// move it.
    pub fn ready_at(&self) -> Instant {
        let far = Timestamp::now().after(FAR);
        self.ready_at.min(far).to_instant().expect("it is in reach")
    }

    /// It is used, and does not go back.
    pub fn commit(mut self) {
        self.loan = None;
    }
}

/// The clock does not reach much further.
const FAR: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 86_400);

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            self.limit.refund(loan);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("ready_at", &self.ready_at())
            .finish_non_exhaustive()
    }
}
