//! Tasks that stay on their thread: what they need not be, what they can do all the same, and what becomes of them with their
//! `LocalSet`.
#![cfg(not(shibuya_loom))]

mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use shibuya_cancel::{cancelled, check, remaining};
use shibuya_taskgroup::{Cause, OnError, Outcome, Reason, TaskGroup};
use shibuya_testkit::{Ending, PanicOnDrop, Probes, cancel_at_every_poll};
use support::{HOUR, ms, no_hang, on_threads, panic_message};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};
use tokio::time::sleep;

type Nothing = Result<(), ()>;

/// Keeps what it is given for as long as the future lives.
async fn hold<T>(value: T) -> Nothing {
    let _value = value;
    pending().await
}

/// Runs `fut` in a `LocalSet` of one thread, with paused time.
fn in_a_local_set<F: Future>(fut: F) -> F::Output {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, no_hang(fut))
}

// As tasks are

#[test]
fn neither_future_nor_value_need_be_send() {
    in_a_local_set(async {
        let words = Rc::new(RefCell::new(Vec::new()));
        let here = thread::current().id();
        let run = TaskGroup::<()>::run(async |g| {
            let tasks = ["a", "b"].map(|word| {
                let words = words.clone();
                g.task(word).spawn_local(async move {
                    yield_now().await;
                    words.borrow_mut().push(word);
                    assert_eq!(thread::current().id(), here);
                    Ok(Rc::new(word))
                })
            });
            let [a, b] = tasks;
            Ok((a.await, b.await))
        });
        let (a, b) = run.await.unwrap();
        assert_eq!((*a, *b), ("a", "b"));
        words.borrow_mut().sort_unstable();
        assert_eq!(*words.borrow(), ["a", "b"]);
    });
}

#[test]
fn an_error_and_a_panic_are_told_with_name_and_place() {
    in_a_local_set(async {
        let mut lines = Vec::new();
        let error = TaskGroup::builder()
            .on_error(OnError::Collect)
            .run(async |g| {
                lines.push(Location::caller().line() + 1);
                g.spawn_local(async { Err::<Rc<()>, _>("no") });
                lines.push(Location::caller().line() + 1);
                g.task("bad")
                    .spawn_local(async { panic!("boom") as Result<(), _> });
                Ok(())
            })
            .await
            .unwrap_err();
        let [no, bad] = error.iter().collect::<Vec<_>>()[..] else {
            panic!("{error}")
        };
        assert_eq!(no.error(), Some(&"no"));
        assert_eq!(no.location().file(), file!());
        assert!(matches!(bad.cause(), Cause::Panic(panic) if panic.message() == Some("boom")));
        assert_eq!(*bad.name(), "bad");
        assert_eq!(
            [no, bad].map(|failure| failure.location().line()),
            lines[..]
        );
    });
}

#[test]
fn a_failure_cancels_those_on_all_threads() {
    on_threads(async {
        let local = LocalSet::new();
        let error = local.run_until(async {
            let probes = Probes::new();
            let error = TaskGroup::run(async |g| {
                g.spawn(hold_a_value(probes.probe(())));
                g.spawn_local(hold_a_value(Rc::new(probes.probe(()))));
                g.spawn_local(async { Err::<(), _>("first") }).await;
                Ok(())
            })
            .await
            .unwrap_err();
            probes.assert_all_dropped();
            error
        });
        assert_eq!(error.await.into_first_error().unwrap(), "first");
    });

    async fn hold_a_value<T>(value: T) -> Result<(), &'static str> {
        let _ = hold(value).await;
        unreachable!("it is dropped")
    }
}

#[test]
fn the_limit_is_one_for_all_tasks() {
    in_a_local_set(async {
        let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let order = Rc::new(RefCell::new(Vec::new()));
        TaskGroup::<()>::builder()
            .limit(2)
            .run(async |g| {
                // A task of the other kind has one of the two slots all the time.
                let (stop, stopped) = oneshot::channel();
                g.spawn(async move { stopped.await.map_err(drop) });
                let tasks: Vec<_> = (0..4)
                    .map(|i| {
                        let (running, most, order) = (running.clone(), most.clone(), order.clone());
                        g.spawn_local(async move {
                            order.borrow_mut().push(i);
                            running.set(running.get() + 1);
                            most.set(most.get().max(running.get()));
                            yield_now().await;
                            Ok(running.set(running.get() - 1))
                        })
                    })
                    .collect();
                assert!(g.try_spawn(async { Ok(()) }).is_err());
                for task in tasks {
                    task.await;
                }
                Ok(stop.send(()).unwrap())
            })
            .await
            .unwrap();
        assert_eq!(most.get(), 1);
        assert_eq!(*order.borrow(), [0, 1, 2, 3]);
    });
}

