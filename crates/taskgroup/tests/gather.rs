//! All of several futures, of one type or of several.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::{Ready, pending, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use shibuya_taskgroup::{
    Cause, GroupError, IntoGather, Outcome, Reason, TaskGroup, as_completed, gather, try_gather,
};
use shibuya_testkit::Probes;
use support::{ms, on_threads};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_tuple_runs_at_the_same_time_and_gives_each_its_own_types() {
    let began = Instant::now();
    let (number, text, nothing) = try_gather((
        async {
            sleep(ms(30)).await;
            Ok::<_, String>(7)
        },
        async {
            sleep(ms(20)).await;
            Ok("seven")
        },
        async {
            sleep(ms(10)).await;
            Ok(())
        },
    ))
    .await
    .unwrap();
    assert_eq!((number, text, nothing), (7, "seven", ()));
    assert_eq!(began.elapsed(), ms(30));
}

#[tokio::test]
async fn errors_may_differ_in_a_tuple_of_outcomes() {
    let (number, flag, panic, fine) = gather((
        async { "many".parse::<u8>() },
        async { "maybe".parse::<bool>() },
        async { panic!("no third") as Result<(), ()> },
        async { Ok::<_, GroupError<u8>>('4') },
    ))
    .await;
    assert_eq!(number.err().unwrap(), "many".parse::<u8>().unwrap_err());
    assert_eq!(flag.err().unwrap(), "maybe".parse::<bool>().unwrap_err());
    assert!(matches!(panic, Outcome::Panicked(panic) if panic.message() == Some("no third")));
    assert_eq!(fine.ok(), Some('4'));
}

#[tokio::test]
async fn the_first_failure_of_a_tuple_cancels_the_others() {
    let probes = Probes::new();
    let (one, other) = (probes.probe(()), probes.probe(()));
    let all = try_gather((
        async move {
            let _probe = one;
            pending::<Result<u8, _>>().await
        },
        async {
            yield_now().await;
            Err::<char, _>("failed")
        },
        async move {
            let _probe = other;
            pending::<Result<bool, _>>().await
        },
    ));
    let error = all.await.unwrap_err();
    assert_eq!(*error.first().name(), "future 1");
    assert_eq!(error.first().location().file(), file!());
    assert_eq!((error.len(), error.name()), (1, &"try_gather".into()));
    probes.assert_all_dropped();

    let error = try_gather((ready(Ok::<_, ()>(1)), async {
        panic!("boo") as Result<(), _>
    }))
    .await
    .unwrap_err();
    assert!(matches!(error.first().cause(), Cause::Panic(_)));
}

#[tokio::test]
async fn twelve_are_not_too_many() {
    fn ok<T>(value: T) -> Ready<Result<T, ()>> {
        ready(Ok(value))
    }
    let twelve = || {
        let (a, b, c) = (ok('a'), ok("b"), ok(3_u8));
        (
            a,
            b,
            c,
            ok(4),
            ok(5),
            ok(6),
            ok(7),
            ok(8),
            ok(9),
            ok(10),
            ok(11),
            ok(12.0),
        )
    };
    let values = try_gather(twelve()).await.unwrap();
    assert_eq!(values, ('a', "b", 3, 4, 5, 6, 7, 8, 9, 10, 11, 12.0));
    let outcomes = gather(twelve()).await;
    assert_eq!((outcomes.0.ok(), outcomes.11.ok()), (Some('a'), Some(12.0)));
}

