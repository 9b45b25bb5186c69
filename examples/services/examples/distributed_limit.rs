//! # Distributed limit: two processes, one rate
//!
//! Two processes take what they can get from one limit, which is kept in Redis. Each leases a little ahead, so that few requests go to
//! Redis, and together they never get more than the limit allows.
//!
//! It needs a Redis at `redis://127.0.0.1:6379`, or where the variable `REDIS_URL` says: start one with `redis-server`, or with
//! `docker run --rm -p 6379:6379 redis`.
//!
//! `cargo run -p services --example distributed_limit` prints:
//!
//! ```text
//! a limit of 1000 each second, and 200 at once; two processes take what they can get for 500ms
//! first: … granted, … of them from leases, … round trips
//! second: … granted, … of them from leases, … round trips
//! together: … granted, at most … allowed
//! ```

use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, process};

use shibuya_cancel::timeout;
use shibuya_ratelimit::distributed::redis::RedisBackend;
use shibuya_ratelimit::distributed::{Distributed, Fail, Lease};
use shibuya_ratelimit::{Denied, Quota};
use tokio::process::Command;

const QUOTA: Quota = Quota::per_second(1000).burst(200);
const TIME: Duration = Duration::from_millis(500);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn limit() -> Result<Distributed<RedisBackend>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let limit = Distributed::new(RedisBackend::open(&url)?, QUOTA)
        .lease(Lease::auto().processes(2))
        // When Redis is out, each process goes by half of the limit.
        .on_error(Fail::LocalShare(0.5))
        .timeout(Duration::from_secs(1));
    Ok(limit)
}

// ---- Each of the two ----

async fn take(key: &str) -> Result<()> {
    let limit = limit()?;
    let mut granted = 0;
    let taking = async {
        loop {
            match limit.acquire(key).await {
                Ok(_grant) => granted += 1,
                Err(why) => return why,
            }
        }
    };
    // No turn is waited for that would come too late.
    let ended = timeout(TIME, taking).await;
    if !matches!(ended, Ok(Denied::Hopeless { .. }) | Err(_)) {
        println!("{ended:?}");
    }
    limit.close().await; // what is leased goes back at once
    let seen = limit.snapshot();
    let (leased, trips) = (seen.granted_from_lease, seen.round_trips);
    println!("{granted} granted, {leased} of them from leases, {trips} round trips");
    Ok(())
}

// ---- The program that starts them ----

/// Starts this program once more; gives what it prints.
async fn start(key: &str) -> Result<String> {
    let mut child = Command::new(env::current_exe()?);
    child.args(["take", key]).stderr(Stdio::inherit());
    let output = child.kill_on_drop(true).output().await?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn granted(line: &str) -> Result<u128> {
    let (number, _) = line.split_once(' ').ok_or("a process that failed")?;
    Ok(number.parse()?)
}

async fn both() -> Result<()> {
    let rate = QUOTA.per_second_f64().round();
    let burst = QUOTA.burst_size();
    println!(
        "a limit of {rate} each second, and {burst} at once; two processes take what they can get for {TIME:?}"
    );
    // One of its own for each run: the last one may still be in debt.
    let key = format!("example:{}", process::id());
    if let Err(why) = limit()?.peek(&key).await {
        return Err(format!("{why}: is there a Redis? `redis-server` starts one").into());
    }
    let began = Instant::now();
    let (first, second) = tokio::join!(start(&key), start(&key));
    let (first, second) = (first?, second?);
    let most = u128::from(burst) + began.elapsed().as_nanos() / QUOTA.interval().as_nanos();
    println!("first: {first}");
    println!("second: {second}");
    let sum = granted(&first)? + granted(&second)?;
    println!("together: {sum} granted, at most {most} allowed");
    assert!(sum <= most);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [verb, key] if verb == "take" => take(key).await,
        _ => both().await,
    }
}
