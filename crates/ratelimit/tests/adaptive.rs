//! The algorithms against a server that is simulated under paused time: as many calls at once as its knee take a constant time, and
//! more of them take longer in proportion, so that no more are answered in a second.
#![cfg(not(shibuya_loom))]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use shibuya_ratelimit::concurrency::{Algorithm, Outcome, Sample};
use shibuya_ratelimit::{Aimd, ConcurrencyLimiter, Gradient2, Vegas};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

const SEC: Duration = Duration::from_secs(1);

/// Serves `knee` calls at a time, in the order in which they come, each in `base`.
struct Server {
    knee: Cell<usize>,
    base: Cell<Duration>,
    /// One call in so many takes twenty times as long.
    outlier: Cell<Option<u64>>,
    /// Refuses at once what it could not begin to serve within this time.
    patience: Duration,
    /// When each place is free.
    free_at: RefCell<Vec<Instant>>,
    calls: Cell<u64>,
}

impl Server {
    fn new(knee: usize) -> Rc<Self> {
        Rc::new(Self {
            knee: Cell::new(knee),
            base: Cell::new(100 * MS),
            outlier: Cell::new(None),
            patience: Duration::MAX,
            free_at: RefCell::new(Vec::new()),
            calls: Cell::new(0),
        })
    }

    async fn call(&self) -> Outcome {
        let now = Instant::now();
        self.calls.set(self.calls.get() + 1);
        let begins = {
            let mut free_at = self.free_at.borrow_mut();
            free_at.resize(self.knee.get(), now);
            let place = free_at.iter_mut().min().expect("a server has a place");
            let begins = now.max(*place);
            if begins - now > self.patience {
                None
            } else {
                // A tenth more or less.
                let spread = 900 + self.calls.get() * 7919 % 200;
                *place = begins + self.base.get() * spread as u32 / 1000;
                Some(*place)
            }
        };
        let Some(mut ends) = begins else {
            sleep(MS).await;
            return Outcome::Overloaded;
        };
        // Elsewhere: it keeps no place.
        if self
            .outlier
            .get()
            .is_some_and(|nth| self.calls.get() % nth == 0)
        {
            ends += self.base.get() * 19;
        }
        tokio::time::sleep_until(ends).await;
        Outcome::Success
    }
}

const MS: Duration = Duration::from_millis(1);

/// A limiter in front of a server, with more callers than either lets through.
struct Load {
    server: Rc<Server>,
    limiter: Rc<ConcurrencyLimiter>,
}

impl Load {
    fn new(server: Rc<Server>, algorithm: impl Algorithm, callers: usize) -> Self {
        let limiter = Rc::new(ConcurrencyLimiter::adaptive(algorithm));
        for _ in 0..callers {
            let (server, limiter) = (server.clone(), limiter.clone());
            tokio::task::spawn_local(async move {
                loop {
                    let permit = limiter.acquire().await.unwrap();
                    match server.call().await {
                        Outcome::Success => permit.success(),
                        Outcome::Overloaded => permit.overloaded(),
                    }
                }
            });
        }
        Self { server, limiter }
    }

    /// The mean limit, and the calls served per second, over that time.
    async fn over(&self, seconds: u32) -> (f64, f64) {
        let before = self.limiter.snapshot().succeeded;
        let mut limits = 0.0;
        for _ in 0..seconds * 10 {
            sleep(SEC / 10).await;
            limits += self.limiter.limit() as f64;
        }
        let served = self.limiter.snapshot().succeeded - before;
        let seconds = f64::from(seconds);
        (limits / (10.0 * seconds), served as f64 / seconds)
    }

