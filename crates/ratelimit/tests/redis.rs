//! Limits in a real Redis, which is killed, restarted, paused and emptied.
#![cfg(all(unix, feature = "redis", not(shibuya_loom)))]

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use servers::Redis;
use shibuya_ratelimit::distributed::redis::RedisBackend;
use shibuya_ratelimit::distributed::{
    Answer, Backend, Charge, Distributed, Fail, Grant, Lease, Origin, Take,
};
use shibuya_ratelimit::{Denied, Outage, Quota};
use shibuya_testkit::{Ending, cancel_at_every_poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

/// Longer than any hiccup of a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const HOURLY: Quota = Quota::every(Duration::from_secs(3600)).burst(5);

fn backend(redis: &Redis) -> RedisBackend {
    RedisBackend::open(&redis.url()).unwrap()
}

fn limit(redis: &Redis, quota: Quota) -> Distributed<RedisBackend> {
    Distributed::new(backend(redis), quota).timeout(PATIENCE)
}

/// On the clock of the server, which is what limits go by.
fn micros(redis: &Redis) -> u64 {
    let time = redis.command(&["TIME"]).unwrap();
    let (secs, micros) = time.split_once('\n').unwrap();
    secs.parse::<u64>().unwrap() * 1_000_000 + micros.parse::<u64>().unwrap()
}

/// How often limits were asked for, from the statistics of the server.
fn trips(redis: &Redis) -> u64 {
    let statistics = redis.command(&["INFO", "commandstats"]).unwrap();
    let calls = |command: &str| -> u64 {
        let start = format!("cmdstat_{command}:calls=");
        let line = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    };
    calls("evalsha") + calls("eval")
}

/// What may be granted in a time that began with a full burst.
fn ceiling(quota: Quota, micros: u64) -> u64 {
    let earned = Duration::from_micros(micros).as_nanos() / quota.interval().as_nanos();
    u64::from(quota.burst_size()) + earned as u64
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "it never came");
        sleep(MS).await;
    }
}

fn unavailable(answer: Result<Grant, Denied>) -> Option<Outage> {
    match answer {
        Err(Denied::Unavailable(outage)) => Some(outage),
        _ => None,
    }
}

#[tokio::test]
async fn a_burst_then_one_each_interval() {
    let Some(redis) = Redis::start() else { return };
    let quota = Quota::per_second(20).burst(3);
    let limit = limit(&redis, quota);
    let began = Instant::now();
    for _ in 0..3 {
        limit.try_acquire("key").await.unwrap();
    }
    let refused = limit.try_acquire("key").await.unwrap_err();
    assert!(refused.retry_after().unwrap() <= quota.interval());
    assert!(limit.try_acquire("other").await.is_ok());
    for _ in 0..4 {
        limit.acquire("key").await.unwrap();
    }
    assert!(began.elapsed() >= 4 * quota.interval());
}

#[tokio::test]
async fn a_key_expires_when_its_limit_is_full() {
    let Some(redis) = Redis::start() else { return };
    let hourly = limit(&redis, HOURLY);
    hourly.acquire_n("key", 2).await.unwrap();
    let left = redis.command(&["PTTL", "rl:{key}"]).unwrap();
    let left: u64 = left.parse().unwrap();
    assert!((7_190_000..=7_200_000).contains(&left), "{left}");
    hourly.peek("unknown").await.unwrap();
    assert_eq!(redis.command(&["KEYS", "*"]).unwrap(), "rl:{key}");

    let brief = limit(&redis, Quota::per_second(1000).burst(5));
    brief.acquire("brief").await.unwrap();
    until(async || redis.command(&["EXISTS", "rl:{brief}"]).unwrap() == "0").await;
}

#[tokio::test]
async fn weeks_are_exact() {
    let Some(redis) = Redis::start() else { return };
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    let quota = Quota::every(WEEK).burst(2);
    let began = micros(&redis);
    limit(&redis, quota).acquire_n("key", 2).await.unwrap();
    let redis_backend = backend(&redis);
    let verdict = redis_backend
        .take(b"key", quota, Take::exactly(2))
        .await
        .unwrap();
    let passed = Duration::from_micros(micros(&redis) - began);
    let Answer::Denied { retry_after } = verdict.answer else {
        panic!("{verdict:?}");
    };
    assert!(
        retry_after <= 2 * WEEK && retry_after + passed >= 2 * WEEK,
        "{retry_after:?}"
    );
    assert_eq!((verdict.remaining, verdict.reset_after), (0, retry_after));
}

