use std::cell::Cell;
use std::fmt;
use std::iter;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use shibuya_waitlist::{Guard, WaitList};
use tokio::task::coop::{self, cooperative};
use tokio::time::{self, Instant};

use super::order::{Aging, Line};
use super::state::{GET, Grant, PUT, Phase, Request, State};
use super::{
    Aborted, Builder, Closed, GetTimeoutError, Item, PutTimeoutError, QueueSink, QueueStream, Slot,
    Stats, TryGetError, TryPutError,
};

/// A queue for many producers and many consumers. See the [module](super) for a program.
///
/// It is a handle: its clones are the same queue. Dropping them all drops what is left in it; dropping some has no effect, so
/// who is done putting says so by [`shutdown`](Self::shutdown).
///
/// Who waits is served in the order in which they came, and nobody passes those who wait. Room is given with the value that
/// it is for: a woken producer finds its value in the queue.
pub struct Queue<T>(Core<T>);

/// The one thing that all handles share; as a pointer to its list, it can be waited in.
pub(crate) struct Core<T>(Arc<Shared<T>>);

struct Shared<T> {
    list: WaitList<State<T>>,
    aging: Option<Aging<T>>,
}

/// Beside the type: who tries `Queue::new` is then shown what there is, and not what is private.
pub(crate) fn queue<T>(line: Line<T>, capacity: usize, aging: Option<Aging<T>>) -> Queue<T> {
    let list = WaitList::new(State::new(line, capacity));
    Queue(Core(Arc::new(Shared { list, aging })))
}

impl<T> Queue<T> {
    /// A queue that holds up to `capacity` items, first in, first out. Who puts more waits.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[track_caller]
    pub fn bounded(capacity: usize) -> Self {
        Self::builder().capacity(capacity).build()
    }

    /// A queue that holds whatever is put, first in, first out. It grows without limit where what comes is more than what
    /// goes; mostly, [`bounded`](Self::bounded) is what you want.
    pub fn unbounded() -> Self {
        Self::builder().build()
    }

    /// A queue in another order, or one whose settings come from a configuration.
    pub fn builder() -> Builder<T> {
        Builder::new()
    }

    /// Puts a value, as soon as there is room for it.
    ///
    /// Dropping the future drops the value, unless it is in the queue already.
    ///
    /// # Cancel safety
    ///
    /// The value is put once or not at all, and nobody else is harmed. To keep it whatever happens, [`reserve`](Self::reserve)
    /// room first.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the value, if the queue is shut down before there was room.
    pub async fn put(&self, value: T) -> Result<(), Closed<T>> {
        give_way().await;
        let rank = self.rank(&value);
        match self.put_free(value, rank) {
            Ok(()) => Ok(()),
            Err(TryPutError::Closed(value)) => Err(Closed(value)),
            Err(TryPutError::Full(value)) => self.put_waiting(value, rank).await,
        }
    }

    /// Puts a value if there is room now.
    ///
    /// # Errors
    ///
    /// [`TryPutError`] with the value, if the queue is full or shut down.
    pub fn try_put(&self, value: T) -> Result<(), TryPutError<T>> {
        let rank = self.rank(&value);
        self.put_free(value, rank)
    }

    /// Puts a value, if there is room within the given time.
    ///
    /// It waits for the room, and puts the value when it has it: a value for which there is more room may pass it until its
    /// task runs.
    ///
    /// # Cancel safety
    ///
    /// As [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// [`PutTimeoutError`] with the value, if there was no room for all that time or the queue is shut down.
    pub async fn put_timeout(&self, value: T, time: Duration) -> Result<(), PutTimeoutError<T>> {
        // As old as its call, like that of `put`.
        let rank = self.rank(&value);
        match time::timeout(time, self.reserve()).await {
            Ok(Ok(slot)) => slot
                .put_ranked(value, rank)
                .map_err(|Closed(value)| PutTimeoutError::Closed(value)),
            Ok(Err(_)) => Err(PutTimeoutError::Closed(value)),
            Err(_) => Err(PutTimeoutError::Timeout(value)),
        }
    }

