//! The harness catches the usual ways of losing something, and says where.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use shibuya_testkit::{Ending, Harness, Report, cancel_at_every_poll};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// A limit that a loaded machine keeps, for futures that run into it.
const LIMIT: Duration = Duration::from_secs(1);

/// The message that `harness` panics with.
fn caught(harness: impl Future<Output = Report>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| runtime.block_on(harness)))
        .expect_err("the harness saw nothing");
    *payload.downcast::<String>().expect("a formatted message")
}

#[track_caller]
fn assert_contains(message: &str, part: &str) {
    assert!(message.contains(part), "{part:?} is not in {message:?}");
}

#[derive(Default)]
struct LossyChannel {
    queue: Mutex<VecDeque<u32>>,
    receiver: Mutex<Option<Waker>>,
}

impl LossyChannel {
    fn send(&self, item: u32) {
        self.queue.lock().unwrap().push_back(item);
        if let Some(waker) = self.receiver.lock().unwrap().take() {
            waker.wake();
        }
    }

    async fn recv(&self) -> u32 {
        let item = poll_fn(|cx| {
            *self.receiver.lock().unwrap() = Some(cx.waker().clone());
            self.queue
                .lock()
                .unwrap()
                .pop_front()
                .map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        yield_now().await; // the mistake: here the item lives in the future alone
        item
    }
}

#[test]
fn a_receive_that_loses_its_item() {
    let message = caught(cancel_at_every_poll(
        "LossyChannel::recv",
        async || {
            let channel = Arc::new(LossyChannel::default());
            let (sender, receiver) = (channel.clone(), channel.clone());
            tokio::spawn(async move { sender.send(7) });
            (channel, async move { receiver.recv().await })
        },
        async |channel, ending| {
            if ending.is_dropped() {
                yield_now().await; // the sender's turn
                assert_eq!(
                    channel.queue.lock().unwrap().front(),
                    Some(&7),
                    "the item is lost"
                );
            }
        },
    ));
    assert_contains(
        &message,
        "`LossyChannel::recv`, dropped after poll 2: `check` panicked: ",
    );
    assert_contains(&message, "the item is lost");
    assert_contains(&message, file!());
}

/// A gate whose waiters, once woken, don't pass the wake on when they die.
#[derive(Default)]
struct NaiveGate {
    waiters: Mutex<VecDeque<Arc<Mutex<Waiter>>>>,
}

#[derive(Default)]
struct Waiter {
    notified: bool,
    waker: Option<Waker>,
}

impl NaiveGate {
    fn notify_one(&self) {
        if let Some(waiter) = self.waiters.lock().unwrap().pop_front() {
            let mut waiter = waiter.lock().unwrap();
            waiter.notified = true;
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        }
    }

    async fn wait(&self) {
        struct Unlink<'a>(&'a NaiveGate, Arc<Mutex<Waiter>>);
        impl Drop for Unlink<'_> {
            fn drop(&mut self) {
                self.0
                    .waiters
                    .lock()
                    .unwrap()
                    .retain(|other| !Arc::ptr_eq(other, &self.1)); // no thought of `notified`
            }
        }
        let this = Unlink(self, Arc::default());
        self.waiters.lock().unwrap().push_back(this.1.clone());
        poll_fn(|cx| {
            let mut waiter = this.1.lock().unwrap();
            waiter.waker = Some(cx.waker().clone());
            if waiter.notified {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[test]
fn a_waiter_that_takes_its_wake_to_the_grave() {
    let message = caught(Harness::new("NaiveGate::wait").limit(LIMIT).run(
        async || {
            let gate = Arc::new(NaiveGate::default());
            let waiter = gate.clone();
            let second = tokio::spawn({
                let gate = gate.clone();
                async move { tokio::join!(gate.wait(), async { gate.notify_one() }) }
            });
            ((gate, second), async move { waiter.wait().await })
        },
        async |(gate, second), ending| {
            if ending == Ending::Completed(()) {
                gate.notify_one();
            }
            second.await.unwrap();
        },
    ));
    assert_contains(
        &message,
        "`NaiveGate::wait`, dropped after the wake that follows poll 1: the next user hangs",
    );
}

#[test]
fn a_future_that_never_wakes() {
    let message = caught(Harness::new("pending").limit(LIMIT).run(
        async || ((), std::future::pending::<()>()),
        async |(), _| {},
    ));
    assert_contains(
        &message,
        "`pending`, to be dropped after the wake that follows poll 1: a lost wake-up: poll 1 ",
    );
}

#[test]
fn a_future_that_keeps_the_waker_of_its_first_poll() {
    let message = caught(Harness::new("stale").limit(LIMIT).run(
        async || {
            let mut polls = 0;
            let mut first = None;
            let future = poll_fn(move |cx| {
                polls += 1;
                let waker = first.get_or_insert_with(|| cx.waker().clone()).clone();
                tokio::spawn(async move { waker.wake() });
                if polls == 3 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            });
            ((), future)
        },
        async |(), _| {},
    ));
    assert_contains(&message, "a lost wake-up: poll 2 returned Pending");
    assert_contains(&message, "1 went to the waker of an earlier poll");
}

#[test]
fn a_future_that_leaks_its_permit() {
    let message = caught(cancel_at_every_poll(
        "leaky",
        async || {
            let permits = Arc::new(Semaphore::new(1));
            let shared = permits.clone();
            let future = async move {
                shared.acquire().await.unwrap().forget();
                yield_now().await;
                shared.add_permits(1);
            };
            (permits, future)
        },
        async |permits, _| assert_eq!(permits.available_permits(), 1, "a permit has leaked"),
    ));
    assert_contains(
        &message,
        "`leaky`, dropped after poll 1: `check` panicked: ",
    );
    assert_contains(&message, "a permit has leaked");
}

#[test]
fn a_future_that_believes_every_poll_was_a_wake() {
    let message = caught(cancel_at_every_poll(
        "gullible",
        async || {
            let done = Arc::new(Mutex::new(false));
            let mut polled = false;
            let shared = done.clone();
            let future = poll_fn(move |cx| {
                if std::mem::replace(&mut polled, true) {
                    return Poll::Ready(());
                }
                let (done, waker) = (shared.clone(), cx.waker().clone());
                tokio::spawn(async move {
                    *done.lock().unwrap() = true;
                    waker.wake();
                });
                Poll::Pending
            });
            (done, future)
        },
        async |done, ending| {
            if !ending.is_dropped() {
                assert!(*done.lock().unwrap(), "completed too early");
            }
        },
    ));
    assert_contains(
        &message,
        "`gullible`, completed by poll 2 (polled twice before each wake): `check` panicked: ",
    );
}

#[test]
fn a_future_that_panics() {
    let message = caught(cancel_at_every_poll(
        "panics",
        async || {
            let future = async {
                yield_now().await;
                panic!("number {}", 5);
            };
            ((), future)
        },
        async |(), _: Ending<()>| {},
    ));
    assert_contains(
        &message,
        "`panics`, to be dropped after poll 2: poll 2 panicked: number 5",
    );
}

#[test]
fn a_future_whose_destructor_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let message = caught(cancel_at_every_poll(
        "bomb",
        async || {
            let future = async {
                let bomb = Bomb;
                yield_now().await;
                std::mem::forget(bomb);
            };
            ((), future)
        },
        async |(), _| {},
    ));
    assert_contains(
        &message,
        "`bomb`, dropped after poll 1: its destructor panicked: boom",
    );
}

#[test]
fn a_future_without_an_end() {
    let message = caught(Harness::new("endless").max_polls(10).run(
        async || {
            let future = async {
                loop {
                    yield_now().await;
                }
            };
            ((), future)
        },
        async |(), _: Ending<()>| {},
    ));
    assert_contains(
        &message,
        "`endless`, to be dropped after the wake that follows poll 10: still pending after 10 polls",
    );
}

#[test]
fn a_make_that_hangs_or_panics() {
    let hangs = caught(Harness::new("hangs").limit(Duration::from_millis(10)).run(
        async || std::future::pending::<((), std::future::Ready<()>)>().await,
        async |(), _| {},
    ));
    assert_contains(
        &hangs,
        "`hangs`, to be dropped before the first poll: `make` did not finish within 10ms",
    );

    let panics = caught(cancel_at_every_poll(
        "panics",
        async || -> ((), std::future::Ready<()>) { panic!("no fixture") },
        async |(), _| {},
    ));
    assert_contains(
        &panics,
        "`panics`, to be dropped before the first poll: `make` panicked: no fixture",
    );
}

#[test]
#[should_panic = "a future needs at least one poll"]
fn a_limit_of_no_polls() {
    let _ = Harness::new("f").max_polls(0);
}
