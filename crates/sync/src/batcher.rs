use std::fmt;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use shibuya_waitlist::{Guard, Serve, WaitList};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::Event;
use crate::gathering::Gathering;
use crate::pace::Pace;

/// Gathers the items of many tasks into batches, for what is cheaper for many at once: rows to insert, lines to
/// write, keys to ask for.
///
/// A batch is flushed when it has `max` items, when its first item was [added](Self::add) so long ago, and when
/// the batcher is [closed](Self::close). [`run`](Self::run) does that, with a function of yours; there is no
/// task behind it, so spawn it into the group of those who add, or await it beside them. While one batch is
/// flushed, the next is gathered; once that is full, those who add wait. So it holds no more than two batches.
///
/// Items are flushed in the order in which they were accepted, one batch after the other. None that was accepted is
/// lost: what a `run` that is dropped, fails or panics was flushing goes to the next `run`.
///
/// # Examples
///
/// ```
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// use shibuya_sync::Batcher;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let batcher = Batcher::new(2, Duration::from_millis(10));
/// let inserted = Mutex::new(Vec::new());
///
/// let flush = batcher.run(async |rows| {
///     tokio::task::yield_now().await; // insert them
///     inserted.lock().unwrap().push(rows.into_vec());
/// });
/// let add = async {
///     for row in 1..=5 {
///         batcher.add(row).await.unwrap();
///     }
///     batcher.close();
/// };
/// tokio::join!(flush, add);
/// assert_eq!(inserted.into_inner().unwrap(), [vec![1, 2], vec![3, 4], vec![5]]);
/// # }
/// ```
pub struct Batcher<T> {
    line: WaitList<Intake<T>>,
    /// Set when `run` has to look again: at the first item, for the timer, at the last one, and at the end.
    news: Event,
    /// Who runs it.
    turn: Mutex<()>,
}

struct Intake<T> {
    gathering: Gathering<T>,
    /// What a flush left. If it came to its end, that is done; else it is the next batch.
    left: Vec<T>,
    /// Moves on when a flush begins and when it returns: a batch with another number has outlived its flush.
    flush: u64,
    closed: bool,
}

/// What `run` finds.
enum Found<'a, T> {
    Due(Batch<'a, T>),
    NotBefore(Instant),
    Nothing,
    End,
}

impl<T> Intake<T> {
    fn look<'a>(&mut self, batcher: &'a Batcher<T>, now: Instant) -> Found<'a, T> {
        let items = match self.gathering.due() {
            _ if !self.left.is_empty() => take(&mut self.left),
            Some(due) if !self.closed && !self.gathering.is_due(now) => {
                return Found::NotBefore(due);
            }
            Some(_) => self.gathering.take(),
            None if self.closed => return Found::End,
            None => return Found::Nothing,
        };
        self.flush += 1;
        Found::Due(Batch {
            batcher,
            items,
            flush: self.flush,
        })
    }

    /// A flush has returned. Gives what it left, which is done.
    fn flushed(&mut self) -> Vec<T> {
        self.flush += 1;
        take(&mut self.left)
    }

    fn len(&self) -> usize {
        self.left.len() + self.gathering.len()
    }
}

impl<T> Serve for Intake<T> {
    /// An item, until it is accepted.
    type Request = Option<T>;

    /// Whether `run` has to know.
    type Grant = bool;

    fn try_serve(&mut self, item: &mut Option<T>) -> Option<bool> {
        if self.gathering.is_full() {
            return None;
        }
        let item = item.take().expect(UNSERVED);
        self.gathering.add(item, Instant::now());
        Some(self.gathering.len() == 1 || self.gathering.is_full())
    }

    // What was accepted stays.
    fn take_back(&mut self, _: bool) {}
}

const UNSERVED: &str = "a request has its item until it is served";

impl<T> Batcher<T> {
    /// A batcher for batches of `max` items, or of those that are added `within` that time after the first of
    /// them.
    ///
    /// # Panics
    ///
    /// If `max` or `within` is 0.
    #[track_caller]
    pub fn new(max: usize, within: Duration) -> Self {
        Self {
            line: WaitList::new(Intake {
                gathering: Gathering::new(max, within),
                left: Vec::new(),
                flush: 0,
                closed: false,
            }),
            news: Event::new(),
            turn: Mutex::new(()),
        }
    }

