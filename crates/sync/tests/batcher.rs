//! What a batcher promises.
#![cfg(not(shibuya_loom))]

mod common;

use std::future::{pending, ready};
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{MS, panics_here};
use shibuya_sync::{AddError, Batch, Batcher, TryAddError};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, sleep_until};
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task};

const LONG: Duration = Duration::from_secs(3600);

fn filled(max: usize, items: impl IntoIterator<Item = u32>) -> Batcher<u32> {
    let batcher = Batcher::new(max, LONG);
    for item in items {
        batcher.try_add(item).unwrap();
    }
    batcher
}

/// Flushes all that is due, and gives it.
fn flush(batcher: &Batcher<u32>) -> Vec<Vec<u32>> {
    let batches = Mutex::new(Vec::new());
    let mut run =
        task::spawn(batcher.run(async |batch| batches.lock().unwrap().push(batch.clone())));
    let _ = run.poll();
    drop(run);
    batches.into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_flushed_when_it_is_full_and_when_its_first_item_has_waited() {
    let batcher = Batcher::new(3, 10 * MS);
    let (start, flushed) = (Instant::now(), Mutex::new(Vec::new()));
    let run = batcher.run(async |items| {
        let at = start.elapsed().as_millis();
        flushed.lock().unwrap().push((at, items.clone()));
    });
    let adds = async {
        let items = [(5, 1), (6, 2), (7, 3), (20, 4), (29, 5), (45, 6), (50, 7)];
        for (at, item) in items {
            sleep_until(start + at * MS).await;
            batcher.add(item).await.unwrap();
        }
        batcher.close();
    };
    tokio::join!(run, adds);
    let batches = [
        (7, vec![1, 2, 3]),
        (30, vec![4, 5]),
        (50, vec![6, 7]), // closed
    ];
    assert_eq!(*flushed.lock().unwrap(), batches);
}

#[test]
fn nothing_runs_by_itself() {
    let batcher = filled(2, [1, 2]);
    assert_eq!((batcher.len(), batcher.is_empty()), (2, false));
    assert_eq!(flush(&batcher), [[1, 2]]);
    assert!(batcher.is_empty());
}

#[tokio::test(start_paused = true)]
async fn those_who_add_wait_while_a_batch_is_full() {
    let batcher = Batcher::new(2, LONG);
    let release = Semaphore::new(0);
    let flushed = Mutex::new(Vec::new());
    let mut run = task::spawn(batcher.run(async |items| {
        release.acquire().await.unwrap().forget();
        flushed.lock().unwrap().push(items.clone());
    }));
    assert_pending!(run.poll());
    for item in 1..=2 {
        assert_ready!(task::spawn(batcher.add(item)).poll()).unwrap();
    }
    assert!(run.is_woken());
    assert_pending!(run.poll(), "it flushes the first batch");
    for item in 3..=4 {
        assert_ready!(task::spawn(batcher.add(item)).poll()).unwrap();
    }
    let mut waits = [5, 6].map(|item| task::spawn(batcher.add(item)));
    for wait in &mut waits {
        assert_pending!(wait.poll());
    }
    assert_eq!(batcher.try_add(7), Err(TryAddError::Full(7)));
    release.add_permits(1);
    assert_pending!(run.poll(), "it takes the second");
    assert_eq!(*flushed.lock().unwrap(), [[1, 2]]);
    let [mut five, six] = waits;
    assert!(five.is_woken());
    assert_ready!(five.poll()).unwrap();
    drop(six); // accepted, and dropped before it looks
    for _ in 0..2 {
        release.add_permits(1);
        assert_pending!(run.poll());
    }
    assert_eq!(*flushed.lock().unwrap(), [[1, 2], [3, 4], [5, 6]]);
}

#[test]
fn one_that_leaves_the_line_takes_its_item_along() {
    let batcher = filled(1, [1]);
    let mut leaves = task::spawn(batcher.add(2));
    let mut stays = task::spawn(batcher.add(3));
    assert_pending!(leaves.poll());
    assert_pending!(stays.poll());
    drop(leaves);
    assert_eq!(flush(&batcher), [[1], [3]]);
    assert_ready!(stays.poll()).unwrap();
}

#[tokio::test]
async fn close_flushes_what_was_accepted_and_gives_back_what_waits() {
    let batcher = filled(2, [1, 2]);
    let mut waits = task::spawn(batcher.add(3));
    assert_pending!(waits.poll());
    batcher.close();
    assert_ready_eq!(waits.poll(), Err(AddError(3)));
    assert!(batcher.is_closed());
    assert_eq!(batcher.add(4).await, Err(AddError(4)));
    let refused = batcher.try_add(5).unwrap_err();
    assert!(refused.is_closed() && !refused.is_full());
    assert_eq!((refused.into_inner(), AddError(6).into_inner()), (5, 6));

    assert_eq!(flush(&batcher), [[1, 2]]);
    batcher.run(async |_| unreachable!()).await;
}

#[test]
fn close_ends_a_run_that_waits() {
    let batcher = filled(2, []);
    let mut run = task::spawn(batcher.run(async |_| unreachable!()));
    assert_pending!(run.poll());
    batcher.close();
    assert!(run.is_woken());
    assert_ready!(run.poll());
}

#[test]
fn what_a_dropped_flush_left_comes_first_in_the_next_run() {
    let batcher = filled(3, [1, 2, 3]);
    let mut run = task::spawn(batcher.run(async |mut items| {
        assert_eq!(items.remove(0), 1); // done with it
        pending().await
    }));
    assert_pending!(run.poll());
    for item in 4..=6 {
        batcher.try_add(item).unwrap();
    }
    assert_eq!(batcher.len(), 3);
    drop(run);
    assert_eq!(batcher.len(), 5);
    assert_eq!(flush(&batcher), [vec![2, 3], vec![4, 5, 6]]);
}

#[tokio::test]
async fn what_a_flush_that_panics_left_comes_first_in_the_next_run() {
    let batcher = Arc::new(filled(2, [1, 2]));
    let other = batcher.clone();
    let run = tokio::spawn(async move {
        let fails = async |items: Batch<'_, u32>| {
            yield_now().await;
            assert!(items.is_empty(), "no such table");
        };
        other.run(fails).await;
    });
    assert!(run.await.unwrap_err().is_panic());
    assert_eq!(flush(&batcher), [[1, 2]]);
}

