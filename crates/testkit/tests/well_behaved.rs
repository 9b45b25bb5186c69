//! Good futures pass: on real I/O, on a paused clock, on both kinds of runtime and on none.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use shibuya_testkit::{DropPoint, Ending, Report, cancel_at_every_poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::sleep;

async fn receive() -> Report {
    cancel_at_every_poll(
        "mpsc::Receiver::recv",
        async || {
            let (tx, rx) = mpsc::channel(1);
            let rx = Arc::new(Mutex::new(rx));
            let shared = rx.clone();
            tokio::spawn(async move {
                yield_now().await;
                tx.send(7).await
            });
            (rx, async move { shared.lock().await.recv().await })
        },
        async |rx, ending| match ending {
            Ending::Dropped(_) => assert_eq!(rx.lock().await.recv().await, Some(7)),
            Ending::Completed(item) => assert_eq!(item, Some(7)),
        },
    )
    .await
}

#[tokio::test]
async fn a_channel_on_a_current_thread_runtime() {
    assert_eq!(receive().await.polls, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_on_a_multi_thread_runtime() {
    receive().await;
}

#[tokio::test]
async fn a_semaphore_passes_the_permit_on() {
    let report = cancel_at_every_poll(
        "Semaphore::acquire",
        async || {
            let permits = Arc::new(Semaphore::new(1));
            let held = permits.clone().try_acquire_owned().unwrap();
            tokio::spawn(async move {
                yield_now().await;
                drop(held);
            });
            (permits.clone(), async move {
                permits.acquire_owned().await.unwrap()
            })
        },
        async |permits, ending| {
            drop(ending);
            drop(permits.acquire().await.unwrap());
            assert_eq!(permits.available_permits(), 1);
        },
    )
    .await;
    assert_eq!(report.polls, 2);
}

/// The fixture may be shared by all runs, and the future may borrow from it.
#[tokio::test]
async fn a_future_that_borrows() {
    let permits = Semaphore::new(1);
    let report = cancel_at_every_poll(
        "Semaphore::acquire",
        async || {
            ((), async {
                let _permit = permits.acquire().await.unwrap();
                yield_now().await;
            })
        },
        async |(), _| assert_eq!(permits.available_permits(), 1),
    )
    .await;
    assert_eq!(report.polls, 2);
    let ready = cancel_at_every_poll(
        "Semaphore::acquire",
        async || ((), permits.acquire()),
        async |(), _| {},
    );
    assert_eq!(ready.await.polls, 1);
}

/// It can be spawned where its parts are `Send`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harness_in_a_task_of_its_own() {
    tokio::spawn(async {
        cancel_at_every_poll("yield_now", async || ((), yield_now()), async |(), _| {}).await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn notify_passes_the_wake_on() {
    let report = cancel_at_every_poll(
        "Notify::notified",
        async || {
            let gate = Arc::new(Notify::new());
            let waiter = gate.clone();
            let second = tokio::spawn({
                let gate = gate.clone();
                async move { tokio::join!(gate.notified(), async { gate.notify_one() }) }
            });
            ((gate, second), async move { waiter.notified().await })
        },
        async |(gate, second), ending| {
            if ending == Ending::Completed(()) {
                gate.notify_one();
            }
            second.await.unwrap();
        },
    )
    .await;
    assert_eq!(report.polls, 2);
}

#[tokio::test]
async fn a_read_from_a_real_socket() {
    let report = cancel_at_every_poll(
        "TcpStream::read",
        async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let server = Arc::new(Mutex::new(server));
            let shared = server.clone();
            tokio::spawn(async move { client.write_all(b"hi").await });
            (server, async move {
                let mut bytes = [0; 2];
                let n = shared.lock().await.read(&mut bytes).await.unwrap();
                bytes[..n].to_vec()
            })
        },
        async |server, ending| {
            let bytes = match ending {
                Ending::Completed(bytes) => bytes,
                Ending::Dropped(_) => {
                    let mut bytes = vec![0; 2];
                    server.lock().await.read_exact(&mut bytes).await.unwrap();
                    bytes
                }
            };
            assert_eq!(bytes, b"hi");
        },
    )
    .await;
    assert!(report.polls >= 2, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_sleep_on_a_paused_clock() {
    let report = cancel_at_every_poll(
        "sleep",
        async || {
            ((), async {
                sleep(Duration::from_secs(3600)).await;
                sleep(Duration::from_secs(3600)).await;
            })
        },
        async |(), _| {},
    )
    .await;
    assert_eq!((report.polls, report.drops, report.completions), (3, 5, 2));
}

/// Work on another thread is not "idle", though a paused clock takes it for that.
#[tokio::test(start_paused = true)]
async fn a_wake_from_a_foreign_thread_on_a_paused_clock() {
    cancel_at_every_poll(
        "foreign",
        async || {
            let mut started = false;
            let future = poll_fn(move |cx| {
                if std::mem::replace(&mut started, true) {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread::spawn(move || waker.wake());
                Poll::Pending
            });
            ((), future)
        },
        async |(), _| {},
    )
    .await;
}

/// Tokio's budget forces a busy task to yield. It must not leak from one poll, or one run, into the next.
#[tokio::test]
async fn every_poll_has_a_budget_of_its_own() {
    let report = cancel_at_every_poll(
        "busy",
        async || {
            let rounds = Arc::new(AtomicUsize::new(0));
            let done = rounds.clone();
            let future = async move {
                for _ in 0..3 {
                    let (tx, mut rx) = mpsc::unbounded_channel();
                    for i in 0..100 {
                        tx.send(i).unwrap();
                        rx.recv().await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            };
            (rounds, future)
        },
        async |rounds, ending| {
            let expected = match ending {
                Ending::Dropped(DropPoint::BeforeFirstPoll) => 0,
                Ending::Dropped(DropPoint::AfterPoll(poll) | DropPoint::AfterWake(poll)) => poll,
                Ending::Completed(()) => 3,
            };
            assert_eq!(rounds.load(Ordering::Relaxed), expected);
        },
    )
    .await;
    assert_eq!(report.polls, 4);
}

#[tokio::test]
async fn every_point_is_visited_once_and_in_order() {
    let mut seen = Vec::new();
    let report = cancel_at_every_poll(
        "yields",
        async || {
            ((), async {
                yield_now().await;
                yield_now().await;
                "done"
            })
        },
        async |(), ending| seen.push(ending),
    )
    .await;
    use DropPoint::{AfterPoll, AfterWake, BeforeFirstPoll};
    let drops = [
        BeforeFirstPoll,
        AfterPoll(1),
        AfterWake(1),
        AfterPoll(2),
        AfterWake(2),
    ];
    let mut expected: Vec<_> = drops.map(Ending::Dropped).into();
    expected.extend([Ending::Completed("done"), Ending::Completed("done")]);
    assert_eq!(seen, expected);
    assert_eq!((report.polls, report.drops, report.completions), (3, 5, 2));
}

#[tokio::test]
async fn a_future_that_completes_early_by_chance() {
    let runs = AtomicUsize::new(0);
    let report = cancel_at_every_poll(
        "moody",
        async || {
            // Every second run is shorter.
            let yields = if runs.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
                1
            } else {
                3
            };
            let future = async move {
                for _ in 0..yields {
                    yield_now().await;
                }
            };
            ((), future)
        },
        async |(), _| {},
    )
    .await;
    assert_eq!(report.polls, 4, "{report:?}");
}

#[tokio::test]
async fn a_future_that_is_ready_at_once() {
    let report = cancel_at_every_poll("ready", async || ((), async { 1 }), async |(), _| {}).await;
    assert_eq!((report.polls, report.drops, report.completions), (1, 1, 2));
}

/// The harness itself is a public future; its own fixture says whether it was left tidy.
#[tokio::test]
async fn the_harness_under_the_harness() {
    let report = cancel_at_every_poll(
        "cancel_at_every_poll",
        async || {
            let users = Arc::new(());
            let shared = users.clone();
            let inner = cancel_at_every_poll(
                "Harness::run",
                async move || (shared.clone(), yield_now()),
                async |user, _| {
                    yield_now().await;
                    drop(user);
                },
            );
            (users, inner)
        },
        async |users, _| {
            assert_eq!(
                Arc::strong_count(&users),
                1,
                "the dropped harness keeps its fixture"
            )
        },
    )
    .await;
    assert!(report.polls >= 4, "{report:?}");
}

#[test]
fn no_runtime_at_all() {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut harness = pin!(cancel_at_every_poll(
        "yields",
        async || {
            let mut yielded = false;
            let future = poll_fn(move |cx| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            ((), future)
        },
        async |(), _| {},
    ));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let report = loop {
        match harness.as_mut().poll(&mut cx) {
            Poll::Ready(report) => break report,
            Poll::Pending => thread::park(),
        }
    };
    assert_eq!(report.polls, 2);
}
