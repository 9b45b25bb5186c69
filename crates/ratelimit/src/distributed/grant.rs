use shibuya_cancel::raw::Timestamp;

use super::backend::Charge;
use super::hand::Lot;

/// What was let through. Dropping it means that it was used; [`Distributed::refund`](super::Distributed::refund) takes it back.
#[derive(Debug)]
pub struct Grant {
    n: u32,
    origin: Origin,
    charge: Charge,
    /// When it can't come back to a lease any more.
    expires: Timestamp,
}

/// Who granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The store, which was asked.
    Store,

    /// A lease, or somebody who stood before in the same line: the store had granted it with what they asked for.
    Lease,

    /// This process's own share, since the store was out: [`Fail::LocalShare`](super::Fail::LocalShare).
    LocalShare,

    /// Nobody, since the store was out: [`Fail::Open`](super::Fail::Open).
    Unlimited,
}

impl Grant {
    pub(super) fn new(origin: Origin, n: u32, charge: Charge) -> Self {
        Self {
            n,
            origin,
            charge,
            expires: Timestamp::from_nanos(0),
        }
    }

    pub(super) fn leased(lot: Lot) -> Self {
        Self {
            n: lot.n,
            origin: Origin::Lease,
            charge: lot.charge,
            expires: lot.expires,
        }
    }

    /// How many.
    pub fn n(&self) -> u32 {
        self.n
    }

    /// Who granted it.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the limit that all share has been charged with it.
    pub fn is_charged(&self) -> bool {
        matches!(self.origin, Origin::Store | Origin::Lease)
    }

    pub(super) fn charge(&self) -> Charge {
        self.charge
    }

    pub(super) fn as_lot(&self) -> Lot {
        Lot {
            n: self.n,
            charge: self.charge,
            expires: self.expires,
        }
    }
}