#[tokio::test]
async fn what_a_flush_that_fails_left_comes_first_in_the_next_run() {
    let batcher = filled(3, [1, 2, 3]);
    let calls = AtomicUsize::new(0);
    let fails = batcher.try_run(async |mut items| {
        calls.fetch_add(1, SeqCst);
        batcher.try_add(4).unwrap(); // is gathered meanwhile
        yield_now().await;
        assert_eq!(items.remove(0), 1); // succeeded
        Err("no such table")
    });
    assert_eq!(fails.await, Err("no such table"));
    assert_eq!((calls.into_inner(), batcher.len()), (1, 3));
    assert!(!batcher.is_closed());
    batcher.close();

    let mut flushed = Vec::new();
    let succeeds = batcher.try_run(|items| {
        flushed.push(items.clone()); // only looks
        ready(Ok::<_, &str>(()))
    });
    assert_eq!(succeeds.await, Ok(()));
    assert_eq!(flushed, [vec![2, 3], vec![4]]);
    assert!(batcher.is_empty());
}

#[tokio::test]
async fn a_run_that_fails_makes_room_for_the_next() {
    let batcher = filled(1, [1]);
    let mut fails = task::spawn(batcher.try_run(async |_| {
        yield_now().await;
        Err(())
    }));
    assert_pending!(fails.poll());
    let mut flushed = Vec::new();
    let mut next = task::spawn(batcher.run(|items| ready(flushed.extend(items.into_vec()))));
    assert_pending!(next.poll());
    assert_ready_eq!(fails.poll(), Err(()));
    assert!(next.is_woken());
    assert_pending!(next.poll());
    drop(next);
    assert_eq!(flushed, [1]);
}

