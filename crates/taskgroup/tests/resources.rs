//! What is held is released in reverse, once, whatever each release does and whoever is dropped.
#![cfg(not(shibuya_loom))]

mod support;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use shibuya_taskgroup::{Cause, Reason, Resources, TaskGroup, check, remaining};
use shibuya_testkit::{Ending, Probes, cancel_at_every_poll};
use support::{HOUR, ms, no_hang, panic_message, poll_once};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

impl Log {
    fn say(&self, number: usize) {
        self.0.lock().unwrap().push(number);
    }

    fn lines(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}

/// Holds a number that logs itself when it is released, a moment later.
fn hold(resources: &mut Resources, log: &Log, number: usize) -> Arc<usize> {
    let log = log.clone();
    resources.hold(format!("number {number}"), number, async move |number| {
        sleep(ms(1)).await;
        log.say(*number);
        Ok::<_, Infallible>(())
    })
}

#[tokio::test(start_paused = true)]
async fn the_last_held_is_released_first() {
    let (log, mut resources) = (Log::default(), Resources::new());
    for number in 0..4 {
        assert_eq!(*hold(&mut resources, &log, number), number);
    }
    assert_eq!((resources.len(), resources.is_empty()), (4, false));
    resources.release().await.unwrap();
    assert_eq!(log.lines(), [3, 2, 1, 0]);
    Resources::new().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_release_may_consume_what_nobody_else_has() {
    let mut resources = Resources::new();
    let held = resources.hold("text", String::from("mine"), |text| async {
        Arc::into_inner(text)
            .map(drop)
            .ok_or(io::Error::other("still in use"))
    });
    drop(held);
    resources.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_that_goes_wrong_is_told_and_the_rest_released() {
    let (log, mut resources) = (Log::default(), Resources::new());
    hold(&mut resources, &log, 0);
    resources.hold("panics", (), async |_| panic!("oh") as io::Result<()>);
    resources.hold("fails", (), async |_| Err(io::Error::other("no")));
    let mut resources = resources.budget(ms(9));
    resources.hold("hangs", (), async |_| pending::<io::Result<()>>().await);
    hold(&mut resources, &log, 1);
    let began = Instant::now();
    let error = resources.release().await.unwrap_err();
    assert_eq!(began.elapsed(), ms(11));
    assert_eq!(log.lines(), [1, 0]);
    let names: Vec<_> = error
        .iter()
        .map(|failure| failure.name().to_string())
        .collect();
    assert_eq!(names, ["hangs", "fails", "panics"]);
    assert!(matches!(error.first().cause(), Cause::Budget(budget) if *budget == ms(9)));
    assert_eq!(error.first().location().file(), file!());
    let text = error.to_string();
    assert!(
        text.starts_with("3 resources were not released well\n├─ `hangs` ("),
        "{text}"
    );
    assert_eq!((error.len(), error.into_failures().count()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn nothing_cancels_a_release_and_the_group_waits() {
    let log = Log::default();
    let group = TaskGroup::<()>::builder().timeout(HOUR).run(async |g| {
        let mut resources = Resources::new();
        hold(&mut resources, &log, 1);
        let said = log.clone();
        resources.hold("checks", (), async move |_| {
            sleep(ms(5)).await;
            assert!(check().is_ok());
            assert_eq!(remaining(), Some(ms(4995)));
            said.say(2);
            Ok::<_, Infallible>(())
        });
        let release = resources.release();
        g.cancel(Reason::Requested);
        release.await.unwrap();
        Ok(())
    });
    assert!(group.await.unwrap_err().is_cancelled());
    assert_eq!(log.lines(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_released() {
    let log = Log::default();
    TaskGroup::<()>::run(async |_| {
        let mut resources = Resources::new();
        hold(&mut resources, &log, 1);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(log.lines(), [1]);
    let mut resources = Resources::new();
    hold(&mut resources, &log, 2);
    drop(resources);
    no_hang(async {
        while log.lines() != [1, 2] {
            sleep(ms(1)).await;
        }
    })
    .await;
}

/// An early return releases what was set up until then.
#[tokio::test(start_paused = true)]
async fn set_up_half_way() {
    async fn set_up(log: &Log, fails: bool) -> io::Result<Resources> {
        let mut resources = Resources::new();
        hold(&mut resources, log, 1);
        if fails {
            return Err(io::Error::other("no"));
        }
        hold(&mut resources, log, 2);
        Ok(resources)
    }
    let log = Log::default();
    let group = TaskGroup::run(async |_| set_up(&log, true).await.map(drop));
    assert!(group.await.is_err());
    assert_eq!(log.lines(), [1]);
    let resources = set_up(&log, false).await.unwrap();
    assert_eq!(log.lines(), [1]);
    resources.release().await.unwrap();
    assert_eq!(log.lines(), [1, 2, 1]);
}

/// The group can't know the type of an error, so that is logged; all else is the group's.
#[tokio::test(start_paused = true)]
async fn what_nobody_hears_is_the_groups() {
    for awaited in [true, false] {
        let error = TaskGroup::<()>::run(async |_| {
            let mut resources = Resources::new().budget(ms(3));
            resources.hold("hangs", (), async |_| pending::<io::Result<()>>().await);
            resources.hold("fails", (), async |_| Err(io::Error::other("no")));
            resources.hold("panics", (), async |_| panic!("oh") as io::Result<()>);
            if awaited {
                let release = timeout(ms(1), resources.release());
                assert!(release.await.is_err());
            }
            Ok(())
        })
        .await
        .unwrap_err();
        let names: Vec<_> = error
            .iter()
            .map(|failure| failure.name().to_string())
            .collect();
        assert_eq!(names, ["release panics", "release hangs"]);
    }
}

#[test]
fn without_a_runtime_it_says_so() {
    let log = Log::default();
    let message = panic_message(|| {
        let mut resources = Resources::new();
        hold(&mut resources, &log, 1);
        resources.release()
    });
    assert!(message.contains("needs a Tokio runtime"), "{message}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut resources = runtime.block_on(async { Resources::new() });
    hold(&mut resources, &log, 2);
    drop(resources);
    runtime.block_on(no_hang(async {
        while log.lines() != [2] {
            sleep(ms(1)).await;
        }
    }));
}

#[test]
fn a_runtime_that_shuts_down_drops_them() {
    let probes = Probes::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut resources = Resources::new();
        resources.hold("hangs", probes.probe(()), async |_probe| {
            pending::<io::Result<()>>().await
        });
        let mut release = Box::pin(resources.release());
        assert!(poll_once(release.as_mut()).await.is_pending());
    });
    drop(runtime);
    probes.assert_all_dropped();
}

#[tokio::test]
async fn dropped_at_every_poll_all_are_released() {
    let report = cancel_at_every_poll(
        "Resources::release",
        async || {
            let (log, probes) = (Log::default(), Probes::new());
            let mut resources = Resources::new();
            for number in 0..3 {
                let log = log.clone();
                resources.hold(
                    format!("{number}"),
                    probes.probe(number),
                    async move |probe| {
                        yield_now().await;
                        log.say(**probe);
                        Ok::<_, Infallible>(())
                    },
                );
            }
            ((log, probes), async move { resources.release().await })
        },
        async |(log, probes), ending| {
            if let Ending::Completed(released) = ending {
                released.unwrap();
                assert_eq!(log.lines(), [2, 1, 0]);
            }
            while probes.alive() > 0 {
                yield_now().await;
            }
            assert_eq!(log.lines(), [2, 1, 0]);
        },
    )
    .await;
    assert!(report.polls >= 2, "{report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn all_are_released_in_reverse(plans in prop::collection::vec(0..4, 0..12), dropped in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let log = Log::default();
        let expected: Vec<_> = (0..plans.len()).rev().collect();
        let mut bad: Vec<_> = plans.iter().enumerate().filter(|(_, plan)| **plan > 0).map(|(at, _)| at.to_string()).collect();
        bad.reverse();
        let failed = runtime.block_on(async {
            let mut failed = Vec::new();
            let group = TaskGroup::<()>::run(async |_| {
                let mut resources = Resources::new();
                for (at, plan) in plans.iter().copied().enumerate() {
                    let log = log.clone();
                    resources.hold(at.to_string(), at, async move |at| {
                        log.say(*at);
                        match plan {
                            0 => Ok(()),
                            1 => Err(io::Error::other("no")),
                            2 => std::panic::resume_unwind(Box::new("panic")),
                            _ => pending().await,
                        }
                    });
                }
                if dropped {
                    return Ok(());
                }
                if let Err(error) = resources.release().await {
                    failed.extend(error.iter().map(|failure| failure.name().to_string()));
                }
                Ok(())
            });
            let ended = group.await;
            if dropped {
                assert_eq!(ended.is_err(), plans.iter().any(|plan| *plan > 1));
            }
            failed
        });
        prop_assert_eq!(log.lines(), expected);
        if !dropped {
            prop_assert_eq!(failed, bad);
        }
    }
}
