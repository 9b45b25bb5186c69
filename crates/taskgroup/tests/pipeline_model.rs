//! Random pipelines with errors, panics, filters and consumers that leave: each item passes each stage once
//! at most, never more are on their way than there is place for, and all are accounted for.
#![cfg(not(shibuya_loom))]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use shibuya_taskgroup::{Pipeline, PipelineMonitor, TaskGroup, pipeline};
use shibuya_testkit::{Probe, Probes};
use tokio::runtime::Builder;
use tokio::task::yield_now;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Fail,
    Panic,
    LetGo,
    Dawdle(usize),
}

#[derive(Clone, Debug)]
struct Step {
    workers: usize,
    buffer: usize,
    /// By item. What is not here passes at once.
    deeds: HashMap<usize, Deed>,
}

#[derive(Clone, Copy, Debug)]
enum Consumer {
    Collect,
    ForEach,
    /// Leaves after so many.
    Stream(usize),
}

#[derive(Clone, Debug)]
struct Plan {
    items: usize,
    steps: Vec<Step>,
    consumer: Consumer,
    threads: bool,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        1 => Just(Deed::Fail),
        1 => Just(Deed::Panic),
        4 => Just(Deed::LetGo),
        8 => (1..6_usize).prop_map(Deed::Dawdle),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = (1..4_usize, 1..4_usize, hash_map(0..30_usize, deed(), 0..8)).prop_map(
        |(workers, buffer, deeds)| Step {
            workers,
            buffer,
            deeds,
        },
    );
    let consumer = prop_oneof![
        Just(Consumer::Collect),
        Just(Consumer::ForEach),
        (0..30_usize).prop_map(Consumer::Stream),
    ];
    (0..30_usize, vec(step, 0..4), consumer, any::<bool>()).prop_map(
        |(items, steps, consumer, threads)| Plan {
            items,
            steps,
            consumer,
            threads,
        },
    )
}

