use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_waitlist::primitives::{AtomicU64, Mutex};
use tokio::time::Instant;

use super::table::{Removed, Rules, Table};
use super::{AcquirePermit, ConcurrencyLimiter, ConcurrencySnapshot, Permit};
use crate::Denied;
use crate::tally::{self, CONCURRENCY};

/// A [`ConcurrencyLimiter`] for each key: per user, host or tenant, each with a line of its own.
///
/// A function says which limit a key has. A key with a *fixed* limit takes memory only while somebody uses it: holds a permit of it,
/// waits, or has its [`limiter`](Self::limiter) at hand. One with a limit that *adapts* is remembered when nobody uses it any
/// more, or it would have to learn all anew. It is forgotten after [`idle_for`](Self::idle_for), though not by a timer: when
/// new keys come. There are never more than [`max_keys`](Self::max_keys); a new one takes the place of those that nobody used for longest,
/// and is denied if all are in use.
///
/// A key is hashed, compared and cloned under a lock. The function that makes its limiter isn't called under one; two
/// who come at the same time may both call it, and one of the limiters is dropped.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::{ConcurrencyLimiter, Denied, KeyedConcurrency};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let hosts = KeyedConcurrency::new(|host: &&str| match *host {
///     "localhost" => ConcurrencyLimiter::fixed(100),
///     _ => ConcurrencyLimiter::fixed(1).max_waiters(10),
/// });
/// let permit = hosts.acquire("example.org").await.unwrap();
/// assert_eq!(*permit.key(), "example.org");
/// assert_eq!(hosts.try_acquire("example.org").unwrap_err(), Denied::AtLimit { limit: 1 });
/// hosts.acquire("example.net").await.unwrap().success(); // another line
/// permit.success();
/// assert_eq!(hosts.len(), 0);
/// # }
/// ```
///
/// Limits that adapt, one for each server:
///
/// ```
/// use shibuya_ratelimit::{ConcurrencyLimiter, Gradient2, KeyedConcurrency};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let servers = KeyedConcurrency::new(|_: &u32| ConcurrencyLimiter::adaptive(Gradient2::default()));
/// servers.acquire(7).await.unwrap().overloaded();
/// assert_eq!(servers.snapshot(&7).unwrap().overloaded, 1); // it is remembered
/// # }
/// ```
pub struct KeyedConcurrency<K> {
    table: Mutex<Table<K>>,
    make: Box<dyn Fn(&K) -> ConcurrencyLimiter + Send + Sync>,
    rules: Rules,
    denied: AtomicU64,
}

impl<K: Hash + Eq + Clone> KeyedConcurrency<K> {
    /// A limiter for each key, made by `make` when it is needed.
    pub fn new(make: impl Fn(&K) -> ConcurrencyLimiter + Send + Sync + 'static) -> Self {
        Self {
            table: Mutex::new(Table::new()),
            make: Box::new(make),
            rules: Rules {
                max_keys: 1 << 16,
                idle_for: Duration::from_secs(600),
            },
            denied: AtomicU64::new(0),
        }
    }

    /// How many keys there may be at once; 2^16 if nothing else is said.
    ///
    /// # Panics
    ///
    /// When it is 0.
    #[track_caller]
    pub fn max_keys(mut self, keys: usize) -> Self {
        assert!(keys > 0, "there must be room for a key at least");
        self.rules.max_keys = keys;
        self
    }

    /// How long a limit that adapts is remembered while nobody uses its key; ten minutes if nothing else is said.
    pub fn idle_for(mut self, time: Duration) -> Self {
        self.rules.idle_for = time;
        self
    }

    /// A slot of `key`, if one is free and nobody waits for it.
    ///
    /// # Errors
    ///
    /// As [`ConcurrencyLimiter::try_acquire`], and [`Denied::TooManyKeys`].
    pub fn try_acquire(&self, key: K) -> Result<Permit<KeyedLimiter<&Self, K>>, Denied> {
        Permit::try_new(self.limiter(key)?)
    }

