use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::mem::{replace, take};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shibuya_waitlist::{Serve, Wait, WaitList};

use crate::lines::{Home, Lines, Place};

/// A lock for each key: those who want the same key take turns, others don't meet.
///
/// For work that must not happen twice at a time per user, file or order. Fair: whoever asks first
/// for a key has it first. A key takes memory only while somebody holds it or waits for it.
///
/// A key is taken by value, and a clone of it is made, so let it be a number, an `Arc<str>` or the like: a `String` works
/// and costs two allocations. It is hashed, compared and cloned under a lock. What is protected lies elsewhere: a
/// database, a folder, a remote service.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_sync::KeyedMutex;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let locks = Arc::new(KeyedMutex::new());
/// let anna = locks.lock("anna").await;
/// let ben = locks.lock("ben").await; // another key: no wait
/// assert!(locks.try_lock("anna").is_none());
/// drop(anna);
/// assert!(locks.try_lock("anna").is_some());
/// drop(ben);
/// assert_eq!(locks.len(), 0);
/// # }
/// ```
///
/// Keys that are made as the program runs:
///
/// ```
/// use std::sync::Arc;
///
/// use shibuya_sync::KeyedMutex;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let orders = KeyedMutex::new();
/// let order = 4711_u64;
/// let _one_at_a_time = orders.lock(order).await;
///
/// let users = KeyedMutex::new();
/// let user: Arc<str> = format!("user {}", 7).into();
/// let _one_at_a_time = users.lock(user.clone()).await; // counts one more, copies nothing
///
/// let files = KeyedMutex::new();
/// let file = String::from("/etc/hosts");
/// let _one_at_a_time = files.lock(file.clone()).await;
/// assert!(files.is_locked(&file) && files.is_locked("/etc/hosts")); // to look, a reference does
/// # }
/// ```
pub struct KeyedMutex<K> {
    lines: Lines<K, Free>,
}

/// Whether nobody holds it.
struct Free(bool);

impl Serve for Free {
    type Request = ();
    type Grant = ();

    fn try_serve(&mut self, (): &mut ()) -> Option<()> {
        take(&mut self.0).then_some(())
    }

    fn take_back(&mut self, (): ()) {
        self.0 = true;
    }
}

impl<K: Hash + Eq + Clone> KeyedMutex<K> {
    /// No key is locked.
    pub fn new() -> Self {
        Self {
            lines: Lines::new(),
        }
    }

    /// Waits until nobody holds `key`, and holds it until the guard drops.
    ///
    /// The line is joined at the first poll. Dropping the future leaves it.
    ///
    /// # Cancel safety
    ///
    /// A key that was handed over and not looked at goes to the next in line.
    pub fn lock(&self, key: K) -> KeyedLock<'_, K> {
        KeyedLock {
            stage: Stage::New(&self.lines, key),
        }
    }

    /// As [`lock`](Self::lock), with a guard that borrows nothing: it shares the mutex, so it can go to a task or stay in a
    /// struct.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use shibuya_sync::KeyedMutex;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let accounts = Arc::new(KeyedMutex::new());
    /// let account = accounts.lock_owned("anna").await;
    /// let changed = tokio::spawn(async move {
    ///     tokio::task::yield_now().await; // read it, write it back
    ///     drop(account);
    /// });
    /// drop(accounts.lock("anna").await); // after that
    /// assert!(changed.is_finished());
    /// # }
    /// ```
    pub fn lock_owned(self: &Arc<Self>, key: K) -> OwnedKeyedLock<K> {
        OwnedKeyedLock {
            stage: Stage::New(self.clone(), key),
        }
    }

    /// Holds `key` if nobody does, or waits for it.
    pub fn try_lock(&self, key: K) -> Option<KeyedGuard<'_, K>> {
        let held = Held::try_new(&self.lines, key)?;
        Some(KeyedGuard { held })
    }

    /// As [`try_lock`](Self::try_lock), with a guard that shares the mutex.
    pub fn try_lock_owned(self: &Arc<Self>, key: K) -> Option<OwnedKeyedGuard<K>> {
        let held = Held::try_new(self.clone(), key)?;
        Some(OwnedKeyedGuard { held })
    }

    /// Whether somebody holds `key`.
    pub fn is_locked<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let line = self.lines.get(key);
        line.is_some_and(|line| !line.lock().0)
    }

    /// How many keys are held, or waited for.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone> Default for KeyedMutex<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for KeyedMutex<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedMutex")
            .field("keys", &self.lines.len())
            .finish()
    }
}

