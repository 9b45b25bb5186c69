//! # Retry: try again, but not for ever and not all at once
//!
//! The recipes of asyncio's tutorials, `with_retry`, `with_timeout`, `with_retry_timeout` and `safe_execute`; then what they leave out:
//! which errors, how long the other side asks to wait, no waiting in vain, what borrows, and a budget for all calls.
//!
//! `cargo run -p patterns --example retry` prints:
//!
//! ```text
//! with_retry: connection reset; again in 10ms
//! with_retry: connection reset; again in 20ms
//! with_retry: 200 after 3 attempts
//! with_timeout: too slow
//! with_retry_timeout: 200 after 2 attempts
//! safe_execute: 7, from yesterday
//! which errors: 404 Not Found (1 attempt; this is not retried)
//! when to come back: 200, and not before 30 ms
//! no waiting in vain: 503 Service Unavailable (1 attempt; the next one would come after the deadline)
//! what borrows: 200 over connection 3
//! a budget: 100 calls of a service that is down are 129 requests
//! without: 400
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use shibuya_cancel::timeout;
use shibuya_retry::{
    Budget, Fallback, Jitter, Next, Policy, RetryError, Retryable, Verdict, retry_with,
};
use tokio::time::{Instant, sleep};

#[derive(Debug)]
enum Error {
    Reset,
    NotFound,
    Unavailable { retry_after: Option<Duration> },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "connection reset",
            Self::NotFound => "404 Not Found",
            Self::Unavailable { .. } => "503 Service Unavailable",
        })
    }
}

/// Stands for a server that behaves in a different way for each page. It counts what it is sent.
#[derive(Default)]
struct Server {
    requests: AtomicU32,
}

impl Server {
    async fn get(&self, page: &str) -> Result<u16, Error> {
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        match (page, number) {
            ("/flaky", 1 | 2) => Err(Error::Reset),
            ("/hangs-at-first", 1) | ("/slow", _) => {
                sleep(Duration::from_millis(60_000)).await;
                Ok(200)
            }
            ("/busy", 1) => Err(Error::Unavailable {
                retry_after: Some(Duration::from_millis(30)),
            }),
            ("/down", _) => Err(Error::Unavailable { retry_after: None }),
            ("/missing", _) => Err(Error::NotFound),
            _ => Ok(200),
        }
    }
}

/// 10, 20 and 40 milliseconds, so that this prints the same each time. Leave the jitter on in your program.
static POLICY: Policy = Policy::exponential(Duration::from_millis(10), Duration::from_millis(1000))
    .jitter(Jitter::None);

async fn with_retry() -> Result<(), RetryError<Error>> {
    let server = Server::default();
    let status = (|| server.get("/flaky")).retry(&POLICY).notify(|event| {
        if let Next::Retry(delay) = event.next {
            println!("with_retry: {}; again in {delay:?}", event.failure);
        }
    });
    let status = status.await?;
    let attempts = server.requests.load(Relaxed);
    println!("with_retry: {status} after {attempts} attempts");
    Ok(())
}

async fn with_timeout() {
    let server = Server::default();
    match timeout(Duration::from_millis(20), server.get("/slow")).await {
        Ok(_) => unreachable!("it takes a minute"),
        Err(_) => println!("with_timeout: too slow"),
    }
}

/// Each attempt has 20 milliseconds; one that takes longer is dropped and tried again.
async fn with_retry_timeout() -> Result<(), RetryError<Error>> {
    let server = Server::default();
    let status = (|| server.get("/hangs-at-first"))
        .retry(&POLICY)
        .attempt_timeout(Duration::from_millis(20))
        .await?;
    let attempts = server.requests.load(Relaxed);
    println!("with_retry_timeout: {status} after {attempts} attempts");
    Ok(())
}

/// A value in place of an error. A cancellation gives neither, so there is nothing to re-raise.
async fn safe_execute() {
    let server = Server::default();
    let status = (|| server.get("/down")).retry(&POLICY).or(7).await;
    println!("safe_execute: {status}, from yesterday");
}

async fn which_errors() {
    let server = Server::default();
    let error = (|| server.get("/missing"))
        .retry(&POLICY)
        .when(|error| !matches!(error, Error::NotFound))
        .await
        .unwrap_err();
    println!("which errors: {error}");
}

async fn when_to_come_back() -> Result<(), RetryError<Error>> {
    let server = Server::default();
    let begin = Instant::now();
    let status = (|| server.get("/busy"))
        .retry(&POLICY)
        .classify(|error, _| match error {
            Error::Unavailable {
                retry_after: Some(time),
            } => Verdict::RetryAfter(*time),
            Error::NotFound => Verdict::Abort,
            _ => Verdict::Retry,
        });
    let status = status.await?;
    assert!(begin.elapsed() >= Duration::from_millis(30));
    println!("when to come back: {status}, and not before 30 ms");
    Ok(())
}

/// The deadline is that of the scope. A retry that would come after it is not waited for, and the error is the real one.
async fn no_waiting_in_vain() {
    static PATIENT: Policy = Policy::constant(Duration::from_millis(60_000)).jitter(Jitter::None);

    let server = Server::default();
    let answer = timeout(Duration::from_millis(500), async {
        (|| server.get("/down")).retry(&PATIENT).await
    });
    let error = answer
        .await
        .expect("it does not wait for the timeout")
        .unwrap_err();
    println!("no waiting in vain: {error}");
}

/// The connection is borrowed `&mut` by each attempt in turn.
async fn what_borrows() -> Result<(), RetryError<Error>> {
    struct Connection(u32);

    impl Connection {
        /// Fails over the first two, and leaves a new one in its place.
        async fn get(&mut self) -> Result<u16, Error> {
            if self.0 < 3 {
                self.0 += 1;
                return Err(Error::Reset);
            }
            Ok(200)
        }
    }

    let mut connection = Connection(1);
    let status = retry_with(
        &POLICY,
        &mut connection,
        async |connection: &mut Connection| connection.get().await,
    );
    println!(
        "what borrows: {} over connection {}",
        status.await?,
        connection.0
    );
    Ok(())
}

/// When a service is down, a retry is more of what keeps it down. All calls share what they may add to it.
async fn a_budget() {
    static BUDGET: Budget = Budget::ratio(0.2).burst(10).min_per_sec(0);
    static FAST: Policy = Policy::immediate();

    let server = Server::default();
    for _ in 0..100 {
        let call = || server.get("/down");
        call.retry(&FAST).budget(&BUDGET).await.unwrap_err();
    }
    // The calls, ten retries that it holds at first, and a fifth of the calls but the first, which finds it full.
    let requests = server.requests.swap(0, Relaxed);
    println!("a budget: 100 calls of a service that is down are {requests} requests");
    for _ in 0..100 {
        let call = || server.get("/down");
        call.retry(&FAST).await.unwrap_err();
    }
    println!("without: {}", server.requests.load(Relaxed));
}

#[tokio::main]
async fn main() -> Result<(), RetryError<Error>> {
    with_retry().await?;
    with_timeout().await;
    with_retry_timeout().await?;
    safe_execute().await;
    which_errors().await;
    when_to_come_back().await?;
    no_waiting_in_vain().await;
    what_borrows().await?;
    a_budget().await;
    Ok(())
}