    /// As [`try_acquire`](Self::try_acquire), with a permit that shares the limiters.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(
        self: &Arc<Self>,
        key: K,
    ) -> Result<Permit<KeyedLimiter<Arc<Self>, K>>, Denied> {
        Permit::try_new(self.limiter_owned(key)?)
    }

    /// Waits for a slot of `key`, in line with the others who want it, and until the deadline in force at the longest.
    ///
    /// The key is in use from this call on, and the line is joined at the first poll. Dropping the future leaves both.
    ///
    /// # Cancel safety
    ///
    /// A slot that was handed over and not looked at goes to the next in line.
    ///
    /// # Errors
    ///
    /// As [`ConcurrencyLimiter::acquire`], and [`Denied::TooManyKeys`].
    pub fn acquire(&self, key: K) -> AcquirePermit<KeyedLimiter<&Self, K>> {
        wait(self.limiter(key), Duration::MAX)
    }

    /// As [`acquire`](Self::acquire), and waits `max` at the longest, counted from the first poll.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Denied::TimedOut`] once `max` has passed, too.
    pub fn acquire_within(&self, key: K, max: Duration) -> AcquirePermit<KeyedLimiter<&Self, K>> {
        wait(self.limiter(key), max)
    }

    /// As [`acquire`](Self::acquire), with a future and a permit that borrow nothing: they share the limiters.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(self: &Arc<Self>, key: K) -> AcquirePermit<KeyedLimiter<Arc<Self>, K>> {
        wait(self.limiter_owned(key), Duration::MAX)
    }

    /// As [`acquire_within`](Self::acquire_within), with a future and a permit that share the limiters.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_owned_within(
        self: &Arc<Self>,
        key: K,
        max: Duration,
    ) -> AcquirePermit<KeyedLimiter<Arc<Self>, K>> {
        wait(self.limiter_owned(key), max)
    }

    /// The limiter of `key`, which stays for as long as this is kept: to look at it, set its limit, or close it. What was
    /// set is forgotten together with the key.
    ///
    /// # Errors
    ///
    /// [`Denied::TooManyKeys`].
    pub fn limiter(&self, key: K) -> Result<KeyedLimiter<&Self, K>, Denied> {
        KeyedLimiter::new(self, key)
    }

    /// As [`limiter`](Self::limiter), with one that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`limiter`](Self::limiter).
    pub fn limiter_owned(self: &Arc<Self>, key: K) -> Result<KeyedLimiter<Arc<Self>, K>, Denied> {
        KeyedLimiter::new(self.clone(), key)
    }

    /// What the limiter of `key` knows, if there is one.
    pub fn snapshot<Q>(&self, key: &Q) -> Option<ConcurrencySnapshot>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let limiter = self.table.lock().peek(key)?;
        let snapshot = limiter.snapshot();
        self.give_up(key, limiter);
        Some(snapshot)
    }

    /// How many keys are in use, or remembered.
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a key was denied, since there were [too many](Self::max_keys). What the limiter of a key denied is
    /// [its own](Self::snapshot) to count.
    pub fn denied_keys(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    fn find(&self, key: &K) -> Result<Arc<ConcurrencyLimiter>, Denied> {
        if let Some(known) = self.table.lock().share(key) {
            return Ok(known);
        }
        let made = Arc::new((self.make)(key));
        let mut removed = Removed::new();
        let mut table = self.table.lock();
        let found = match table.share(key) {
            Some(known) => Some(known),
            None => table
                .insert(key, made.clone(), self.rules, Instant::now, &mut removed)
                .then_some(made),
        };
        drop(table);
        // A key's destructor may come back here.
        drop(removed);
        found.ok_or_else(|| {
            self.denied.fetch_add(1, Relaxed);
            let denied = Denied::TooManyKeys {
                max_keys: self.rules.max_keys,
                retry_after: None,
            };
            tally::denied(CONCURRENCY, &denied);
            denied
        })
    }
}

impl<K: Hash + Eq> KeyedConcurrency<K> {
    fn give_up<Q>(&self, key: &Q, share: Arc<ConcurrencyLimiter>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut removed = Removed::new();
        let mut table = self.table.lock();
        table.give_up(key, share, Instant::now, &mut removed);
        drop(table);
        // A key's destructor may come back here.
        drop(removed);
    }
}

fn wait<L>(limiter: Result<L, Denied>, max: Duration) -> AcquirePermit<L>
where
    L: Deref<Target = ConcurrencyLimiter> + Clone,
{
    match limiter {
        Ok(limiter) => AcquirePermit::new(limiter, max),
        Err(denied) => AcquirePermit::denied(denied),
    }
}

impl<K: Hash + Eq> fmt::Debug for KeyedConcurrency<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedConcurrency")
            .field("keys", &self.table.lock().len())
            .field("max_keys", &self.rules.max_keys)
            .finish_non_exhaustive()
    }
}

/// The limiter of a key, from [`KeyedConcurrency::limiter`], and in each permit of that key. While there is one, the key
/// is in use.
///
/// `H` is how it knows where the limiters are: by a reference, or by a share.
pub struct KeyedLimiter<H: Deref<Target = KeyedConcurrency<K>>, K: Hash + Eq> {
    home: H,
    key: K,
    /// `None` only within `drop`.
    limiter: Option<Arc<ConcurrencyLimiter>>,
}

impl<H: Deref<Target = KeyedConcurrency<K>>, K: Hash + Eq + Clone> KeyedLimiter<H, K> {
    fn new(home: H, key: K) -> Result<Self, Denied> {
        let limiter = Some(home.find(&key)?);
        Ok(Self { home, key, limiter })
    }
}

impl<H: Deref<Target = KeyedConcurrency<K>>, K: Hash + Eq> KeyedLimiter<H, K> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<H: Deref<Target = KeyedConcurrency<K>>, K: Hash + Eq> Permit<KeyedLimiter<H, K>> {
    /// The key.
    pub fn key(&self) -> &K {
        self.limiter().key()
    }
}

impl<H: Deref<Target = KeyedConcurrency<K>>, K: Hash + Eq> Deref for KeyedLimiter<H, K> {
    type Target = ConcurrencyLimiter;

    fn deref(&self) -> &ConcurrencyLimiter {
        self.limiter
            .as_ref()
            .expect("it has its limiter until it drops")
    }
}

impl<H, K> Clone for KeyedLimiter<H, K>
where
    H: Deref<Target = KeyedConcurrency<K>> + Clone,
    K: Hash + Eq + Clone,
{
    fn clone(&self) -> Self {
        // This one is a share, so no other can be taken for the last meanwhile.
        Self {
            home: self.home.clone(),
            key: self.key.clone(),
            limiter: self.limiter.clone(),
        }
    }
}

impl<H: Deref<Target = KeyedConcurrency<K>>, K: Hash + Eq> Drop for KeyedLimiter<H, K> {
    fn drop(&mut self) {
        let Some(limiter) = self.limiter.take() else {
            return;
        };
        self.home.give_up(&self.key, limiter);
    }
}

impl<H, K> fmt::Debug for KeyedLimiter<H, K>
where
    H: Deref<Target = KeyedConcurrency<K>>,
    K: Hash + Eq + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiter")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
