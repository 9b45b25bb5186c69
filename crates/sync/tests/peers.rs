//! What gets lost or hangs elsewhere, in the same scenarios as ours: kanal 0.1.1 and async-priority-channel 0.2.0.
#![cfg(not(shibuya_loom))]

use std::cmp::Ordering;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use shibuya_sync::Queue;
use shibuya_testkit::{Ending, Probe, Probes, cancel_at_every_poll};

// ---- an item that was handed to a receive that is dropped

trait Channel: Clone + Send + Sync + 'static {
    fn put(&self, item: Probe) -> impl Future<Output = ()> + Send;
    fn take(&self) -> impl Future<Output = Probe> + Send;
    fn try_take(&self) -> Option<Probe>;
}

impl Channel for Queue<Probe> {
    async fn put(&self, item: Probe) {
        Queue::put(self, item).await.unwrap();
    }

    async fn take(&self) -> Probe {
        self.pop().await.unwrap()
    }

    fn try_take(&self) -> Option<Probe> {
        self.try_pop().ok()
    }
}

type Kanal = (kanal::AsyncSender<Probe>, kanal::AsyncReceiver<Probe>);

impl Channel for Kanal {
    async fn put(&self, item: Probe) {
        self.0.send(item).await.unwrap();
    }

    async fn take(&self) -> Probe {
        self.1.recv().await.unwrap()
    }

    fn try_take(&self) -> Option<Probe> {
        self.1.try_recv().unwrap()
    }
}

/// How many items get lost when a task takes one and is dropped at any moment.
async fn lost<C: Channel>(name: &str, channel: impl Fn() -> C) -> usize {
    let probes = Probes::new();
    let report = cancel_at_every_poll(
        name,
        async || {
            let channel = channel();
            let (puts, takes) = (channel.clone(), channel.clone());
            let item = probes.probe(());
            let putter = tokio::spawn(async move { puts.put(item).await });
            ((channel, putter), async move { takes.take().await })
        },
        async |(channel, putter), ending| {
            putter.await.unwrap();
            let item = match ending {
                Ending::Completed(item) => Some(item),
                Ending::Dropped(_) => channel.try_take(),
            };
            if let Some(item) = item {
                item.deliver();
            }
        },
    );
    assert!(report.await.polls >= 2, "it never had to wait");
    probes.assert_all_dropped();
    probes.lost().len()
}

#[tokio::test]
async fn a_dropped_receive_takes_nothing_along() {
    assert_eq!(lost("take", || Queue::bounded(4)).await, 0);
    assert_eq!(lost("take", Queue::unbounded).await, 0);
}

#[tokio::test]
async fn kanal_loses_what_a_dropped_receive_was_handed() {
    assert_eq!(lost("take", || kanal::bounded_async(4)).await, 1);
    assert_eq!(lost("take", kanal::unbounded_async).await, 1);
}

// ---- the end of a channel that several drain

const DRAINERS: usize = 4;

/// A priority whose comparison takes as long as the others need to come to the lock.
#[derive(Clone)]
struct Slow(u32, Arc<Gate>);

#[derive(Default)]
struct Gate {
    armed: AtomicBool,
    begun: AtomicUsize,
}

impl Ord for Slow {
    fn cmp(&self, other: &Self) -> Ordering {
        let gate = &self.1;
        if gate.armed.swap(false, SeqCst) {
            while gate.begun.load(SeqCst) < DRAINERS {
                thread::yield_now();
            }
            (0..1000).for_each(|_| thread::yield_now());
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Slow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slow {}

/// How many of them wait for ever, when one more than there are items takes one at the same time from a closed channel.
fn waiting_for_ever<F: Future<Output = bool>>(gate: &Gate, take: impl Fn() -> F + Sync) -> usize {
    gate.armed.store(true, SeqCst);
    let all_looked = Barrier::new(DRAINERS);
    let (taken, hanging) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..DRAINERS {
            scope.spawn(|| {
                let mut cx = Context::from_waker(Waker::noop());
                let mut take = pin!(take());
                gate.begun.fetch_add(1, SeqCst);
                let mut looked = take.as_mut().poll(&mut cx);
                all_looked.wait();
                if looked.is_pending() {
                    looked = take.as_mut().poll(&mut cx); // nobody is left who would wake it
                }
                match looked {
                    Poll::Ready(some) => _ = taken.fetch_add(usize::from(some), SeqCst),
                    Poll::Pending => _ = hanging.fetch_add(1, SeqCst),
                }
            });
        }
    });
    assert_eq!(taken.into_inner(), DRAINERS - 1);
    hanging.into_inner()
}

#[test]
fn who_finds_nothing_at_the_end_learns_of_it() {
    for _ in 0..20 {
        let gate = Arc::<Gate>::default();
        let queue = Queue::builder().priority().build();
        for rank in 1..DRAINERS {
            queue.try_put(Slow(rank as u32, gate.clone())).ok().unwrap();
        }
        queue.shutdown();
        let take = async || queue.pop().await.is_ok();
        assert_eq!(waiting_for_ever(&gate, take), 0);
    }
}

#[test]
fn async_priority_channel_leaves_one_waiting_at_the_end() {
    let hangs = || {
        let gate = Arc::<Gate>::default();
        let (sender, receiver) = async_priority_channel::unbounded();
        for rank in 1..DRAINERS {
            let priority = Slow(rank as u32, gate.clone());
            sender.try_send((), priority).ok().unwrap();
        }
        sender.close();
        waiting_for_ever(&gate, async || receiver.recv().await.is_ok()) == 1
    };
    assert!(
        (0..1000).any(|_| hangs()),
        "where this was written, it showed at once"
    );
}
