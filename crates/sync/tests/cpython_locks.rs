//! CPython 3.13's `Lib/test/test_asyncio/test_locks.py`, case by case, said anew for these types and for Tokio's that are
//! re-exported here. Where nothing corresponds, or something else is promised, the table says why.
//!
//! A test without a file is in this one.
//!
//! | `LockTests` | test |
//! |---|---|
//! | `test_repr` | – `Mutex` prints as Tokio has it |
//! | `test_lock` | `lock::lock` |
//! | `test_lock_doesnt_accept_loop_parameter` | – there is no loop to pass |
//! | `test_lock_by_with_statement` | – a lock that isn't awaited is a warning of the compiler |
//! | `test_acquire` | `lock::acquire` |
//! | `test_acquire_cancel` | `lock::acquire_cancel` |
//! | `test_cancel_race` | `lock::cancel_race` |
//! | `test_cancel_release_race` | `lock::cancel_release_race` |
//! | `test_finished_waiter_cancelled` | `lock::finished_waiter_cancelled` |
//! | `test_release_not_acquired` | – only a guard can release it |
//! | `test_release_no_waiters` | `lock::lock` |
//! | `test_context_manager` | `lock::context_manager` |
//!
//! | `EventTests` | test |
//! |---|---|
//! | `test_repr` | `event.rs`, `repr` |
//! | `test_wait` | `event.rs`, `wait_and_wait_on_set`; they go on in the order in which they are polled |
//! | `test_wait_on_set` | `event.rs`, `wait_and_wait_on_set` |
//! | `test_wait_cancel` | `event.rs`, `wait_cancel` |
//! | `test_clear` | `event.rs`, `clear` |
//! | `test_clear_with_waiters` | `event.rs`, `clear_with_waiters` |
//!
//! | `ConditionTests` | test |
//! |---|---|
//! | `test_wait` | `condition::wait` |
//! | `test_wait_cancel` | `condition::wait_cancel`; the mutex stays free, where asyncio's waiter takes it once more |
//! | `test_wait_cancel_contested` | `condition::wait_cancel_contested`; as above |
//! | `test_wait_cancel_after_notify` | `condition::wait_cancel_after_notify` |
//! | `test_wait_unacquired` | – `wait` takes the guard |
//! | `test_wait_for` | `condition::wait_for` |
//! | `test_wait_for_unacquired` | `condition::wait_for_at_once`; without a guard it doesn't compile |
//! | `test_notify` | `condition::notify` |
//! | `test_notify_all` | `condition::notify_all` |
//! | `test_notify_unacquired` | `condition::notify_unacquired`; it is allowed, as in `std` |
//! | `test_notify_all_unacquired` | `condition::notify_unacquired` |
//! | `test_repr` | `condvar.rs`, `repr` |
//! | `test_context_manager` | – the mutex is locked, not the condition variable |
//! | `test_explicit_lock` | `condition::explicit_lock`; the mutex is always the user's |
//! | `test_ambiguous_loops` | `condition::ambiguous_loops`; any runtimes may share it |
//! | `test_timeout_in_block` | `condition::timeout_in_block` |
//! | `test_cancelled_error_wakeup` | – cancelling is dropping: there is no error on its way |
//! | `test_cancelled_error_re_aquire` | – as above |
//! | `test_cancelled_wakeup` | `condition::cancelled_wakeup` |
//! | `test_cancelled_wakeup_relock` | `condition::cancelled_wakeup_relock` |
//!
//! | `SemaphoreTests` | test |
//! |---|---|
//! | `test_initial_value_zero` | `semaphore::initial_value_zero` |
//! | `test_repr` | – `Semaphore` prints as Tokio has it |
//! | `test_semaphore` | `semaphore::release_no_waiters` |
//! | `test_semaphore_value` | – a number of permits can't be negative |
//! | `test_acquire` | `semaphore::acquire` |
//! | `test_acquire_cancel` | `semaphore::acquire_cancel` |
//! | `test_acquire_cancel_before_awoken` | `semaphore::acquire_cancel_before_awoken` |
//! | `test_acquire_hang` | `semaphore::acquire_hang` |
//! | `test_acquire_no_hang` | `semaphore::acquire_no_hang` |
//! | `test_release_not_acquired` | – a permit releases itself once; `add_permits` is meant to add some |
//! | `test_release_no_waiters` | `semaphore::release_no_waiters` |
//! | `test_acquire_fifo_order` | `semaphore::acquire_fifo_order` |
//! | `test_acquire_fifo_order_2` | `semaphore::acquire_fifo_order_2`; the third has its permit, if not the processor |
//! | `test_acquire_fifo_order_3` | `semaphore::acquire_fifo_order_3` |
//! | `test_acquire_fifo_order_4` | `semaphore::acquire_fifo_order_4`; as with the second |
//!
//! | `BarrierTests` | test |
//! |---|---|
//! | `test_barrier` | – a barrier that isn't waited for is no future: it doesn't compile |
//! | `test_repr` | `barrier.rs`, `repr` |
//! | `test_barrier_parties` | `barrier.rs`, `a_barrier_for_nobody_panics_at_the_caller` |
//! | `test_context_manager` | `barrier::filling_task_by_task`; there is nothing to leave |
//! | `test_filling_one_task` | `barrier.rs`, `filling_one_task` |
//! | `test_filling_one_task_twice` | `barrier.rs`, `filling_one_task` |
//! | `test_filling_task_by_task` | `barrier::filling_task_by_task` |
//! | `test_filling_tasks_wait_twice` | `barrier::filling_tasks_wait_twice` |
//! | `test_filling_tasks_check_return_value` | `barrier::filling_tasks_wait_twice` |
//! | `test_draining_state` | – a round that is complete keeps nobody out of the next |
//! | `test_blocking_tasks_while_draining` | `barrier::blocking_tasks_while_draining` |
//! | `test_filling_tasks_cancel_one` | `barrier::filling_tasks_cancel_one`; it breaks the barrier |
//! | `test_reset_barrier` | `barrier::reset_barrier` |
//! | `test_reset_barrier_while_tasks_waiting` | `barrier.rs`, `reset_barrier_while_waiting` |
//! | `test_reset_barrier_when_tasks_half_draining` | `barrier::reset_barrier_when_tasks_half_draining`; a complete round stays so |
//! | `test_reset_barrier_when_tasks_half_draining_half_blocking` | `barrier::reset_barrier_when_tasks_half_draining_half_blocking`; as above, and those who block get `Broken` |
//! | `test_reset_barrier_while_tasks_waiting_and_waiting_again` | `barrier::reset_barrier_while_tasks_waiting_and_waiting_again` |
//! | `test_reset_barrier_while_tasks_draining` | `barrier::reset_barrier_when_tasks_half_draining` |
//! | `test_abort_barrier` | `barrier::abort_barrier` |
//! | `test_abort_barrier_when_tasks_half_draining_half_blocking` | `barrier.rs`, `abort_barrier_when_tasks_half_draining_half_blocking`; a complete round stays so |
//! | `test_abort_barrier_when_exception` | `barrier::abort_barrier_when_exception` |
//! | `test_abort_barrier_when_exception_then_resetting` | `barrier::abort_barrier_when_exception_then_resetting` |
#![cfg(not(shibuya_loom))]

