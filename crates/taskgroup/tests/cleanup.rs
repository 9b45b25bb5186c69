//! A clean-up runs exactly once, to its end or its budget's, whatever happens around it.
#![cfg(not(shibuya_loom))]

mod support;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::Location;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use shibuya_taskgroup::{
    Cause, Ending, OnError, OrCancelled, Reason, TaskGroup, cancelled, check, remaining,
    run_with_cleanup, shield,
};
use shibuya_testkit::{Ending as Dropped, PanicOnDrop, Probes, cancel_at_every_poll};
use support::{HOUR, ms, no_hang, on_threads, panic_message, panic_of, poll_once, text_of};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

const BUDGET: Duration = Duration::from_secs(5);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// A clean-up that says when it begins and when it is through.
    fn cleanup<E>(&self, text: &str) -> impl Future<Output = Result<(), E>> + Send + use<E> {
        let (log, text) = (self.clone(), text.to_owned());
        async move {
            log.say(format!("{text}.."));
            sleep(ms(1)).await;
            log.say(text);
            Ok(())
        }
    }
}

#[derive(Clone, Default)]
struct Endings(Arc<Mutex<Vec<Ending>>>);

impl Endings {
    fn note(&self) -> impl FnOnce(Ending) -> std::future::Ready<()> + Send + use<> {
        let endings = self.clone();
        move |ending| {
            endings.0.lock().unwrap().push(ending);
            ready(())
        }
    }

    fn all(&self) -> Vec<Ending> {
        self.0.lock().unwrap().clone()
    }
}

// run_with_cleanup