#[tokio::test]
async fn a_peek_takes_nothing_and_a_refund_gives_back() {
    let Some(redis) = Redis::start() else { return };
    let limit = limit(&redis, HOURLY);
    assert_eq!(limit.peek("key").await.unwrap().remaining, 5);
    let three = limit.try_acquire_n("key", 3).await.unwrap();
    let two = limit.try_acquire_n("key", 2).await.unwrap();
    let level = limit.peek("key").await.unwrap();
    assert_eq!((level.limit, level.remaining), (5, 0));
    assert!(limit.try_acquire("key").await.is_err());
    limit.refund("key", three).await.unwrap();
    // What of the three has been earned again is there anyhow.
    assert_eq!(limit.peek("key").await.unwrap().remaining, 3);
    let again = limit.try_acquire_n("key", 2).await.unwrap();
    limit.refund("key", again).await.unwrap();
    limit.refund("key", two).await.unwrap();
    assert_eq!(limit.peek("key").await.unwrap().remaining, 5);
    assert_eq!(redis.command(&["EXISTS", "rl:{key}"]).unwrap(), "0");
}

#[tokio::test]
async fn every_key_has_a_name_of_its_own() {
    let Some(redis) = Redis::start() else { return };
    let keys = [
        "", "a", "{a}", "a}", "{a", "a}b", "a}{b", "{}", "}{", "rl:{a}",
    ];
    let limit = limit(&redis, HOURLY);
    for key in keys {
        limit.acquire_n(key, 5).await.unwrap();
    }
    limit
        .acquire_n([0xff, 0x00, b'\r', b'\n'], 5)
        .await
        .unwrap();
    assert_eq!(
        redis.command(&["DBSIZE"]).unwrap(),
        (keys.len() + 1).to_string()
    );
    let other = Distributed::new(backend(&redis).prefix("mail:"), HOURLY);
    other.acquire("a").await.unwrap();
    assert_eq!(redis.command(&["EXISTS", "mail:{a}"]).unwrap(), "1");
}

#[tokio::test]
async fn what_somebody_else_stored_is_an_error_and_stays() {
    let Some(redis) = Redis::start() else { return };
    let limit = limit(&redis, HOURLY);
    redis.command(&["LPUSH", "rl:{list}", "value"]).unwrap();
    redis.command(&["SET", "rl:{text}", "12345"]).unwrap();
    for key in ["list", "text"] {
        let answer = limit.try_acquire(key).await;
        assert_eq!(unavailable(answer), Some(Outage::WrongType), "{key}");
    }
    assert_eq!(redis.command(&["LLEN", "rl:{list}"]).unwrap(), "1");
    assert_eq!(redis.command(&["GET", "rl:{text}"]).unwrap(), "12345");
    assert!(limit.try_acquire("key").await.is_ok());
    let snapshot = limit.snapshot();
    assert_eq!((snapshot.outages, snapshot.failed_closed), (2, 2));
    assert_eq!(snapshot.outage, None, "the store is there");
}

#[tokio::test]
async fn flushed_scripts_are_sent_again() {
    let Some(redis) = Redis::start() else { return };
    let limit = limit(&redis, HOURLY);
    for n in 1..=5 {
        redis.command(&["SCRIPT", "FLUSH", "SYNC"]).unwrap();
        limit.try_acquire("key").await.unwrap();
        assert_eq!(limit.peek("key").await.unwrap().remaining, 5 - n);
    }
    assert!(limit.try_acquire("key").await.is_err());
}

#[tokio::test]
async fn a_cut_connection_goes_unnoticed() {
    let Some(redis) = Redis::start() else { return };
    let limit = limit(&redis, Quota::per_second(1).burst(1000));
    for _ in 0..100 {
        redis
            .command(&["CLIENT", "KILL", "TYPE", "normal"])
            .unwrap();
        limit.try_acquire("key").await.unwrap();
    }
    assert_eq!(limit.snapshot().outages, 0);
}

