use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_waitlist::count;
use shibuya_waitlist::primitives::AtomicU64;

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

/// What is counted of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    RoundTrip,
    Outage,
    Granted,
    GrantedFromLease,
    Denied,
    DeniedFromMemory,
    FailedOpen,
    FailedClosed,
    GrantedFromShare,
    DeniedFromShare,
}

impl Event {
    /// The label `event` of the metric.
    #[cfg(feature = "metrics")]
    fn label(self) -> &'static str {
        match self {
            Self::RoundTrip => "round_trip",
            Self::Outage => "outage",
            Self::Granted => "granted",
            Self::GrantedFromLease => "granted_from_lease",
            Self::Denied => "denied",
            Self::DeniedFromMemory => "denied_from_memory",
            Self::FailedOpen => "failed_open",
            Self::FailedClosed => "failed_closed",
            Self::GrantedFromShare => "granted_from_share",
            Self::DeniedFromShare => "denied_from_share",
        }
    }
}

/// How often each happened. It says nothing of the order of things, so it needs none.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; Event::DeniedFromShare as usize + 1]);

impl Counts {
    pub(super) fn note(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Relaxed);
        count!(DISTRIBUTED, "event" = event.label());
    }

    fn of(&self, event: Event) -> u64 {
        self.0[event as usize].load(Relaxed)
    }

    /// What was counted; the rest is zero.
    pub(super) fn snapshot(&self) -> DistributedSnapshot {
        DistributedSnapshot {
            round_trips: self.of(Event::RoundTrip),
            outages: self.of(Event::Outage),
            granted: self.of(Event::Granted),
            granted_from_lease: self.of(Event::GrantedFromLease),
            denied: self.of(Event::Denied),
            denied_from_memory: self.of(Event::DeniedFromMemory),
            failed_open: self.of(Event::FailedOpen),
            failed_closed: self.of(Event::FailedClosed),
            granted_from_share: self.of(Event::GrantedFromShare),
            denied_from_share: self.of(Event::DeniedFromShare),
            ..DistributedSnapshot::default()
        }
    }
}
