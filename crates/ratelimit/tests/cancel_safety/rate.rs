use std::time::Duration;

use shibuya_ratelimit::{Denied, Keyed, Quota, RateLimiter};
use shibuya_testkit::{Ending, Report, cancel_at_every_poll};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// Two, of which both are gone, and somebody who waits behind the future under test.
struct World {
    limiter: RateLimiter,
    start: Instant,
}

impl World {
    fn new() -> Self {
        let limiter = RateLimiter::per_second(100).burst(2);
        limiter.try_acquire_n(2).unwrap();
        Self {
            limiter,
            start: Instant::now(),
        }
    }

    /// As many passed as should have, and who comes next waits no longer than that.
    async fn check(self, ending: Ending<Result<(), Denied>>) {
        let mut taken = 0;
        if let Ending::Completed(granted) = ending {
            granted.unwrap();
            taken = 2;
        }
        assert_eq!(self.limiter.snapshot().waiters, 0);
        self.limiter.acquire_n(2).await.unwrap();
        let earned = self.start.elapsed().as_millis() / 10;
        assert_eq!(earned, taken + 2);
    }
}

fn really_waited(report: Report) {
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn acquire() {
    let report = cancel_at_every_poll(
        "RateLimiter::acquire",
        async || {
            let world = World::new();
            let limiter = world.limiter.clone();
            (world, async move { limiter.acquire_n(2).await })
        },
        World::check,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn acquire_owned() {
    let report = cancel_at_every_poll(
        "RateLimiter::acquire_owned",
        async || {
            let world = World::new();
            let turn = world.limiter.acquire_owned(2);
            (world, turn)
        },
        World::check,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn acquire_owned_within() {
    let report = cancel_at_every_poll(
        "RateLimiter::acquire_owned_within",
        async || {
            let world = World::new();
            let turn = world.limiter.acquire_owned_within(2, 50 * MS);
            (world, turn)
        },
        World::check,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn acquire_within() {
    let report = cancel_at_every_poll(
        "RateLimiter::acquire_within",
        async || {
            let world = World::new();
            let limiter = world.limiter.clone();
            (
                world,
                async move { limiter.acquire_within(2, 50 * MS).await },
            )
        },
        World::check,
    );
    really_waited(report.await);
}

#[tokio::test(start_paused = true)]
async fn acquire_keyed() {
    let make = async || {
        let keyed = Keyed::new(Quota::per_second(100).burst(2));
        keyed.try_acquire_n(&'k', 2).unwrap();
        let turn = keyed.acquire_within(&'k', 2, 50 * MS);
        ((keyed, Instant::now()), turn)
    };
    let check = async |(keyed, start): (Keyed<char>, Instant), ending: Ending<_>| {
        let taken = u128::from(matches!(ending, Ending::Completed(Ok(()))));
        assert_eq!(keyed.snapshot(&'k').waiters, 0);
        keyed.acquire_n(&'k', 2).await.unwrap();
        assert_eq!(start.elapsed().as_millis() / 20, 1 + taken);
    };
    really_waited(cancel_at_every_poll("AcquireKeyed", make, check).await);
}
