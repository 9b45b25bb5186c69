//! Every public future is dropped after each of its polls and after each wake that follows: the operation's
//! permit comes back, a probe's place is free, and what was taken from the budget for a retry that never began
//! is there again.
#![cfg(not(shibuya_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use shibuya_retry::{
    Breaker, Budget, CallError, Cost, Delay, Failure, Fallback, Jitter, Policy, RetryError,
    Retryable, hedge, retry_with,
};
use shibuya_testkit::{Ending, Report, cancel_at_every_poll};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

const MS: Duration = Duration::from_millis(1);

static POLICY: Policy = Policy::constant(MS).max_retries(2).jitter(Jitter::None);

/// What the operations hold, and what they took from.
struct World {
    permits: Semaphore,
    budget: Budget,
    begun: AtomicU32,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(1),
            budget: Budget::ratio(0.0).burst(5).min_per_sec(0),
            begun: AtomicU32::new(0),
        })
    }

    /// Fails twice, and holds a permit while it runs.
    async fn operation(&self) -> Result<u32, &'static str> {
        let number = self.begun.fetch_add(1, Relaxed);
        let _permit = self.permits.acquire().await.unwrap();
        yield_now().await;
        match number {
            0 | 1 => Err("not yet"),
            _ => Ok(number),
        }
    }

    fn check(&self) {
        assert_eq!(self.permits.available_permits(), 1);
        // Each attempt but the first was paid for, and nothing else.
        let retries = self.begun.load(Relaxed).saturating_sub(1);
        let seen = self.budget.snapshot();
        assert_eq!(seen.balance, f64::from(5 - retries));
        assert_eq!(seen.granted, u64::from(retries));
    }
}

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_gives_back_what_it_did_not_use() {
    let report = cancel_at_every_poll(
        "Retryable::retry",
        async || {
            let world = World::new();
            let inside = world.clone();
            let retry = async move {
                (|| inside.operation())
                    .retry(&POLICY)
                    .attempt_timeout(1000 * MS)
                    .budget(&inside.budget)
                    .await
            };
            (world, retry)
        },
        async |world, ending| {
            if let Ending::Completed(given) = ending {
                assert_eq!(given.unwrap(), 2);
            }
            world.check();
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_retry_by_itself_loses_nothing() {
    static BUDGET: Budget = Budget::ratio(1.0).burst(3);
    let report = cancel_at_every_poll(
        "Retry",
        async || {
            let left = Arc::new(AtomicU32::new(2));
            let inside = left.clone();
            let make = move || {
                let left = inside.clone();
                async move {
                    yield_now().await;
                    match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
                        Ok(_) => Err("not yet"),
                        Err(_) => Ok(()),
                    }
                }
            };
            (left, make.retry(&POLICY).budget(&BUDGET))
        },
        async |left, ending: Ending<Result<(), RetryError<&str>>>| {
            if let Ending::Completed(given) = ending {
                given.unwrap();
                assert_eq!(left.load(Relaxed), 0);
            }
            BUDGET.deposit();
            BUDGET.deposit();
            assert!(BUDGET.snapshot().balance >= 2.0, "{BUDGET:?}");
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn retry_with_leaves_the_context_usable() {
    let report = cancel_at_every_poll(
        "retry_with",
        async || {
            let world = World::new();
            let inside = world.clone();
            let retry = async move {
                let mut context = inside;
                retry_with(&POLICY, &mut context, async |world: &mut Arc<World>| {
                    world.operation().await
                })
                .await
            };
            (world, retry)
        },
        async |world, ending| {
            if let Ending::Completed(given) = ending {
                assert_eq!(given.unwrap(), 2);
            }
            assert_eq!(world.permits.available_permits(), 1);
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_run_may_lose_any_attempt_and_any_wait() {
    // All of `Run::attempt` (a `RunAttempt`) and `Run::backoff` (a `RunBackoff`), and `Run::run`, which drives both.
    let report = cancel_at_every_poll(
        "RunAttempt",
        async || {
            let world = World::new();
            let inside = world.clone();
            let run = async move {
                let mut run = POLICY
                    .start()
                    .budget(&inside.budget)
                    .attempt_timeout(1000 * MS);
                loop {
                    match run.attempt(inside.operation()).await {
                        Ok(value) => break Ok::<_, RetryError<_>>(value),
                        Err(failure) => run.backoff(failure).await?,
                    }
                }
            };
            (world, run)
        },
        async |world, ending| {
            if let Ending::Completed(given) = ending {
                assert_eq!(given.unwrap(), 2);
            }
            world.check();
        },
    );
    really_waited(report.await);
    let report = cancel_at_every_poll(
        "RunBackoff",
        async || {
            let world = World::new();
            let inside = world.clone();
            let wait = async move {
                let mut run = POLICY.start::<&str>().budget(&inside.budget);
                run.backoff(Failure::Error("not yet")).await
            };
            (world, wait)
        },
        async |world, ending| {
            if let Ending::Completed(given) = ending {
                given.unwrap();
            }
            assert_eq!(world.budget.snapshot().balance, 5.0, "no attempt began");
        },
    );
    really_waited(report.await);
    let report = cancel_at_every_poll(
        "Run::run",
        async || {
            let world = World::new();
            let mut context = world.clone();
            let run = async move {
                let run = POLICY.start().attempt_timeout(1000 * MS);
                run.run(&mut context, async |world: &mut Arc<World>| {
                    world.operation().await
                })
                .await
            };
            (world, run)
        },
        async |world, ending| {
            if let Ending::Completed(given) = ending {
                assert_eq!(given.unwrap(), 2);
            }
            assert_eq!(world.permits.available_permits(), 1);
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_probe_leaves_its_place() {
    let report = cancel_at_every_poll(
        "BreakerCall",
        async || {
            let breaker = Breaker::builder()
                .min_calls(1)
                .probes(1)
                .open_for(MS)
                .build();
            breaker.try_acquire().unwrap().failure();
            tokio::time::advance(2 * MS).await;
            let breaker = Arc::new(breaker);
            let inside = breaker.clone();
            let call = async move {
                let fut = async {
                    yield_now().await;
                    Ok::<_, ()>(())
                };
                inside.call_when(fut, |()| true).await
            };
            (breaker, call)
        },
        async |breaker, ending: Ending<Result<(), CallError<()>>>| {
            if let Ending::Completed(given) = ending {
                given.unwrap();
            }
            // The next one is let through, as another probe or as any call.
            breaker.call(async { Ok::<_, ()>(()) }).await.unwrap();
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn all_that_a_hedge_began_is_dropped() {
    let report = cancel_at_every_poll(
        "hedge",
        async || {
            let world = Arc::new((
                Semaphore::new(3),
                Budget::ratio(0.0).burst(5).min_per_sec(0),
            ));
            let inside = world.clone();
            let call = async move {
                let (permits, budget) = &*inside;
                let mut number = 0;
                let hedge = hedge(Delay::Fixed(MS), || {
                    number += 1;
                    let number = number;
                    async move {
                        let _permit = permits.acquire().await.unwrap();
                        tokio::time::sleep(10 * MS / number).await;
                        Ok::<_, ()>(number)
                    }
                });
                hedge.max_hedges(2).budget(budget).await
            };
            (world, call)
        },
        async |world, ending| {
            if let Ending::Completed(given) = ending {
                assert!(given.unwrap() > 1);
            }
            assert_eq!(world.0.available_permits(), 3);
            assert!(world.1.try_withdraw(Cost::Hedge).is_some());
        },
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_holds_nothing() {
    let fails = |world: Arc<World>| async move { world.operation().await };
    let report = cancel_at_every_poll(
        "Fallback::or",
        async || {
            let world = World::new();
            (world.clone(), fails(world).or(7))
        },
        async |world, _| assert_eq!(world.permits.available_permits(), 1),
    );
    really_waited(report.await);
    let report = cancel_at_every_poll(
        "Fallback::or_default",
        async || {
            let world = World::new();
            (world.clone(), fails(world).or_default())
        },
        async |world, _| assert_eq!(world.permits.available_permits(), 1),
    );
    really_waited(report.await);
    let report = cancel_at_every_poll(
        "Fallback::or_else",
        async || {
            let world = World::new();
            let other = world.clone();
            let chain = fails(world.clone()).or_else(move |_| fails(other));
            (world, chain)
        },
        async |world, _| assert_eq!(world.permits.available_permits(), 1),
    );
    really_waited(report.await);
}