    /// Waits for room, and keeps it: so that a value is made, or let go, only once it can be put.
    ///
    /// # Cancel safety
    ///
    /// A dropped future gives up its place, and the room if it was given already, to the next.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the queue is shut down before there was room.
    ///
    /// # Examples
    ///
    /// ```
    /// use shibuya_sync::queue::{Closed, Queue};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Closed> {
    /// let queue = Queue::bounded(1);
    /// let mut log = vec!["a", "b"];
    ///
    /// let slot = queue.reserve().await?;
    /// slot.put(log.remove(0)).unwrap();
    ///
    /// let full = tokio::time::timeout(std::time::Duration::from_millis(1), queue.reserve()).await;
    /// assert!(full.is_err());
    /// assert_eq!(log, ["b"]); // nothing was taken out that could not be put
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reserve(&self) -> Result<Slot<T>, Closed> {
        match cooperative(self.0.wait(Request::Reserve)).await {
            Ok(_) => Ok(Slot::new(self.clone())),
            Err(_) => Err(Closed(())),
        }
    }

    /// Keeps room for a value if there is some now.
    ///
    /// # Errors
    ///
    /// [`TryPutError`], with nothing inside, if the queue is full or shut down.
    pub fn try_reserve(&self) -> Result<Slot<T>, TryPutError<()>> {
        let mut state = self.0.lock();
        match state.phase() {
            Phase::Open if has_free_room(&state) => state.reserve(),
            Phase::Open => return Err(TryPutError::Full(())),
            Phase::Draining | Phase::Cut => return Err(TryPutError::Closed(())),
        }
        // Before unlocking, which may panic and wants the room back then.
        let slot = Slot::new(self.clone());
        drop(state);
        Ok(slot)
    }

    /// Takes the next item, as soon as there is one. It is done when the [`Item`] is dropped.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken nothing: what it was promised goes to the next who waits, in the same order.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the queue is shut down and nothing is left in it.
    pub async fn get(&self) -> Result<Item<T>, Closed> {
        self.take(Self::in_hand).await
    }

    /// Takes the next item if there is one now.
    ///
    /// # Errors
    ///
    /// [`TryGetError`] if there is none, or none that is not promised to those who wait.
    pub fn try_get(&self) -> Result<Item<T>, TryGetError> {
        self.try_take(Self::in_hand)
    }

    /// Takes the next item, if there is one within the given time.
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// [`GetTimeoutError`] if there was none for all that time, or the queue is shut down and nothing is left in it.
    pub async fn get_timeout(&self, time: Duration) -> Result<Item<T>, GetTimeoutError> {
        match time::timeout(time, self.get()).await {
            Ok(item) => item.map_err(|Closed(())| GetTimeoutError::Closed),
            Err(_) => Err(GetTimeoutError::Timeout),
        }
    }

