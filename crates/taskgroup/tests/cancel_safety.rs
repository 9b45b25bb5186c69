//! Every future of the crate, dropped at every point of its life: no task lives on, no slot and no value is lost, and the
//! next user is served.
#![cfg(not(shibuya_loom))]

mod support;

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use shibuya_taskgroup::{
    CpuPool, GroupError, MapConcurrent, OnError, Ordered, Outcome, Pipeline, PipelineStream, Task,
    TaskGroup, Unordered, Until, as_completed, cpu, fan_out_fan_in, for_each_concurrent, gather,
    map_concurrent, pipeline, race, select_first, sequence, try_gather, wait,
};
use shibuya_testkit::{Ending, Probe, Probes, Report, cancel_at_every_poll};
use support::poll_once;
use tokio::sync::{Mutex, oneshot};
use tokio::task::{JoinHandle, yield_now};

/// Tasks that were told to end do so at their next poll: in their own time, yet they do.
async fn all_gone(probes: &Probes) {
    while probes.alive() > 0 {
        yield_now().await;
    }
}

async fn yields(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

fn waited(report: &Report) {
    assert!(report.polls >= 2, "it was never pending: {report:?}");
}

/// A group that stays open, for futures that need one around them.
struct Open {
    g: TaskGroup<&'static str>,
    close: oneshot::Sender<()>,
    ended: JoinHandle<bool>,
}

impl Open {
    async fn new(limit: usize) -> Self {
        let (give, take) = oneshot::channel();
        let (close, closed) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let group = TaskGroup::builder().limit(limit).on_error(OnError::Collect);
            let ended = group.run(async |g| {
                assert!(give.send(g).is_ok());
                closed.await.map_err(|_| "never closed")
            });
            ended.await.is_ok()
        });
        Self {
            g: take.await.unwrap(),
            close,
            ended,
        }
    }

    /// Nothing failed, and the group ends.
    async fn close(self) {
        self.close.send(()).unwrap();
        assert!(self.ended.await.unwrap());
    }
}