    /// Once it has settled: within `factor` of the knee, from above, and nothing of what the server can do is lost.
    async fn is_near_the_knee(&self, settled: u32, factor: f64) {
        self.over(settled).await;
        let (limit, rate) = self.over(60).await;
        let knee = self.server.knee.get() as f64;
        let possible = knee / self.server.base.get().as_secs_f64();
        let seen = format!("knee {knee}: limit {limit:.1}, {rate:.0} of {possible:.0} a second");
        println!("{seen}");
        assert!(limit >= 0.9 * knee && limit <= factor * knee, "{seen}");
        assert!(rate >= 0.9 * possible, "{seen}");
    }
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// Up and down, and still well after a time in which the load never ebbs and a long average forgets what it knew.
async fn finds_the_knee(algorithm: impl Algorithm, factor: f64, patience: Duration) {
    local(async move {
        let mut server = Server::new(60);
        Rc::get_mut(&mut server).unwrap().patience = patience;
        let load = Load::new(server, algorithm, 400);
        load.is_near_the_knee(60, factor).await;
        load.server.knee.set(150);
        load.is_near_the_knee(120, factor).await;
        load.server.knee.set(30);
        load.is_near_the_knee(120, factor).await;
        load.is_near_the_knee(1800, factor).await;
    })
    .await;
}

async fn bears_outliers(algorithm: impl Algorithm, factor: f64, patience: Duration) {
    local(async move {
        let mut server = Server::new(60);
        Rc::get_mut(&mut server).unwrap().patience = patience;
        server.outlier.set(Some(100));
        let load = Load::new(server, algorithm, 400);
        load.is_near_the_knee(60, factor).await;
    })
    .await;
}

/// Also where it is no queue that makes calls slower.
async fn believes_a_slower_server(algorithm: impl Algorithm, times: u32, factor: f64) {
    local(async move {
        let load = Load::new(Server::new(60), algorithm, 400);
        load.is_near_the_knee(60, factor).await;
        load.server.base.set(times * 100 * MS);
        load.is_near_the_knee(600, factor).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gradient2_finds_the_knee() {
    finds_the_knee(Gradient2::default(), 2.0, Duration::MAX).await;
}

#[tokio::test(start_paused = true)]
async fn gradient2_bears_outliers() {
    // A mean tells it of each of them, and they are under way, too.
    bears_outliers(Gradient2::default(), 3.0, Duration::MAX).await;
}

#[tokio::test(start_paused = true)]
async fn gradient2_believes_a_slower_server() {
    believes_a_slower_server(Gradient2::default(), 2, 2.0).await;
    believes_a_slower_server(Gradient2::default(), 10, 2.0).await;
}

#[tokio::test(start_paused = true)]
async fn vegas_finds_the_knee() {
    finds_the_knee(Vegas::default(), 1.5, Duration::MAX).await;
}

#[tokio::test(start_paused = true)]
async fn vegas_bears_outliers() {
    bears_outliers(Vegas::default(), 1.5, Duration::MAX).await;
}

#[tokio::test(start_paused = true)]
async fn vegas_believes_a_slower_server() {
    believes_a_slower_server(Vegas::default(), 2, 1.5).await;
    believes_a_slower_server(Vegas::default(), 10, 1.5).await;
}

#[tokio::test(start_paused = true)]
async fn aimd_finds_the_knee_of_a_server_that_refuses() {
    finds_the_knee(Aimd::default(), 1.5, 20 * MS).await;
}

#[tokio::test(start_paused = true)]
async fn aimd_bears_outliers() {
    bears_outliers(Aimd::default(), 1.5, 20 * MS).await;
}

#[tokio::test(start_paused = true)]
async fn aimd_finds_the_knee_of_a_server_that_becomes_slow() {
    let algorithm = Aimd::builder().timeout(150 * MS).build();
    finds_the_knee(algorithm, 1.6, Duration::MAX).await;
}

/// Fewer callers than the limit: nothing is known of what is beyond.
#[tokio::test(start_paused = true)]
async fn no_limit_grows_that_is_not_used() {
    async fn stays(algorithm: impl Algorithm) {
        let load = Load::new(Server::new(1000), algorithm, 9);
        let (limit, _) = load.over(600).await;
        assert_eq!(limit, 20.0);
    }
    local(async {
        stays(Gradient2::default()).await;
        stays(Vegas::default()).await;
        stays(Aimd::default()).await;
    })
    .await;
}

/// A call that is cancelled says nothing, however long it was under way.
#[tokio::test(start_paused = true)]
async fn what_is_ignored_teaches_nothing() {
    let limiter = ConcurrencyLimiter::adaptive(Gradient2::default());
    for n in 0..1000 {
        let permit = limiter.acquire().await.unwrap();
        sleep(n % 7 * 10 * SEC).await;
        drop(permit);
    }
    let seen = limiter.snapshot();
    assert_eq!((seen.limit, seen.ignored, seen.granted), (20, 1000, 1000));
}

/// The time of a call begins with its permit, not with its place in line.
#[tokio::test(start_paused = true)]
async fn waiting_in_line_is_not_part_of_a_call() {
    #[derive(Debug)]
    struct Seen(std::sync::mpsc::Sender<(Sample, Instant)>);

    impl Algorithm for Seen {
        fn limit(&self) -> usize {
            0 // counts as 1
        }

        fn update(&mut self, sample: Sample, now: Instant) -> usize {
            self.0.send((sample, now)).unwrap();
            0
        }
    }

    let (told, seen) = std::sync::mpsc::channel();
    let limiter = ConcurrencyLimiter::adaptive(Seen(told));
    let start = Instant::now();
    let call = async {
        let permit = limiter.acquire().await.unwrap();
        sleep(3 * SEC).await;
        permit.success();
    };
    let other = async {
        let permit = limiter.acquire().await.unwrap();
        sleep(SEC).await;
        permit.overloaded();
    };
    tokio::join!(call, other);
    let of = |secs: u32, outcome| Sample {
        rtt: secs * SEC,
        in_flight: 1,
        outcome,
    };
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(
        seen,
        [
            (of(3, Outcome::Success), start + 3 * SEC),
            (of(1, Outcome::Overloaded), start + 4 * SEC)
        ]
    );
}

fn samples() -> impl Strategy<Value = Vec<(u64, usize, bool)>> {
    let rtt = prop_oneof![Just(0), 1..1000u64, 1_000_000..u64::MAX];
    let in_flight = prop_oneof![0..50usize, 0..5000usize];
    proptest::collection::vec((rtt, in_flight, proptest::bool::weighted(0.05)), 1..3000)
}

fn stays_within(
    mut algorithm: impl Algorithm,
    (min, max): (usize, usize),
    samples: &[(u64, usize, bool)],
) -> Result<(), TestCaseError> {
    prop_assert!((min..=max).contains(&algorithm.limit()));
    let mut now = Instant::now();
    for &(rtt, in_flight, overloaded) in samples {
        now += MS;
        let sample = Sample {
            rtt: Duration::from_micros(rtt),
            in_flight,
            outcome: match overloaded {
                true => Outcome::Overloaded,
                false => Outcome::Success,
            },
        };
        let limit = algorithm.update(sample, now);
        prop_assert!((min..=max).contains(&limit), "{limit} of {algorithm:?}");
        prop_assert_eq!(limit, algorithm.limit());
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_limit_stays_within_its_bounds(
        min in 1..100usize,
        more in 0..1000usize,
        samples in samples(),
    ) {
        let limits = min..=min + more;
        let bounds = (min, min + more);
        stays_within(Gradient2::builder().limits(limits.clone()).probe_every(7).build(), bounds, &samples)?;
        stays_within(Vegas::builder().limits(limits.clone()).probe_every(7).build(), bounds, &samples)?;
        stays_within(Aimd::builder().limits(limits).timeout(SEC).build(), bounds, &samples)?;
    }
}