use std::path::Path;

use tokio_test::task::Spawn;
use tokio_test::{assert_pending, assert_ready, task};

/// One that waits.
fn pending<F: Future>(future: F) -> Spawn<F> {
    let mut future = task::spawn(future);
    assert!(future.poll().is_pending());
    future
}

/// What one has that need not wait.
fn ready<F: Future>(future: F) -> F::Output {
    assert_ready!(task::spawn(future).poll())
}

#[test]
fn the_table_names_tests_that_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let here = include_str!("cpython_locks.rs");
    let mut cases = 0;
    for line in here.lines().filter(|line| line.starts_with("//! | `test_")) {
        cases += 1;
        let (_, ours) = line.split_once("` | ").unwrap();
        if ours.starts_with('–') {
            continue;
        }
        let mut words = ours.split('`').skip(1).step_by(2);
        let first = words.next().unwrap();
        let (source, name) = match first.split_once("::") {
            Some((_, name)) => (here.to_owned(), name),
            None => {
                let source = std::fs::read_to_string(folder.join(first));
                (source.expect(line), words.next().unwrap())
            }
        };
        assert!(source.contains(&format!("fn {name}()")), "{line}");
    }
    assert_eq!(cases, 12 + 6 + 20 + 15 + 22);
}

mod lock {
    use shibuya_sync::Mutex;