#[tokio::test]
async fn any_connection_that_can_be_cloned_will_do() {
    let Some(redis) = Redis::start() else { return };
    let client = redis::Client::open(redis.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let limit = Distributed::new(RedisBackend::new(connection), HOURLY).timeout(PATIENCE);
    limit.try_acquire_n("key", 5).await.unwrap();
    assert!(limit.try_acquire("key").await.is_err());
}

// ---- Outages ----

#[tokio::test]
async fn it_comes_when_the_server_does() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    redis.kill();
    let limit = limit(&redis, HOURLY);
    for _ in 0..100 {
        let answer = limit.try_acquire("key").await;
        assert_eq!(unavailable(answer), Some(Outage::Unreachable));
    }
    assert!(limit.snapshot().round_trips < 100, "most did not ask");
    redis.restart();
    until(async || limit.try_acquire("key").await.is_ok()).await;
    assert_eq!(limit.snapshot().outage, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_server_that_was_killed_grants_nothing_twice() {
    let Some(mut redis) = Redis::start_durable() else {
        return;
    };
    let quota = Quota::per_second(200).burst(20);
    let limit = Arc::new(limit(&redis, quota));
    let began = micros(&redis);
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let limit = limit.clone();
        tasks.spawn(async move {
            let mut granted = 0;
            while granted < 50 {
                match limit.acquire("key").await {
                    Ok(_) => granted += 1,
                    Err(Denied::Unavailable(_)) => sleep(MS).await,
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    for granted in [40, 100] {
        until(async || limit.snapshot().granted >= granted).await;
        let outages = limit.snapshot().outages;
        redis.kill();
        until(async || limit.snapshot().outages > outages).await;
        redis.restart();
    }
    tasks.join_all().await;
    let most = ceiling(quota, micros(&redis) - began);
    assert!(most >= 200, "{most}");
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_timeout_now_and_then() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let limit = Distributed::new(backend(&redis), HOURLY).timeout(200 * MS);
    until(async || limit.peek("key").await.is_ok()).await;
    redis.pause();
    let began = Instant::now();
    for _ in 0..1000 {
        let answer = limit.try_acquire("key").await;
        assert_eq!(unavailable(answer), Some(Outage::TimedOut));
    }
    // The first timeout, and others 100 ms after it: a thousand would take minutes.
    assert!(began.elapsed() < PATIENCE);
    // Also on a connection of which nobody knows whether it is one still.
    until(async || {
        limit.try_acquire("key").await.unwrap_err();
        limit.snapshot().outages >= 5
    })
    .await;
    redis.resume();
    // What it did not answer it has done, so at worst they are all taken: then the limit has refused.
    until(async || unavailable(limit.try_acquire("key").await).is_none()).await;
}

/// A server that lets clients in and then says nothing more, or hangs up at the first request. Gives the number of the connection for each
/// request.
async fn silent_server(hangs_up: bool) -> (String, mpsc::UnboundedReceiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (heard, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 1.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut part).await {
                    let text = String::from_utf8_lossy(&part[..length]);
                    let greetings = text.matches("SETINFO").count();
                    client
                        .write_all(&b"+OK\r\n".repeat(greetings))
                        .await
                        .unwrap();
                    if text.contains("EVALSHA") {
                        heard.send(number).unwrap();
                        if hangs_up {
                            break;
                        }
                    }
                }
            });
        }
    });
    (url, requests)
}

#[tokio::test]
async fn a_connection_on_which_nobody_answers_is_given_up() {
    let (url, mut requests) = silent_server(false).await;
    let backend = RedisBackend::open(&url).unwrap();
    let mut numbers = Vec::new();
    for _ in 0..7 {
        tokio::select! {
            answer = backend.take(b"key", HOURLY, Take::Peek) => panic!("{answer:?}"),
            number = requests.recv() => numbers.push(number.unwrap()),
        }
    }
    assert_eq!(numbers, [1, 1, 1, 2, 2, 2, 3]);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_given_back_twice() {
    let (url, mut requests) = silent_server(true).await;
    let backend = RedisBackend::open(&url).unwrap();
    let refund = Take::Refund {
        n: 1,
        charge: Charge(0),
    };
    for (take, attempts) in [(Take::exactly(1), 2), (refund, 1), (Take::Peek, 2)] {
        let lost = backend.take(b"key", HOURLY, take).await.unwrap_err();
        assert_eq!(lost.outage(), Outage::Unreachable);
        assert!(lost.source().is_some(), "it says why");
        let sent: Vec<_> = std::iter::from_fn(|| requests.try_recv().ok()).collect();
        assert_eq!(sent.len(), attempts, "{take:?}");
    }
}

#[tokio::test]
async fn each_mode_of_failure_is_counted() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    redis.kill();
    let limit = |fail| limit(&redis, Quota::every(3600 * 1000 * MS).burst(8)).on_error(fail);

    let open = limit(Fail::Open);
    for _ in 0..20 {
        let grant = open.try_acquire("key").await.unwrap();
        assert_eq!(
            (grant.origin(), grant.is_charged()),
            (Origin::Unlimited, false)
        );
    }
    assert_eq!(open.snapshot().failed_open, 20);

    let closed = limit(Fail::Closed);
    for _ in 0..20 {
        assert!(closed.try_acquire("key").await.is_err());
    }
    assert_eq!(closed.snapshot().failed_closed, 20);

    let quarter = limit(Fail::LocalShare(0.25));
    let mut granted = 0;
    for _ in 0..20 {
        match quarter.try_acquire("key").await {
            Ok(grant) => {
                granted += 1;
                assert_eq!(grant.origin(), Origin::LocalShare);
            }
            Err(refused) => assert!(refused.retry_after().unwrap() > Duration::from_secs(14_000)),
        }
    }
    assert_eq!(granted, 2, "a quarter of the burst");
    let snapshot = quarter.snapshot();
    assert_eq!(
        (snapshot.granted_from_share, snapshot.denied_from_share),
        (2, 18)
    );
    assert_eq!(snapshot.outage, Some(Outage::Unreachable));
}

// ---- What it costs ----

#[tokio::test]
async fn a_flood_of_what_is_refused_asks_once() {
    let Some(redis) = Redis::start() else { return };
    let limit = limit(&redis, HOURLY);
    limit.acquire_n("key", 5).await.unwrap();
    let before = trips(&redis);
    for _ in 0..10_000 {
        assert!(limit.try_acquire("key").await.is_err());
    }
    assert_eq!(trips(&redis) - before, 1);
    assert_eq!(limit.snapshot().denied_from_memory, 9_999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_save_nine_round_trips_of_ten_and_keep_the_ceiling() {
    let Some(redis) = Redis::start() else { return };
    const TOTAL: u64 = 10_000;
    let quota = Quota::per_second(10_000).burst(1600);
    let began = micros(&redis);
    let clients = [(), ()].map(|()| {
        let lease = Lease::auto().processes(2);
        Arc::new(limit(&redis, quota).lease(lease))
    });
    let mut tasks = JoinSet::new();
    for client in &clients {
        for _ in 0..8 {
            let client = client.clone();
            tasks.spawn(async move {
                for _ in 0..TOTAL / 16 {
                    client.acquire("key").await.unwrap();
                }
            });
        }
    }
    tasks.join_all().await;
    let most = ceiling(quota, micros(&redis) - began);
    assert!(TOTAL <= most, "{TOTAL} of {most}");
    let trips = trips(&redis);
    assert!(trips * 10 <= TOTAL, "{trips} for {TOTAL}");
}

// ---- Several clients ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_share_one_ceiling() {
    let Some(redis) = Redis::start() else { return };
    let quota = Quota::per_second(1000).burst(50);
    for lease in [Lease::NONE, Lease::up_to(10)] {
        redis.command(&["FLUSHALL"]).unwrap();
        let began = micros(&redis);
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let client = Arc::new(limit(&redis, quota).lease(lease));
            for _ in 0..4 {
                let client = client.clone();
                tasks.spawn(async move {
                    let (mut granted, began) = (0, Instant::now());
                    while began.elapsed() < 300 * MS {
                        granted += u64::from(client.try_acquire("key").await.is_ok());
                        tokio::task::yield_now().await;
                    }
                    granted
                });
            }
        }
        let granted: u64 = tasks.join_all().await.into_iter().sum();
        let most = ceiling(quota, micros(&redis) - began);
        assert!(granted <= most, "{granted} of {most}, {lease:?}");
        assert!(granted >= 50, "the burst at least");
    }
}

const CHILD: &str = "SHIBUYA_RATELIMIT_CHILD";
const SHARED: Quota = Quota::per_second(500).burst(40);

/// What the next tests run in processes of their own: takes what it can get, and says how much that was after each.
#[tokio::test]
async fn child() {
    let Ok(setting) = env::var(CHILD) else { return };
    let (url, lease) = setting.split_once(' ').unwrap();
    let lease = match lease.parse() {
        Ok(0) => Lease::NONE,
        lease => Lease::up_to(lease.unwrap()),
    };
    let backend = RedisBackend::open(url).unwrap();
    let limit = Distributed::new(backend, SHARED)
        .lease(lease)
        .timeout(PATIENCE);
    for granted in 1_u64.. {
        limit.acquire("key").await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "granted {granted}").unwrap();
    }
}