    /// Adds an item to the batch that is gathered; waits for the next one when it is full.
    ///
    /// It has accepted the item when it returns, and says nothing of its flush: for an answer, let the item
    /// have a [`oneshot`](tokio::sync::oneshot) with it. While nobody [runs](Self::run) the batcher, no batch makes room
    /// for the next.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the line. The item was accepted, and is flushed, or is dropped with the future;
    /// which of them is not told. Those who wait are accepted in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`AddError`] with the item, if the batcher is closed, or is closed meanwhile.
    pub async fn add(&self, item: T) -> Result<(), AddError<T>> {
        match self.line.wait(Some(item)).await {
            Ok(is_news) => {
                self.tell(is_news);
                Ok(())
            }
            Err(closed) => Err(AddError(closed.into_request().expect(UNSERVED))),
        }
    }

    /// Adds an item if there is room, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`TryAddError`] with the item, if it would have to wait, or the batcher is closed.
    pub fn try_add(&self, item: T) -> Result<(), TryAddError<T>> {
        use shibuya_waitlist::TryError;
        match self.line.try_acquire(Some(item)) {
            Ok(is_news) => {
                self.tell(is_news);
                Ok(())
            }
            Err(TryError::Busy(item)) => Err(TryAddError::Full(item.expect(UNSERVED))),
            Err(TryError::Closed(item)) => Err(TryAddError::Closed(item.expect(UNSERVED))),
        }
    }

    /// Flushes each batch when it is due. Returns when the batcher is [closed](Self::close) and all was
    /// flushed.
    ///
    /// `flush` may take the items out of its [`Batch`], or only look at them; once it returns, what it left there
    /// is dropped. For one that can fail there is [`try_run`](Self::try_run). One flush runs at a time; for several at
    /// once, let it move the items into a task. Of several `run`s of one batcher the first works, and the next takes over
    /// when that is gone.
    ///
    /// `flush` is called again and again, so its futures share what they use: `async |batch| …` may borrow it, and changes
    /// it within a `Mutex` or the like. What runs before the future is made, in `|batch| { …; async move { … } }`, may
    /// change what it captures. It must not wait for room in its own batcher: nobody makes any meanwhile.
    ///
    /// Dropping it drops the flush that is under way. What that left in the batch is the first batch of the next
    /// `run`: a flush that only looks is made at least once, one that takes the items first at most once. What
    /// was gathered stays.
    ///
    /// # Cancel safety
    ///
    /// No item that was accepted is lost, except what the dropped flush had taken.
    ///
    /// # Panics
    ///
    /// As `flush` does. What it left in the batch is the first batch of the next `run`, as if it had been dropped;
    /// so let it clear the batch before a panic that would come again. Also outside a Tokio runtime with its timers
    /// enabled.
    ///
    /// # Examples
    ///
    /// Several flushes at once, and a count:
    ///
    /// ```
    /// use std::future::ready;
    /// use std::time::Duration;
    ///
    /// use shibuya_sync::Batcher;
    /// use tokio::task::JoinSet;
    ///
    /// async fn insert(rows: Vec<u32>) {
    ///     assert!(rows.len() <= 2);
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let batcher = Batcher::new(2, Duration::from_millis(10));
    /// for row in 1..=2 {
    ///     batcher.add(row).await.unwrap();
    /// }
    /// batcher.close();
    ///
    /// let (mut inserts, mut rows) = (JoinSet::new(), 0);
    /// let run = batcher.run(|batch| {
    ///     rows += batch.len();
    ///     inserts.spawn(insert(batch.into_vec()));
    ///     ready(())
    /// });
    /// run.await;
    /// inserts.join_all().await;
    /// assert_eq!(rows, 2);
    /// # }
    /// ```
    pub async fn run<'a, F, Fut>(&'a self, mut flush: F)
    where
        F: FnMut(Batch<'a, T>) -> Fut,
        Fut: Future<Output = ()>,
    {
        let _turn = self.turn.lock().await;
        while let Some(batch) = self.next().await {
            flush(batch).await;
            self.drop_done();
        }
    }

    /// As [`run`](Self::run), until a flush fails.
    ///
    /// # When a flush fails
    ///
    /// No other is made, and what it left in its batch is the first batch of the next run, as after one that is dropped. So
    /// a flush that only looks, or that takes out what succeeded, can be made again; what it took out is its own.
    /// The batcher stays open, and gathers on.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// What the flush returned. A batch that fails each time comes again each time: to give it up, let the flush clear it
    /// first, or [`drain`](Self::drain) the batcher.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use std::time::Duration;
    ///
    /// use shibuya_sync::{Batch, Batcher};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let batcher = Batcher::new(2, Duration::from_millis(10));
    /// for row in ["a", "b"] {
    ///     batcher.add(row).await.unwrap();
    /// }
    /// batcher.close();
    ///
    /// let (table, calls) = (Mutex::new(Vec::new()), AtomicU32::new(0));
    /// let insert = async |rows: Batch<'_, _>| {
    ///     if calls.fetch_add(1, Relaxed) < 2 {
    ///         return Err("the database is away"); // the rows stay in the batch
    ///     }
    ///     table.lock().unwrap().extend(rows.into_vec());
    ///     Ok(())
    /// };
    /// while let Err(_error) = batcher.try_run(insert).await {
    ///     tokio::time::sleep(Duration::from_millis(1)).await; // and again
    /// }
    /// assert_eq!(table.into_inner().unwrap(), ["a", "b"]);
    /// assert_eq!(calls.into_inner(), 3);
    /// # }
    /// ```
    pub async fn try_run<'a, E, F, Fut>(&'a self, mut flush: F) -> Result<(), E>
    where
        F: FnMut(Batch<'a, T>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let _turn = self.turn.lock().await;
        while let Some(batch) = self.next().await {
            flush(batch).await?;
            self.drop_done();
        }
        Ok(())
    }

    /// Accepts no more items. What was accepted is flushed, and then [`run`](Self::run) returns; who waits for
    /// room gets its item back.
    pub fn close(&self) {
        let mut intake = self.line.lock();
        intake.closed = true;
        Guard::close(&mut intake);
        drop(intake);
        self.news.set();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.line.is_closed()
    }

    /// How many items were accepted and are not being flushed.
    pub fn len(&self) -> usize {
        self.line.lock().len()
    }

    /// Whether no item waits to be flushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what was accepted and is not being flushed, in its order, first what a flush left that was dropped, failed
    /// or panicked: where there will be no [`run`](Self::run) any more.
    pub fn drain(&self) -> Vec<T> {
        let mut intake = self.line.lock();
        let mut items = take(&mut intake.left);
        items.append(&mut intake.gathering.take());
        drop(intake);
        // Who waited for room has it now.
        self.news.set();
        items
    }

    /// The next batch when it is due; nothing, when there will be none.
    async fn next(&self) -> Option<Batch<'_, T>> {
        loop {
            // First, so that what comes after the look is seen.
            self.news.clear();
            // A batch already here, so that it goes back if unlocking wakes somebody who panics.
            let found = self.line.lock().look(self, Instant::now());
            match found {
                Found::Due(batch) => return Some(batch),
                Found::NotBefore(due) => {
                    // Either way, it has to look again.
                    let _ = timeout_at(due, self.news.wait()).await;
                }
                Found::Nothing => self.news.wait().await,
                Found::End => return None,
            }
        }
    }

    /// What a flush left that came to its end.
    fn drop_done(&self) {
        let done = self.line.lock().flushed();
        drop(done);
    }

    fn tell(&self, is_news: bool) {
        if is_news {
            self.news.set();
        }
    }
}