    use super::*;

    #[test]
    fn lock() {
        let mutex = Mutex::new(());
        let guard = ready(mutex.lock());
        assert!(mutex.try_lock().is_err());
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    }

    #[test]
    fn acquire() {
        let mutex = Mutex::new(());
        let first = ready(mutex.lock());
        let [mut a, mut b] = [(); 2].map(|()| pending(mutex.lock()));
        drop(first);
        assert!(a.is_woken() && !b.is_woken());
        let first = assert_ready!(a.poll());
        let mut c = pending(mutex.lock());
        drop(first);
        drop(assert_ready!(b.poll()));
        drop(assert_ready!(c.poll()));
    }

    #[test]
    fn acquire_cancel() {
        let mutex = Mutex::new(());
        let guard = ready(mutex.lock());
        drop(pending(mutex.lock()));
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    }

    #[test]
    fn cancel_race() {
        for released_first in [true, false] {
            let mutex = Mutex::new(());
            let guard = ready(mutex.lock());
            let [b, mut c] = [(); 2].map(|()| pending(mutex.lock()));
            if released_first {
                drop(guard);
                drop(b);
            } else {
                drop(b);
                drop(guard);
            }
            drop(assert_ready!(c.poll()));
            assert!(mutex.try_lock().is_ok());
        }
    }

    #[test]
    fn cancel_release_race() {
        let mutex = Mutex::new(());
        let guard = ready(mutex.lock());
        let [a, mut b, mut c] = [(); 3].map(|()| pending(mutex.lock()));
        drop(a);
        drop(guard);
        let _guard = assert_ready!(b.poll());
        assert_pending!(c.poll());
        assert!(!c.is_woken());
    }

    #[test]
    fn finished_waiter_cancelled() {
        let mutex = Mutex::new(());
        let guard = ready(mutex.lock());
        let [b, mut c] = [(); 2].map(|()| pending(mutex.lock()));
        drop(guard);
        assert!(b.is_woken(), "it has the lock, and never looks");
        drop(b);
        drop(assert_ready!(c.poll()));
    }

    #[tokio::test]
    async fn context_manager() {
        let mutex = Mutex::new(0);
        {
            let mut value = mutex.lock().await;
            *value += 1;
            assert!(mutex.try_lock().is_err());
        }
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    }
}

mod condition {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use shibuya_sync::{Condvar, Mutex};
    use tokio::runtime::Builder;
    use tokio::sync::MutexGuard;
    use tokio::time::timeout;

    use super::*;

    type Shared = (Mutex<i32>, Condvar);

