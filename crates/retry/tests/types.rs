//! What is `Send`, with whatever it borrows, and how large it is.
#![cfg(not(shibuya_loom))]

use std::future::{Future, ready};
use std::time::Duration;

use shibuya_retry::{
    Budget, Failure, Policy, Reason, Retry, RetryError, Retryable, Run, Withdrawal, retry_with,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

static POLICY: Policy = Policy::exponential(Duration::from_millis(1), Duration::from_secs(1));
static BUDGET: Budget = Budget::ratio(0.2)
    .burst(20)
    .min_per_sec(5)
    .timeout_cost(2)
    .hedge_cost(1);

assert_impl_all!(Policy: Copy, Send, Sync);
assert_impl_all!(Budget: Send, Sync);
assert_impl_all!(Withdrawal<'static>: Send, Sync);
assert_impl_all!(RetryError<std::fmt::Error>: Send, Sync, std::error::Error);
assert_impl_all!(Failure<u8>: Copy);
assert_impl_all!(Reason: Copy);
assert_impl_all!(Run<'static, String>: Send, Unpin);
assert_not_impl_any!(RetryError<*const u8>: Send);

fn send<F: Future + Send>(fut: F) -> F {
    fut
}

struct Conn {
    queries: u32,
}

impl Conn {
    async fn query(&mut self, key: &str) -> Result<usize, String> {
        self.queries += 1;
        tokio::task::yield_now().await;
        match self.queries {
            1 => Err("busy".into()),
            _ => Ok(key.len()),
        }
    }
}

async fn fetch(key: &str) -> Result<usize, String> {
    tokio::task::yield_now().await;
    Ok(key.len())
}

#[tokio::test]
async fn a_closure_may_borrow() {
    let key = String::from("limit");
    let key = key.as_str();
    let answer = send(
        (|| fetch(key))
            .retry(&POLICY)
            .when(|error| !error.is_empty()),
    );
    assert_eq!(answer.await.unwrap(), 5);
    let answer = send((async || fetch(key).await).retry(&POLICY));
    assert_eq!(answer.await.unwrap(), 5);
}

#[tokio::test]
async fn a_context_may_be_borrowed_mutably() {
    let mut conn = Conn { queries: 0 };
    let answer = send(retry_with(&POLICY, &mut conn, async |conn: &mut Conn| {
        conn.query("limit").await
    }));
    assert_eq!(answer.await.unwrap(), 5);
    assert_eq!(conn.queries, 2);
}

#[tokio::test]
async fn a_context_may_be_a_tuple_of_borrows() {
    let mut conn = Conn { queries: 0 };
    let key = String::from("limit");
    let mut context = (&mut conn, key.as_str());
    let answer = send(
        POLICY
            .start()
            .attempt_timeout(Duration::from_secs(1))
            .when(|error: &String| error == "busy")
            .run(&mut context, async |(conn, key): &mut (&mut Conn, &str)| {
                conn.query(key).await
            }),
    );
    assert_eq!(answer.await.unwrap(), 5);
}

#[tokio::test]
async fn a_loop_may_borrow_anything() {
    let mut conn = Conn { queries: 0 };
    let answer = send(async {
        let key = String::from("limit");
        let mut run = POLICY.start();
        loop {
            match run.attempt(conn.query(&key)).await {
                Ok(value) => break Ok::<_, RetryError<String>>(value),
                Err(failure) => run.backoff(failure).await?,
            }
        }
    });
    assert_eq!(answer.await.unwrap(), 5);
}

#[tokio::test]
async fn a_call_that_borrows_may_be_spawned() {
    let answer = tokio::spawn(async {
        let mut conn = Conn { queries: 0 };
        let key = String::from("limit");
        let one = (|| fetch(&key))
            .retry(&POLICY)
            .budget(&BUDGET)
            .await
            .unwrap();
        let other = retry_with(&POLICY, &mut conn, async |conn: &mut Conn| {
            conn.query("limit").await
        });
        one + other.await.unwrap()
    });
    assert_eq!(answer.await.unwrap(), 10);
}

/// The bytes that it adds to the operation.
fn added<M, F, E>(_: &Retry<'_, M, F, E>) -> usize {
    size_of::<Retry<'_, M, F, E>>() - size_of::<M>() - size_of::<F>()
}

#[test]
fn a_retry_adds_at_most_64_bytes_to_its_operation() {
    let small = (|| ready(Ok::<u64, u64>(1))).retry(&POLICY);
    let wait = (|| fetch("limit")).retry(&POLICY);
    let large = (|| async {
        let block = [0u8; 1000];
        tokio::task::yield_now().await;
        Ok::<u8, u8>(block[7])
    })
    .retry(&POLICY);
    println!("{} {} {}", added(&small), added(&wait), added(&large));
    assert!(added(&small) <= 64);
    assert!(added(&wait) <= 64);
    assert!(added(&large) <= 64);
    assert_eq!(size_of::<Result<u64, RetryError<[u8; 100]>>>(), 16);
}
