use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Outage;

/// How a key stands in the store, from [`Distributed::peek`](super::Distributed::peek).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// The burst.
    pub limit: u32,
    /// How many could be taken now, without what is leased.
    pub remaining: u32,
    /// When all of the burst is there again, if nobody takes any.
    pub reset_after: Duration,
}

/// What a [`Distributed`](super::Distributed) has done in this process, from [`snapshot`](super::Distributed::snapshot). All but
/// the last four count since it was made; requests, whatever they were for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DistributedSnapshot {
    /// How often the store was asked.
    pub round_trips: u64,
    /// How often it gave no answer.
    pub outages: u64,
    /// Granted by the store.
    pub granted: u64,
    /// Granted from a lease, or from what was taken for all who wait.
    pub granted_from_lease: u64,
    /// Refused by the store.
    pub denied: u64,
    /// Refused without asking, since the store had just refused as much or because others wait.
    pub denied_from_memory: u64,
    /// Let through by nobody, by [`Fail::Open`](super::Fail::Open).
    pub failed_open: u64,
    /// Refused by nobody, by [`Fail::Closed`](super::Fail::Closed).
    pub failed_closed: u64,
    /// Granted by this process's own [share](super::Fail::LocalShare).
    pub granted_from_share: u64,
    /// Refused by it.
    pub denied_from_share: u64,
    /// Keys that something is known of.
    pub keys: usize,
    /// How many wait.
    pub waiting: usize,
    /// What was taken from the store and is not granted yet.
    pub leased: u64,
    /// Why the store gives no answers, if it doesn't.
    pub outage: Option<Outage>,
}

/// The counters of it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) round_trips: Count,
    pub(super) outages: Count,
    pub(super) granted: Count,
    pub(super) granted_from_lease: Count,
    pub(super) denied: Count,
    pub(super) denied_from_memory: Count,
    pub(super) failed_open: Count,
    pub(super) failed_closed: Count,
    pub(super) granted_from_share: Count,
    pub(super) denied_from_share: Count,
}

/// Says nothing of the order of things, so it needs none.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counts {
    /// What was counted; the rest is zero.
    pub(super) fn snapshot(&self) -> DistributedSnapshot {
        DistributedSnapshot {
            round_trips: self.round_trips.get(),
            outages: self.outages.get(),
            granted: self.granted.get(),
            granted_from_lease: self.granted_from_lease.get(),
            denied: self.denied.get(),
            denied_from_memory: self.denied_from_memory.get(),
            failed_open: self.failed_open.get(),
            failed_closed: self.failed_closed.get(),
            granted_from_share: self.granted_from_share.get(),
            denied_from_share: self.denied_from_share.get(),
            ..DistributedSnapshot::default()
        }
    }
}
