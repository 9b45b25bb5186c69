//! What is impossible panics where it was asked for.
#![cfg(not(shibuya_loom))]

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shibuya_ratelimit::{Quota, RateLimiter, SlidingWindow};

/// Where each of them panics.
fn lines(calls: &[&dyn Fn()]) -> Vec<(String, u32)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = take_hook();
    let lines = seen.clone();
    set_hook(Box::new(move |info| {
        let at = info.location().expect("it has a location");
        let at = (at.file().to_owned(), at.line());
        lines.lock().unwrap().push(at);
    }));
    for call in calls {
        catch_unwind(AssertUnwindSafe(call)).expect_err("it panics");
    }
    set_hook(hook);
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn panics_point_at_the_caller() {
    const SECOND: Duration = Duration::from_secs(1);
    let limiter = RateLimiter::per_second(1);
    let first = line!() + 2;
    let calls: [&dyn Fn(); 12] = [
        &|| drop(RateLimiter::per_second(0)),
        &|| drop(RateLimiter::per_minute(0)),
        &|| drop(RateLimiter::every(Duration::ZERO)),
        &|| drop(RateLimiter::every(Duration::MAX)),
        &|| drop(RateLimiter::per_minute(1).burst(0)),
        &|| _ = Quota::per(65, Duration::from_nanos(1)),
        &|| _ = SlidingWindow::new(0, SECOND),
        &|| _ = SlidingWindow::new(1, Duration::MAX),
        &|| drop(limiter.clone().burst(5)),
        &|| drop(limiter.clone().max_waiters(5)),
        &|| limiter.set_rate(0, SECOND),
        &|| limiter.set_burst(0),
    ];
    let here = (first..).map(|line| (file!().to_owned(), line));
    assert_eq!(lines(&calls), here.take(calls.len()).collect::<Vec<_>>());
    limiter.try_acquire().expect("it was not harmed");
}
