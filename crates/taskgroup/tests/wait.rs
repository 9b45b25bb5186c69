//! Waiting for tasks that one has.
#![cfg(not(shibuya_loom))]

mod support;

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::time::Duration;

use proptest::prelude::*;
use shibuya_taskgroup::{Done, OnError, Outcome, Reason, Task, TaskGroup, Until, gather, wait};
use support::{block_on, ms, on_threads, panic_of, poll_once, text_of};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

type Number = Task<u64, &'static str>;

/// A task for each number, that gives it after so many milliseconds.
fn after(g: &TaskGroup<&'static str>, times: &[u64]) -> Vec<Number> {
    let spawn = |&n| {
        g.spawn(async move {
            sleep(ms(n)).await;
            Ok(n)
        })
    };
    times.iter().map(spawn).collect()
}

fn values(done: Vec<Done<u64, &'static str>>) -> Vec<u64> {
    let values = done.into_iter().map(|done| done.outcome.ok());
    values.map(|value| value.expect("a value")).collect()
}

/// Runs `body` in a group where failures are its own.
async fn collecting<T>(body: impl AsyncFnOnce(TaskGroup<&'static str>) -> T) -> T {
    let group = TaskGroup::builder().on_error(OnError::Collect);
    group.run(async |g| Ok(body(g).await)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_is_taken_out_and_the_others_stay_in_their_order() {
    collecting(async |g| {
        let mut tasks = after(&g, &[40, 10, 30, 20]);
        let ids: Vec<_> = tasks.iter().map(Task::id).collect();
        let done = wait(&mut tasks, Until::First).await;
        assert_eq!((done.len(), done[0].id), (1, ids[1]));
        assert_eq!(values(done), [10]);
        let left: Vec<_> = tasks.iter().map(Task::id).collect();
        assert_eq!(left, [ids[0], ids[2], ids[3]]);
        // What is left goes on, and can be waited for or awaited.
        assert_eq!(values(wait(&mut tasks, Until::First).await), [20]);
        assert_eq!(tasks.remove(1).await, 30);
        assert_eq!(tasks.remove(0).await, 40);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_are_given_in_the_order_in_which_they_ended() {
    collecting(async |g| {
        let mut tasks = after(&g, &[40, 10, 30, 20]);
        let named = g.task("slow").spawn(async {
            sleep(ms(50)).await;
            Ok(50)
        });
        tasks.insert(0, named);
        let done = wait(&mut tasks, Until::All).await;
        assert!(tasks.is_empty());
        assert_eq!(done[4].name, "slow");
        assert_eq!(values(done), [10, 20, 30, 40, 50]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn those_that_were_done_before_come_first_in_the_order_of_the_vector() {
    collecting(async |g| {
        let mut tasks = after(&g, &[50, 20, 10]);
        sleep(ms(30)).await;
        let done = wait(&mut tasks, Until::First).await;
        assert_eq!(values(done), [20, 10]);
        assert_eq!(tasks.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_error_is_a_failure_and_no_cancellation() {
    collecting(async |g| {
        let mut tasks = after(&g, &[10, 60_000]);
        tasks.push(g.spawn(async {
            sleep(ms(30)).await;
            Err("failed")
        }));
        tasks.push(g.spawn(pending()));
        tasks[3].abort();
        let done = wait(&mut tasks, Until::FirstError).await;
        assert_eq!((done.len(), tasks.len()), (3, 1));
        assert!(matches!(
            done[0].outcome,
            Outcome::Cancelled(Reason::Requested)
        ));
        assert!(matches!(done[1].outcome, Outcome::Ok(10)));
        assert!(matches!(done[2].outcome, Outcome::Err("failed")));

        // So is a panic, and so is a timeout.
        tasks.push(g.spawn(async { panic!("boo") }));
        let done = wait(&mut tasks, Until::FirstError).await;
        assert!(matches!(
            &done[..],
            [Done {
                outcome: Outcome::Panicked(_),
                ..
            }]
        ));
        tasks.push(g.task("slow").timeout(ms(5)).spawn(pending()));
        let done = wait(&mut tasks, Until::FirstError).await;
        assert!(matches!(
            done[0].outcome,
            Outcome::Cancelled(Reason::Deadline)
        ));

        // Without any, all must end.
        assert_eq!(values(wait(&mut tasks, Until::FirstError).await), [60_000]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_gives_what_is_done_and_cancels_nothing() {
    collecting(async |g| {
        let began = Instant::now();
        let mut tasks = after(&g, &[40, 10, 90]);
        let limited = wait(&mut tasks, Until::All).timeout(ms(50));
        sleep(ms(20)).await; // it counts from the first poll
        assert_eq!(values(limited.await), [10, 40]);
        assert_eq!(began.elapsed(), ms(70));
        assert_eq!(values(wait(&mut tasks, Until::All).await), [90]);

        let mut tasks = after(&g, &[10]);
        assert!(
            wait(&mut tasks, Until::First)
                .timeout(ms(5))
                .await
                .is_empty()
        );
        let soon = wait(&mut tasks, Until::First).timeout(Duration::MAX);
        assert_eq!(values(soon.await), [10]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_time_it_gives_what_is_done_at_once() {
    collecting(async |g| {
        // More than the budget of one turn, which it looks at all the same.
        let mut tasks = after(&g, &[1; 300]);
        tasks.extend(after(&g, &[60_000]));
        let none = wait(&mut tasks, Until::First).timeout(Duration::ZERO);
        assert!(none.await.is_empty());
        sleep(ms(2)).await;
        let began = Instant::now();
        let done = wait(&mut tasks, Until::All).timeout(Duration::ZERO).await;
        assert_eq!((done.len(), tasks.len()), (300, 1));
        assert_eq!(began.elapsed(), Duration::ZERO);
        tasks[0].abort();
    })
    .await;
}

#[test]
fn with_no_tasks_it_is_ready_at_once_and_anywhere() {
    for until in [Until::First, Until::FirstError, Until::All] {
        let mut none = Vec::<Number>::new();
        assert!(block_on(wait(&mut none, until)).is_empty());
    }
}

#[tokio::test]
async fn a_dropped_wait_has_taken_nothing() {
    collecting(async |g| {
        let mut tasks: Vec<Number> = (0..10).map(|n| g.spawn(async move { Ok(n) })).collect();
        tasks.push(g.spawn(pending()));
        while !tasks[..10].iter().all(Task::is_finished) {
            yield_now().await;
        }
        assert!(
            poll_once(pin!(wait(&mut tasks, Until::All)))
                .await
                .is_pending()
        );
        assert_eq!(tasks.len(), 11);
        tasks[10].abort();
        let mut done = wait(&mut tasks, Until::All).await;
        assert!(done.pop().unwrap().outcome.is_cancelled());
        assert_eq!(values(done), (0..10).collect::<Vec<_>>());
    })
    .await;
}

/// A task may end in the middle of the look at it: its value stays with it all the same.
#[test]
fn no_value_is_lost_where_tasks_end_while_they_are_looked_at() {
    on_threads(async {
        collecting(async |g| {
            for _ in 0..2000 {
                let mut tasks: Vec<Number> =
                    (0..8).map(|n| g.spawn(async move { Ok(n) })).collect();
                // Whatever these find is given up, unless they are ready.
                let mut got = Vec::new();
                for until in [Until::All, Until::FirstError, Until::All] {
                    if let std::task::Poll::Ready(done) =
                        poll_once(pin!(wait(&mut tasks, until))).await
                    {
                        got.extend(values(done));
                    }
                }
                got.extend(values(wait(&mut tasks, Until::All).await));
                got.sort_unstable();
                assert_eq!(got, (0..8).collect::<Vec<_>>());
            }
        })
        .await;
    });
}

#[tokio::test]
async fn whoever_waits_in_a_group_that_fails_dies_with_it() {
    let error = TaskGroup::<&str>::run(async |g| {
        let mut tasks = vec![
            g.spawn(async { Err::<(), _>("failed") }),
            g.spawn(pending()),
        ];
        let done = wait(&mut tasks, Until::FirstError).await;
        Ok(drop(done))
    })
    .await
    .unwrap_err();
    assert_eq!(error.into_first_error().unwrap(), "failed");
}

#[tokio::test]
async fn whoever_waits_outside_of_a_group_that_fails_is_told_so() {
    let (give, take) = tokio::sync::oneshot::channel();
    let error = TaskGroup::<&str>::run(async |g| {
        let tasks = vec![g.task("one").spawn(async { Err::<(), _>("failed") })];
        assert!(give.send(tasks).is_ok());
        pending::<Result<(), _>>().await
    })
    .await;
    assert!(error.is_err());
    let mut tasks = take.await.unwrap();
    let panic = panic_of(wait(&mut tasks, Until::All)).await;
    assert!(text_of(&*panic).starts_with("task `one`, spawned at"));
    assert_eq!(tasks.len(), 1);
}

#[test]
fn tasks_of_a_runtime_that_is_gone_were_cancelled() {
    let (give, take) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(TaskGroup::<&str>::run(async move |g| {
        let tasks: Vec<Number> = vec![g.spawn(pending()), g.spawn(pending())];
        assert!(give.send(tasks).is_ok());
        pending::<Result<(), _>>().await
    }));
    let mut tasks = take.recv().unwrap();
    let mut waiting = Box::pin(wait(&mut tasks, Until::All));
    runtime.block_on(async { assert!(poll_once(waiting.as_mut()).await.is_pending()) });
    drop(runtime);
    let done = block_on(waiting);
    assert!(done.len() == 2 && done.iter().all(|done| done.outcome.is_cancelled()));
}

/// One turn for so many looks as the budget allows, and one when the last bell has rung.
#[tokio::test(start_paused = true)]
async fn a_crowd_wakes_who_waits_for_all_of_it_once() {
    collecting(async |g| {
        let mut tasks = after(&g, &[10; 10_000]);
        let mut waiting = pin!(wait(&mut tasks, Until::All));
        let mut polls = 0;
        let done = poll_fn(|cx| {
            polls += 1;
            waiting.as_mut().poll(cx)
        })
        .await;
        assert_eq!(done.len(), 10_000);
        assert!(polls <= 10_000 / 128 + 5, "{polls}");
    })
    .await;
}

/// It keeps to its budget: others have their turn while it looks at many.
#[tokio::test]
async fn a_look_at_many_lets_others_run() {
    collecting(async |g| {
        let mut tasks: Vec<Number> = (0..10_000).map(|_| g.spawn(pending())).collect();
        let mut turns = 0;
        tokio::select! {
            biased;
            _ = async { loop { turns += 1; yield_now().await } } => {}
            _ = wait(&mut tasks, Until::All).timeout(Duration::ZERO) => {}
        }
        assert!(turns >= 10_000 / 128, "{turns}");
        tasks.iter().for_each(Task::abort);
    })
    .await;
}

#[derive(Clone, Debug)]
enum End {
    Value,
    Error,
    Abort,
}

fn scene() -> impl Strategy<Value = (Vec<(u64, End)>, Until, u64)> {
    let end = prop_oneof![Just(End::Value), Just(End::Error), Just(End::Abort)];
    let ends = proptest::collection::vec(end, 0..8);
    // Each at a time of its own, in any order.
    let tasks = ends.prop_flat_map(|ends| {
        let times: Vec<u64> = (1..=ends.len() as u64).map(|n| n * 10).collect();
        (Just(times).prop_shuffle(), Just(ends))
            .prop_map(|(times, ends)| times.into_iter().zip(ends).collect())
    });
    let until = prop_oneof![
        Just(Until::First),
        Just(Until::FirstError),
        Just(Until::All)
    ];
    (tasks, until, 0..10_u64)
}

/// The times of those that are done when it ends.
fn model(tasks: &[(u64, End)], until: Until, limit: u64) -> Vec<u64> {
    let mut order: Vec<_> = tasks.to_vec();
    order.sort_by_key(|&(at, _)| at);
    let mut done = Vec::new();
    for (at, end) in order {
        if at > limit {
            break;
        }
        done.push(at);
        match (until, end) {
            (Until::First, _) | (Until::FirstError, End::Error) => break,
            _ => {}
        }
    }
    done
}

/// Ends the task that awaits it as cancelled.
async fn abort_me() -> Result<u64, &'static str> {
    shibuya_taskgroup::CancelScope::current()
        .unwrap()
        .cancel(Reason::Requested);
    pending().await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_does_as_the_model((plan, until, limit) in scene()) {
        let limit = limit * 10 + 5;
        let expected = model(&plan, until, limit);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (done, left) = runtime.block_on(collecting(async |g| {
            let spawn = |(at, end): (u64, End)| {
                g.task(at.to_string()).spawn(async move {
                    sleep(ms(at)).await;
                    match end {
                        End::Value => Ok(at),
                        End::Error => Err("failed"),
                        End::Abort => abort_me().await,
                    }
                })
            };
            let mut tasks: Vec<Number> = plan.iter().cloned().map(spawn).collect();
            let done = wait(&mut tasks, until).timeout(ms(limit)).await;
            let left: Vec<String> = tasks.iter().map(|task| task.name().to_string()).collect();
            tasks.iter().for_each(Task::abort);
            (done, left)
        }));
        let kept = plan.iter().map(|(at, _)| at).filter(|at| !expected.contains(at));
        prop_assert_eq!(left, kept.map(u64::to_string).collect::<Vec<_>>());
        let names: Vec<u64> = done.iter().map(|done| done.name.to_string().parse().unwrap()).collect();
        prop_assert_eq!(names, expected);
    }
}

/// As those do who know asyncio.
#[tokio::test(start_paused = true)]
async fn tasks_can_be_waited_for_from_several_groups() {
    collecting(async |outer| {
        let mut tasks = after(&outer, &[20]);
        collecting(async |inner| {
            tasks.extend(after(&inner, &[10]));
            let done = wait(&mut tasks, Until::First).await;
            assert_eq!(values(done), [10]);
        })
        .await;
        let outcomes = gather([wait_for(tasks)]).await;
        assert!(outcomes[0].is_ok());
    })
    .await;
}

async fn wait_for(mut tasks: Vec<Number>) -> Result<Vec<u64>, ()> {
    Ok(values(wait(&mut tasks, Until::All).await))
}