    fn waiting((mutex, condvar): &Shared) -> Spawn<impl Future<Output = MutexGuard<'_, i32>>> {
        pending(condvar.wait(mutex.try_lock().unwrap()))
    }

    #[test]
    fn wait() {
        let shared = Shared::default();
        let (mutex, condvar) = &shared;
        let [mut a, mut b, mut c] = [(); 3].map(|()| waiting(&shared));
        let guard = mutex.try_lock().unwrap();
        condvar.notify_one();
        assert_pending!(a.poll(), "the mutex is held");
        drop(guard);
        let guard = assert_ready!(a.poll());
        condvar.notify(2);
        assert_pending!(b.poll());
        assert_pending!(c.poll());
        drop(guard);
        assert!(
            b.is_woken() && !c.is_woken(),
            "they take turns at the mutex"
        );
        drop(assert_ready!(b.poll()));
        drop(assert_ready!(c.poll()));
    }

    #[test]
    fn wait_cancel() {
        let shared = Shared::default();
        drop(waiting(&shared));
        assert_eq!(shared.1.waiting(), 0);
        assert!(shared.0.try_lock().is_ok());
    }

    #[test]
    fn wait_cancel_contested() {
        let shared = Shared::default();
        let (mutex, condvar) = &shared;
        let mut wait = waiting(&shared);
        let guard = mutex.try_lock().unwrap();
        condvar.notify_one();
        assert_pending!(wait.poll());
        drop(wait);
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    }

    #[test]
    fn wait_cancel_after_notify() {
        let shared = Shared::default();
        let wait = waiting(&shared);
        let guard = shared.0.try_lock().unwrap();
        shared.1.notify_one();
        drop(wait); // before it looks
        drop(guard);
        assert!(shared.0.try_lock().is_ok());
    }

    #[test]
    fn wait_for() {
        let (mutex, condvar) = Shared::default();
        let wait_for = condvar.wait_while(mutex.try_lock().unwrap(), |value| *value == 0);
        let mut wait_for = pending(wait_for);
        condvar.notify_one();
        assert_pending!(wait_for.poll());
        *mutex.try_lock().unwrap() = 1;
        condvar.notify_one();
        assert_eq!(*assert_ready!(wait_for.poll()), 1);
    }

    #[test]
    fn wait_for_at_once() {
        let (mutex, condvar) = Shared::default();
        drop(ready(
            condvar.wait_while(mutex.try_lock().unwrap(), |_| false),
        ));
    }

    #[test]
    fn notify() {
        let shared = Shared::default();
        let mut waits = [(); 3].map(|()| waiting(&shared));
        shared.1.notify(1);
        assert_eq!(
            waits.each_ref().map(|wait| wait.is_woken()),
            [true, false, false]
        );
        shared.1.notify(1);
        shared.1.notify(2048);
        for wait in &mut waits {
            drop(assert_ready!(wait.poll()));
        }
        assert_pending!(waiting(&shared).poll());
    }

    #[test]
    fn notify_all() {
        let shared = Shared::default();
        let waits = [(); 2].map(|()| waiting(&shared));
        shared.1.notify_all();
        for mut wait in waits {
            drop(assert_ready!(wait.poll()));
        }
    }

    #[test]
    fn notify_unacquired() {
        let shared = Shared::default();
        let [mut a, mut b] = [(); 2].map(|()| waiting(&shared));
        assert!(shared.0.try_lock().is_ok(), "nobody holds the mutex");
        shared.1.notify_one();
        drop(assert_ready!(a.poll()));
        shared.1.notify_all();
        drop(assert_ready!(b.poll()));
    }

    #[test]
    fn explicit_lock() {
        let (mutex, not_empty, not_full) = (Mutex::new(0), Condvar::new(), Condvar::new());
        let mut takes = pending(not_empty.wait(mutex.try_lock().unwrap()));
        let mut puts = pending(not_full.wait(mutex.try_lock().unwrap()));
        not_full.notify_all();
        drop(assert_ready!(puts.poll()));
        assert_pending!(takes.poll());
    }

    #[test]
    fn ambiguous_loops() {
        let shared = Shared::default();
        let runtime = || Builder::new_current_thread().build().unwrap();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                runtime().block_on(async {
                    let guard = shared.0.lock().await;
                    tell.send(()).unwrap(); // while the mutex is held
                    drop(shared.1.wait_while(guard, |value| *value == 0).await);
                });
            });
            told.recv().unwrap();
            runtime().block_on(async {
                *shared.0.lock().await = 1;
                shared.1.notify_one();
            });
        });
    }

    #[tokio::test(start_paused = true)]
    async fn timeout_in_block() {
        const HALF: Duration = Duration::from_millis(500);
        let (mutex, condvar) = Shared::default();
        let gave_up = timeout(HALF, condvar.wait(mutex.lock().await)).await;
        assert!(gave_up.is_err());
        let (_guard, result) = condvar.wait_timeout(mutex.lock().await, HALF).await;
        assert!(result.timed_out());
    }

    /// Takes what is produced, until there is less than nothing.
    async fn consume((mutex, condvar): &Shared) {
        let mut state = mutex.lock().await;
        loop {
            state = condvar.wait_while(state, |state| *state == 0).await;
            if *state < 0 {
                return;
            }
            *state -= 1;
        }
    }

    fn cancelled(after_it_looked: bool) {
        let shared = Shared::default();
        let [mut goes, mut stays] = [(); 2].map(|()| pending(consume(&shared)));
        let mut state = shared.0.try_lock().unwrap();
        *state += 1;
        shared.1.notify(1);
        if after_it_looked {
            assert_pending!(goes.poll());
        }
        drop(goes);
        drop(state);
        assert!(stays.is_woken());
        assert_pending!(stays.poll());
        let mut state = shared.0.try_lock().unwrap();
        assert_eq!(*state, 0, "it is consumed");
        *state = -1;
        shared.1.notify_all();
        drop(state);
        assert_ready!(stays.poll());
    }

    #[test]
    fn cancelled_wakeup() {
        cancelled(false);
    }

    #[test]
    fn cancelled_wakeup_relock() {
        cancelled(true);
    }
}

