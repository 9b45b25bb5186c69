//! A limit for each key.

mod acquire;
mod shard;
mod visit;

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::Mutex;

pub use acquire::AcquireKeyed;
use shard::{Locked, Shard};
use visit::Visit;

use crate::limiter::SLACK;
use crate::meter::{Ask, Meter, Refusal, Taken};
use crate::queue::{retry_after, since};
use crate::snapshot::RateSnapshot;
use crate::stamp::{self, NEAR, Units};
use crate::tally::{RATE, Tally};
use crate::{Denied, Quota, gcra};

/// A rate limit for each key: a client's address, a tenant, a host that is asked.
///
/// A key costs a word beside itself, in a hash table of several locks. One that owes nothing is as one that was never seen, so such
/// keys make room for new ones, a few each time; what a key may do is never changed by that. With [`max_keys`](Self::max_keys) that all owe
/// something, [`on_full`](Self::on_full) says what becomes of the next. A clone is the same limit.
///
/// `Hash`, `Eq` and `Clone` of a key run under a lock and must not use the limiter; its drop may.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::{Keyed, Quota};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let per_client = Keyed::new(Quota::per_second(5).burst(2)).quota_for(|client: &u32| match client {
///     0 => Some(Quota::per_second(100).burst(50)), // our own
///     _ => None,
/// });
/// assert!(per_client.try_acquire(&7).is_ok());
/// assert!(per_client.try_acquire(&7).is_ok());
/// let denied = per_client.try_acquire(&7).unwrap_err();
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(200)));
/// assert!(per_client.try_acquire(&8).is_ok());
///
/// per_client.acquire(&7).await.unwrap(); // in line with others who wait for the same key
/// # }
/// ```
pub struct Keyed<K, S = RandomState>(Arc<Inner<K, S>>);

type QuotaFor<K> = Arc<dyn Fn(&K) -> Option<Quota> + Send + Sync>;

struct Inner<K, S> {
    settings: Settings<K>,
    hasher: S,
    shards: Box<[Padded<Mutex<Shard<K>>>]>,
}

struct Settings<K> {
    quota: Quota,
    /// What one costs of it, and a burst.
    near: [u64; 2],
    quota_for: Option<QuotaFor<K>>,
    max_keys: usize,
    on_full: Full,
    max_waiters: usize,
    slack: Duration,
}

/// On a cache line of its own, or two, as they are fetched in pairs.
#[repr(align(128))]
struct Padded<T>(T);

/// What becomes of a new key when there are as many as may be, and all owe something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Full {
    /// It is denied, until one of the others owes nothing any more. Who can make up keys can keep others out.
    Deny,
    /// Of a few others the one that owes least is forgotten. Who can make up keys can be forgotten what they owe.
    EvictLeastDebt,
}

/// A lock with fewer keys than this is worth no other beside it.
const KEYS_PER_SHARD: usize = 1024;

impl<K: Hash + Eq> Keyed<K> {
    /// The same limit for each key.
    pub fn new(quota: Quota) -> Self {
        Self::with_hasher(quota, RandomState::new())
    }
}

impl<K: Hash + Eq, S: BuildHasher> Keyed<K, S> {
    /// As [`new`](Keyed::new), with another hash function than the standard one. Keys that strangers choose need one that they can't predict.
    pub fn with_hasher(quota: Quota, hasher: S) -> Self {
        let settings = Settings {
            quota,
            near: quota.near(),
            quota_for: None,
            max_keys: 1 << 20,
            on_full: Full::EvictLeastDebt,
            max_waiters: usize::MAX,
            slack: SLACK,
        };
        Self::build(settings, hasher)
    }

    fn build(settings: Settings<K>, hasher: S) -> Self {
        let threads = available_parallelism().map_or(1, usize::from);
        let useful = settings.max_keys / KEYS_PER_SHARD;
        let shards = (4 * threads).next_power_of_two().min(useful.max(1));
        // A power of two, so that a hash is assigned by its bits.
        let shards = 1 << shards.ilog2();
        let (each, rest) = (settings.max_keys / shards, settings.max_keys % shards);
        let shard = |i| Padded(Mutex::new(Shard::new(each + usize::from(i < rest))));
        Self(Arc::new(Inner {
            settings,
            hasher,
            shards: (0..shards).map(shard).collect(),
        }))
    }

    /// Changes a setting of one that nobody has used.
    #[track_caller]
    fn with(self, change: impl FnOnce(&mut Settings<K>)) -> Self {
        let Some(Inner {
            mut settings,
            hasher,
            ..
        }) = Arc::into_inner(self.0)
        else {
            panic!("a keyed limit is set up before it is cloned");
        };
        change(&mut settings);
        Self::build(settings, hasher)
    }