#[test]
fn what_a_flush_took_out_is_its_own() {
    let batcher = filled(2, [1, 2]);
    let mut taken = Vec::new();
    let mut run = task::spawn(batcher.try_run(|items| {
        taken = items.into_vec();
        ready(Err(()))
    }));
    assert_ready_eq!(run.poll(), Err(()));
    drop(run);
    assert_eq!((taken, batcher.len()), (vec![1, 2], 0));
}

#[test]
fn what_a_flush_leaves_when_it_returns_is_done() {
    let batcher = filled(2, [1, 2]);
    assert_eq!(flush(&batcher), [[1, 2]]);
    assert_eq!(flush(&batcher), Vec::<Vec<u32>>::new());
}

#[test]
fn a_batch_that_outlives_its_flush_is_not_flushed_again() {
    let batcher = filled(2, [1, 2]);
    let kept = Mutex::new(Vec::new());
    let mut run = task::spawn(batcher.run(async |batch| kept.lock().unwrap().push(batch)));
    assert_pending!(run.poll());
    let [first] = <[_; 1]>::try_from(take(&mut *kept.lock().unwrap())).unwrap();
    assert_eq!(*first, [1, 2]);
    drop(first);
    assert!(batcher.is_empty());

    for item in [3, 4] {
        batcher.try_add(item).unwrap();
    }
    assert_pending!(run.poll());
    assert_eq!(*kept.lock().unwrap()[0], [3, 4]);
}

#[test]
fn a_batch_is_not_lost_when_the_waker_of_one_that_waits_for_room_panics() {
    struct Bomb;

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }

    let batcher = filled(2, [1, 2]);
    let bomb = Waker::from(Arc::new(Bomb));
    let mut waits = pin!(batcher.add(3));
    assert_pending!(waits.as_mut().poll(&mut Context::from_waker(&bomb)));
    let flushing = catch_unwind(AssertUnwindSafe(|| flush(&batcher)));
    assert!(flushing.is_err());
    assert_eq!(batcher.drain(), [1, 2, 3]);
}

#[test]
fn the_next_run_takes_over_when_the_first_is_gone() {
    let batcher = filled(1, [1]);
    let mut first = task::spawn(batcher.run(async |_| pending().await));
    assert_pending!(first.poll());
    let flushed = Mutex::new(Vec::new());
    let mut second =
        task::spawn(batcher.run(async |mut items| flushed.lock().unwrap().append(&mut items)));
    assert_pending!(second.poll());
    drop(first);
    assert!(second.is_woken());
    assert_pending!(second.poll());
    drop(second);
    assert_eq!(*flushed.lock().unwrap(), [1]);
}

#[test]
fn drain_takes_what_a_failed_flush_left() {
    let batcher = filled(2, [1, 2]);
    let mut run = task::spawn(batcher.try_run(async |_| Err(())));
    assert_ready_eq!(run.poll(), Err(()));
    batcher.try_add(3).unwrap();
    assert_eq!(batcher.drain(), [1, 2, 3]);
}

