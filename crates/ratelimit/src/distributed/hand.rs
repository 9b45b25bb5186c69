//! What this process knows of one key without asking the store. Time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;

use super::backend::{Answer, Charge, Take, Verdict};
use super::lease::{Demand, LIFETIME};
use super::local::{Units, at, decide};
use crate::Quota;

/// What is at hand.
#[derive(Debug)]
pub(super) struct Hand {
    /// What is left of leases, the oldest first.
    lots: VecDeque<Lot>,
    /// The last refusal, by which the same request needs not be made again before its time.
    refusal: Option<Refusal>,
    demand: Demand,
    /// The state of this process's own limit, for when the store is out.
    share: Units,
    /// What all who wait in line want together.
    wanted: u64,
}

/// What was charged in the store and is not granted yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub(super) n: u32,
    pub(super) charge: Charge,
    pub(super) expires: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    n: u32,
    until: Timestamp,
    /// When there will be a lease to take, which may be later.
    ask_again: Timestamp,
}

/// What the hand has for a request.
#[derive(Debug)]
pub(super) enum Held {
    Granted(Lot),
    Denied(Duration),
    Unknown,
}

/// How long the demand for a key is remembered after the last request.
const MEMORY: Duration = Duration::from_secs(1);

impl Hand {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            lots: VecDeque::new(),
            refusal: None,
            demand: Demand::new(now),
            share: Units::MIN,
            wanted: 0,
        }
    }

    /// Grants from what was leased, or denies by what was refused. Who must know before `latest` does not wait for a lease.
    pub(super) fn take(&mut self, n: u32, quota: Quota, latest: Timestamp, now: Timestamp) -> Held {
        self.expire(now);
        let at_hand: u64 = self.lots.iter().map(|lot| u64::from(lot.n)).sum();
        if n > 0 && at_hand >= u64::from(n) {
            self.demand.note(n);
            return Held::Granted(self.spend(n));
        }
        // For less than was refused there may be enough.
        let Some(refusal) = self.refusal.filter(|refusal| n >= refusal.n) else {
            return Held::Unknown;
        };
        let outlook = self.outlook(n, 0, quota, now);
        let worthwhile = refusal.ask_again.since(now);
        match () {
            () if now < refusal.ask_again && refusal.ask_again <= latest => {
                Held::Denied(outlook.max(worthwhile))
            }
            () if now < refusal.until => Held::Denied(outlook),
            () => Held::Unknown,
        }
    }

    /// The charge is that of the oldest part, of which the least is given back.
    fn spend(&mut self, n: u32) -> Lot {
        let oldest = self.lots[0];
        let mut missing = n;
        while missing > 0 {
            let lot = &mut self.lots[0];
            let part = lot.n.min(missing);
            lot.n -= part;
            missing -= part;
            if lot.n == 0 {
                self.lots.pop_front();
            }
        }
        Lot { n, ..oldest }
    }

    fn expire(&mut self, now: Timestamp) {
        while self.lots.front().is_some_and(|lot| lot.expires <= now) {
            self.lots.pop_front();
        }
    }

    /// Granted from the store; the rest of it stays here.
    pub(super) fn granted(&mut self, n: u32, surplus: u32, charge: Charge, now: Timestamp) {
        self.demand.note(n);
        self.refusal = None;
        if surplus > 0 {
            let expires = now.after(LIFETIME);
            self.lots.push_back(Lot {
                n: surplus,
                charge,
                expires,
            });
        }
    }

    /// Refused by the store; `for_lease` is how much longer it takes until there is a lease to take.
    pub(super) fn refused(
        &mut self,
        n: u32,
        retry_after: Duration,
        for_lease: Duration,
        now: Timestamp,
    ) {
        let says_less = |known: Refusal| now >= known.until || n <= known.n;
        if self.refusal.is_none_or(says_less) {
            let until = now.after(retry_after);
            let ask_again = until.after(for_lease);
            self.refusal = Some(Refusal {
                n,
                until,
                ask_again,
            });
        }
    }

    /// What was granted from a lease comes back to it; gives whether it was in time.
    pub(super) fn put_back(&mut self, lot: Lot, now: Timestamp) -> bool {
        let is_in_time = now < lot.expires;
        if is_in_time {
            // The oldest first, whatever came back before.
            let place = self
                .lots
                .partition_point(|other| other.expires < lot.expires);
            self.lots.insert(place, lot);
        }
        is_in_time
    }

    /// Something was given back to the store, so that it may grant earlier than it said.
    pub(super) fn forget_refusal(&mut self) {
        self.refusal = None;
    }

    /// How long `n` more will take at the least behind `ahead` others; zero where nobody knows.
    pub(super) fn outlook(&self, n: u32, ahead: u64, quota: Quota, now: Timestamp) -> Duration {
        let Some(refusal) = self.refusal.filter(|refusal| now < refusal.until) else {
            return Duration::ZERO;
        };
        let beyond = (ahead + u64::from(n)).saturating_sub(u64::from(refusal.n));
        let nanos = quota.interval().as_nanos().saturating_mul(beyond.into());
        let further = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        refusal.until.since(now).saturating_add(further)
    }

    /// What the process lets through on its own, by its share of the quota.
    pub(super) fn take_share(&mut self, take: Take, share: Quota, now: Timestamp) -> Verdict {
        let (next, verdict) = decide(self.share, at(now), share, take);
        if !matches!(verdict.answer, Answer::Denied { .. }) {
            self.share = next;
        }
        verdict
    }

    pub(super) fn demand(&mut self, now: Timestamp) -> f64 {
        self.demand.per_second(now)
    }

    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    pub(super) fn want(&mut self, n: u32) {
        self.wanted += u64::from(n);
    }

    pub(super) fn want_no_more(&mut self, n: u32) {
        self.wanted -= u64::from(n);
    }

    pub(super) fn at_hand(&self) -> u64 {
        self.lots.iter().map(|lot| u64::from(lot.n)).sum()
    }

    /// What may still be given back.
    pub(super) fn empty(&mut self) -> VecDeque<Lot> {
        std::mem::take(&mut self.lots)
    }

    /// When nothing of it matters any more, if nothing happens to it.
    pub(super) fn matters_until(&self, now: Timestamp) -> Timestamp {
        let share = u64::try_from(self.share.max(0) / at(Timestamp::from_nanos(1)));
        let share = Timestamp::from_nanos(share.unwrap_or(u64::MAX));
        let refused = self.refusal.map_or(now, |refusal| refusal.ask_again);
        let leased = self.lots.back().map_or(now, |lot| lot.expires);
        now.after(MEMORY).max(share).max(refused).max(leased)
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota::per_second(100).burst(10);

    fn at_ms(ms: u64) -> Timestamp {
        Timestamp::from_nanos(0).after(Duration::from_millis(ms))
    }

    fn granted(held: Held) -> (u32, Charge) {
        match held {
            Held::Granted(lot) => (lot.n, lot.charge),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn leases_are_spent_from_the_oldest_and_end_at_their_age() {
        let mut hand = Hand::new(at_ms(0));
        hand.granted(1, 3, Charge(1), at_ms(0));
        hand.granted(1, 4, Charge(2), at_ms(50));
        assert_eq!(
            granted(hand.take(2, QUOTA, Timestamp::NEVER, at_ms(60))),
            (2, Charge(1))
        );
        assert_eq!(
            granted(hand.take(2, QUOTA, Timestamp::NEVER, at_ms(60))),
            (2, Charge(1))
        );
        assert_eq!(
            granted(hand.take(2, QUOTA, Timestamp::NEVER, at_ms(149))),
            (2, Charge(2))
        );
        assert_eq!(hand.at_hand(), 1);
        assert!(matches!(
            hand.take(1, QUOTA, Timestamp::NEVER, at_ms(150)),
            Held::Unknown
        ));
    }

    #[test]
    fn a_refusal_holds_for_as_much_and_for_more() {
        let mut hand = Hand::new(at_ms(0));
        let denied = |held| match held {
            Held::Denied(after) => Some(after.as_millis()),
            _ => None,
        };
        hand.refused(3, Duration::from_millis(20), Duration::ZERO, at_ms(0));
        assert_eq!(
            denied(hand.take(2, QUOTA, Timestamp::NEVER, at_ms(5))),
            None
        );
        assert_eq!(
            denied(hand.take(3, QUOTA, Timestamp::NEVER, at_ms(5))),
            Some(15)
        );
        assert_eq!(
            denied(hand.take(5, QUOTA, Timestamp::NEVER, at_ms(5))),
            Some(35)
        );
        hand.refused(5, Duration::from_millis(80), Duration::ZERO, at_ms(6));
        assert_eq!(
            denied(hand.take(3, QUOTA, Timestamp::NEVER, at_ms(6))),
            Some(14)
        );
        hand.refused(1, Duration::from_millis(4), Duration::ZERO, at_ms(6));
        assert_eq!(
            denied(hand.take(1, QUOTA, Timestamp::NEVER, at_ms(6))),
            Some(4)
        );
        assert_eq!(
            denied(hand.take(1, QUOTA, Timestamp::NEVER, at_ms(10))),
            None
        );
    }

    #[test]
    fn a_lease_is_waited_for_by_those_who_have_the_time() {
        let mut hand = Hand::new(at_ms(0));
        let [until, for_lease] = [10, 20].map(Duration::from_millis);
        hand.refused(1, until, for_lease, at_ms(0));
        let denied = |held| match held {
            Held::Denied(after) => Some(after.as_millis()),
            _ => None,
        };
        for (now, latest, after) in [
            (0, 30, Some(30)),
            (0, 29, Some(10)),
            (15, 30, Some(15)),
            (15, 29, None),
            (30, 99, None),
        ] {
            let held = hand.take(1, QUOTA, at_ms(latest), at_ms(now));
            assert_eq!(denied(held), after, "at {now} of {latest}");
        }
    }

    #[test]
    fn what_comes_back_in_time_is_granted_again() {
        let mut hand = Hand::new(at_ms(0));
        hand.granted(1, 2, Charge(1), at_ms(0));
        let Held::Granted(lot) = hand.take(2, QUOTA, Timestamp::NEVER, at_ms(0)) else {
            panic!("it has two");
        };
        assert!(hand.put_back(lot, at_ms(99)));
        assert!(matches!(
            hand.take(2, QUOTA, Timestamp::NEVER, at_ms(99)),
            Held::Granted(_)
        ));
        assert!(!hand.put_back(lot, at_ms(100)));
    }

    #[test]
    fn what_came_back_behind_a_younger_lease_ends_at_its_own_age() {
        let mut hand = Hand::new(at_ms(0));
        let take = |hand: &mut Hand, n, ms| match hand.take(n, QUOTA, Timestamp::NEVER, at_ms(ms)) {
            Held::Granted(lot) => Some(lot),
            _ => None,
        };
        hand.granted(1, 2, Charge(1), at_ms(0));
        hand.granted(1, 2, Charge(2), at_ms(50));
        let older = take(&mut hand, 2, 60).unwrap();
        let younger = take(&mut hand, 1, 60).unwrap();
        assert!(hand.put_back(older, at_ms(60)));
        assert!(hand.put_back(younger, at_ms(60)));
        let at_hand = take(&mut hand, 4, 120);
        assert!(
            at_hand.is_none(),
            "two of them ended at 100 ms: {at_hand:?}"
        );
    }

    #[test]
    fn who_joins_a_line_knows_what_stands_before_it() {
        let mut hand = Hand::new(at_ms(0));
        hand.refused(2, Duration::from_millis(20), Duration::ZERO, at_ms(0));
        hand.want(2);
        hand.want(3);
        assert_eq!(
            hand.outlook(1, hand.wanted(), QUOTA, at_ms(0)),
            Duration::from_millis(60)
        );
        hand.want_no_more(3);
        assert_eq!(
            hand.outlook(1, hand.wanted(), QUOTA, at_ms(10)),
            Duration::from_millis(20)
        );
    }
}