/// What is iterated over needs no annotation that it didn't need before there were tuples.
#[tokio::test]
async fn whatever_iterates_is_told_from_a_tuple() {
    async fn double(n: u8) -> Result<u8, ()> {
        Ok(n * 2)
    }
    assert_eq!(try_gather([double(1), double(2)]).await.unwrap(), [2, 4]);
    assert_eq!(try_gather(vec![double(3)]).await.unwrap(), [6]);
    assert_eq!(try_gather((0..3).map(double)).await.unwrap(), [0, 2, 4]);
    assert_eq!(try_gather(Some(double(5))).await.unwrap(), [10]);
    let late: Result<Vec<u8>, GroupError<String>> = try_gather([async { Ok(1) }]).await;
    assert_eq!(late.unwrap(), [1]);

    type Boxed = Pin<Box<dyn Future<Output = Result<u8, ()>> + Send>>;
    let boxed: [Boxed; 2] = [Box::pin(double(1)), Box::pin(async { Err(()) })];
    let outcomes: Vec<Outcome<u8, ()>> = gather(boxed).await;
    assert!(outcomes[0].is_ok() && outcomes[1].is_err());

    async fn sum<I>(all: I) -> u8
    where
        I: IntoIterator<Item: Future<Output = Result<u8, ()>> + Send + 'static>,
    {
        try_gather(all).await.unwrap().into_iter().sum()
    }
    assert_eq!(sum([double(1), double(2)]).await, 6);

    async fn through<K: shibuya_taskgroup::InputKind, G: IntoGather<K>>(all: G) -> G::Outcomes {
        gather(all).await
    }
    assert_eq!(through([double(4)]).await.pop().unwrap().ok(), Some(8));
    assert_eq!(through((double(4), double(5))).await.1.ok(), Some(10));
}

#[tokio::test]
async fn nothing_to_gather_is_done_at_once() {
    let none = Vec::<Ready<Result<(), ()>>>::new;
    assert!(gather(none()).await.is_empty());
    assert!(try_gather(none()).await.unwrap().is_empty());
}

/// A blocking thread can't be dropped, so what it waits for is told to it.
#[test]
fn a_tuple_on_a_blocking_thread_is_told_that_it_was_cancelled() {
    on_threads(async {
        let ended = TaskGroup::<()>::run(async |g| {
            let handle = tokio::runtime::Handle::current();
            let (began, begun) = tokio::sync::oneshot::channel();
            let told = g.spawn_blocking(move |_| {
                let start = async move {
                    began.send(()).unwrap();
                    pending::<Result<u8, ()>>().await
                };
                let (one, other) = handle.block_on(gather((start, pending::<Result<(), u8>>())));
                assert!(
                    matches!(one, Outcome::Cancelled(Reason::Requested)),
                    "{one:?}"
                );
                assert!(matches!(other, Outcome::Cancelled(Reason::Requested)));
                Ok(())
            });
            begun.await.unwrap();
            g.cancel(Reason::Requested);
            drop(told);
            Ok(())
        })
        .await;
        ended.unwrap();
    });
}

/// A panic in its destructor as well is not worth the outcomes of the others.
#[tokio::test]
async fn one_that_panics_twice_is_one_outcome() {
    struct Bad;
    impl Future for Bad {
        type Output = Result<u8, ()>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            panic!("once")
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("twice")
        }
    }
    let good = async {
        yield_now().await;
        Ok::<_, ()>(7)
    };
    let (bad, good) = gather((Bad, good)).await;
    assert!(bad.is_panic(), "{bad:?}");
    assert_eq!(good.ok(), Some(7));

    let mut all = as_completed([Bad]);
    let (_, bad) = all.next().await.expect("each is told");
    assert!(bad.is_panic(), "{bad:?}");
    assert!(all.next().await.is_none());
}

#[test]
fn a_runtime_that_shuts_down_ends_a_tuple() {
    let probes = Probes::new();
    let (one, other) = (probes.probe(()), probes.probe(()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let mut all = Box::pin(gather((
        async move {
            let _probe = one;
            pending::<Result<u8, ()>>().await
        },
        async move {
            let _probe = other;
            pending::<Result<(), u8>>().await
        },
    )));
    runtime.block_on(async {
        assert!(support::poll_once(all.as_mut()).await.is_pending());
    });
    drop(runtime);
    let (one, other) = support::block_on(all);
    assert!(one.is_cancelled() && other.is_cancelled());
    probes.assert_all_dropped();
}
