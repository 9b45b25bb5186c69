//! What a condition variable promises. asyncio's `ConditionTests` are in `cpython_locks.rs`.
#![cfg(not(shibuya_loom))]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;
use shibuya_sync::{Condvar, Mutex, WaitTimeoutResult};
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tokio_test::task::Spawn;
use tokio_test::{assert_pending, assert_ready, task};

const SECOND: Duration = Duration::from_secs(1);

/// One that waits, without the mutex.
fn waiting<'a>(
    condvar: &'a Condvar,
    mutex: &'a Mutex<u32>,
) -> Spawn<impl Future<Output = MutexGuard<'a, u32>>> {
    let mut wait = task::spawn(condvar.wait(mutex.try_lock().unwrap()));
    assert_pending!(wait.poll());
    assert!(mutex.try_lock().is_ok(), "it lets go of the mutex");
    wait
}

#[test]
fn one_several_or_all_are_notified_in_their_order() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let mut waits: Vec<_> = (0..100).map(|_| waiting(&condvar, &mutex)).collect();
    assert_eq!(condvar.waiting(), 100);
    for (notify, woken) in [(1, 1), (0, 1), (3, 4), (40, 44), (usize::MAX, 100)] {
        condvar.notify(notify);
        for (at, wait) in waits.iter().enumerate() {
            assert_eq!(wait.is_woken(), at < woken, "{at} after {notify}");
        }
        assert_eq!(condvar.waiting(), 100 - woken);
    }
    for wait in &mut waits {
        drop(assert_ready!(wait.poll()));
    }
}

#[test]
fn a_notification_for_nobody_is_forgotten() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    condvar.notify_one();
    condvar.notify(3);
    condvar.notify_all();
    let mut first = waiting(&condvar, &mutex);
    condvar.notify(2); // one too many
    drop(assert_ready!(first.poll()));
    let mut second = waiting(&condvar, &mutex);
    let mut third = waiting(&condvar, &mutex);
    condvar.notify_one();
    drop(assert_ready!(second.poll()));
    assert_pending!(third.poll());
}

#[test]
fn it_is_in_line_before_the_mutex_is_free() {
    /// How many wait when the mutex becomes free.
    static FOUND: AtomicUsize = AtomicUsize::new(usize::MAX);
    static CONDVAR: Condvar = Condvar::new();
    static MUTEX: LazyLock<Mutex<u32>> = LazyLock::new(Mutex::default);

    struct Look;

    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            FOUND.store(CONDVAR.waiting(), SeqCst);
        }
    }

    let guard = MUTEX.try_lock().unwrap();
    let mut next = Box::pin(MUTEX.lock());
    let looks = Waker::from(Arc::new(Look));
    let polled = next.as_mut().poll(&mut Context::from_waker(&looks));
    assert!(polled.is_pending());
    let mut wait = task::spawn(CONDVAR.wait(guard));
    assert_pending!(wait.poll());
    assert_eq!(FOUND.load(SeqCst), 1);
}

#[test]
fn one_that_was_notified_and_never_looks_passes_it_on() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let [first, second, mut third] = [(); 3].map(|()| waiting(&condvar, &mutex));
    condvar.notify_one();
    drop(first);
    assert!(second.is_woken());
    drop(second);
    assert!(third.is_woken());
    drop(assert_ready!(third.poll()));
}

#[test]
fn one_that_is_dropped_on_its_way_back_to_the_mutex_passes_it_on() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let [mut first, mut second] = [(); 2].map(|()| waiting(&condvar, &mutex));
    let guard = mutex.try_lock().unwrap();
    condvar.notify_one();
    assert_pending!(first.poll(), "it looked, and waits for the mutex");
    assert_pending!(second.poll());
    drop(first);
    assert!(second.is_woken());
    drop(guard);
    drop(assert_ready!(second.poll()));
}

#[test]
fn it_is_passed_on_to_nobody_who_came_after_it() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let first = waiting(&condvar, &mutex);
    condvar.notify_one();
    let mut late = waiting(&condvar, &mutex);
    drop(first);
    assert_pending!(late.poll());
    assert!(!late.is_woken());
    condvar.notify_one();
    drop(assert_ready!(late.poll()));
    assert_pending!(waiting(&condvar, &mutex).poll(), "nothing is left");
}

#[test]
fn one_that_got_the_mutex_back_keeps_its_notification() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let [mut first, mut second] = [(); 2].map(|()| waiting(&condvar, &mutex));
    condvar.notify_one();
    drop(assert_ready!(first.poll()));
    assert_pending!(second.poll());
    assert_eq!(condvar.waiting(), 1);
}

#[test]
fn one_whose_condition_still_holds_has_used_its_notification_up() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let guard = mutex.try_lock().unwrap();
    let mut first = task::spawn(condvar.wait_while(guard, |n| *n == 0));
    assert_pending!(first.poll());
    let mut second = waiting(&condvar, &mutex);
    condvar.notify_one();
    assert_pending!(first.poll(), "it waits again");
    drop(first);
    assert_pending!(second.poll());
}