mod semaphore {
    use std::sync::Mutex;
    use std::time::Duration;

    use shibuya_sync::Semaphore;
    use tokio::time::sleep;

    use super::*;

    #[test]
    fn initial_value_zero() {
        assert!(Semaphore::new(0).try_acquire().is_err());
    }

    #[test]
    fn acquire() {
        let semaphore = Semaphore::new(3);
        let mut taken = vec![
            ready(semaphore.acquire()).unwrap(),
            ready(semaphore.acquire()).unwrap(),
        ];
        assert_eq!(semaphore.available_permits(), 1);
        taken.push(ready(semaphore.acquire()).unwrap());
        let [mut b, mut c] = [(); 2].map(|()| pending(semaphore.acquire()));
        let mut d = pending(semaphore.acquire());
        taken.truncate(1);
        let [_b, _c] = [&mut b, &mut c].map(|wait| assert_ready!(wait.poll()).unwrap());
        assert_pending!(d.poll());
        assert_eq!(semaphore.available_permits(), 0);
        drop(taken);
        assert!(assert_ready!(d.poll()).is_ok());
    }

    #[test]
    fn acquire_cancel() {
        let semaphore = Semaphore::new(1);
        let permit = ready(semaphore.acquire()).unwrap();
        drop(pending(semaphore.acquire()));
        drop(permit);
        assert_eq!(semaphore.available_permits(), 1);
    }

    #[test]
    fn acquire_cancel_before_awoken() {
        let semaphore = Semaphore::new(0);
        let [a, b, mut c, mut d] = [(); 4].map(|()| pending(semaphore.acquire()));
        drop((a, b));
        semaphore.add_permits(1);
        let _permit = assert_ready!(c.poll()).unwrap();
        assert_pending!(d.poll());
    }

    #[test]
    fn acquire_hang() {
        let semaphore = Semaphore::new(0);
        let [a, mut b] = [(); 2].map(|()| pending(semaphore.acquire()));
        drop(a);
        semaphore.add_permits(1);
        let _permit = assert_ready!(b.poll()).unwrap();
        assert!(semaphore.try_acquire().is_err());
    }

    #[test]
    fn acquire_no_hang() {
        let semaphore = Semaphore::new(1);
        let permit = ready(semaphore.acquire()).unwrap();
        let waits = pending(semaphore.acquire());
        drop(permit);
        assert!(waits.is_woken(), "it has the permit, and never looks");
        drop(waits);
        assert!(ready(semaphore.acquire()).is_ok());
    }