    /// Waits until there is an item, and adds it to `items` with those that are there at once, `limit` at most. Gives how
    /// many it added, at least 1.
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get): a dropped future has added nothing.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// If `limit` is 0.
    #[track_caller]
    pub fn get_many<'a>(
        &'a self,
        items: &'a mut Vec<Item<T>>,
        limit: usize,
    ) -> impl Future<Output = Result<usize, Closed>> + use<'a, T> {
        assert!(limit > 0, "a limit of 0 items waits for nothing");
        async move {
            let first = self.get().await?;
            items.push(first);
            let mut count = 1;
            let mut state = self.0.lock();
            while count < limit {
                let Some(value) = state.take() else { break };
                items.push(self.in_hand(&mut state, value));
                count += 1;
            }
            Ok(count)
        }
    }

    /// Takes the next value, as soon as there is one, and counts it as done: for those who have no use for
    /// [`join`](Self::join).
    ///
    /// # Cancel safety
    ///
    /// As [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn pop(&self) -> Result<T, Closed> {
        self.take(Self::done_at_once).await
    }

    /// Takes the next value if there is one now, and counts it as done.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_pop(&self) -> Result<T, TryGetError> {
        self.try_take(Self::done_at_once)
    }

    /// The items as a stream, which ends when the queue is shut down and empty. Many may take from the same queue.
    pub fn stream(&self) -> QueueStream<T> {
        QueueStream::new(self.clone())
    }

    /// The queue as a sink for values. Closing the sink doesn't shut the queue down.
    pub fn sink(&self) -> QueueSink<T> {
        QueueSink::new(self.clone())
    }

    /// Waits until all that was put is done: nothing is left in the queue, and each item that was taken from it was dropped.
    /// It may be waited for again and again; an empty queue is done. A [`Slot`] is no item: what may yet be put into it is not
    /// waited for.
    ///
    /// # Cancel safety
    ///
    /// There is nothing to lose.
    ///
    /// # Errors
    ///
    /// [`Aborted`] if something will never be done, since it was handed back by [`shutdown_now`](Self::shutdown_now). What
    /// was in hand then is waited for all the same.
    pub async fn join(&self) -> Result<(), Aborted> {
        match self.0.wait(Request::Join).await {
            Ok(Grant::Joined) => Ok(()),
            _ => Err(Aborted),
        }
    }

    /// Lets nothing in any more. What is in the queue can still be taken; when nothing is left, those who wait for items learn
    /// that it is closed. Those who wait for room get their values back.
    ///
    /// It doesn't wait for what is in hand: [`join`](Self::join) does, before or after.
    ///
    /// A second call changes nothing.
    pub fn shutdown(&self) {
        let mut state = self.0.lock();
        state.drain();
        Guard::close_lane(&mut state, PUT);
    }

    /// Lets nothing in or out any more, and gives back what was left, in its order. All who wait for items or room learn that
    /// it is closed; those who wait for room get their values back.
    ///
    /// What is in hand is not among it, and its workers go on. One that is to save it calls [`requeue`](Item::requeue), which
    /// gives it back in [`Closed`].
    ///
    /// It may follow a [`shutdown`](Self::shutdown) that takes too long. A second call gives nothing.
    pub fn shutdown_now(&self) -> Vec<T> {
        let mut state = self.0.lock();
        Guard::close_lane(&mut state, PUT);
        let mut left = state.cut();
        drop(state); // to put it in order takes time, and `T`'s own code
        iter::from_fn(|| left.pop()).collect()
    }

    /// Whether it was shut down, either way.
    pub fn is_shut_down(&self) -> bool {
        self.0.lock().phase() != Phase::Open
    }

    /// How many items wait to be taken.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether no item waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room now.
    pub fn is_full(&self) -> bool {
        !self.0.lock().has_room()
    }

    /// What the queue holds and has done.
    pub fn stats(&self) -> Stats {
        let state = self.0.lock();
        let (put, taken) = state.totals();
        Stats {
            len: state.len(),
            capacity: state.capacity(),
            reserved: state.reserved(),
            in_hand: state.in_hand(),
            waiting_to_put: Guard::waiting(&state, PUT),
            waiting_to_get: Guard::waiting(&state, GET),
            put,
            taken,
            is_shut_down: state.phase() != Phase::Open,
        }
    }

    #[inline]
    fn put_free(&self, value: T, rank: u64) -> Result<(), TryPutError<T>> {
        let mut state = self.0.lock();
        let error = match state.phase() {
            Phase::Open if has_free_room(&state) => {
                state.push(value, rank);
                return Ok(());
            }
            Phase::Open => TryPutError::Full(value),
            Phase::Draining | Phase::Cut => TryPutError::Closed(value),
        };
        Err(error)
    }

    async fn put_waiting(&self, value: T, rank: u64) -> Result<(), Closed<T>> {
        let value = Some(value);
        match self.0.wait(Request::Put { value, rank }).await {
            Ok(_) => Ok(()),
            Err(refused) => match refused.into_request() {
                // Without a value it is in: `T`'s order panicked right after that.
                Request::Put { value, .. } => value.map_or(Ok(()), |value| Err(Closed(value))),
                _ => unreachable!("a request is handed back as it was made"),
            },
        }
    }

    /// What becomes of a value, in hand or done, is told under the lock: so an item is counted off again even if unlocking
    /// panics, where the next value is let in and compared.
    async fn take<R>(&self, hand: impl Hand<T, R>) -> Result<R, Closed> {
        give_way().await;
        loop {
            if let Some(taken) = self.take_free(hand) {
                return Ok(taken);
            }
            let Ok(Grant::Claim) = self.0.wait(Request::Get).await else {
                return Err(Closed(()));
            };
            if let Some(taken) = self.take_claimed(hand) {
                return Ok(taken);
            }
        }
    }

    fn try_take<R>(&self, hand: impl Hand<T, R>) -> Result<R, TryGetError> {
        self.take_free(hand).ok_or_else(|| match self.is_ended() {
            true => TryGetError::Closed,
            false => TryGetError::Empty,
        })
    }

    /// Takes what is nobody's yet.
    pub(crate) fn take_free<R>(&self, hand: impl Hand<T, R>) -> Option<R> {
        let mut state = self.0.lock();
        let value = state.take()?;
        let taken = hand(self, &mut state, value);
        drop(state);
        Some(taken)
    }

    /// Takes what was promised, unless the queue was cut meanwhile.
    pub(crate) fn take_claimed<R>(&self, hand: impl Hand<T, R>) -> Option<R> {
        let mut state = self.0.lock();
        let value = state.take_claimed()?;
        let taken = hand(self, &mut state, value);
        drop(state);
        Some(taken)
    }

    pub(crate) fn in_hand(&self, state: &mut State<T>, value: T) -> Item<T> {
        state.hand_out();
        Item::new(value, self.clone())
    }

    fn done_at_once(&self, _: &mut State<T>, value: T) -> T {
        value
    }

    pub(crate) fn done(&self) {
        self.0.lock().done();
    }

    pub(crate) fn put_back(&self, value: T, rank: u64) -> Result<(), Closed<T>> {
        self.0.lock().requeue(value, rank).map_err(Closed)
    }

    pub(crate) fn put_reserved(&self, value: T, rank: u64) -> Result<(), Closed<T>> {
        self.0.lock().put_reserved(value, rank).map_err(Closed)
    }

    pub(crate) fn release(&self) {
        self.0.lock().release();
    }

    /// Once it has ended it stays so.
    fn is_ended(&self) -> bool {
        self.0.lock().is_ended()
    }

    pub(crate) fn core(&self) -> Core<T> {
        self.0.clone()
    }

    /// Asks the user's function for the level, if there are levels.
    pub(crate) fn rank(&self, value: &T) -> u64 {
        let aging = &self.0.0.aging;
        aging
            .as_ref()
            .map_or(0, |aging| aging.rank(value, Instant::now()))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// What a panic can interrupt under the lock leaves the queue as it was; the function of the levels is asked outside.
impl<T> UnwindSafe for Queue<T> {}
impl<T> RefUnwindSafe for Queue<T> {}

impl<T> Clone for Core<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Core<T> {
    type Target = WaitList<State<T>>;

    fn deref(&self) -> &WaitList<State<T>> {
        &self.0.list
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        let mut debug = f.debug_struct("Queue");
        debug.field("len", &stats.len);
        if let Some(capacity) = stats.capacity {
            debug.field("capacity", &capacity);
        }
        debug
            .field("in_hand", &stats.in_hand)
            .field("is_shut_down", &stats.is_shut_down)
            .finish_non_exhaustive()
    }
}

/// What becomes of a value that is taken.
pub(crate) trait Hand<T, R>: Fn(&Queue<T>, &mut State<T>, T) -> R + Copy {}

impl<T, R, F: Fn(&Queue<T>, &mut State<T>, T) -> R + Copy> Hand<T, R> for F {}

/// Whether a newcomer may have room. When much is freed at once, those who wait have it batch by batch, and in between it is
/// theirs.
fn has_free_room<T>(state: &Guard<'_, State<T>>) -> bool {
    state.has_room() && Guard::waiting(state, PUT) == 0
}

/// Gives way to other tasks when it is time. Tokio's budget is made for a read from a socket; here it is drawn on once for so
/// many items, or asking for it would cost as much as they do.
async fn give_way() {
    const ITEMS: u8 = 16;
    thread_local!(static COUNT: Cell<u8> = const { Cell::new(0) });
    let count = COUNT.get().wrapping_add(1);
    COUNT.set(count);
    if count % ITEMS == 0 {
        coop::consume_budget().await;
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_idle_queue_is_small() {
        // All of its heap, unless its order keeps a box: its first item allocates, and its first waiter.
        let counts = 2 * size_of::<usize>();
        let heap = size_of::<Shared<u64>>() + counts;
        assert!(heap <= 256, "{heap} bytes");
    }
}