#[test]
fn wait_while_looks_first_and_after_each_notification() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let mut looks = 0;
    let guard = mutex.try_lock().unwrap();
    let mut wait = task::spawn(condvar.wait_while(guard, |n| {
        looks += 1;
        *n < 2
    }));
    assert_pending!(wait.poll());
    for n in 1..=2 {
        *mutex.try_lock().unwrap() = n;
        assert!(!wait.is_woken());
        condvar.notify_one();
        let polled = wait.poll();
        assert_eq!(polled.is_ready(), n == 2);
    }
    drop(wait);
    assert_eq!(looks, 3);
    let guard = mutex.try_lock().unwrap();
    drop(assert_ready!(
        task::spawn(condvar.wait_while(guard, |n| *n < 2)).poll()
    ));
}

#[test]
fn a_condition_that_panics_frees_the_mutex_and_passes_its_notification_on() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let guard = mutex.try_lock().unwrap();
    let mut first = task::spawn(condvar.wait_while(guard, |n| {
        assert_eq!(*n, 0, "no such state");
        true
    }));
    assert_pending!(first.poll());
    let mut second = waiting(&condvar, &mutex);
    *mutex.try_lock().unwrap() = 1;
    condvar.notify_one();
    let caught = catch_unwind(AssertUnwindSafe(|| first.poll()));
    assert!(caught.is_err());
    assert_eq!(*assert_ready!(second.poll()), 1);

    // Without a notification there is none to pass on.
    let mut third = waiting(&condvar, &mutex);
    let guard = mutex.try_lock().unwrap();
    let mut wait = task::spawn(condvar.wait_while(guard, |_| panic!("at once")));
    assert!(catch_unwind(AssertUnwindSafe(|| wait.poll().is_ready())).is_err());
    assert!(mutex.try_lock().is_ok());
    assert_pending!(third.poll());
}

#[tokio::test(start_paused = true)]
async fn a_timed_wait_says_which_it_was() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let start = Instant::now();
    let (guard, result) = condvar.wait_timeout(mutex.lock().await, SECOND).await;
    assert!(result.timed_out());
    assert_eq!((start.elapsed(), condvar.waiting()), (SECOND, 0));

    let notifies = async {
        condvar.notify_one();
        drop(mutex.lock().await); // comes after the one that waits for it already
    };
    let wait = condvar.wait_timeout(guard, SECOND);
    let ((guard, result), ()) = tokio::join!(wait, notifies);
    assert!(!result.timed_out());

    let forever = condvar.wait_timeout(guard, Duration::MAX);
    let ((guard, result), ()) = tokio::join!(forever, async { condvar.notify_all() });
    assert!(!result.timed_out());

    let (_guard, result) = condvar.wait_timeout(guard, Duration::ZERO).await;
    assert!(result.timed_out());
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_notification_in_time_counts_however_late_it_is_seen() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let mut wait = task::spawn(condvar.wait_timeout(mutex.lock().await, SECOND));
    assert_pending!(wait.poll());
    condvar.notify_one();
    tokio::time::advance(2 * SECOND).await;
    assert!(!assert_ready!(wait.poll()).1.timed_out());
}

#[tokio::test(start_paused = true)]
async fn one_whose_time_is_over_takes_no_notification_along() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let mut first = task::spawn(condvar.wait_timeout(mutex.lock().await, SECOND));
    assert_pending!(first.poll());
    let mut second = waiting(&condvar, &mutex);
    let guard = mutex.lock().await;
    tokio::time::advance(SECOND).await;
    assert_pending!(first.poll(), "its time is over, and it waits for the mutex");
    condvar.notify_one();
    drop(guard);
    assert!(assert_ready!(first.poll()).1.timed_out());
    drop(assert_ready!(second.poll()));
}

#[tokio::test(start_paused = true)]
async fn a_timed_condition_is_looked_at_a_last_time() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let start = Instant::now();
    let limit = 3 * SECOND;
    let wait = condvar.wait_timeout_while(mutex.lock().await, limit, |n| *n < 2);
    let changes = async {
        for _ in 0..2 {
            tokio::time::sleep(SECOND).await;
            *mutex.lock().await += 1; // and nobody is told the second time
            if condvar.waiting() > 0 && start.elapsed() == SECOND {
                condvar.notify_one();
            }
        }
    };
    let ((guard, result), ()) = tokio::join!(wait, changes);
    assert_eq!((*guard, result.timed_out()), (2, false));
    assert_eq!(
        start.elapsed(),
        limit,
        "the limit is for all waits together"
    );

    let (_guard, result): (_, WaitTimeoutResult) =
        condvar.wait_timeout_while(guard, limit, |_| true).await;
    assert!(result.timed_out());
    assert_eq!(start.elapsed(), 2 * limit);
}

