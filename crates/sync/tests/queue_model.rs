//! Random operations on a queue of each order, compared step by step with a model that is too simple to be wrong: a list that
//! is searched, and a line for each kind of waiting.
#![cfg(not(shibuya_loom))]

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use proptest::sample::Index;
use shibuya_sync::Queue;
use shibuya_sync::queue::{Closed, Item, PutTimeoutError, Slot, TryGetError, TryPutError};
use tokio::time::{self, Instant};

const STEP: Duration = Duration::from_secs(10);

/// A value: its level, which is all that its order knows, its number, and a count of those alive.
#[derive(Clone, Debug)]
struct Value(
    u32,
    usize,
    #[allow(dead_code, reason = "it is counted")] Arc<()>,
);

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Value {}

#[derive(Clone, Copy, Debug)]
enum Order {
    Fifo,
    Lifo,
    Priority,
    ByKey,
    Aging,
}

/// What a future waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    Put,
    PutTimeout,
    Feed,
    Reserve,
    Get,
    GetMany(usize),
    Next,
    Pop,
    Join,
}

#[derive(Clone, Debug)]
enum Op {
    /// Makes a future and polls it once. What it may put has this level.
    Start(Want, u32),
    Poll {
        future: Index,
        new_waker: bool,
    },
    DropFuture(Index),
    TryPut(u32),
    TryReserve,
    TryGet,
    TryPop,
    PutSlot(Index, u32),
    DropSlot(Index),
    DropItem(Index),
    TakeItem(Index),
    Requeue(Index),
    Wait(u64),
    Shutdown,
    ShutdownNow,
}

fn want() -> impl Strategy<Value = Want> {
    prop_oneof![
        6 => Just(Want::Put),
        1 => Just(Want::PutTimeout),
        1 => Just(Want::Feed),
        2 => Just(Want::Reserve),
        4 => Just(Want::Get),
        2 => (1..4_usize).prop_map(Want::GetMany),
        1 => Just(Want::Next),
        2 => Just(Want::Pop),
        1 => Just(Want::Join),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    let level = || 0..4_u32;
    prop_oneof![
        40 => (want(), level()).prop_map(|(want, level)| Op::Start(want, level)),
        24 => (index(), any::<bool>()).prop_map(|(future, new_waker)| Op::Poll { future, new_waker }),
        16 => index().prop_map(Op::DropFuture),
        6 => level().prop_map(Op::TryPut),
        3 => Just(Op::TryReserve),
        3 => Just(Op::TryGet),
        3 => Just(Op::TryPop),
        4 => (index(), level()).prop_map(|(slot, level)| Op::PutSlot(slot, level)),
        4 => index().prop_map(Op::DropSlot),
        4 => index().prop_map(Op::DropItem),
        2 => index().prop_map(Op::TakeItem),
        4 => index().prop_map(Op::Requeue),
        6 => (0..25_u64).prop_map(Op::Wait),
        1 => Just(Op::Shutdown),
        1 => Just(Op::ShutdownNow),
    ]
}

type Id = usize;

/// What was decided for a future, which it has yet to see.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Settled {
    Granted,
    Refused,
}