#[tokio::test(start_paused = true)]
async fn it_runs_after_a_value_an_error_and_a_panic() {
    for in_group in [true, false] {
        let endings = Endings::default();
        let all = async {
            let value = run_with_cleanup(async { Ok::<_, ()>(7) }, endings.note());
            assert_eq!(value.await, Ok(7));
            let error = run_with_cleanup(async { Err::<(), _>("no") }, endings.note());
            assert_eq!(error.await, Err("no"));
            let panic =
                run_with_cleanup(async { panic!("help") as Result<(), ()> }, endings.note());
            assert_eq!(text_of(&*panic_of(panic).await), "help");
            let bomb = PanicOnDrop::new("boom");
            let destructor = run_with_cleanup(
                async {
                    let _bomb = bomb;
                    Ok::<_, ()>(yield_now().await)
                },
                endings.note(),
            );
            panic_of(destructor).await;
            use Ending::*;
            assert_eq!(endings.all(), [Finished, Failed, Panicked, Panicked]);
        };
        match in_group {
            true => TaskGroup::<()>::run(async |_| Ok(all.await)).await.unwrap(),
            false => all.await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_runs_after_a_cancellation_and_says_why() {
    let endings = Endings::default();
    let group = TaskGroup::<()>::run(async |g| {
        let stop = g.clone();
        g.spawn(run_with_cleanup(pending::<Result<(), _>>(), endings.note()));
        g.spawn(run_with_cleanup(
            async move {
                sleep(ms(1)).await;
                stop.cancel(Reason::Shutdown);
                pending::<Result<(), _>>().await
            },
            endings.note(),
        ));
        run_with_cleanup(pending::<Result<(), ()>>(), endings.note()).await
    });
    group.await.or_cancelled(()).unwrap();
    assert_eq!(endings.all(), vec![Ending::Cancelled(Reason::Shutdown); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_aborted_before_its_first_poll_is_cleaned_up() {
    let endings = Endings::default();
    let group = TaskGroup::<()>::run(async |g| {
        g.spawn(run_with_cleanup(pending::<Result<(), _>>(), endings.note()));
        g.cancel(Reason::Shutdown);
        Ok(())
    });
    group.await.unwrap();
    assert_eq!(endings.all(), [Ending::Cancelled(Reason::Shutdown)]);
}

/// Nothing of the scope it comes after is in force, as that is over.
#[tokio::test(start_paused = true)]
async fn it_has_a_time_of_its_own() {
    let (told, was_told) = oneshot::channel();
    let error = TaskGroup::<()>::builder()
        .timeout(ms(1))
        .run(async |_| {
            run_with_cleanup(pending::<Result<(), ()>>(), |_| async {
                assert!(check().is_ok());
                assert_eq!(remaining(), Some(BUDGET));
                assert!(timeout(ms(10), cancelled()).await.is_err());
                let inner = TaskGroup::<()>::run(async |g| {
                    let task = g.spawn(async { Ok(remaining()) });
                    Ok(task.await)
                });
                assert_eq!(inner.await.unwrap(), Some(BUDGET - ms(10)));
                told.send(()).unwrap();
            })
            .await
        })
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.len() == 1, "{error:?}");
    was_told.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_cut_and_named() {
    let (probes, began) = (Probes::new(), Instant::now());
    let probe = probes.probe(());
    let here = Location::caller().line() + 3;
    let error = TaskGroup::<Infallible>::builder()
        .run(async |_| {
            run_with_cleanup(async { Ok(()) }, |_| async {
                let _probe = probe;
                pending().await
            })
            .await
        })
        .await
        .unwrap_err();
    assert_eq!(began.elapsed(), BUDGET);
    let failure = error.first();
    assert_eq!(
        (*failure.name() == "cleanup", failure.location().line()),
        (true, here)
    );
    assert!(matches!(failure.cause(), Cause::Budget(BUDGET)));
    assert!(
        failure
            .to_string()
            .ends_with("cut: its budget of 5s was used up")
    );
    probes.assert_all_dropped();

    let outside = run_with_cleanup(async { Ok::<_, ()>(1) }, |_| pending()).budget(ms(7));
    let began = Instant::now();
    assert_eq!(outside.await, Ok(1));
    assert_eq!(began.elapsed(), ms(7));
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_is_reported() {
    for at_once in [true, false] {
        let error = TaskGroup::<()>::builder()
            .on_error(OnError::Collect)
            .run(async |_| {
                let cleanup = move |_| {
                    assert!(!at_once, "at once");
                    async { panic!("later") }
                };
                run_with_cleanup(async { Ok(()) }, cleanup).await
            })
            .await
            .unwrap_err();
        assert!(error.is_panic() && error.len() == 1);
    }
    let outside = run_with_cleanup(async { Ok::<_, ()>(1) }, |_| async { panic!("mine") });
    assert_eq!(text_of(&*panic_of(outside).await), "mine");
    let both = run_with_cleanup(async { panic!("first") as Result<(), ()> }, |_| async {
        panic!("second")
    });
    assert_eq!(text_of(&*panic_of(both).await), "first");
}

#[tokio::test(start_paused = true)]
async fn the_group_waits_for_one_whose_future_was_dropped_half_way() {
    let log = Log::default();
    TaskGroup::<()>::run(async |_| {
        let said = log.clone();
        let run = run_with_cleanup(async { Ok::<_, ()>(()) }, |_| async move {
            sleep(ms(10)).await;
            said.say("cleaned");
        });
        assert!(timeout(ms(5), run).await.is_err());
        assert!(log.lines().is_empty());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(log.lines(), ["cleaned"]);
}

/// The future is gone before the clean-up begins, so that it finds what the future held.
#[tokio::test(start_paused = true)]
async fn it_begins_when_the_future_is_gone() {
    let probes = Probes::new();
    let (probe, watched) = (probes.probe(()), probes.clone());
    let mut run = Box::pin(run_with_cleanup(
        async {
            let _probe = probe;
            pending::<Result<(), ()>>().await
        },
        move |_| {
            watched.assert_all_dropped();
            ready(())
        },
    ));
    assert!(poll_once(run.as_mut()).await.is_pending());
    let dropped = TaskGroup::<()>::run(async |_| Ok(drop(run)));
    dropped.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nested_ones_run_from_the_inside_out() {
    let endings = Arc::new(Mutex::new(Vec::new()));
    let note = |name| {
        let endings = endings.clone();
        move |ending| {
            endings.lock().unwrap().push((name, ending));
            ready(())
        }
    };
    let inner = run_with_cleanup(async { Err::<(), _>("no") }, note("inner"));
    let outer = run_with_cleanup(inner, note("outer"));
    assert_eq!(outer.await, Err("no"));
    let seen = endings.lock().unwrap().clone();
    assert_eq!(seen, [("inner", Ending::Failed), ("outer", Ending::Failed)]);
}

#[test]
fn outside_of_any_runtime_it_uses_the_one_it_was_made_in() {
    let endings = Endings::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let entered = runtime.enter();
    let run = run_with_cleanup(pending::<Result<(), ()>>(), endings.note());
    drop(entered);
    drop(run);
    runtime.block_on(yield_now());
    assert_eq!(endings.all(), [Ending::Dropped]);
    // Made outside of any, it has nobody.
    drop(run_with_cleanup(
        pending::<Result<(), ()>>(),
        endings.note(),
    ));
    assert_eq!(endings.all().len(), 1);
}

#[tokio::test]
async fn dropped_at_every_poll_it_runs_once() {
    for in_group in [true, false] {
        let report = cancel_at_every_poll(
            "run_with_cleanup",
            async || {
                let probes = Probes::new();
                let (body, cleanup) = (probes.probe(()), probes.probe(()));
                let (counted, count) =
                    (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let begun = counted.clone();
                let done = count.clone();
                let run = run_with_cleanup(
                    async {
                        yield_now().await;
                        drop(body);
                        Ok::<_, ()>(yield_now().await)
                    },
                    move |_| async move {
                        begun.fetch_add(1, SeqCst);
                        yield_now().await;
                        yield_now().await;
                        drop(cleanup);
                        done.fetch_add(1, SeqCst);
                    },
                );
                let run = async move {
                    match in_group {
                        false => run.await,
                        true => TaskGroup::run(async |_| run.await).await.map_err(|_| ()),
                    }
                };
                ((probes, counted, count), run)
            },
            async |(probes, begun, done), ending| {
                if let Dropped::Completed(result) = ending {
                    result.unwrap();
                    probes.assert_all_dropped();
                }
                while probes.alive() > 0 {
                    yield_now().await;
                }
                let counts = (begun.load(SeqCst), done.load(SeqCst));
                // A group that was never polled never had a body.
                assert_eq!(counts, (1, 1));
            },
        )
        .await;
        assert!(report.polls >= 3, "{report:?}");
    }
}

// on_cleanup

#[tokio::test(start_paused = true)]
async fn the_last_registered_runs_first_after_all_tasks() {
    let log = Log::default();
    let value = TaskGroup::<()>::run(async |g| {
        g.on_cleanup("a", log.cleanup("a"));
        let late = log.clone();
        g.spawn(async move {
            sleep(ms(20)).await;
            Ok(late.say("task"))
        });
        g.on_cleanup("b", log.cleanup("b"));
        let (from_task, said) = (g.clone(), log.clone());
        g.spawn(async move { Ok(drop(from_task.on_cleanup("c", said.cleanup("c")))) });
        Ok(5)
    });
    assert_eq!(value.await.unwrap(), 5);
    assert_eq!(log.lines(), ["task", "c..", "c", "b..", "b", "a..", "a"]);
}

#[tokio::test(start_paused = true)]
async fn they_run_however_the_group_ends() {
    for case in 0..5 {
        let log = Log::default();
        let ended = TaskGroup::<&str>::builder()
            .timeout(if case == 3 { ms(1) } else { HOUR })
            .run(async |g| {
                g.on_cleanup("a", log.cleanup("a"));
                match case {
                    0 => return Err("body"),
                    1 => drop(g.spawn(async { Err::<(), _>("task") })),
                    2 => drop(g.spawn(async { panic!("task") as Result<(), _> })),
                    3 => {}
                    _ => g.cancel(Reason::Requested),
                }
                pending::<Result<(), _>>().await
            })
            .await
            .unwrap_err();
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert_eq!(log.lines(), ["a..", "a"], "case {case}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_others_run_after_one_that_fails_panics_or_hangs() {
    let (log, began) = (Log::default(), Instant::now());
    let error = TaskGroup::run(async |g| {
        g.on_cleanup("last", log.cleanup("last"));
        g.on_cleanup("hangs", pending()).budget(ms(30));
        g.on_cleanup("panics", async { panic!("oh") });
        g.on_cleanup("fails", async { Err("no") });
        g.on_cleanup("hangs long", pending());
        g.on_cleanup("first", log.cleanup("first"));
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(log.lines(), ["first..", "first", "last..", "last"]);
    assert_eq!(began.elapsed(), ms(1) + BUDGET + ms(30) + ms(1));
    let failures: Vec<_> = error
        .iter()
        .map(|failure| (failure.name().to_string(), failure.cause().to_string()))
        .collect();
    let expected = [
        ("cleanup hangs long", "cut: its budget of 5s was used up"),
        ("cleanup fails", "no"),
        ("cleanup panics", "panicked: oh"),
        ("cleanup hangs", "cut: its budget of 30ms was used up"),
    ];
    assert_eq!(
        failures,
        expected.map(|(name, cause)| (name.to_owned(), cause.to_owned()))
    );
}

/// Neither the group's deadline nor its grace is for what comes after its tasks.
#[tokio::test(start_paused = true)]
async fn the_groups_own_time_does_not_count() {
    let log = Log::default();
    let value = TaskGroup::<()>::builder()
        .timeout(ms(5))
        .grace(ms(5))
        .run(async |g| {
            let said = log.clone();
            g.on_cleanup("long", async move {
                assert!(check().is_ok());
                assert_eq!(remaining(), Some(BUDGET));
                sleep(ms(50)).await;
                Ok(said.say("through"))
            });
            sleep(ms(7)).await; // late, and within the grace
            Ok(3)
        });
    assert_eq!(value.await.unwrap(), 3);
    assert_eq!(log.lines(), ["through"]);
}

#[tokio::test(start_paused = true)]
async fn no_abort_reaches_one_that_runs() {
    let (log, handle) = (Log::default(), Mutex::new(None));
    let mut run = pin!(TaskGroup::<()>::run(async |g| {
        g.on_cleanup("a", log.cleanup("a"));
        *handle.lock().unwrap() = Some(g);
        Ok(3)
    }));
    while log.lines().is_empty() {
        assert!(poll_once(run.as_mut()).await.is_pending());
        yield_now().await;
    }
    handle
        .lock()
        .unwrap()
        .take()
        .unwrap()
        .cancel(Reason::Requested);
    assert_eq!(run.await.unwrap(), 3);
    assert_eq!(log.lines(), ["a..", "a"]);
}

#[tokio::test(start_paused = true)]
async fn one_may_spawn_shield_group_and_register() {
    let log = Log::default();
    let group = TaskGroup::<()>::run(async |g| {
        let (said, inside) = (log.clone(), g.clone());
        g.on_cleanup("below", log.cleanup("below"));
        g.on_cleanup("busy", async move {
            drop(inside.shield(said.cleanup::<()>("shielded")));
            drop(shield(said.cleanup::<()>("shielded, too")));
            inside.on_cleanup("registered", said.cleanup("registered"));
            let group = TaskGroup::<()>::run(async |g| {
                g.on_cleanup("inner", said.cleanup("inner"));
                g.spawn(said.cleanup("task"));
                Ok(())
            });
            group.await.map_err(drop)
        });
        g.cancel(Reason::Requested);
        pending().await
    });
    group.await.or_cancelled(()).unwrap();
    let lines = log.lines();
    let through: Vec<_> = lines
        .iter()
        .filter(|line| !line.ends_with(".."))
        .cloned()
        .collect();
    assert_eq!(through.len(), 6, "{lines:?}");
    assert_eq!(through[4..], ["registered", "below"]);
    // Each waited for all that the one before it had begun.
    assert_eq!(
        lines[8..],
        ["registered..", "registered", "below..", "below"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_spawns_into_a_group_that_is_well_is_waited_for() {
    let log = Log::default();
    TaskGroup::<()>::run(async |g| {
        let (said, inside) = (log.clone(), g.clone());
        g.on_cleanup("below", log.cleanup("below"));
        g.on_cleanup("spawns", async move {
            Ok(drop(inside.spawn(said.cleanup("task"))))
        });
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(log.lines(), ["task..", "task", "below..", "below"]);
}

#[tokio::test(start_paused = true)]
async fn a_disarmed_one_is_dropped() {
    let (log, probes) = (Log::default(), Probes::new());
    let probe = probes.probe(());
    let mut kept = None;
    TaskGroup::<()>::run(async |g| {
        kept = Some(g.on_cleanup("kept", log.cleanup("kept")));
        let disarmed = g
            .on_cleanup("disarmed", async move { Ok(drop(probe)) })
            .budget(ms(1));
        assert!(disarmed.is_armed() && disarmed.disarm());
        probes.assert_all_dropped();
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(log.lines(), ["kept..", "kept"]);
    let kept = kept.unwrap();
    assert!(!kept.is_armed() && !kept.disarm());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_over_refuses() {
    let (log, mut over) = (Log::default(), None);
    TaskGroup::<()>::run(async |g| Ok(over = Some(g)))
        .await
        .unwrap();
    assert!(
        !over
            .unwrap()
            .on_cleanup("late", log.cleanup("late"))
            .is_armed()
    );
    assert!(log.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_a_dropped_group_they_run_after_its_tasks() {
    let (log, probes) = (Log::default(), Probes::new());
    let inner = |log: Log, probes: Probes| async move {
        TaskGroup::<&str>::run(async |g| {
            let probe = probes.probe(());
            g.on_cleanup("fails", async { Err("nobody hears it") });
            g.on_cleanup("a", log.cleanup("a"));
            g.on_cleanup("b", async move {
                probes.assert_all_dropped();
                Ok(())
            });
            g.spawn(async move {
                let _probe = probe;
                pending::<Result<(), _>>().await
            });
            let said = log.clone();
            drop(g.shield(async move {
                sleep(ms(5)).await;
                said.say("shielded");
            }));
            pending::<Result<(), _>>().await
        })
        .await
    };
    // A group further out waits for them.
    TaskGroup::<()>::run(async |_| {
        let late = timeout(ms(1), inner(log.clone(), probes.clone()));
        Ok(assert!(late.await.is_err()))
    })
    .await
    .unwrap();
    assert_eq!(log.lines(), ["shielded", "a..", "a"]);
    // Without one they run all the same.
    let late = timeout(ms(1), inner(log.clone(), probes));
    assert!(late.await.is_err());
    assert_eq!(log.lines().len(), 3);
    no_hang(async {
        while log.lines().len() < 6 {
            sleep(ms(1)).await;
        }
    })
    .await;
}

/// From three levels down, through groups that were dropped with it.
#[test]
fn of_nested_dropped_groups_all_run_from_the_inside_out() {
    on_threads(async {
        let log = Log::default();
        TaskGroup::<()>::run(async |_| {
            let (said, (ready, is_ready)) = (log.clone(), oneshot::channel());
            let outer = TaskGroup::<()>::run(async move |g| {
                g.on_cleanup("outer", said.cleanup("outer"));
                let inner = TaskGroup::<()>::run(async |g| {
                    g.on_cleanup("inner", said.cleanup("inner"));
                    ready.send(()).unwrap();
                    pending::<Result<(), ()>>().await
                });
                inner.await.map_err(drop)
            });
            tokio::select! {
                _ = outer => unreachable!("it stays"),
                ready = is_ready => ready.unwrap(),
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(log.lines(), ["inner..", "inner", "outer..", "outer"]);
    });
}

#[test]
fn a_runtime_that_shuts_down_drops_them_and_hangs_nobody() {
    let (log, probes) = (Log::default(), Probes::new());
    for drained in [true, false] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (log, probe) = (log.clone(), probes.probe(()));
        let run = TaskGroup::<()>::run(async move |g| {
            g.on_cleanup("lost", async move {
                drop(probe);
                Ok(log.say("run"))
            });
            g.spawn(pending::<Result<(), _>>());
            pending::<Result<(), ()>>().await
        });
        runtime.block_on(async {
            let task = tokio::spawn(run);
            yield_now().await;
            if drained {
                task.abort();
            }
        });
        drop(runtime);
    }
    probes.assert_all_dropped();
    assert!(log.lines().is_empty());
}

#[tokio::test]
async fn a_group_dropped_at_every_poll_runs_each_once() {
    let report = cancel_at_every_poll(
        "TaskGroup::run",
        async || {
            let (log, probes) = (Log::default(), Probes::new());
            let (said, given) = (log.clone(), probes.clone());
            let run = TaskGroup::<Infallible>::run(async move |g| {
                for name in ["a", "b"] {
                    let (said, probe) = (said.clone(), given.probe(()));
                    g.on_cleanup(name, async move {
                        said.say(format!("{name}.."));
                        yield_now().await;
                        drop(probe);
                        Ok(said.say(name))
                    });
                }
                let probe = given.probe(());
                g.spawn(async move {
                    yield_now().await;
                    Ok(drop(probe))
                });
                Ok(yield_now().await)
            });
            ((log, probes), run)
        },
        async |(log, probes), ending| {
            if let Dropped::Completed(result) = &ending {
                assert!(result.is_ok());
                probes.assert_all_dropped();
            }
            while probes.alive() > 0 {
                yield_now().await;
            }
            let begun = probes.created() > 0;
            let expected: &[&str] = if begun {
                &["b..", "b", "a..", "a"]
            } else {
                &[]
            };
            assert_eq!(log.lines(), expected);
        },
    )
    .await;
    assert!(report.polls >= 4, "{report:?}");
}

#[test]
fn a_budget_of_nothing_panics_at_the_callers_line() {
    let message = panic_message(|| {
        run_with_cleanup(pending::<Result<(), ()>>(), |_| ready(())).budget(Duration::ZERO)
    });
    assert!(message.contains("a budget of 0"), "{message}");
}

/// What one of them does, by the model.
#[derive(Clone, Debug)]
enum Plan {
    Ok,
    Fail,
    Panic,
    Hang,
    Disarm,
    /// Registers another.
    More(Box<Plan>),
}

fn plan() -> impl Strategy<Value = Plan> {
    let leaf = prop_oneof![
        Just(Plan::Ok),
        Just(Plan::Fail),
        Just(Plan::Panic),
        Just(Plan::Hang),
        Just(Plan::Disarm),
    ];
    leaf.prop_recursive(3, 4, 1, |inner| {
        inner.prop_map(|plan| Plan::More(Box::new(plan)))
    })
}

fn register(g: &TaskGroup<&'static str>, log: &Log, number: String, plan: Plan) {
    let (said, inside, name) = (log.clone(), g.clone(), number.clone());
    let handle = g.on_cleanup(number, async move {
        said.say(name.clone());
        match plan.clone() {
            Plan::Fail => return Err("failed"),
            // Without the hook's word on it, 200 times.
            Plan::Panic => std::panic::resume_unwind(Box::new("panicked")),
            Plan::Hang => pending().await,
            Plan::More(plan) => register(&inside, &said, format!("{name}+"), *plan),
            Plan::Ok | Plan::Disarm => {}
        }
        Ok(())
    });
    drop(handle);
}

/// The order by the model, and the names of those that fail.
fn model(plans: &[Plan]) -> (Vec<String>, Vec<String>) {
    let (mut order, mut failed) = (Vec::new(), Vec::new());
    for (at, plan) in plans.iter().enumerate().rev() {
        let (mut name, mut plan) = (at.to_string(), plan);
        loop {
            if matches!(plan, Plan::Disarm) && !name.ends_with('+') {
                break;
            }
            order.push(name.clone());
            match plan {
                Plan::Fail | Plan::Panic | Plan::Hang => failed.push(format!("cleanup {name}")),
                Plan::More(inner) => {
                    (name, plan) = (format!("{name}+"), inner);
                    continue;
                }
                Plan::Ok | Plan::Disarm => {}
            }
            break;
        }
    }
    (order, failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn they_run_in_reverse_whatever_each_does(
        plans in prop::collection::vec(plan(), 0..12),
        cancel in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let log = Log::default();
        let ended = runtime.block_on(TaskGroup::run(async |g| {
            for (at, plan) in plans.iter().cloned().enumerate() {
                match plan {
                    Plan::Disarm => assert!(g.on_cleanup("disarmed", async { Err("run") }).disarm()),
                    plan => register(&g, &log, at.to_string(), plan),
                }
            }
            if cancel {
                g.cancel(Reason::Requested);
            }
            Ok(())
        }));
        let failed: Vec<_> = match &ended {
            Ok(()) => Vec::new(),
            Err(error) => error.iter().map(|failure| failure.name().to_string()).collect(),
        };
        prop_assert_eq!((log.lines(), failed), model(&plans));
    }
}