    /// Asks `quota_for` for each key's own quota; `None` stands for the common one.
    ///
    /// It is called at each check, before any lock is taken, so it may look into something that changes. What a key owes is a time, and
    /// stays that time when its quota is another one. To be said before the first use, as all of these.
    ///
    /// # Panics
    ///
    /// When it was cloned before, as all of these.
    #[track_caller]
    pub fn quota_for(
        self,
        quota_for: impl Fn(&K) -> Option<Quota> + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.quota_for = Some(Arc::new(quota_for)))
    }

    /// How many keys are remembered at the most; about a million unless told.
    ///
    /// # Panics
    ///
    /// When it is 0.
    #[track_caller]
    pub fn max_keys(self, n: usize) -> Self {
        assert!(n > 0, "there must be room for at least 1 key");
        self.with(|settings| settings.max_keys = n)
    }

    /// What becomes of a new key when there is no room; [`Full::EvictLeastDebt`] unless told.
    #[track_caller]
    pub fn on_full(self, on_full: Full) -> Self {
        self.with(|settings| settings.on_full = on_full)
    }

    /// How many may wait for the same key.
    #[track_caller]
    pub fn max_waiters(self, n: usize) -> Self {
        self.with(|settings| settings.max_waiters = n)
    }

    /// As [`RateLimiter::slack`](crate::RateLimiter::slack).
    #[track_caller]
    pub fn slack(self, slack: Duration) -> Self {
        self.with(|settings| settings.slack = slack)
    }

    /// Takes one for the key, now or not at all.
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::try_acquire`](crate::RateLimiter::try_acquire), and [`Denied::TooManyKeys`].
    #[inline]
    pub fn try_acquire(&self, key: &K) -> Result<(), Denied>
    where
        K: Clone,
    {
        self.try_acquire_n(key, 1)
    }

    /// Takes `n` for the key, now or none.
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::try_acquire_n`](crate::RateLimiter::try_acquire_n), and [`Denied::TooManyKeys`].
    pub fn try_acquire_n(&self, key: &K, n: u32) -> Result<(), Denied>
    where
        K: Clone,
    {
        let now = Timestamp::now();
        let hash = self.hash(key);
        let near = match n == 1 && self.0.settings.quota_for.is_none() {
            true => self.try_one_near(hash, key, stamp::near(now)),
            false => None,
        };
        let answer = match near {
            Some(taken) => taken.map_err(|due| retry_after(due.into(), now)),
            None => self.try_any(hash, key, n, now),
        };
        answer.tally(RATE)
    }

    fn try_any(&self, hash: u64, key: &K, n: u32, now: Timestamp) -> Result<(), Denied>
    where
        K: Clone,
    {
        let ask = Ask::at_once(n, stamp::units(now));
        match self.look(hash, key, ask) {
            Look::Taken => Ok(()),
            Look::Denied(denied) => Err(denied),
            Look::NotYet(due) => Err(retry_after(due, now)),
            Look::Queued(visit) => visit
                .queue()
                .take_in_turn(n, now, |meter: &Meter| -> Result<Taken, Refusal> {
                    meter.take(ask)
                })
                .map(drop),
        }
    }

    /// Waits for one. First come, first served, for each key.
    ///
    /// # Cancel safety
    ///
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire), and [`Denied::TooManyKeys`].
    pub fn acquire(&self, key: &K) -> AcquireKeyed<K, S>
    where
        K: Clone,
    {
        self.acquire_n(key, 1)
    }

    /// Waits for `n` at once.
    ///
    /// # Cancel safety
    ///
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::acquire_n`](crate::RateLimiter::acquire_n), and [`Denied::TooManyKeys`].
    pub fn acquire_n(&self, key: &K, n: u32) -> AcquireKeyed<K, S>
    where
        K: Clone,
    {
        AcquireKeyed::new(self.clone(), key.clone(), n, Duration::MAX)
    }

    /// As [`acquire_n`](Self::acquire_n), for no longer than `max`.
    ///
    /// # Cancel safety
    ///
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::acquire_within`](crate::RateLimiter::acquire_within), and [`Denied::TooManyKeys`].
    pub fn acquire_within(&self, key: &K, n: u32, max: Duration) -> AcquireKeyed<K, S>
    where
        K: Clone,
    {
        AcquireKeyed::new(self.clone(), key.clone(), n, max)
    }

    /// The quota of the key.
    pub fn quota(&self, key: &K) -> Quota {
        let settings = &self.0.settings;
        let own = settings.quota_for.as_ref().and_then(|of| of(key));
        own.unwrap_or(settings.quota)
    }

    /// How the key stands at the moment.
    pub fn snapshot(&self, key: &K) -> RateSnapshot
    where
        K: Clone,
    {
        let now = Timestamp::now();
        let quota = self.quota(key);
        let visit = {
            let hash = self.hash(key);
            let mut shard = self.shard(hash);
            match shard.get(hash, key) {
                Some(entry) if entry.has_queue() => Visit::again(self, &mut shard, hash, key),
                entry => {
                    let tat = entry.map_or(0, |entry| entry.tat());
                    return at_rest(quota, tat, now);
                }
            }
        };
        visit.queue().snapshot(now)
    }

    /// How many keys are remembered. Some of them may owe nothing any more.
    pub fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| shard.0.lock().len()).sum()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what the key owes, unless somebody waits for it.
    pub fn forget(&self, key: &K) {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        if shard.get(hash, key).is_some_and(|entry| !entry.has_queue()) {
            shard.remove(hash, key);
        }
    }

    fn hash(&self, key: &K) -> u64 {
        self.0.hasher.hash_one(key)
    }

    #[inline]
    fn shard(&self, hash: u64) -> Locked<'_, K> {
        // Mixed, since the bits by which the table goes are not to be the same, and not every hasher spreads over the others.
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Locked::new(&self.0.shards[mixed as usize & (self.0.shards.len() - 1)].0)
    }

    /// Takes one of a key of which nothing special is to be considered: most checks are of that kind.
    #[inline]
    fn try_one_near(&self, hash: u64, key: &K, now: u64) -> Option<Result<(), u64>>
    where
        K: Clone,
    {
        let [one, tolerance] = self.0.settings.near;
        if now >= NEAR || tolerance >= NEAR {
            return None;
        }
        let mut shard = self.shard(hash);
        let Some(entry) = shard.get(hash, key) else {
            let tat = Units::from(now + one);
            let inserted = self.insert(&mut shard, hash, key, tat, now.into());
            return inserted.ok().map(Ok);
        };
        let tat = entry.near()?;
        match gcra::take_one_near(one, tolerance, *tat, now) {
            Ok(end) if end < NEAR => {
                *tat = end;
                Some(Ok(()))
            }
            Ok(_) => None,
            Err(due) => Some(Err(due)),
        }
    }

    /// Takes it, if nobody waits and there is enough.
    fn look(&self, hash: u64, key: &K, ask: Ask) -> Look<K, S>
    where
        K: Clone,
    {
        let quota = self.quota(key);
        let (n, burst) = (ask.n, quota.burst_size());
        if n > burst && !quota.allows_debt() {
            return Look::Denied(Denied::ExceedsBurst { asked: n, burst });
        }
        let mut shard = self.shard(hash);
        let Some(entry) = shard.get(hash, key) else {
            let tat = ask.now + quota.cost(n);
            return match self.insert(&mut shard, hash, key, tat, ask.now) {
                Ok(()) => Look::Taken,
                Err(denied) => Look::Denied(denied),
            };
        };
        if entry.has_queue() {
            let visit = Visit::again(self, &mut shard, hash, key);
            drop(shard);
            if visit.queue().meter.quota() != quota {
                visit.queue().set_quota_from_now(quota);
            }
            return Look::Queued(visit);
        }
        let start = gcra::start(entry.tat(), ask.now, ask.slack);
        match gcra::take(quota, start, ask.now, n) {
            Ok(tat) => {
                entry.set_tat(tat);
                Look::Taken
            }
            Err(due) => Look::NotYet(due),
        }
    }

    fn insert(
        &self,
        shard: &mut Shard<K>,
        hash: u64,
        key: &K,
        tat: Units,
        now: Units,
    ) -> Result<(), Denied>
    where
        K: Clone,
    {
        let on_full = self.0.settings.on_full;
        let inserted = shard.insert(hash, key.clone(), tat, now, on_full, |key| self.hash(key));
        inserted.map(drop).map_err(|until| {
            let retry_after = Duration::from_nanos(stamp::nanos(until.saturating_sub(now)));
            Denied::TooManyKeys {
                max_keys: self.0.settings.max_keys,
                retry_after: (!retry_after.is_zero()).then_some(retry_after),
            }
        })
    }
}

enum Look<K: Hash + Eq, S: BuildHasher> {
    Taken,
    NotYet(Units),
    Denied(Denied),
    /// Somebody waits.
    Queued(Visit<K, S>),
}

fn at_rest(quota: Quota, tat: Units, now: Timestamp) -> RateSnapshot {
    let units = stamp::units(now);
    let due = gcra::due(quota, tat.max(units), 1);
    RateSnapshot {
        quota,
        remaining: gcra::remaining(quota, tat, units),
        retry_after: since(due, now),
        reset_after: since(tat, now),
        waiters: 0,
        queued: 0,
    }
}

impl<K, S> Clone for Keyed<K, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, S> fmt::Debug for Keyed<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("quota", &self.0.settings.quota)
            .finish_non_exhaustive()
    }
}