#[test]
fn repr() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::default());
    let _wait = waiting(&condvar, &mutex);
    assert_eq!(format!("{condvar:?}"), "Condvar { waiting: 1 }");
}

/// Producers and consumers of a small buffer, of whom some give up at any await. Each item has one notification,
/// so if one is lost, somebody sleeps beside an item, and this hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_those_who_give_up() {
    const ITEMS: u32 = 3000;
    const ROOM: usize = 2;

    #[derive(Default)]
    struct Buffer {
        items: Mutex<VecDeque<u32>>,
        came: Condvar,
        left: Condvar,
    }

    async fn take(buffer: &Buffer) -> u32 {
        let items = buffer.items.lock().await;
        let mut items = buffer.came.wait_while(items, |q| q.is_empty()).await;
        buffer.left.notify_one();
        items.pop_front().unwrap()
    }

    let (buffer, sum) = (Arc::new(Buffer::default()), Arc::new(AtomicUsize::new(0)));
    let producer = tokio::spawn({
        let buffer = buffer.clone();
        async move {
            for item in 1..=ITEMS {
                let items = buffer.items.lock().await;
                let mut items = buffer.left.wait_while(items, |q| q.len() == ROOM).await;
                items.push_back(item);
                buffer.came.notify_one();
            }
        }
    });
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let (buffer, sum) = (buffer.clone(), sum.clone());
            tokio::spawn(async move {
                loop {
                    let item = tokio::select! {
                        biased;
                        item = take(&buffer) => item,
                        () = tokio::task::yield_now() => continue, // gives up
                    };
                    if item == u32::MAX {
                        break;
                    }
                    sum.fetch_add(item as usize, SeqCst);
                }
            })
        })
        .collect();
    producer.await.unwrap();
    for _ in &consumers {
        buffer.items.lock().await.push_back(u32::MAX);
        buffer.came.notify_one();
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    assert_eq!(sum.load(SeqCst), (ITEMS * (ITEMS + 1) / 2) as usize);
}

#[derive(Clone, Debug)]
enum Op {
    Wait,
    Notify(usize),
    Poll(usize),
    GiveUp(usize),
    TakeMutex,
    FreeMutex,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => Just(Op::Wait),
        3 => (0..4_usize).prop_map(Op::Notify),
        1 => Just(Op::Notify(usize::MAX)),
        3 => any::<usize>().prop_map(Op::Poll),
        3 => any::<usize>().prop_map(Op::GiveUp),
        1 => Just(Op::TakeMutex),
        1 => Just(Op::FreeMutex),
    ];
    proptest::collection::vec(op, 1..80)
}

/// One that waits, as the model sees it.
struct Model<W> {
    number: usize,
    /// Notified, for those who came before this number.
    notified: Option<usize>,
    wait: W,
}

fn notify<W>(line: &mut [Model<W>], n: usize, before: usize) {
    let in_line = line
        .iter_mut()
        .filter(|one| one.notified.is_none() && one.number < before);
    for one in in_line.take(n) {
        one.notified = Some(before);
    }
}

proptest! {
    #[test]
    fn it_does_what_a_line_does(ops in ops()) {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        let mut line: Vec<Model<_>> = Vec::new();
        let mut begun = 0;
        let held = RefCell::new(None);
        for op in ops {
            match op {
                Op::Wait if held.borrow().is_none() => {
                    let wait = waiting(&condvar, &mutex);
                    line.push(Model { number: begun, notified: None, wait });
                    begun += 1;
                }
                Op::Notify(n) => {
                    condvar.notify(n);
                    notify(&mut line, n, begun);
                }
                Op::Poll(at) if !line.is_empty() => {
                    let at = at % line.len();
                    let is_free = held.borrow().is_none();
                    let goes_on = line[at].notified.is_some() && is_free;
                    match line[at].wait.poll() {
                        Poll::Ready(guard) => {
                            prop_assert!(goes_on);
                            drop(guard);
                            drop(line.remove(at));
                        }
                        Poll::Pending => prop_assert!(!goes_on),
                    }
                }
                Op::GiveUp(at) if !line.is_empty() => {
                    let gone = line.remove(at % line.len());
                    drop(gone.wait);
                    if let Some(before) = gone.notified {
                        notify(&mut line, 1, before);
                    }
                }
                Op::TakeMutex if held.borrow().is_none() => {
                    held.replace(Some(mutex.try_lock().unwrap()));
                }
                Op::FreeMutex if held.borrow().is_some() => {
                    held.replace(None);
                    // It goes from one to the next of those who wait for it.
                    while mutex.try_lock().is_err() {
                        line.retain_mut(|one| one.notified.is_none() || one.wait.poll().is_pending());
                    }
                }
                _ => {}
            }
            let in_line = line.iter().filter(|one| one.notified.is_none()).count();
            prop_assert_eq!(condvar.waiting(), in_line);
        }
    }
}