/// A process that takes from the limit until it is killed.
struct Taker {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    granted: u64,
}

impl Taker {
    fn start(redis: &Redis, lease: u32) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(CHILD, format!("{} {lease}", redis.url()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            granted: 0,
        }
    }

    /// Reads until it has got so many.
    fn watch(&mut self, granted: u64) {
        while self.granted < granted {
            assert!(self.read(), "it ended with {}", self.granted);
        }
    }

    fn read(&mut self) -> bool {
        let Some(Ok(line)) = self.lines.next() else {
            return false;
        };
        // The first one stands behind what the test's own frame has printed.
        if let Some((_, granted)) = line.rsplit_once("granted ") {
            self.granted = granted.parse().unwrap();
        }
        true
    }

    /// With SIGKILL. Gives all that it was granted.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        while self.read() {}
        self.child.wait().unwrap();
        self.granted
    }
}

#[test]
fn two_processes_share_one_ceiling_also_when_one_is_killed_and_started_again() {
    let Some(redis) = Redis::start() else { return };
    for lease in [0, 8] {
        redis.command(&["FLUSHALL"]).unwrap();
        let began = micros(&redis);
        let mut steady = Taker::start(&redis, lease);
        let mut granted = 0;
        for _ in 0..3 {
            let mut killed = Taker::start(&redis, lease);
            killed.watch(30);
            granted += killed.kill();
        }
        steady.watch(100);
        granted += steady.kill();
        let most = ceiling(SHARED, micros(&redis) - began);
        assert!(granted <= most, "{granted} of {most}");
        assert!(granted >= 190, "{granted}");
    }
}

