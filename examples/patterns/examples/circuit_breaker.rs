//! # Circuit breaker: ask no more of a service that is down
//!
//! A service fails for a while. The breaker opens, refuses calls without sending them, lets a probe through when its time is over, opens
//! again while the service is still down, and closes when it is back.
//!
//! `cargo run -p patterns --example circuit_breaker` prints:
//!
//! ```text
//! the service is well: 8 calls, 8 answered, closed
//! it goes down: 8 calls, 5 sent, open
//! callers need not wait: 1000 calls refused, 0 sent
//! its time is over: a probe fails, open again
//! the service is back: a probe is answered, half-open
//! another is answered: closed
//! a cancelled probe: its place is free for the next, closed
//! a mistake of the caller's: 20 times 404, closed
//! inside a retry: open after 4 attempts
//! ```

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use shibuya_cancel::timeout;
use shibuya_retry::{Breaker, BreakerState, CallError, Policy, Retryable, Verdict};
use tokio::time::sleep;

/// How long the breaker stays open here. A real one has seconds.
const OPEN_FOR: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Service {
    is_down: AtomicBool,
    requests: AtomicU32,
}

impl Service {
    async fn ask(&self) -> Result<u32, u16> {
        let number = self.requests.fetch_add(1, Relaxed);
        match self.is_down.load(Relaxed) {
            true => Err(503),
            false => Ok(number),
        }
    }
}

/// Opens when half of the last ten calls have failed, of which there must be eight, and closes after two probes.
fn breaker() -> Breaker {
    Breaker::builder()
        .window_calls(10)
        .min_calls(8)
        .failure_rate(0.5)
        .open_for(OPEN_FOR)
        .probes(2)
        .build()
}

fn words(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        _ => "half-open",
    }
}

/// How many of so many calls were answered.
async fn call(service: &Service, breaker: &Breaker, calls: usize) -> usize {
    let mut answered = 0;
    for _ in 0..calls {
        match breaker.call(service.ask()).await {
            Ok(_) => answered += 1,
            Err(CallError::Failed(_) | CallError::Open(_)) => {}
        }
    }
    answered
}

/// Waits until the breaker's time is over.
async fn until_probes_are_due(breaker: &Breaker) {
    assert_eq!(breaker.state(), BreakerState::Open);
    sleep(OPEN_FOR + Duration::from_millis(2)).await;
}

async fn watch_it_open_and_close() {
    let (service, breaker) = (Service::default(), breaker());

    let answered = call(&service, &breaker, 8).await;
    let state = words(breaker.state());
    println!("the service is well: 8 calls, {answered} answered, {state}");

    service.is_down.store(true, Relaxed);
    let before = service.requests.load(Relaxed);
    call(&service, &breaker, 8).await;
    let sent = service.requests.load(Relaxed) - before;
    // Of the last ten calls five have failed then: half of them.
    println!(
        "it goes down: 8 calls, {sent} sent, {}",
        words(breaker.state())
    );

    let before = service.requests.load(Relaxed);
    call(&service, &breaker, 1000).await;
    let (refused, sent) = (1000, service.requests.load(Relaxed) - before);
    println!("callers need not wait: {refused} calls refused, {sent} sent");

    until_probes_are_due(&breaker).await;
    assert!(breaker.call(service.ask()).await.is_err());
    println!(
        "its time is over: a probe fails, {} again",
        words(breaker.state())
    );

    service.is_down.store(false, Relaxed);
    until_probes_are_due(&breaker).await;
    breaker.call(service.ask()).await.expect("the first probe");
    println!(
        "the service is back: a probe is answered, {}",
        words(breaker.state())
    );
    breaker.call(service.ask()).await.expect("the second probe");
    println!("another is answered: {}", words(breaker.state()));
}

/// Whoever gives up says nothing about the service.
async fn a_cancelled_probe() {
    let (service, breaker) = (Service::default(), breaker());
    service.is_down.store(true, Relaxed);
    call(&service, &breaker, 8).await;
    service.is_down.store(false, Relaxed);
    until_probes_are_due(&breaker).await;
    for _ in 0..10 {
        let slow = breaker.call(std::future::pending::<Result<u32, u16>>());
        assert!(timeout(Duration::from_millis(1), slow).await.is_err());
    }
    call(&service, &breaker, 2).await;
    let state = words(breaker.state());
    println!("a cancelled probe: its place is free for the next, {state}");
}

/// Nor does an error that is the caller's own.
async fn a_mistake_of_the_callers() {
    let breaker = breaker();
    for _ in 0..20 {
        let missing = async { Err::<u32, u16>(404) };
        let answer = breaker.call_when(missing, |status| *status >= 500).await;
        assert_eq!(answer, Err(CallError::Failed(404)));
    }
    println!(
        "a mistake of the caller's: 20 times 404, {}",
        words(breaker.state())
    );
}

/// Each attempt is counted, and there is no use in trying again while the breaker is open.
async fn inside_a_retry() {
    static POLICY: Policy = Policy::immediate().max_retries(10);

    let (service, breaker) = (Service::default(), breaker());
    call(&service, &breaker, 4).await;
    service.is_down.store(true, Relaxed);
    let retry = (|| breaker.call(service.ask()))
        .retry(&POLICY)
        .classify(|error, _| match error {
            CallError::Open(_) => Verdict::Abort,
            CallError::Failed(_) => Verdict::Retry,
        });
    let error = retry.await.unwrap_err();
    let sent = error.attempts() - 1; // the last one was refused
    println!(
        "inside a retry: {} after {sent} attempts",
        words(breaker.state())
    );
}

#[tokio::main]
async fn main() {
    watch_it_open_and_close().await;
    a_cancelled_probe().await;
    a_mistake_of_the_callers().await;
    inside_a_retry().await;
}