    #[test]
    fn release_no_waiters() {
        let semaphore = Semaphore::new(1);
        let permit = ready(semaphore.acquire()).unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        drop(permit);
        assert_eq!(semaphore.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn acquire_fifo_order() {
        let (semaphore, order) = (Semaphore::new(1), Mutex::new(Vec::new()));
        let twice = async |name| {
            for round in 1..=2 {
                let _permit = semaphore.acquire().await.unwrap();
                order.lock().unwrap().push((name, round));
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::join!(twice('a'), twice('b'), twice('c'));
        let expected = [('a', 1), ('b', 1), ('c', 1), ('a', 2), ('b', 2), ('c', 2)];
        assert_eq!(*order.lock().unwrap(), expected);
    }

    #[test]
    fn acquire_fifo_order_2() {
        let semaphore = Semaphore::new(1);
        ready(semaphore.acquire()).unwrap().forget();
        let [mut b, mut c] = [(); 2].map(|()| pending(semaphore.acquire()));
        semaphore.add_permits(2);
        drop(assert_ready!(b.poll()).unwrap());
        let _again = ready(semaphore.acquire()).unwrap();
        assert!(semaphore.try_acquire().is_err());
        assert!(
            assert_ready!(c.poll()).is_ok(),
            "it had its permit before that"
        );
    }

    #[test]
    fn acquire_fifo_order_3() {
        let semaphore = Semaphore::new(0);
        let [a, mut b, mut c] = [(); 3].map(|()| pending(semaphore.acquire()));
        drop(a);
        semaphore.add_permits(1);
        assert!(b.is_woken() && !c.is_woken());
        semaphore.add_permits(1);
        assert!(assert_ready!(b.poll()).is_ok());
        assert!(assert_ready!(c.poll()).is_ok());
    }

    #[test]
    fn acquire_fifo_order_4() {
        let semaphore = Semaphore::new(0);
        let mut a = pending(semaphore.acquire());
        semaphore.add_permits(3);
        let _others = [(); 2].map(|()| ready(semaphore.acquire()).unwrap());
        assert!(semaphore.try_acquire().is_err());
        assert!(
            assert_ready!(a.poll()).is_ok(),
            "it had its permit before them"
        );
    }
}

mod barrier {
    use shibuya_sync::{Arrival, Barrier, BarrierWait, Broken};

    use super::*;

    const N: usize = 5;

    fn waiting(barrier: &Barrier) -> Spawn<BarrierWait<'_>> {
        pending(barrier.wait())
    }

    /// All but the last wait; then that comes.
    fn complete(barrier: &Barrier) -> (Vec<Spawn<BarrierWait<'_>>>, Arrival) {
        let waits = (1..barrier.parties()).map(|_| waiting(barrier)).collect();
        (waits, ready(barrier.wait()).unwrap())
    }

    #[test]
    fn filling_task_by_task() {
        let barrier = Barrier::new(3);
        let mut a = waiting(&barrier);
        assert_eq!(barrier.waiting(), 1);
        let mut b = waiting(&barrier);
        assert_eq!(barrier.waiting(), 2);
        let last = ready(barrier.wait()).unwrap();
        let [a, b] = [&mut a, &mut b].map(|wait| assert_ready!(wait.poll()).unwrap());
        assert_eq!([a, b, last].map(Arrival::index), [0, 1, 2]);
        assert!(barrier.waiting() == 0 && !barrier.is_broken());
    }

    #[test]
    fn filling_tasks_wait_twice() {
        let barrier = Barrier::new(N);
        let twice = async || {
            let first = barrier.wait().await?;
            let second = barrier.wait().await?;
            Ok::<_, Broken>((first.index(), second.index()))
        };
        let mut tasks: Vec<_> = (1..N).map(|_| pending(twice())).collect();
        tasks.push(task::spawn(twice()));
        let mut indices = Vec::new();
        while !tasks.is_empty() {
            tasks.retain_mut(|task| match task.poll() {
                std::task::Poll::Ready(both) => {
                    indices.push(both.unwrap());
                    false
                }
                std::task::Poll::Pending => true,
            });
        }
        let (mut first, mut second): (Vec<_>, Vec<_>) = indices.into_iter().unzip();
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!((first, second), ((0..N).collect(), (0..N).collect()));
        assert!(barrier.waiting() == 0 && !barrier.is_broken());
    }

    #[test]
    fn blocking_tasks_while_draining() {
        let barrier = Barrier::new(N);
        let (draining, _) = complete(&barrier);
        // Two come again, before the rest of the round before has looked.
        let mut again = [(); 2].map(|()| waiting(&barrier));
        assert_eq!(barrier.waiting(), 2);
        for mut wait in draining {
            assert_ready!(wait.poll()).unwrap();
        }
        let others = [(); 2].map(|()| waiting(&barrier));
        assert!(ready(barrier.wait()).unwrap().is_last());
        for wait in again.iter_mut().chain(&mut { others }) {
            assert_ready!(wait.poll()).unwrap();
        }
    }

    #[test]
    fn filling_tasks_cancel_one() {
        let barrier = Barrier::new(3);
        let goes = waiting(&barrier);
        let mut stays = waiting(&barrier);
        drop(goes);
        assert_eq!(assert_ready!(stays.poll()), Err(Broken));
        assert_eq!(ready(barrier.wait()), Err(Broken));
        barrier.reset();
        complete(&barrier);
    }

    #[test]
    fn reset_barrier() {
        let barrier = Barrier::new(1);
        barrier.reset();
        assert!(barrier.waiting() == 0 && !barrier.is_broken());
    }

    #[test]
    fn reset_barrier_when_tasks_half_draining() {
        let barrier = Barrier::new(N);
        let (mut draining, _) = complete(&barrier);
        assert_ready!(draining[0].poll()).unwrap();
        barrier.reset();
        for wait in &mut draining[1..] {
            assert_ready!(wait.poll()).unwrap();
        }
        assert!(barrier.waiting() == 0 && !barrier.is_broken());
    }

    #[test]
    fn reset_barrier_when_tasks_half_draining_half_blocking() {
        let barrier = Barrier::new(N);
        let (mut draining, _) = complete(&barrier);
        assert_ready!(draining[0].poll()).unwrap();
        let mut blocks = waiting(&barrier);
        barrier.reset();
        assert_eq!(assert_ready!(blocks.poll()), Err(Broken));
        for wait in &mut draining[1..] {
            assert_ready!(wait.poll()).unwrap();
        }
        complete(&barrier);
    }

    #[test]
    fn reset_barrier_while_tasks_waiting_and_waiting_again() {
        let barrier = Barrier::new(N);
        let again = async || {
            let first = barrier.wait().await;
            (first, barrier.wait().await)
        };
        let mut tasks: Vec<_> = (1..N).map(|_| pending(again())).collect();
        barrier.reset();
        for task in &mut tasks {
            assert_pending!(task.poll(), "it waits again");
        }
        ready(barrier.wait()).unwrap();
        for mut task in tasks {
            let (first, second) = assert_ready!(task.poll());
            assert!(first == Err(Broken) && second.is_ok());
        }
    }

    #[test]
    fn abort_barrier() {
        let barrier = Barrier::new(1);
        barrier.break_now();
        assert!(barrier.waiting() == 0 && barrier.is_broken());
    }

    /// All pass the barrier once, and wait again; but one fails on the way.
    fn one_fails(barrier: &Barrier) {
        let twice = async || {
            let party = barrier.party();
            if party.wait().await?.index() == N / 2 {
                return Ok(None); // drops its party
            }
            let second = party.wait().await;
            party.leave();
            second.map(Some)
        };
        let mut tasks: Vec<_> = (1..N).map(|_| pending(twice())).collect();
        tasks.push(pending(twice()));
        let mut results = Vec::new();
        while !tasks.is_empty() {
            tasks.retain_mut(|task| match task.poll() {
                std::task::Poll::Ready(result) => {
                    results.push(result);
                    false
                }
                std::task::Poll::Pending => true,
            });
        }
        let broken = results.iter().filter(|result| **result == Err(Broken));
        assert_eq!(broken.count(), N - 1);
        assert!(barrier.is_broken());
    }

    #[test]
    fn abort_barrier_when_exception() {
        one_fails(&Barrier::new(N));
    }

    #[test]
    fn abort_barrier_when_exception_then_resetting() {
        let barrier = Barrier::new(N);
        one_fails(&barrier);
        barrier.reset();
        let (waits, last) = complete(&barrier);
        assert!(last.is_last());
        for mut wait in waits {
            assert_ready!(wait.poll()).unwrap();
        }
    }
}