/// What was seen.
#[derive(Default)]
struct Seen {
    /// How often an item came to a stage.
    visits: Mutex<HashMap<(usize, usize), usize>>,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Plan {
    fn place(&self) -> usize {
        let last = self.steps.last().map_or(1, |step| step.buffer);
        let steps = self.steps.iter().map(|step| step.workers + step.buffer);
        steps.sum::<usize>() + last
    }

    fn build(&self, probes: &Probes, seen: &Arc<Seen>) -> Pipeline<Guarded, ()> {
        let items = (0..self.items).map({
            let (probes, seen) = (probes.clone(), seen.clone());
            move |n| {
                let inside = seen.inside.fetch_add(1, SeqCst) + 1;
                seen.most.fetch_max(inside, SeqCst);
                Guarded(probes.probe(n), seen.clone())
            }
        });
        let mut line = pipeline(items);
        for (at, step) in self.steps.iter().cloned().enumerate() {
            let (seen, deeds) = (seen.clone(), Arc::new(step.deeds));
            line = line.filter_stage(
                format!("{at}"),
                step.workers,
                step.buffer,
                move |item: Guarded| {
                    let n = *item.0;
                    *seen.visits.lock().unwrap().entry((at, n)).or_default() += 1;
                    let deed = deeds.get(&n).copied();
                    async move {
                        match deed {
                            Some(Deed::Fail) => return Err(()),
                            Some(Deed::Panic) => panic!("as planned"),
                            Some(Deed::LetGo) => return Ok(None),
                            Some(Deed::Dawdle(turns)) => {
                                for _ in 0..turns {
                                    yield_now().await;
                                }
                            }
                            None => {}
                        }
                        Ok(Some(item))
                    }
                },
            );
        }
        line
    }

    /// The items that come through when nothing fails.
    fn through(&self) -> Vec<usize> {
        let passes = |n: &usize| {
            let mut steps = self.steps.iter();
            !steps.any(|step| step.deeds.get(n) == Some(&Deed::LetGo))
        };
        (0..self.items).filter(passes).collect()
    }

    /// What may be named in an error.
    fn may_fail(&self) -> Vec<String> {
        let mut names = Vec::new();
        for n in 0..self.items {
            for (at, step) in self.steps.iter().enumerate() {
                match step.deeds.get(&n) {
                    Some(Deed::LetGo) => break,
                    Some(Deed::Fail | Deed::Panic) => {
                        names.push(format!("{at}, item {n}"));
                        break;
                    }
                    _ => {}
                }
            }
        }
        names
    }

    async fn check(self) {
        let (probes, seen) = (Probes::new(), Arc::new(Seen::default()));
        let line = self.build(&probes, &seen);
        let monitor = line.monitor();
        let (mut came, mut left_early) = (Vec::new(), false);
        let end = match self.consumer {
            Consumer::Collect => line.run().await.map(|items| {
                came.extend(items.iter().map(|item| *item.0));
            }),
            Consumer::ForEach => {
                line.for_each(|item| {
                    came.push(*item.0);
                    async { Ok(yield_now().await) }
                })
                .await
            }
            Consumer::Stream(take) => {
                // The group waits for what is left behind.
                let end = TaskGroup::<()>::run(async |_| {
                    let mut values = line.stream();
                    Ok(loop {
                        if came.len() == take {
                            left_early = true;
                            break Ok(());
                        }
                        match values.next().await {
                            Some(Ok(item)) => came.push(*item.0),
                            Some(Err(error)) => {
                                assert!(values.next().await.is_none());
                                break Err(error);
                            }
                            None => break Ok(()),
                        }
                    })
                });
                end.await.unwrap()
            }
        };
        probes.assert_all_dropped();
        assert!(
            seen.visits
                .lock()
                .unwrap()
                .values()
                .all(|&times| times == 1)
        );
        // Who collects holds them all; else the consumer has one.
        let most = seen.most.load(SeqCst);
        if !matches!(self.consumer, Consumer::Collect) {
            assert!(most <= self.place() + 1, "{most} of {}", self.place());
        }
        self.account(&monitor, &probes, came.len(), end.is_ok() && !left_early);

        let (through, may_fail) = (self.through(), self.may_fail());
        assert!(came.iter().all(|n| through.contains(n)));
        let in_order = self.steps.iter().all(|step| step.workers == 1);
        if !in_order && !matches!(self.consumer, Consumer::Collect) {
            came.sort_unstable();
        }
        assert!(came.is_sorted_by(|a, b| a < b), "{came:?}");
        match end {
            Ok(()) if left_early => {}
            Ok(()) => {
                assert_eq!(may_fail, [""; 0], "it hid a failure");
                assert_eq!(came, through);
            }
            Err(error) => {
                assert!(
                    error
                        .iter()
                        .all(|failure| may_fail.contains(&failure.name().to_string())),
                    "{error:?}"
                );
                assert!(!error.is_cancelled());
            }
        }
    }

    /// What came in is somewhere, or has gone.
    fn account(&self, monitor: &PipelineMonitor, probes: &Probes, came: usize, complete: bool) {
        let stats = monitor.stats();
        // The source may have had one in hand when it was cut off.
        let pulled = probes.created() as u64;
        let mut before = stats.first().map_or(pulled, |stage| stage.entered);
        assert!(before == pulled || (!complete && before + 1 == pulled));
        for stage in &stats {
            assert_eq!((stage.buffered, stage.in_flight), (0, 0), "{stage:?}");
            assert_eq!(stage.entered, stage.left + stage.discarded, "{stage:?}");
            assert_eq!(
                stage.entered, before,
                "between two stages nothing is lost: {stats:?}"
            );
            before = stage.left;
        }
        match complete {
            true => assert_eq!(came as u64, before),
            false => assert!(came as u64 <= before),
        }
    }
}

/// An item that counts those that are on their way.
struct Guarded(Probe<usize>, Arc<Seen>);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.1.inside.fetch_sub(1, SeqCst);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_item_is_accounted_for(plan in plan()) {
        let runtime = match plan.threads {
            true => Builder::new_multi_thread().worker_threads(2).build(),
            false => Builder::new_current_thread().build(),
        };
        runtime.unwrap().block_on(plan.check());
    }
}
