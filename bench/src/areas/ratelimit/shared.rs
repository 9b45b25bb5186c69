//! A limit that is kept in Redis: how often a client has to ask for it.

use std::sync::Arc;

use servers::Redis;
use shibuya_ratelimit::Quota;
use shibuya_ratelimit::distributed::redis::RedisBackend;
use shibuya_ratelimit::distributed::{Distributed, Lease};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, spawn_blocking};

use crate::case::{Case, Threads};
use crate::figure::Extra;
use crate::meter::{Clock, Lap};

const RATE: u32 = 10_000;
const CLIENTS: u32 = 2;
const TASKS: usize = 8;
const PERMITS: usize = 10_000;
const ABOUT: &str = "Two clients of one Redis on loopback, of 8 tasks each, that share 10,000 permits a second; per permit. \
     Needs redis-server.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("redis/10k", Threads::One, ABOUT)
            .cold()
            .max_rounds(2)
            .contender("Distributed", PERMITS, |n| shared(n, Lease::NONE))
            .contender("Distributed, leases", PERMITS, |n| {
                shared(n, Lease::auto().processes(CLIENTS))
            }),
    ]
}

/// In a runtime of its own, the others' having no network.
async fn shared(n: usize, lease: Lease) -> Lap {
    let run = move || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime can be had");
        let lap = runtime.spawn(measure(n, lease));
        runtime.block_on(lap).expect("it doesn't panic")
    };
    spawn_blocking(run).await.expect("it doesn't panic")
}

async fn measure(n: usize, lease: Lease) -> Lap {
    let redis = Redis::start().expect("redis-server is installed");
    let quota = Quota::per_second(RATE).burst(RATE / 10);
    let clients = [(); CLIENTS as usize].map(|()| {
        let backend = RedisBackend::open(&redis.url()).expect("the address is one");
        Arc::new(Distributed::new(backend, quota).lease(lease))
    });
    let each = n / (clients.len() * TASKS);
    let clock = Clock::start();
    let mut tasks = JoinSet::new();
    for client in &clients {
        for _ in 0..TASKS {
            let client = Arc::clone(client);
            tasks.spawn(async move {
                for _ in 0..each {
                    client.acquire("key").await.expect("Redis is there");
                }
                each
            });
        }
    }
    let granted: usize = tasks.join_all().await.into_iter().sum();
    let lap = clock.stop(granted);
    let trips: u64 = clients.iter().map(|of| of.snapshot().round_trips).sum();
    lap.with(Extra::RoundTrips, trips as f64 / granted as f64)
}