/// What a future gave, with values by their numbers.
#[derive(Clone, Debug, PartialEq)]
enum Gave {
    Done,
    Slot,
    Values(Vec<Id>),
    Closed,
    Back(Id),
    Aborted,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Phase {
    Open,
    Draining,
    Cut,
}

/// An item in the line.
#[derive(Clone, Copy)]
struct Placed {
    id: Id,
    level: u32,
    /// When it came, and how many came before.
    came: u64,
    number: u64,
}

struct Model {
    order: Order,
    capacity: usize,
    now: u64,
    numbers: u64,
    line: Vec<Placed>,
    phase: Phase,
    aborted: bool,
    claimed: usize,
    reserved: usize,
    in_hand: usize,
    put: u64,
    taken: u64,
    /// Those who wait, with what they would put and since when.
    putters: VecDeque<(Id, Want, u32, u64)>,
    getters: VecDeque<Id>,
    joiners: VecDeque<Id>,
    settled: HashMap<Id, Settled>,
    /// When those who put for some time began, whose values are as old as that.
    timed: HashMap<Id, u64>,
}

impl Model {
    fn new(order: Order, capacity: usize) -> Self {
        Self {
            order,
            capacity,
            now: 0,
            numbers: 0,
            line: Vec::new(),
            phase: Phase::Open,
            aborted: false,
            claimed: 0,
            reserved: 0,
            in_hand: 0,
            put: 0,
            taken: 0,
            putters: VecDeque::new(),
            getters: VecDeque::new(),
            joiners: VecDeque::new(),
            settled: HashMap::new(),
            timed: HashMap::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.line.len() + self.reserved < self.capacity
    }

    fn is_free(&self) -> bool {
        self.line.len() > self.claimed
    }

    fn is_ended(&self) -> bool {
        let comes = self.phase == Phase::Draining && self.reserved > 0;
        self.phase != Phase::Open && self.line.is_empty() && !comes
    }

    fn push(&mut self, id: Id, level: u32, came: u64) {
        self.put += 1;
        self.numbers += 1;
        let number = self.numbers;
        self.line.push(Placed {
            id,
            level,
            came,
            number,
        });
    }

    /// Takes out the one whose turn it is.
    fn pop(&mut self) -> Option<Placed> {
        let places = self.line.iter().enumerate();
        let first = match self.order {
            Order::Fifo => places.min_by_key(|(_, item)| item.number),
            Order::Lifo => places.max_by_key(|(_, item)| item.number),
            Order::Priority => places.min_by_key(|(_, item)| (item.level, item.number)),
            Order::ByKey => places.min_by_key(|(_, item)| (Reverse(item.level), item.number)),
            Order::Aging => places.min_by_key(|(_, item)| {
                let counts_as_of = item.came + u64::from(item.level) * STEP.as_secs();
                (counts_as_of, item.number)
            }),
        };
        let index = first?.0;
        self.taken += 1;
        Some(self.line.remove(index))
    }

    fn popped(&mut self) -> Vec<Id> {
        let mut left = Vec::new();
        let taken = self.taken;
        while let Some(item) = self.pop() {
            left.push(item.id);
        }
        self.taken = taken; // handed back, not taken
        left
    }

    /// Serves one after the other for as long as somebody can be served.
    fn settle(&mut self) {
        while self.settle_putter() || self.settle_getter() || self.settle_joiner() {}
    }

    fn settle_putter(&mut self) -> bool {
        let Some(&(id, want, level, since)) = self.putters.front() else {
            return false;
        };
        let settled = match self.phase {
            Phase::Open if !self.has_room() => return false,
            Phase::Open if want == Want::Put => {
                self.push(id, level, since);
                Settled::Granted
            }
            Phase::Open => {
                self.reserved += 1;
                Settled::Granted
            }
            Phase::Draining | Phase::Cut => Settled::Refused,
        };
        self.putters.pop_front();
        self.settled.insert(id, settled);
        true
    }

    fn settle_getter(&mut self) -> bool {
        let Some(&id) = self.getters.front() else {
            return false;
        };
        if self.is_free() {
            self.claimed += 1;
            self.settled.insert(id, Settled::Granted);
        } else if self.is_ended() {
            self.settled.insert(id, Settled::Refused);
        } else {
            return false;
        }
        self.getters.pop_front();
        true
    }

    fn settle_joiner(&mut self) -> bool {
        if self.joiners.is_empty() || self.line.len() + self.in_hand > 0 {
            return false;
        }
        let id = self.joiners.pop_front().expect("there is one");
        let settled = match self.aborted {
            false => Settled::Granted,
            true => Settled::Refused,
        };
        self.settled.insert(id, settled);
        true
    }

    /// The first poll of a future.
    fn start(&mut self, id: Id, want: Want, level: u32) -> Poll<Gave> {
        match want {
            Want::Put | Want::PutTimeout | Want::Feed | Want::Reserve => {
                self.putters.push_back((id, want, level, self.now));
                if want == Want::PutTimeout {
                    self.timed.insert(id, self.now);
                }
            }
            Want::Get | Want::GetMany(_) | Want::Next | Want::Pop => self.getters.push_back(id),
            Want::Join => self.joiners.push_back(id),
        }
        self.settle();
        self.look(id, want, level)
    }

    /// Any poll of a future.
    fn look(&mut self, id: Id, want: Want, level: u32) -> Poll<Gave> {
        let Some(settled) = self.settled.remove(&id) else {
            return Poll::Pending;
        };
        let granted = settled == Settled::Granted;
        let gave = match want {
            Want::Put | Want::PutTimeout if !granted => Gave::Back(id),
            Want::Put => Gave::Done,
            Want::Reserve if granted => Gave::Slot,
            Want::PutTimeout => self.put_slot(id, level, self.timed[&id]),
            Want::Feed if granted => match self.put_slot(id, level, self.now) {
                Gave::Back(_) => Gave::Closed,
                gave => gave,
            },
            Want::Get | Want::GetMany(_) | Want::Next | Want::Pop if granted => {
                self.claimed -= 1;
                self.take(want)
            }
            Want::Join if granted => Gave::Done,
            Want::Join => Gave::Aborted,
            _ => Gave::Closed,
        };
        self.settle();
        Poll::Ready(gave)
    }

    fn take(&mut self, want: Want) -> Gave {
        let Some(first) = self.pop() else {
            return Gave::Closed;
        };
        let mut values = vec![first.id];
        self.in_hand += usize::from(want != Want::Pop);
        self.settle();
        if let Want::GetMany(limit) = want {
            // Those who had waited for room are served by now, once.
            while values.len() < limit && self.is_free() {
                values.extend(self.pop().map(|item| item.id));
                self.in_hand += 1;
            }
        }
        Gave::Values(values)
    }

    fn drop_future(&mut self, id: Id, want: Want) {
        self.putters.retain(|&(waiting, ..)| waiting != id);
        self.getters.retain(|&waiting| waiting != id);
        self.joiners.retain(|&waiting| waiting != id);
        if self.settled.remove(&id) == Some(Settled::Granted) {
            match want {
                Want::PutTimeout | Want::Feed | Want::Reserve => self.reserved -= 1,
                Want::Get | Want::GetMany(_) | Want::Next | Want::Pop => self.claimed -= 1,
                Want::Put | Want::Join => {}
            }
        }
        self.settle();
    }

    fn try_put(&mut self, id: Id, level: u32) -> Result<(), TryPutError<()>> {
        if self.phase != Phase::Open {
            return Err(TryPutError::Closed(()));
        }
        if !self.has_room() {
            return Err(TryPutError::Full(()));
        }
        self.push(id, level, self.now);
        self.settle();
        Ok(())
    }

    fn try_reserve(&mut self) -> Result<(), TryPutError<()>> {
        if self.phase != Phase::Open {
            return Err(TryPutError::Closed(()));
        }
        if !self.has_room() {
            return Err(TryPutError::Full(()));
        }
        self.reserved += 1;
        Ok(())
    }

    fn try_take(&mut self, want: Want) -> Result<Gave, TryGetError> {
        if !self.is_free() {
            return Err(match self.is_ended() {
                true => TryGetError::Closed,
                false => TryGetError::Empty,
            });
        }
        let gave = self.take(want);
        self.settle();
        Ok(gave)
    }

    fn put_slot(&mut self, id: Id, level: u32, came: u64) -> Gave {
        self.reserved -= 1;
        let gave = match self.phase {
            Phase::Cut => Gave::Back(id),
            Phase::Open | Phase::Draining => {
                self.push(id, level, came);
                Gave::Done
            }
        };
        self.settle();
        gave
    }

    fn drop_slot(&mut self) {
        self.reserved -= 1;
        self.settle();
    }

    fn done(&mut self) {
        self.in_hand -= 1;
        self.settle();
    }

    fn requeue(&mut self, id: Id, level: u32) -> Gave {
        self.in_hand -= 1;
        let gave = if self.phase == Phase::Cut {
            self.aborted = true;
            Gave::Back(id)
        } else {
            self.push(id, level, self.now);
            Gave::Done
        };
        self.settle();
        gave
    }

    fn shutdown(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
        self.settle();
    }

    fn shutdown_now(&mut self) -> Vec<Id> {
        self.phase = Phase::Cut;
        let left = self.popped();
        self.aborted |= !left.is_empty();
        self.settle();
        left
    }
}

/// What a real future gives.
enum Out {
    Gave(Gave),
    Slot(Slot<Value>),
    Items(Vec<Item<Value>>),
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Pending {
    id: Id,
    want: Want,
    level: u32,
    future: OutFuture,
    wakes: Arc<Wakes>,
    /// Wakers that were replaced: never to be called again.
    stale: Vec<Arc<Wakes>>,
}

impl Pending {
    fn poll(&mut self) -> Poll<Out> {
        let waker = Waker::from(self.wakes.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

type OutFuture = Pin<Box<dyn Future<Output = Out>>>;

fn future(queue: &Queue<Value>, want: Want, value: impl FnOnce() -> Value) -> OutFuture {
    let queue = queue.clone();
    let puts = matches!(want, Want::Put | Want::PutTimeout | Want::Feed);
    let value = puts.then(value);
    Box::pin(async move {
        let value = || value.expect("something to put");
        match want {
            Want::Put => Out::Gave(match queue.put(value()).await {
                Ok(()) => Gave::Done,
                Err(Closed(value)) => Gave::Back(value.1),
            }),
            Want::PutTimeout => Out::Gave(match queue.put_timeout(value(), Duration::MAX).await {
                Ok(()) => Gave::Done,
                Err(PutTimeoutError::Closed(value)) => Gave::Back(value.1),
                Err(_) => panic!("no time is up"),
            }),
            Want::Feed => Out::Gave(match queue.sink().feed(value()).await {
                Ok(()) => Gave::Done,
                Err(Closed(())) => Gave::Closed,
            }),
            Want::Reserve => queue
                .reserve()
                .await
                .map_or(Out::Gave(Gave::Closed), Out::Slot),
            Want::Get => match queue.get().await {
                Ok(item) => Out::Items(vec![item]),
                Err(Closed(())) => Out::Gave(Gave::Closed),
            },
            Want::GetMany(limit) => {
                let mut items = Vec::new();
                match queue.get_many(&mut items, limit).await {
                    Ok(count) => {
                        assert_eq!(count, items.len());
                        Out::Items(items)
                    }
                    Err(Closed(())) => Out::Gave(Gave::Closed),
                }
            }
            Want::Next => match queue.stream().next().await {
                Some(item) => Out::Items(vec![item]),
                None => Out::Gave(Gave::Closed),
            },
            Want::Pop => Out::Gave(match queue.pop().await {
                Ok(value) => Gave::Values(vec![value.1]),
                Err(Closed(())) => Gave::Closed,
            }),
            Want::Join => Out::Gave(match queue.join().await {
                Ok(()) => Gave::Done,
                Err(_) => Gave::Aborted,
            }),
        }
    })
}

/// The queue under test, with all that was taken from it, beside the model.
struct Run {
    queue: Queue<Value>,
    model: Model,
    /// Counts the values that live.
    alive: Arc<()>,
    began: Instant,
    futures: Vec<Pending>,
    slots: Vec<Slot<Value>>,
    items: Vec<Item<Value>>,
}

impl Run {
    fn new(order: Order, capacity: usize) -> Self {
        let builder = Queue::builder().capacity(capacity);
        let queue = match order {
            Order::Fifo => builder.fifo(),
            Order::Lifo => builder.lifo(),
            Order::Priority => builder.priority(),
            Order::ByKey => builder.priority_by_key(|value: &Value| Reverse(value.0)),
            Order::Aging => builder.aging(STEP, |value: &Value| value.0),
        };
        Self {
            queue: queue.build(),
            model: Model::new(order, capacity),
            alive: Arc::new(()),
            began: Instant::now(),
            futures: Vec::new(),
            slots: Vec::new(),
            items: Vec::new(),
        }
    }

    fn value(&self, id: Id, level: u32) -> Value {
        Value(level, id, self.alive.clone())
    }

    /// What came out, by numbers. What is held from now on is kept.
    fn keep(&mut self, out: Out) -> Gave {
        match out {
            Out::Gave(gave) => gave,
            Out::Slot(slot) => {
                self.slots.push(slot);
                Gave::Slot
            }
            Out::Items(items) => {
                let ids = items.iter().map(|item| item.1).collect();
                self.items.extend(items);
                Gave::Values(ids)
            }
        }
    }

    async fn step(&mut self, id: Id, op: Op) {
        match op {
            Op::Start(want, level) => {
                let mut pending = Pending {
                    id,
                    want,
                    level,
                    future: future(&self.queue, want, || self.value(id, level)),
                    wakes: Arc::default(),
                    stale: Vec::new(),
                };
                let polled = pending.poll().map(|out| self.keep(out));
                assert_eq!(polled, self.model.start(id, want, level), "{want:?}");
                if polled.is_pending() {
                    self.futures.push(pending);
                }
            }
            Op::Poll { future, new_waker } if !self.futures.is_empty() => {
                let index = future.index(self.futures.len());
                let mut pending = self.futures.swap_remove(index);
                // A settled future has been woken; its new waker never will be.
                if new_waker && !self.model.settled.contains_key(&pending.id) {
                    let stale = std::mem::take(&mut pending.wakes);
                    pending.stale.push(stale);
                }
                let polled = pending.poll().map(|out| self.keep(out));
                let Pending {
                    id, want, level, ..
                } = pending;
                assert_eq!(polled, self.model.look(id, want, level), "{want:?}");
                if polled.is_pending() {
                    self.futures.push(pending);
                }
            }
            Op::DropFuture(future) if !self.futures.is_empty() => {
                let index = future.index(self.futures.len());
                let pending = self.futures.swap_remove(index);
                self.model.drop_future(pending.id, pending.want);
            }
            Op::TryPut(level) => {
                let tried = self.queue.try_put(self.value(id, level));
                let tried = tried.map_err(|error| match error {
                    TryPutError::Full(value) => TryPutError::Full(assert_eq!(value.1, id)),
                    TryPutError::Closed(value) => TryPutError::Closed(assert_eq!(value.1, id)),
                    _ => unreachable!(),
                });
                assert_eq!(tried, self.model.try_put(id, level));
            }
            Op::TryReserve => {
                let tried = self.queue.try_reserve().map(|slot| self.slots.push(slot));
                assert_eq!(tried, self.model.try_reserve());
            }
            Op::TryGet => {
                let tried = self.queue.try_get();
                let tried = tried.map(|item| self.keep(Out::Items(vec![item])));
                assert_eq!(tried, self.model.try_take(Want::Get));
            }
            Op::TryPop => {
                let tried = self.queue.try_pop();
                let tried = tried.map(|value| Gave::Values(vec![value.1]));
                assert_eq!(tried, self.model.try_take(Want::Pop));
            }
            Op::PutSlot(slot, level) if !self.slots.is_empty() => {
                let slot = self.slots.swap_remove(slot.index(self.slots.len()));
                let put = slot.put(self.value(id, level));
                let gave = put.map_or_else(|Closed(value)| Gave::Back(value.1), |()| Gave::Done);
                assert_eq!(gave, self.model.put_slot(id, level, self.model.now));
            }
            Op::DropSlot(slot) if !self.slots.is_empty() => {
                drop(self.slots.swap_remove(slot.index(self.slots.len())));
                self.model.drop_slot();
            }
            Op::DropItem(item) if !self.items.is_empty() => {
                drop(self.items.swap_remove(item.index(self.items.len())));
                self.model.done();
            }
            Op::TakeItem(item) if !self.items.is_empty() => {
                let item = self.items.swap_remove(item.index(self.items.len()));
                let id = item.1;
                assert_eq!(item.into_inner().1, id);
                self.model.done();
            }
            Op::Requeue(item) if !self.items.is_empty() => {
                let item = self.items.swap_remove(item.index(self.items.len()));
                let (level, id) = (item.0, item.1);
                let put = item.requeue();
                let gave = put.map_or_else(|Closed(value)| Gave::Back(value.1), |()| Gave::Done);
                assert_eq!(gave, self.model.requeue(id, level));
            }
            Op::Poll { .. } | Op::DropFuture(_) => {}
            Op::PutSlot(..) | Op::DropSlot(_) => {}
            Op::DropItem(_) | Op::TakeItem(_) | Op::Requeue(_) => {}
            Op::Wait(seconds) => {
                time::advance(Duration::from_secs(seconds)).await;
                self.model.now += seconds;
                assert_eq!(self.began.elapsed().as_secs(), self.model.now);
            }
            Op::Shutdown => {
                self.queue.shutdown();
                self.model.shutdown();
            }
            Op::ShutdownNow => {
                let left = self.queue.shutdown_now();
                let left: Vec<_> = left.iter().map(|value| value.1).collect();
                assert_eq!(left, self.model.shutdown_now());
            }
        }
    }

    fn compare(&self) {
        let (stats, model) = (self.queue.stats(), &self.model);
        assert_eq!(stats.len, model.line.len());
        assert_eq!(stats.capacity, Some(model.capacity));
        assert_eq!(stats.reserved, model.reserved);
        assert_eq!(stats.in_hand, model.in_hand);
        assert_eq!(stats.waiting_to_put, model.putters.len());
        assert_eq!(stats.waiting_to_get, model.getters.len());
        assert_eq!((stats.put, stats.taken), (model.put, model.taken));
        assert_eq!(stats.is_shut_down, model.phase != Phase::Open);
        assert_eq!(self.queue.is_full(), !model.has_room());

        for pending in &self.futures {
            let woken = pending.wakes.0.load(SeqCst);
            let settled = model.settled.contains_key(&pending.id);
            let want = pending.want;
            assert_eq!(
                woken,
                usize::from(settled),
                "{want:?}: once, when it is settled"
            );
            assert!(pending.stale.iter().all(|wakes| wakes.0.load(SeqCst) == 0));
        }

        let with_value = self.futures.iter().filter(|pending| match pending.want {
            Want::Put => model.settled.get(&pending.id) != Some(&Settled::Granted),
            Want::PutTimeout | Want::Feed => true,
            _ => false,
        });
        let held = with_value.count() + self.items.len();
        let alive = Arc::strong_count(&self.alive) - 1;
        assert_eq!(alive, model.line.len() + held, "none is lost, none is kept");
    }

    /// All let go: what is left comes in its order, and then nothing lives.
    fn end(mut self) {
        while let Some(pending) = self.futures.pop() {
            self.model.drop_future(pending.id, pending.want);
            drop(pending);
            self.compare();
        }
        while let Some(item) = self.items.pop() {
            drop(item);
            self.model.done();
        }
        let left = std::iter::from_fn(|| self.queue.try_pop().ok());
        let popped: Vec<_> = left.map(|value| value.1).collect();
        assert_eq!(popped, self.model.popped());
        self.slots.clear();
        assert_eq!(Arc::strong_count(&self.alive), 1);
        let stats = self.queue.stats();
        let held = stats.len + stats.reserved + stats.in_hand;
        let waiting = stats.waiting_to_get + stats.waiting_to_put;
        assert_eq!((held, waiting), (0, 0));
    }
}

fn run(order: Order, capacity: usize, ops: Vec<Op>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    // Without Tokio's budget, which would have a future give way when the model doesn't.
    runtime.block_on(tokio::task::unconstrained(async move {
        let mut run = Run::new(order, capacity);
        for (id, op) in ops.into_iter().enumerate() {
            run.step(id, op).await;
            run.compare();
        }
        run.end();
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fifo_behaves_as_the_model(capacity in 1..5_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(Order::Fifo, capacity, ops);
    }

    #[test]
    fn lifo_behaves_as_the_model(capacity in 1..5_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(Order::Lifo, capacity, ops);
    }

    #[test]
    fn priority_behaves_as_the_model(capacity in 1..5_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(Order::Priority, capacity, ops);
    }

    #[test]
    fn priority_by_key_behaves_as_the_model(capacity in 1..5_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(Order::ByKey, capacity, ops);
    }

    #[test]
    fn aging_behaves_as_the_model(capacity in 1..5_usize, ops in prop::collection::vec(op(), 1..150)) {
        run(Order::Aging, capacity, ops);
    }
}