// ---- Cancellation ----

#[tokio::test]
async fn a_dropped_take_was_charged_once_or_not_at_all() {
    let Some(redis) = Redis::start() else { return };
    let report = cancel_at_every_poll(
        "RedisBackend::take",
        async || {
            redis.command(&["FLUSHALL"]).unwrap();
            redis.command(&["SCRIPT", "FLUSH"]).unwrap();
            let backend = backend(&redis);
            let future = {
                let backend = backend.clone();
                async move { backend.take(b"key", HOURLY, Take::exactly(2)).await }
            };
            (backend, future)
        },
        async |backend, ending| {
            // Behind the request that may be under way, on the same connection.
            let level = backend.take(b"key", HOURLY, Take::Peek).await.unwrap();
            match ending {
                Ending::Completed(verdict) => {
                    let answer = verdict.unwrap().answer;
                    assert!(matches!(answer, Answer::Granted { n: 2, .. }));
                    assert_eq!(level.remaining, 3);
                }
                Ending::Dropped(_) => assert!([3, 5].contains(&level.remaining)),
            }
            let next = backend
                .take(b"key", HOURLY, Take::exactly(3))
                .await
                .unwrap();
            assert!(matches!(next.answer, Answer::Granted { n: 3, .. }));
        },
    );
    let report = report.await;
    assert!(report.polls >= 2, "it never had to wait: {report:?}");
}
