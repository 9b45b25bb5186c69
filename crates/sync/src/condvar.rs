use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shibuya_waitlist::primitives::AtomicU64;
use shibuya_waitlist::{Serve, WaitList};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

/// A condition variable: lets go of a mutex, waits to be notified, and takes the mutex again.
///
/// For a condition on what a [`Mutex`] protects that nothing simpler tells of. A [`Notify`](crate::Notify),
/// a [`Semaphore`](crate::Semaphore), an [`Event`](crate::Event) or a channel often does, and then it
/// is the better choice: nobody has to take turns at a mutex for it.
///
/// Who waits is in line before the mutex is free, so no notification that follows a change under the mutex
/// is missed. A notification is for those who wait already: without any, it is forgotten. They are notified in
/// the order in which they began to wait, and then take turns at the mutex. One that is dropped before it has
/// the mutex back passes its notification on to the next who waited at the time.
///
/// Use it with one mutex, as `std`'s. It is a few words, and allocates once for all who wait together.
///
/// # Examples
///
/// ```
/// use std::collections::VecDeque;
///
/// use shibuya_sync::{Condvar, Mutex};
///
/// static JOBS: Mutex<VecDeque<u32>> = Mutex::const_new(VecDeque::new());
/// static MORE: Condvar = Condvar::new();
///
/// async fn next_pair() -> (u32, u32) {
///     let jobs = JOBS.lock().await;
///     let mut jobs = MORE.wait_while(jobs, |jobs| jobs.len() < 2).await;
///     (jobs.pop_front().unwrap(), jobs.pop_front().unwrap())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pair = tokio::spawn(next_pair());
/// for job in [1, 2] {
///     JOBS.lock().await.push_back(job);
///     MORE.notify_one();
/// }
/// assert_eq!(pair.await.unwrap(), (1, 2));
/// # }
/// ```
pub struct Condvar {
    line: WaitList<Notices>,
    /// How many ever waited. Who waits has a number, so that a notification reaches nobody who came after it.
    begun: AtomicU64,
}

/// Notifications on their way to those who wait.
struct Notices {
    left: usize,
    /// They are for lower numbers than this.
    before: u64,
}

impl Notices {
    fn add(&mut self, n: usize, before: u64) {
        // Some are left while a large number is handed out in parts.
        let also_for = if self.left > 0 { self.before } else { 0 };
        self.before = before.max(also_for);
        self.left = self.left.saturating_add(n);
    }
}

impl Serve for Notices {
    /// The waiter's number.
    type Request = u64;

    /// Below which numbers the notification may be passed on.
    type Grant = u64;

    fn try_serve(&mut self, number: &mut u64) -> Option<u64> {
        if *number >= self.before {
            // Those for whom they were are gone.
            self.left = 0;
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.before)
    }

    fn take_back(&mut self, before: u64) {
        self.add(1, before);
    }
}

/// A notification that was received. Dropped before it is used up, it goes to the next.
struct Notice<'a> {
    condvar: &'a Condvar,
    before: u64,
}

impl Notice<'_> {
    fn use_up(notice: Option<Self>) {
        std::mem::forget(notice);
    }
}

impl Drop for Notice<'_> {
    fn drop(&mut self) {
        self.condvar.line.lock().take_back(self.before);
    }
}

