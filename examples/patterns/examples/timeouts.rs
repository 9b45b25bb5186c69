//! # Timeouts: bound the time that something takes
//!
//! A timeout, one with a default in place of an error, a deadline that several steps share, and nested ones: which of two ran out
//! is plain from where the error comes back.
//!
//! `cargo run -p patterns --example timeouts` prints:
//!
//! ```text
//! in time: fresh prices
//! too slow: deadline elapsed
//! default: prices of yesterday
//! the request had 3 steps, 2 were done by its deadline
//! the inner one ran out: prices without the slow shop
//! the outer one ran out
//! ```

use std::time::Duration;

use shibuya_cancel::{deadline, remaining, timeout, timeout_or};
use tokio::time::{Instant, sleep};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Stands for a request that takes `time`.
async fn prices(time: Duration) -> &'static str {
    sleep(time).await;
    "fresh prices"
}

/// `async with asyncio.timeout(…)`.
async fn one() {
    match timeout(ms(500), prices(ms(5))).await {
        Ok(prices) => println!("in time: {prices}"),
        Err(elapsed) => println!("too slow: {elapsed}"),
    }
    match timeout(ms(5), prices(ms(500))).await {
        Ok(prices) => println!("in time: {prices}"),
        Err(elapsed) => println!("too slow: {elapsed}"),
    }
}

/// Where an old answer will do, running out of time is no error.
async fn with_a_default() {
    let prices = timeout_or(ms(5), prices(ms(500)), "prices of yesterday").await;
    println!("default: {prices}");
}

/// `async with asyncio.timeout_at(…)`: one point in time for all steps, and each can ask how long it still has.
async fn shared_by_steps() {
    let mut done = 0;
    let request = async {
        for time in [ms(5), ms(5), ms(500)] {
            let left = remaining().expect("a deadline is set");
            assert!(left <= ms(300));
            prices(time).await;
            done += 1;
        }
    };
    let outcome = deadline(Instant::now() + ms(300), request).await;
    assert!(outcome.is_err());
    println!("the request had 3 steps, {done} were done by its deadline");
}

/// The inner timeout speaks where it stands, and the code there can go on. The outer one drops that code.
async fn nested() {
    async fn request(shop: Duration) -> &'static str {
        match timeout(ms(50), prices(shop)).await {
            Ok(prices) => prices,
            Err(_) => "prices without the slow shop",
        }
    }
    for outer in [ms(500), ms(5)] {
        match timeout(outer, request(ms(1000))).await {
            Ok(prices) => println!("the inner one ran out: {prices}"),
            Err(_) => println!("the outer one ran out"),
        }
    }
}

#[tokio::main]
async fn main() {
    one().await;
    with_a_default().await;
    shared_by_steps().await;
    nested().await;
}