/// What [`Batcher::run`] gives to a flush: a vector. The items that are in it when it is dropped go back to the
/// batcher, which drops them when the flush succeeds, and keeps them for the next `run` if it doesn't. A batch that
/// outlives its flush drops them itself.
#[derive(Debug)]
pub struct Batch<'a, T> {
    batcher: &'a Batcher<T>,
    items: Vec<T>,
    flush: u64,
}

impl<T> Batch<'_, T> {
    /// All of its items. They are yours from now on: if the flush is dropped or fails, they don't come again.
    pub fn into_vec(mut self) -> Vec<T> {
        take(&mut self.items)
    }
}

impl<T> Deref for Batch<'_, T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> DerefMut for Batch<'_, T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        if self.items.is_empty() {
            return;
        }
        let mut intake = self.batcher.line.lock();
        if intake.flush == self.flush {
            intake.left.append(&mut self.items);
        }
    }
}

impl<T> fmt::Debug for Batcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The batcher is closed. Hands the item back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the batcher is closed")]
pub struct AddError<T>(pub T);

/// Why [`Batcher::try_add`] was refused. Hands the item back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryAddError<T> {
    /// The batch is full, or others wait already.
    #[error("the batch is full")]
    Full(T),

    /// The batcher is closed.
    #[error("the batcher is closed")]
    Closed(T),
}

impl<T> AddError<T> {
    /// The item that was not added.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TryAddError<T> {
    /// Whether waiting could help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the batcher is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The item that was not added.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

// By hand: an item needs no `Debug` for its error to be unwrapped.
impl<T> fmt::Debug for AddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddError(..)")
    }
}

impl<T> fmt::Debug for TryAddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