/// Whether a timed wait of a [`Condvar`] ended because its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Nobody waits.
    #[cfg(not(shibuya_loom))]
    pub const fn new() -> Self {
        Self {
            line: WaitList::new(Notices { left: 0, before: 0 }),
            begun: AtomicU64::new(0),
        }
    }

    /// Nobody waits. Loom's locks can't be made in a constant.
    #[cfg(shibuya_loom)]
    pub fn new() -> Self {
        Self {
            line: WaitList::new(Notices { left: 0, before: 0 }),
            begun: AtomicU64::new(0),
        }
    }

    /// Lets go of the mutex, waits to be notified, and takes the mutex again.
    ///
    /// A notification says that something changed, not that it is what you wait for, and another task may
    /// have been faster: look again, or let [`wait_while`](Self::wait_while) do it.
    ///
    /// Dropping it leaves the line; the mutex is free, or will be when those who hold it let go.
    ///
    /// # Cancel safety
    ///
    /// A notification that it had received, even if it had looked at it and waited for the mutex, goes to
    /// the next in line. The guard is not given back.
    pub async fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let (guard, notice) = self.sleep(guard, None).await;
        Notice::use_up(notice);
        guard
    }

    /// Waits until `condition` is false, as [`std::sync::Condvar::wait_while`] does. It is looked at under
    /// the mutex: at once, and after each notification.
    ///
    /// asyncio's `wait_for(predicate)` waits until its predicate is true: it is
    /// `wait_while(guard, |value| !predicate(value))`.
    ///
    /// Dropping it is as with [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// As of [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As `condition` does. The mutex is free then, and the notification, if there was one, goes to the
    /// next in line.
    pub async fn wait_while<'a, T, F>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: F,
    ) -> MutexGuard<'a, T>
    where
        T: ?Sized,
        F: FnMut(&mut T) -> bool,
    {
        self.sleep_while(guard, None, condition).await.0
    }

    /// [`wait`](Self::wait), for no longer than `limit`. Then it takes the mutex again, however long that takes,
    /// and says that the time was over.
    ///
    /// A `timeout` around [`wait`](Self::wait) has no guard to give back; this one has.
    ///
    /// # Cancel safety
    ///
    /// As of [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with its timers enabled.
    pub async fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let (guard, notice) = self.sleep(guard, Instant::now().checked_add(limit)).await;
        let result = WaitTimeoutResult(notice.is_none());
        Notice::use_up(notice);
        (guard, result)
    }

    /// [`wait_while`](Self::wait_while), for no longer than `limit` in all. When the time is over, it looks a
    /// last time: it has [timed out](WaitTimeoutResult::timed_out) if the condition is true even then.
    ///
    /// # Cancel safety
    ///
    /// As of [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As of [`wait_while`](Self::wait_while), and outside a Tokio runtime with its timers enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use shibuya_sync::{Condvar, Mutex};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (free, changed) = (Mutex::new(0), Condvar::new());
    /// let full = changed.wait_timeout_while(free.lock().await, Duration::from_millis(5), |n| *n == 0);
    /// let (mut free, result) = full.await;
    /// assert!(result.timed_out());
    /// *free += 1; // the mutex is ours in any case
    /// # }
    /// ```
    pub async fn wait_timeout_while<'a, T, F>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        condition: F,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult)
    where
        T: ?Sized,
        F: FnMut(&mut T) -> bool,
    {
        // A limit beyond the clock's end is none.
        let until = Instant::now().checked_add(limit);
        self.sleep_while(guard, until, condition).await
    }

    /// Notifies the one who waits longest. What changed must have changed under the mutex; to notify, nobody
    /// needs to hold it, and who lets go of it first saves the other a wait.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Notifies the `n` who wait longest, or all if there are fewer.
    pub fn notify(&self, n: usize) {
        let mut notices = self.line.lock();
        // Whoever is in line took its number before that, and the lock is what lets us see it.
        let before = self.begun.load(Relaxed);
        notices.add(n, before);
    }

    /// Notifies all who wait.
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    /// How many wait to be notified. Those who were and wait for the mutex don't count.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    async fn sleep_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        until: Option<Instant>,
        mut condition: F,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult)
    where
        T: ?Sized,
        F: FnMut(&mut T) -> bool,
    {
        let mut notice = None;
        let mut timed_out = false;
        loop {
            // The notice is dropped, and so passed on, if this panics.
            let holds = condition(&mut guard);
            Notice::use_up(notice.take());
            if !holds || timed_out {
                return (guard, WaitTimeoutResult(holds));
            }
            (guard, notice) = self.sleep(guard, until).await;
            timed_out = notice.is_none();
        }
    }

    /// Without the mutex until notified, or until the time is over; then with it again.
    async fn sleep<'c, 'a, T: ?Sized>(
        &'c self,
        guard: MutexGuard<'a, T>,
        until: Option<Instant>,
    ) -> (MutexGuard<'a, T>, Option<Notice<'c>>) {
        let mutex: &'a Mutex<T> = MutexGuard::mutex(&guard);
        let notified = self.notified(guard);
        let notice = match until {
            Some(until) => timeout_at(until, notified).await.ok(),
            None => Some(notified.await),
        };
        (mutex.lock().await, notice)
    }

    async fn notified<T: ?Sized>(&self, guard: MutexGuard<'_, T>) -> Notice<'_> {
        let mut wait = self.line.wait(self.begun.fetch_add(1, Relaxed));
        let mut guard = Some(guard);
        let granted = poll_fn(|cx| {
            let polled = Pin::new(&mut wait).poll(cx);
            // In line first: whoever gets the mutex now finds us there.
            guard = None;
            polled
        });
        match granted.await {
            Ok(before) => Notice {
                condvar: self,
                before,
            },
            Err(_) => unreachable!("the line is never closed"),
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar")
            .field("waiting", &self.waiting())
            .finish()
    }
}