#[tokio::test]
async fn run() {
    let report = cancel_at_every_poll(
        "TaskGroup::run",
        async || {
            let probes = Probes::new();
            let given = probes.clone();
            let run = TaskGroup::<()>::run(async move |g| {
                let _body = given.probe(());
                for i in 0..4 {
                    let probe = given.probe(());
                    g.spawn(async move {
                        yields(i).await;
                        drop(probe);
                        Ok(())
                    });
                }
                let sum = g
                    .spawn(async {
                        yields(2).await;
                        Ok(40)
                    })
                    .await;
                yields(1).await;
                Ok(sum + 2)
            });
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(sum) = ending {
                assert_eq!(sum.unwrap(), 42);
                probes.assert_all_dropped();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn a_run_that_fails() {
    let report = cancel_at_every_poll(
        "Builder::run",
        async || {
            let probes = Probes::new();
            let given = probes.clone();
            let run = TaskGroup::builder().limit(2).run(async move |g| {
                for i in 0..4 {
                    let probe = given.probe(());
                    g.spawn(async move {
                        let _probe = probe;
                        yields(i + 1).await;
                        Err::<(), _>(i)
                    });
                }
                std::future::pending::<Result<(), _>>().await
            });
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(result) = ending {
                assert_eq!(result.unwrap_err().into_first_error().unwrap(), 0);
                probes.assert_all_dropped();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

/// A nested group is dropped at each of its polls: the outer one waits for what is left.
#[tokio::test]
async fn a_run_inside_a_group_that_goes_on() {
    let report = cancel_at_every_poll(
        "Run",
        async || {
            let outer = Open::new(9).await;
            let probes = Probes::new();
            let given = probes.clone();
            let scope = outer.g.scope();
            let run = async move {
                let inner = TaskGroup::<()>::run(async move |g| {
                    for i in 0..3 {
                        let probe = given.probe(());
                        g.spawn(async move {
                            yields(i).await;
                            Ok(drop(probe))
                        });
                    }
                    Ok(yields(2).await)
                });
                scope.run(inner).await
            };
            ((outer, probes), run)
        },
        async |(outer, probes), _| {
            outer.close().await;
            probes.assert_all_dropped();
        },
    )
    .await;
    waited(&report);
}

type Shared<T> = Arc<Mutex<T>>;

#[tokio::test]
async fn task() {
    let report = cancel_at_every_poll(
        "Task",
        async || {
            let open = Open::new(1).await;
            let probes = Probes::new();
            let probe = probes.probe(());
            let task: Task<Probe, _> = open.g.spawn(async {
                yields(2).await;
                Ok(probe)
            });
            ((open, probes), task)
        },
        async |(open, probes), ending| {
            if let Ending::Completed(probe) = ending {
                probe.deliver();
            }
            // A dropped handle stops nothing; a value that nobody takes is gone with the group.
            let next = open.g.spawn_ready(async { Ok(1) }).await;
            assert_eq!(next.await, 1);
            open.close().await;
            probes.assert_all_dropped();
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn a_task_that_is_taken_up_again() {
    let report = cancel_at_every_poll(
        "Task",
        async || {
            let open = Open::new(1).await;
            let probes = Probes::new();
            let probe = probes.probe(());
            let task = open.g.spawn(async {
                yields(2).await;
                Ok(probe)
            });
            let task: Shared<Task<Probe, _>> = Arc::new(Mutex::new(task));
            let awaited = task.clone();
            let value = async move { (&mut *awaited.lock().await).await };
            ((open, probes, task), value)
        },
        async |(open, probes, task), ending| {
            let probe = match ending {
                Ending::Completed(probe) => probe,
                Ending::Dropped(_) => (&mut *task.lock().await).await,
            };
            probe.deliver();
            open.close().await;
            probes.assert_none_lost();
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn task_outcome() {
    let report = cancel_at_every_poll(
        "TaskOutcome",
        async || {
            let open = Open::new(1).await;
            let task = open.g.spawn(async {
                yields(2).await;
                Err::<(), _>("mine")
            });
            let task: Shared<Task<(), _>> = Arc::new(Mutex::new(task));
            let awaited = task.clone();
            let outcome = async move { awaited.lock().await.outcome().await };
            ((open, task), outcome)
        },
        async |(open, task), ending| {
            let outcome = match ending {
                Ending::Completed(outcome) => outcome,
                Ending::Dropped(_) => task.lock().await.outcome().await,
            };
            assert_eq!(outcome.err(), Some("mine"));
            open.close().await; // it was taken, so the group has no failure
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn spawn_ready() {
    let report = cancel_at_every_poll(
        "SpawnReady",
        async || {
            let open = Open::new(1).await;
            let probes = Probes::new();
            let probe = probes.probe(());
            open.g.spawn(async { Ok(yields(2).await) });
            let g = open.g.clone();
            let ready = async move {
                let task = g
                    .spawn_ready(async move {
                        yields(1).await;
                        Ok(drop(probe))
                    })
                    .await;
                drop(task);
            };
            // One behind it in the line.
            let g = open.g.clone();
            let behind = async move { g.spawn_ready(async { Ok(7) }).await.await };
            ((open, probes, behind), ready)
        },
        async |(open, probes, behind), ending| {
            if ending.is_dropped() {
                probes.assert_all_dropped();
            }
            assert_eq!(tokio::spawn(behind).await.unwrap(), 7);
            open.close().await;
            probes.assert_all_dropped();
        },
    )
    .await;
    waited(&report);
}

/// Each gives itself after some turns.
fn probing(probes: &Probes) -> Vec<impl Future<Output = Result<Probe, ()>> + Send + use<>> {
    let probe = |i| {
        let probe = probes.probe(());
        async move {
            yields(i).await;
            Ok(probe)
        }
    };
    (0..4).map(probe).collect()
}

#[tokio::test]
async fn gathering() {
    let report = cancel_at_every_poll(
        "gather",
        async || {
            let probes = Probes::new();
            let all = gather(probing(&probes));
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(outcomes) = ending {
                outcomes
                    .into_iter()
                    .map(Outcome::ok)
                    .for_each(|probe| probe.unwrap().deliver());
                assert_eq!(probes.delivered(), [0, 1, 2, 3]);
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "try_gather",
        async || {
            let probes = Probes::new();
            let all = try_gather(probing(&probes));
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(values) = ending {
                values.unwrap().into_iter().for_each(Probe::deliver);
                assert_eq!(probes.delivered(), [0, 1, 2, 3]);
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn gathering_a_tuple() {
    let report = cancel_at_every_poll(
        "gather",
        async || {
            let probes = Probes::new();
            let (one, other) = (probes.probe(()), probes.probe('2'));
            let all = gather((async { Ok::<_, ()>(one) }, async {
                yields(2).await;
                Ok::<_, u8>(other)
            }));
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed((one, other)) = ending {
                one.ok().unwrap().deliver();
                other.ok().unwrap().deliver();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn waiting_for_tasks() {
    for until in [Until::First, Until::FirstError, Until::All] {
        let report = cancel_at_every_poll(
            "wait",
            async || {
                let open = Open::new(9).await;
                let probes = Probes::new();
                let spawn = |i| {
                    let probe = probes.probe(i);
                    open.g.spawn(async move {
                        yields(2 + i).await;
                        Ok(probe)
                    })
                };
                let tasks: Vec<Task<Probe<usize>, _>> = (0..4).map(spawn).collect();
                let tasks = Arc::new(Mutex::new(tasks));
                let awaited = tasks.clone();
                let done = async move { wait(&mut *awaited.lock().await, until).await };
                ((open, probes, tasks), done)
            },
            async |(open, probes, tasks), ending| {
                let mut tasks = tasks.lock().await;
                let mut done = match ending {
                    Ending::Completed(done) => done,
                    Ending::Dropped(_) => {
                        assert_eq!(tasks.len(), 4, "one was taken out");
                        Vec::new()
                    }
                };
                done.extend(wait(&mut tasks, Until::All).await);
                for done in done {
                    done.outcome.ok().unwrap().deliver();
                }
                assert_eq!(probes.delivered(), [0, 1, 2, 3]);
                open.close().await;
                probes.assert_none_lost();
            },
        )
        .await;
        waited(&report);
    }
}

#[tokio::test]
async fn the_first_of_several() {
    let report = cancel_at_every_poll(
        "race",
        async || {
            let probes = Probes::new();
            let first = race(probing(&probes).into_iter().rev());
            (probes, first)
        },
        async |probes, ending| {
            if let Ending::Completed(first) = ending {
                let (place, outcome) = first.unwrap();
                assert_eq!(place, 3);
                outcome.ok().unwrap().deliver();
                probes.assert_all_dropped();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "select_first",
        async || {
            let probes = Probes::new();
            let (lost, failed, won) = (probes.probe(()), probes.probe(()), probes.probe(()));
            let first = select_first((
                async {
                    yields(9).await;
                    Ok(lost)
                },
                async { Err(failed) },
                async {
                    yields(3).await;
                    Ok(won)
                },
            ));
            (probes, first)
        },
        async |probes, ending| {
            if let Ending::Completed(first) = ending {
                let (place, won) = first.unwrap();
                assert_eq!(place, 2);
                won.deliver();
                probes.assert_all_dropped();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn one_after_the_other() {
    let report = cancel_at_every_poll(
        "sequence",
        async || {
            let probes = Probes::new();
            let all = sequence(probing(&probes));
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(values) = ending {
                values.unwrap().into_iter().for_each(Probe::deliver);
                assert_eq!(probes.delivered(), [0, 1, 2, 3]);
            }
            probes.assert_all_dropped();
        },
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "Sequence::collect",
        async || {
            let probes = Probes::new();
            let all = sequence(probing(&probes).into_iter().map(|step| || step)).collect();
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(results) = ending {
                results
                    .into_iter()
                    .for_each(|result| result.unwrap().deliver());
                assert_eq!(probes.delivered(), [0, 1, 2, 3]);
            }
            probes.assert_all_dropped();
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn outcomes_as_they_come() {
    let report = cancel_at_every_poll(
        "AsCompleted::next",
        async || {
            let probes = Probes::new();
            let all = Arc::new(Mutex::new(as_completed(probing(&probes))));
            let taking = all.clone();
            let two = async move {
                for _ in 0..2 {
                    let (_, outcome) = taking.lock().await.next().await.unwrap();
                    outcome.ok().unwrap().deliver();
                    yields(1).await;
                }
            };
            ((probes, all), two)
        },
        async |(probes, all), _| {
            let mut all = all.lock().await;
            while let Some((_, outcome)) = all.next().await {
                outcome.ok().unwrap().deliver();
            }
            assert_eq!(probes.delivered().len(), 4, "one was lost");
            probes.assert_all_dropped();
        },
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "as_completed",
        async || {
            let probes = Probes::new();
            let all = as_completed(probing(&probes));
            (probes, all.for_each(async |ended| drop(ended)))
        },
        async |probes, _| all_gone(&probes).await,
    )
    .await;
    waited(&report);
}

type Items = std::vec::IntoIter<Probe<usize>>;
type Mapping = std::pin::Pin<Box<dyn Future<Output = Result<Probe<usize>, ()>> + Send>>;

/// A map that gives back what it is given, after some turns.
fn map(probes: &Probes) -> MapConcurrent<Items, fn(Probe<usize>) -> Mapping> {
    let items: Vec<_> = (0..6).map(|i| probes.probe(i)).collect();
    map_concurrent(items, 2, |probe| {
        Box::pin(async move {
            yields(*probe % 3).await;
            Ok(probe)
        })
    })
}

#[tokio::test]
async fn mapping() {
    let report = cancel_at_every_poll(
        "map_concurrent",
        async || {
            let probes = Probes::new();
            let all = map(&probes).into_future();
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(values) = ending {
                let values = values.unwrap().into_iter().map(Probe::deliver);
                assert_eq!(values.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn a_map_that_fails() {
    let report = cancel_at_every_poll(
        "Collect",
        async || {
            let probes = Probes::new();
            let items: Vec<_> = (0..6).map(|i| probes.probe(i)).collect();
            let failing = map_concurrent(items, 2, async |probe| {
                yields(*probe).await;
                if *probe == 3 {
                    Err(drop(probe))
                } else {
                    Ok(probe)
                }
            });
            (probes, failing.into_future())
        },
        async |probes, ending| {
            if let Ending::Completed(result) = ending {
                assert_eq!(*result.unwrap_err().first().name(), "item 3");
                probes.assert_all_dropped();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn a_loop() {
    let report = cancel_at_every_poll(
        "for_each_concurrent",
        async || {
            let probes = Probes::new();
            let items: Vec<_> = (0..6).map(|i| probes.probe(i)).collect();
            let all = for_each_concurrent(items, 2, async |probe| {
                yields(*probe % 3).await;
                Ok::<_, ()>(_ = probe.deliver())
            });
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(result) = ending {
                result.unwrap();
                assert_eq!(probes.delivered(), [0, 1, 2, 3, 4, 5]);
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn a_fan() {
    let report = cancel_at_every_poll(
        "fan_out_fan_in",
        async || {
            let probes = Probes::new();
            let items: Vec<_> = (0..6).map(|i| probes.probe(i)).collect();
            let merged = fan_out_fan_in(items, 2, async |probe: Probe<usize>| {
                yields(*probe % 3).await;
                Ok::<_, ()>(probe)
            });
            let stream = Arc::new(Mutex::new(merged));
            ((probes, stream.clone()), take_three(stream))
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);
}

type Values = Result<Probe<usize>, GroupError<()>>;

/// Takes three values, in a future that is dropped.
async fn take_three<S: Stream<Item = Values> + Unpin>(stream: Shared<S>) {
    for _ in 0..3 {
        stream.lock().await.next().await.unwrap().unwrap().deliver();
        yields(1).await;
    }
}

/// Takes the others after it.
async fn take_the_rest<S: Stream<Item = Values> + Unpin>(probes: Probes, stream: Shared<S>) {
    let mut stream = Arc::into_inner(stream)
        .expect("the future is gone")
        .into_inner();
    while let Some(value) = stream.next().await {
        value.unwrap().deliver();
    }
    assert_eq!(probes.delivered(), [0, 1, 2, 3, 4, 5], "a value was lost");
    probes.assert_all_dropped();
}

#[tokio::test]
async fn work_for_a_processor() {
    let report = cancel_at_every_poll(
        "CpuPool::run",
        async || {
            let (pool, probes) = (CpuPool::new(1), Probes::new());
            // Somebody is before it, for a while.
            let (release, released) = std::sync::mpsc::channel::<()>();
            let mut first = Box::pin(pool.run(move |_| _ = released.recv()));
            assert!(poll_once(first.as_mut()).await.is_pending());
            let mut second = Box::pin(pool.run({
                let probe = probes.probe(1);
                move |_| probe
            }));
            let run = async move {
                assert!(poll_once(second.as_mut()).await.is_pending());
                yields(1).await;
                drop(release);
                first.await;
                second.await
            };
            ((pool, probes), run)
        },
        async |(pool, probes), ending| {
            if let Ending::Completed(probe) = ending {
                probe.deliver();
            }
            pool.run(|_| ()).await;
            all_gone(&probes).await;
            while pool.running() > 0 {
                yield_now().await;
            }
        },
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "cpu",
        async || {
            let probes = Probes::new();
            let probe = probes.probe(());
            let (release, released) = std::sync::mpsc::channel::<()>();
            let mut run = Box::pin(cpu(move |_| {
                let _ = released.recv();
                probe
            }));
            let run = async move {
                assert!(poll_once(run.as_mut()).await.is_pending());
                yields(1).await;
                drop(release);
                run.await
            };
            (probes, run)
        },
        async |probes, ending| {
            if let Ending::Completed(probe) = ending {
                probe.deliver();
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

/// Two stages that give back what they are given, after some turns.
fn line(probes: &Probes) -> Pipeline<Probe<usize>, ()> {
    let items: Vec<_> = (0..6).map(|i| probes.probe(i)).collect();
    pipeline(items)
        .stage("first", 2, 1, async |probe: Probe<usize>| {
            yields(*probe % 3).await;
            Ok(probe)
        })
        .stage("second", 1, 1, async |probe| Ok(probe))
}

#[tokio::test]
async fn a_pipeline() {
    let report = cancel_at_every_poll(
        "Pipeline::run",
        async || {
            let probes = Probes::new();
            let all = line(&probes).run();
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(values) = ending {
                let values = values.unwrap().into_iter().map(Probe::deliver);
                assert_eq!(values.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "Pipeline::for_each",
        async || {
            let probes = Probes::new();
            let all = line(&probes).for_each(async |probe| {
                yields(1).await;
                Ok(_ = probe.deliver())
            });
            (probes, all)
        },
        async |probes, ending| {
            if let Ending::Completed(result) = ending {
                result.unwrap();
                assert_eq!(probes.delivered(), [0, 1, 2, 3, 4, 5]);
            }
            all_gone(&probes).await;
        },
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn a_pipeline_that_is_streamed() {
    let report = cancel_at_every_poll(
        "Pipeline::stream",
        async || {
            let probes = Probes::new();
            let stream = Arc::new(Mutex::new(line(&probes).stream()));
            ((probes, stream.clone()), take_three(stream))
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "PipelineStream::next",
        async || {
            let probes = Probes::new();
            let stream = Arc::new(Mutex::new(line(&probes).stream()));
            let taking = stream.clone();
            let three = async move {
                for _ in 0..3 {
                    let value = PipelineStream::next(&mut *taking.lock().await).await;
                    value.unwrap().unwrap().deliver();
                    yields(1).await;
                }
            };
            ((probes, stream), three)
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "PipelineStream",
        async || {
            let probes = Probes::new();
            let stream = line(&probes).stream();
            (probes, stream.for_each(async |value| drop(value.unwrap())))
        },
        async |probes, _| all_gone(&probes).await,
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn streaming_in_any_order() {
    let report = cancel_at_every_poll(
        "Unordered",
        async || {
            let probes = Probes::new();
            let stream = Arc::new(Mutex::new(map(&probes).unordered()));
            ((probes, stream.clone()), take_three(stream))
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn streaming_in_order() {
    let report = cancel_at_every_poll(
        "Ordered",
        async || {
            let probes = Probes::new();
            let stream = Arc::new(Mutex::new(map(&probes).ordered()));
            ((probes, stream.clone()), take_three(stream))
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);
}

#[tokio::test]
async fn streams_that_are_dropped() {
    let report = cancel_at_every_poll(
        "MapConcurrent::unordered",
        async || {
            let probes = Probes::new();
            let stream = map(&probes).unordered();
            (probes, stream.for_each(async |value| drop(value.unwrap())))
        },
        async |probes, _| all_gone(&probes).await,
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "MapConcurrent::ordered",
        async || {
            let probes = Probes::new();
            let stream = map(&probes).ordered();
            (probes, stream.for_each(async |value| drop(value.unwrap())))
        },
        async |probes, _| all_gone(&probes).await,
    )
    .await;
    waited(&report);
}

/// The streams' own `next`, which needs no crate of combinators.
#[tokio::test]
async fn the_next_of_a_stream() {
    let report = cancel_at_every_poll(
        "Unordered::next",
        async || {
            let probes = Probes::new();
            let stream = Arc::new(Mutex::new(map(&probes).unordered()));
            let taking = stream.clone();
            let three = async move {
                for _ in 0..3 {
                    let value = Unordered::next(&mut *taking.lock().await).await;
                    value.unwrap().unwrap().deliver();
                    yields(1).await;
                }
            };
            ((probes, stream), three)
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);

    let report = cancel_at_every_poll(
        "Ordered::next",
        async || {
            let probes = Probes::new();
            let stream = Arc::new(Mutex::new(map(&probes).ordered()));
            let taking = stream.clone();
            let three = async move {
                for _ in 0..3 {
                    let value = Ordered::next(&mut *taking.lock().await).await;
                    value.unwrap().unwrap().deliver();
                    yields(1).await;
                }
            };
            ((probes, stream), three)
        },
        async |(probes, stream), _| take_the_rest(probes, stream).await,
    )
    .await;
    waited(&report);
}