#[test]
fn drain_takes_what_is_not_being_flushed() {
    let batcher = filled(2, [1, 2]);
    let mut run = task::spawn(batcher.run(async |_| pending().await));
    assert_pending!(run.poll());
    batcher.try_add(3).unwrap();
    batcher.try_add(4).unwrap();
    let mut waits = task::spawn(batcher.add(5));
    assert_pending!(waits.poll());
    drop(run);
    assert_eq!(batcher.drain(), [1, 2, 3, 4]);
    assert_ready!(waits.poll()).unwrap();
    assert_eq!(batcher.drain(), [5]);
    assert!(batcher.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_room_is_flushed_in_time_after_a_drain() {
    let batcher = Batcher::new(1, 10 * MS);
    let start = Instant::now();
    batcher.try_add(1).unwrap();
    let mut waits = task::spawn(batcher.add(2));
    assert_pending!(waits.poll());
    let flushed = Mutex::new(Vec::new());
    assert_eq!(batcher.drain(), [1]);
    drop(waits); // it was accepted, and never looks
    let run = batcher.run(async |mut items| flushed.lock().unwrap().append(&mut items));
    tokio::join!(run, async {
        sleep(MS).await;
        batcher.close();
    });
    assert_eq!(*flushed.lock().unwrap(), [2]);
    assert_eq!(start.elapsed(), MS);
}

#[tokio::test(start_paused = true)]
async fn an_endless_time_is_none() {
    let batcher = Batcher::new(2, Duration::MAX);
    let flushed = Mutex::new(0);
    let mut run = task::spawn(batcher.run(async |_| *flushed.lock().unwrap() += 1));
    batcher.try_add(1).unwrap();
    assert_pending!(run.poll());
    advance(1000 * LONG).await;
    assert_pending!(run.poll());
    batcher.close();
    assert_ready!(run.poll());
    drop(run);
    assert_eq!(*flushed.lock().unwrap(), 1);
}

/// Each asks with a way to answer: a loader of what many ask for.
#[tokio::test]
async fn each_who_asks_gets_its_answer() {
    type Ask = (u32, oneshot::Sender<u32>);
    let squares: Arc<Batcher<Ask>> = Arc::new(Batcher::new(4, 5 * MS));
    let runs = tokio::spawn({
        let squares = squares.clone();
        async move {
            squares
                .run(async |mut asks| {
                    yield_now().await;
                    for (n, answer) in asks.drain(..) {
                        answer.send(n * n).unwrap();
                    }
                })
                .await;
        }
    });
    let asks = (0..10).map(|n| {
        let squares = squares.clone();
        tokio::spawn(async move {
            let (answer, answered) = oneshot::channel();
            squares.add((n, answer)).await.unwrap();
            answered.await.unwrap()
        })
    });
    for (n, ask) in (0..10).zip(asks.collect::<Vec<_>>()) {
        assert_eq!(ask.await.unwrap(), n * n);
    }
    squares.close();
    runs.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_item_is_lost_while_adds_are_given_up_and_runs_replaced() {
    const ITEMS: u32 = 2000;
    let batcher = Arc::new(Batcher::new(7, MS));
    let flushed = Arc::new(Mutex::new(Vec::new()));
    let run = tokio::spawn({
        let (batcher, flushed) = (batcher.clone(), flushed.clone());
        async move {
            while !(batcher.is_closed() && batcher.is_empty()) {
                let run = batcher.run(async |mut items| {
                    yield_now().await;
                    assert!((1..=7).contains(&items.len()));
                    flushed.lock().unwrap().append(&mut items);
                    yield_now().await;
                });
                let _ = tokio::time::timeout(MS, run).await;
            }
        }
    });
    let adds: Vec<_> = (0..4)
        .map(|n| {
            let batcher = batcher.clone();
            tokio::spawn(async move {
                for item in 0..ITEMS {
                    // Gives up, and then doesn't know whether it was accepted; so it may come twice.
                    let add = batcher.add(n * ITEMS + item);
                    tokio::select! {
                        biased;
                        added = add => added.unwrap(),
                        () = yield_now() => {
                            batcher.add(n * ITEMS + item).await.unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    for add in adds {
        add.await.unwrap();
    }
    batcher.close();
    run.await.unwrap();
    let mut flushed = std::mem::take(&mut *flushed.lock().unwrap());
    for n in 0..4 {
        // In the order in which each task added them.
        let of_n = flushed.iter().filter(|item| **item / ITEMS == n);
        assert!(of_n.is_sorted());
    }
    flushed.sort_unstable();
    flushed.dedup();
    assert_eq!(flushed, (0..4 * ITEMS).collect::<Vec<_>>());
}

#[test]
fn impossible_constants_panic_at_the_caller() {
    panics_here(|| Batcher::<u8>::new(0, MS));
    panics_here(|| Batcher::<u8>::new(1, Duration::ZERO));
}

#[test]
fn repr() {
    let batcher = filled(2, [1]);
    let text = format!("{batcher:?} {:?} {:?}", AddError(1), TryAddError::Full(1));
    assert_eq!(
        text,
        "Batcher { len: 1, closed: false, .. } AddError(..) Full(..)"
    );
    assert_eq!(TryAddError::Closed(1).to_string(), "the batcher is closed");
}