impl<K> Home<K, Free> for Arc<KeyedMutex<K>> {
    fn lines(&self) -> &Lines<K, Free> {
        &self.lines
    }
}

/// How far a lock has come.
enum Stage<H: Home<K, Free>, K: Hash + Eq> {
    New(H, K),
    /// The wait goes before the place, whose share is the last to be given up.
    Waiting(Wait<Arc<WaitList<Free>>>, Place<H, K, Free>),
    Done,
}

impl<H: Home<K, Free>, K: Hash + Eq + Clone> Stage<H, K> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Held<H, K>> {
        let (place, mut wait) = match replace(self, Stage::Done) {
            Stage::New(home, key) => {
                let place = Place::new(home, key, || Free(true));
                let wait = Wait::new(place.line().clone(), ());
                (place, wait)
            }
            Stage::Waiting(wait, place) => (place, wait),
            Stage::Done => panic!("a lock of a key polled after it was done"),
        };
        match Pin::new(&mut wait).poll(cx) {
            // A line is never closed.
            Poll::Ready(_) => Poll::Ready(Held { place }),
            Poll::Pending => {
                *self = Stage::Waiting(wait, place);
                Poll::Pending
            }
        }
    }
}

/// A key that is held until this drops.
struct Held<H: Home<K, Free>, K: Hash + Eq> {
    place: Place<H, K, Free>,
}

impl<H: Home<K, Free>, K: Hash + Eq + Clone> Held<H, K> {
    fn try_new(home: H, key: K) -> Option<Self> {
        let place = Place::new(home, key, || Free(true));
        let taken = place.line().try_acquire(());
        // A place that holds nothing just goes.
        taken.is_ok().then(|| Self { place })
    }
}

impl<H: Home<K, Free>, K: Hash + Eq> Drop for Held<H, K> {
    fn drop(&mut self) {
        self.place.line().lock().0 = true;
    }
}

/// The future of [`KeyedMutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct KeyedLock<'a, K: Hash + Eq> {
    stage: Stage<&'a Lines<K, Free>, K>,
}

/// The future of [`KeyedMutex::lock_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct OwnedKeyedLock<K: Hash + Eq> {
    stage: Stage<Arc<KeyedMutex<K>>, K>,
}

impl<'a, K: Hash + Eq + Clone> Future for KeyedLock<'a, K> {
    type Output = KeyedGuard<'a, K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.stage.poll(cx).map(|held| KeyedGuard { held })
    }
}

impl<K: Hash + Eq + Clone> Future for OwnedKeyedLock<K> {
    type Output = OwnedKeyedGuard<K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.stage.poll(cx).map(|held| OwnedKeyedGuard { held })
    }
}

// Nothing in them is pinned; a key is only moved.
impl<K: Hash + Eq> Unpin for KeyedLock<'_, K> {}
impl<K: Hash + Eq> Unpin for OwnedKeyedLock<K> {}

impl<K: Hash + Eq> fmt::Debug for KeyedLock<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLock").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq> fmt::Debug for OwnedKeyedLock<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedKeyedLock").finish_non_exhaustive()
    }
}

/// Holds a key of a [`KeyedMutex`] until it drops; then the next in line has it.
#[must_use = "the key is free again as soon as its guard drops"]
pub struct KeyedGuard<'a, K: Hash + Eq> {
    held: Held<&'a Lines<K, Free>, K>,
}

/// A [`KeyedGuard`] that shares its mutex, from [`KeyedMutex::lock_owned`].
#[must_use = "the key is free again as soon as its guard drops"]
pub struct OwnedKeyedGuard<K: Hash + Eq> {
    held: Held<Arc<KeyedMutex<K>>, K>,
}

impl<K: Hash + Eq> KeyedGuard<'_, K> {
    /// The key.
    pub fn key(&self) -> &K {
        self.held.place.key()
    }
}

impl<K: Hash + Eq> OwnedKeyedGuard<K> {
    /// The key.
    pub fn key(&self) -> &K {
        self.held.place.key()
    }
}

impl<K: Hash + Eq + fmt::Debug> fmt::Debug for KeyedGuard<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedGuard").field(self.key()).finish()
    }
}

impl<K: Hash + Eq + fmt::Debug> fmt::Debug for OwnedKeyedGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedKeyedGuard").field(self.key()).finish()
    }
}