#[test]
fn a_timeout_of_its_own_and_the_groups_deadline() {
    in_a_local_set(async {
        let error = TaskGroup::<()>::builder()
            .timeout(HOUR)
            .run(async |g| {
                let left = g.spawn_local(async { Ok(remaining()) }).await;
                assert_eq!(left, Some(HOUR));
                g.task("slow")
                    .timeout(ms(10))
                    .spawn_local(hold(Rc::new(())))
                    .await;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(*error.first().name(), "slow");
    });
}

#[test]
fn it_is_cancelled_and_aborted_alone() {
    in_a_local_set(async {
        TaskGroup::<()>::run(async |g| {
            let mut told = g.spawn_local(async { Ok(Rc::new(cancelled().await)) });
            let mut cut = g.spawn_local(hold(Rc::new(())));
            yield_now().await;
            told.cancel(Reason::Shutdown);
            cut.abort();
            assert_eq!(
                told.outcome().await.ok().as_deref(),
                Some(&Reason::Shutdown)
            );
            assert!(cut.outcome().await.is_cancelled());
            assert!(!g.is_cancelled());
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// Notes what its destructor sees.
struct Seen(Rc<RefCell<Vec<bool>>>);

impl Drop for Seen {
    fn drop(&mut self) {
        self.0.borrow_mut().push(check().is_err());
    }
}

#[test]
fn destructors_run_in_the_scope_of_the_task() {
    in_a_local_set(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        TaskGroup::<()>::run(async |g| {
            let held = Seen(seen.clone());
            g.spawn_local(hold(held));
            let value = Seen(seen.clone());
            drop(g.spawn_local(async move {
                cancelled().await;
                Ok(value)
            }));
            yield_now().await;
            Ok(g.cancel(Reason::Requested))
        })
        .await
        .unwrap();
        assert_eq!(*seen.borrow(), [true, true]);
    });
}

#[test]
fn a_panic_in_a_destructor_is_a_failure() {
    in_a_local_set(async {
        let error = TaskGroup::<()>::run(async |g| {
            let panics = Rc::new(PanicOnDrop::new("in a destructor"));
            g.spawn_local(async move { Ok(drop(panics)) });
            Ok(())
        })
        .await
        .unwrap_err();
        assert!(error.is_panic() && error.len() == 1, "{error:?}");
    });
}

#[test]
fn dropping_the_run_drops_them_at_their_next_poll() {
    in_a_local_set(async {
        let probes = Probes::new();
        let (begun, has_begun) = oneshot::channel();
        let run = TaskGroup::<()>::run(async |g| {
            g.spawn_local(hold(Rc::new(probes.probe(()))));
            begun.send(()).unwrap();
            pending::<Nothing>().await
        });
        tokio::select! {
            _ = run => unreachable!("it waits"),
            _ = has_begun => {}
        }
        while probes.alive() > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn a_group_that_is_over_takes_none() {
    in_a_local_set(async {
        let left = TaskGroup::<()>::run(async |g| Ok(g)).await.unwrap();
        let probes = Probes::new();
        let mut task = left.spawn_local(hold(Rc::new(probes.probe(()))));
        probes.assert_all_dropped();
        assert!(task.outcome().await.is_cancelled());
    });
}

#[test]
fn a_local_task_spawns_another_and_a_group() {
    in_a_local_set(async {
        let sum = TaskGroup::<()>::run(async |g| {
            let own = g.clone();
            let sum = g.spawn_local(async move {
                let two = own.spawn_local(async { Ok(Rc::new(2)) });
                let inner = TaskGroup::<()>::run(async |g| {
                    Ok(g.spawn_local(async { Ok(Rc::new(40)) }).await)
                });
                let inner = inner.await.unwrap();
                Ok(*inner + *two.await)
            });
            Ok(sum.await)
        });
        assert_eq!(sum.await.unwrap(), 42);
    });
}

// Where there is no LocalSet

#[test]
fn outside_of_a_local_set_it_panics_at_the_callers_line_and_counts_nothing() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = places.clone();
    let this_thread = thread::current().id();
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == this_thread {
            let place = info.location().map(|at| (at.file().to_owned(), at.line()));
            seen.lock().unwrap().push(place.unwrap());
        }
    }));
    let runtime = Builder::new_current_thread().build().unwrap();
    let probes = Probes::new();
    let mut lines = [0; 2];
    let run = TaskGroup::<()>::builder().limit(1).run(async |g| {
        lines[0] = Location::caller().line() + 1;
        let plain = panic_message(|| g.spawn_local(hold(Rc::new(probes.probe(())))));
        let timed = g.task("x").timeout(ms(1));
        lines[1] = Location::caller().line() + 1;
        let named = panic_message(|| timed.spawn_local(hold(Rc::new(probes.probe(())))));
        assert_eq!(
            plain,
            "`spawn_local` outside of a `LocalSet` or a local runtime"
        );
        assert_eq!(named, plain);
        probes.assert_all_dropped();
        assert!(g.is_empty() && !g.is_cancelled());
        let free = g.try_spawn(async { Ok(7) }).expect("no slot is lost");
        Ok(free.await)
    });
    let value = runtime.block_on(run);
    std::panic::set_hook(quiet);
    assert_eq!(value.unwrap(), 7);
    // Before each of ours, Tokio tells of its own.
    let ours: Vec<_> = places
        .lock()
        .unwrap()
        .drain(..)
        .skip(1)
        .step_by(2)
        .collect();
    assert_eq!(ours, lines.map(|line| (file!().to_owned(), line)));
}

#[test]
fn a_blocking_task_is_outside() {
    in_a_local_set(async {
        let error = TaskGroup::<()>::run(async |g| {
            let own = g.clone();
            g.task("blocks").spawn_blocking(move |_| {
                own.spawn_local(async { Ok(()) });
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap_err();
        assert!(error.is_panic() && error.len() == 1);
        assert_eq!(*error.first().name(), "blocks");
    });
}

#[test]
fn a_local_runtime_does_as_well() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    let value = runtime.block_on(no_hang(TaskGroup::<()>::run(async |g| {
        let value = Rc::new(5);
        Ok(*g.spawn_local(async move { Ok(value) }).await)
    })));
    assert_eq!(value.unwrap(), 5);
}

#[test]
fn a_local_runtime_that_goes_takes_its_tasks_with_it() {
    let probes = Probes::new();
    let runtime = Builder::new_current_thread()
        .build_local(LocalOptions::default())
        .unwrap();
    let probe = probes.probe(());
    let (begun, has_begun) = oneshot::channel();
    runtime.spawn_local(TaskGroup::<()>::run(async move |g| {
        g.spawn_local(hold(Rc::new(probe)));
        begun.send(()).unwrap();
        pending::<Nothing>().await
    }));
    runtime.block_on(has_begun).unwrap();
    drop(runtime);
    probes.assert_all_dropped();
}

// A LocalSet that ends, and a group elsewhere

/// A group that runs on the threads of a runtime, until it is told to end its body.
struct Elsewhere {
    g: TaskGroup<&'static str>,
    close: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), String>>,
}

impl Elsewhere {
    async fn new() -> Self {
        let (give, take) = oneshot::channel();
        let (close, closed) = oneshot::channel();
        let ended = tokio::spawn(async {
            let group = TaskGroup::run(async |g| {
                assert!(give.send(g).is_ok());
                closed.await.map_err(|_| "never closed")
            });
            group.await.map_err(|error| error.to_string())
        });
        let g = take.await.unwrap();
        Self { g, close, ended }
    }
}

#[test]
fn a_group_on_other_threads_waits_for_the_local_set() {
    on_threads(async {
        let Elsewhere { g, close, ended } = Elsewhere::new().await;
        let local = LocalSet::new();
        let done = Rc::new(Cell::new(false));
        let seen = done.clone();
        let task = {
            let _inside = local.enter();
            g.spawn_local(async move {
                yield_now().await;
                Ok(seen.set(true))
            })
        };
        close.send(()).unwrap();
        assert!(!ended.is_finished() && !task.is_finished() && !done.get());
        local.run_until(ended).await.unwrap().unwrap();
        assert!(done.get());
    });
}

#[test]
fn a_local_set_that_is_dropped_cancels_its_tasks_and_the_group_goes_on() {
    on_threads(async {
        let Elsewhere { g, close, ended } = Elsewhere::new().await;
        let probes = Probes::new();
        let local = LocalSet::new();
        let (mut polled, mut fresh) = local
            .run_until(async {
                let (begun, has_begun) = oneshot::channel();
                let probe = Rc::new(probes.probe(()));
                let polled = g.spawn_local(async move {
                    begun.send(()).unwrap();
                    let _probe = probe;
                    pending::<Result<(), _>>().await
                });
                has_begun.await.unwrap();
                let probe = Rc::new(probes.probe(()));
                let fresh = g.spawn_local(async move {
                    let _probe = probe;
                    pending::<Result<(), _>>().await
                });
                (polled, fresh)
            })
            .await;
        drop(local);
        probes.assert_all_dropped();
        for task in [&mut polled, &mut fresh] {
            assert!(matches!(
                task.outcome().await,
                Outcome::Cancelled(Reason::Dropped)
            ));
        }
        assert!(g.is_empty() && !g.is_cancelled());
        close.send(()).unwrap();
        assert_eq!(ended.await.unwrap(), Ok(()));
    });
}

/// Spawns into its `LocalSet` while that is being dropped.
struct SpawnOnDrop(TaskGroup<&'static str>, Rc<Cell<usize>>);

impl Drop for SpawnOnDrop {
    fn drop(&mut self) {
        let counted = Counted(self.1.clone());
        self.0.spawn_local(async move {
            let _counted = counted;
            pending::<Result<(), _>>().await
        });
    }
}

struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_task_spawned_while_the_local_set_is_dropped_is_dropped_too() {
    on_threads(async {
        let Elsewhere { g, close, ended } = Elsewhere::new().await;
        let dropped = Rc::new(Cell::new(0));
        let local = LocalSet::new();
        {
            let _inside = local.enter();
            let spawns = SpawnOnDrop(g.clone(), dropped.clone());
            g.spawn_local(async move {
                let _spawns = spawns;
                pending::<Result<(), _>>().await
            });
        }
        drop(local);
        assert_eq!(dropped.get(), 1);
        assert!(g.is_empty());
        close.send(()).unwrap();
        assert_eq!(ended.await.unwrap(), Ok(()));
    });
}

#[test]
fn an_abort_from_another_thread_reaches_the_local_set() {
    on_threads(async {
        let Elsewhere { g, close, ended } = Elsewhere::new().await;
        let (probes, local) = (Probes::new(), LocalSet::new());
        let probe = Rc::new(probes.probe(()));
        let inside = g.clone();
        local.spawn_local(async move {
            inside.spawn_local(async move {
                let _probe = probe;
                pending::<Result<(), _>>().await
            });
            tokio::spawn(async move { inside.cancel(Reason::Shutdown) });
        });
        local.await; // until all its tasks are done
        probes.assert_all_dropped();
        let _ = close.send(()); // the body is dropped with the rest
        assert!(ended.await.unwrap().unwrap_err().contains("shutting down"));
    });
}

#[test]
fn its_value_is_awaited_on_another_thread() {
    on_threads(async {
        let Elsewhere { g, close, ended } = Elsewhere::new().await;
        let (give, take) = mpsc::channel();
        let spawner = thread::spawn({
            let g = g.clone();
            move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                LocalSet::new().block_on(&runtime, async {
                    let text = Rc::new("by way of an Rc");
                    let task = g.spawn_local(async move {
                        sleep(ms(1)).await;
                        Ok(text.len())
                    });
                    give.send(task).unwrap();
                    while !g.is_empty() {
                        yield_now().await;
                    }
                });
            }
        });
        let task = tokio::task::block_in_place(|| take.recv().unwrap());
        assert_eq!(tokio::spawn(task).await.unwrap(), 15);
        close.send(()).unwrap();
        ended.await.unwrap().unwrap();
        spawner.join().unwrap();
    });
}

// At every poll

#[test]
fn a_run_with_local_tasks_is_dropped_at_every_poll() {
    in_a_local_set(async {
        let report = cancel_at_every_poll(
            "TaskGroup::run",
            async || {
                let probes = Probes::new();
                let given = probes.clone();
                let run = TaskGroup::<()>::builder().limit(2).run(async move |g| {
                    for i in 0..4 {
                        let probe = Rc::new(given.probe(()));
                        g.spawn_local(async move {
                            for _ in 0..i {
                                yield_now().await;
                            }
                            Ok(drop(probe))
                        });
                    }
                    Ok(*g.spawn_local(async { Ok(Rc::new(42)) }).await)
                });
                (probes, run)
            },
            async |probes, ending| {
                if let Ending::Completed(value) = ending {
                    assert_eq!(value.unwrap(), 42);
                    probes.assert_all_dropped();
                }
                while probes.alive() > 0 {
                    yield_now().await;
                }
            },
        )
        .await;
        assert!(report.polls >= 2, "{report:?}");
    });
}
