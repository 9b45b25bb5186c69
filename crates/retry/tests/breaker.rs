//! When a breaker opens, when it closes, and who is let through meanwhile.
#![cfg(not(shibuya_loom))]

use std::collections::VecDeque;
use std::future::pending;
use std::panic::catch_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::*;
use shibuya_retry::{
    Breaker, BreakerBuilder, BreakerState, CallError, InvalidBreaker, Permit, Policy, Retryable,
    Verdict,
};
use tokio::time::{advance, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Opens at half of the last ten calls, of which there must be four.
fn ten() -> BreakerBuilder {
    Breaker::builder()
        .window_calls(10)
        .min_calls(4)
        .open_for(30 * SEC)
        .probes(2)
}

fn permit(breaker: &Breaker) -> Permit<'_> {
    breaker.try_acquire().expect("calls go through")
}

fn fail(breaker: &Breaker, calls: usize) {
    (0..calls).for_each(|_| permit(breaker).failure());
}

fn succeed(breaker: &Breaker, calls: usize) {
    (0..calls).for_each(|_| permit(breaker).success());
}

fn open(breaker: &Breaker) {
    fail(breaker, 4);
}

#[tokio::test(start_paused = true)]
async fn it_opens_at_its_rate_and_not_before_there_are_enough_calls() {
    let breaker = ten().build();
    fail(&breaker, 3);
    assert_eq!(breaker.state(), BreakerState::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), BreakerState::Open);
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!(refused.retry_in, 30 * SEC);
    assert_eq!(
        refused.to_string(),
        "the circuit breaker is open; it may let a call through in 30.0s"
    );

    let breaker = ten().build();
    succeed(&breaker, 6);
    fail(&breaker, 4);
    assert_eq!(breaker.state(), BreakerState::Closed);
    // One success slides out, one failure in: five of ten.
    fail(&breaker, 1);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_reached_by_exactly_that_part() {
    // 0.55 times 100 is a little more than 55 in binary fractions.
    for percent in [7, 14, 28, 55, 56, 57] {
        let rate = f64::from(percent) / 100.0;
        let builder = Breaker::builder().window_calls(100).min_calls(100);
        let breaker = builder.failure_rate(rate).build();
        succeed(&breaker, 100 - percent as usize);
        fail(&breaker, percent as usize - 1);
        succeed(&breaker, 1);
        assert_eq!(breaker.state(), BreakerState::Closed);
        let breaker = builder.failure_rate(rate).build();
        succeed(&breaker, 100 - percent as usize);
        fail(&breaker, percent as usize);
        assert_eq!(breaker.state(), BreakerState::Open, "{percent} %");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_long_ago_slides_out_of_the_window() {
    // In tower-resilience 0.14 a hundred thousand successes have to be outvoted.
    let breaker = Breaker::builder().window_calls(10).min_calls(5).build();
    succeed(&breaker, 100_000);
    fail(&breaker, 5);
    assert_eq!(breaker.state(), BreakerState::Open);

    let breaker = Breaker::builder()
        .window_time(10 * SEC)
        .min_calls(5)
        .build();
    succeed(&breaker, 10_000);
    advance(11 * SEC).await;
    fail(&breaker, 5);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn failures_of_long_ago_don_t_open_it() {
    let breaker = Breaker::builder()
        .window_time(10 * SEC)
        .min_calls(4)
        .build();
    for _ in 0..20 {
        fail(&breaker, 1);
        advance(4 * SEC).await; // three in any ten seconds
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.snapshot().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_time_holds_any_number_of_calls() {
    let breaker = Breaker::builder()
        .window_time(10 * SEC)
        .failure_rate(0.3)
        .build();
    for _ in 0..100_000 {
        succeed(&breaker, 4);
        fail(&breaker, 1);
    }
    let seen = breaker.snapshot();
    assert_eq!(seen.state, BreakerState::Closed);
    let rate = f64::from(seen.failed) / f64::from(seen.calls);
    assert!((0.19..0.21).contains(&rate), "{seen:?}");
    for _ in 0..50_000 {
        if let Ok(permit) = breaker.try_acquire() {
            permit.failure();
        }
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_though_they_succeed() {
    let breaker = ten().slow_calls(SEC, 0.5).build();
    for _ in 0..2 {
        let call = breaker.call(async {
            sleep(2 * SEC).await;
            Ok::<_, ()>(())
        });
        call.await.unwrap();
    }
    succeed(&breaker, 1);
    assert_eq!(breaker.state(), BreakerState::Closed);
    // Half of four: a fast success reaches the least number of calls, and the next slow one finds it so.
    succeed(&breaker, 1);
    let slow = permit(&breaker);
    advance(2 * SEC).await;
    slow.success();
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn its_probes_close_it() {
    let breaker = ten().build();
    open(&breaker);
    advance(30 * SEC).await;
    let (one, other) = (permit(&breaker), permit(&breaker));
    assert!(one.is_probe() && other.is_probe());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.try_acquire().is_err());
    one.success();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(
        breaker.try_acquire().is_err(),
        "one success and one under way are all of two"
    );
    other.success();
    assert_eq!(breaker.state(), BreakerState::Closed);
    // It has forgotten what was before.
    fail(&breaker, 3);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_that_fails_opens_it_again() {
    let breaker = ten().build();
    open(&breaker);
    advance(30 * SEC).await;
    let (one, other) = (permit(&breaker), permit(&breaker));
    one.failure();
    assert_eq!(breaker.state(), BreakerState::Open);
    other.success(); // of a time that is over
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, 30 * SEC);
    assert_eq!(breaker.snapshot().opened, 2);
}

#[test]
fn of_five_hundred_at_once_so_many_are_let_through_as_there_are_probes() {
    // In failsafe 1.3 and recloser 1.3 all five hundred are.
    let breaker = Breaker::builder()
        .window_calls(10)
        .min_calls(1)
        .open_for(Duration::from_nanos(1))
        .probes(3)
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    fail(&breaker, 1);
    let (start, through) = (Barrier::new(50), AtomicUsize::new(0));
    std::thread::scope(|s| {
        for _ in 0..50 {
            s.spawn(|| {
                start.wait();
                for _ in 0..10 {
                    if let Ok(permit) = breaker.try_acquire() {
                        through.fetch_add(1, Relaxed);
                        std::mem::forget(permit);
                    }
                }
            });
        }
    });
    assert_eq!(through.into_inner(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_cancelled_leaves_its_place() {
    // In execution-policy 0.0.6 the breaker stays half-open for ever.
    let breaker = ten().probes(1).build();
    open(&breaker);
    advance(30 * SEC).await;
    for _ in 0..3 {
        let probe = breaker.call(pending::<Result<(), ()>>());
        assert!(timeout(SEC, probe).await.is_err());
    }
    permit(&breaker).ignore();
    assert_eq!(breaker.call(async { Ok::<_, ()>(7) }).await, Ok(7));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_takes_too_long_is_waited_for_no_more() {
    let breaker = ten().probes(1).probe_lease(5 * SEC).build();
    open(&breaker);
    advance(30 * SEC).await;
    let late = permit(&breaker);
    assert_eq!(breaker.try_acquire().unwrap_err().retry_in, 5 * SEC);
    advance(5 * SEC).await;
    let next = permit(&breaker);
    late.failure(); // nobody asked it any more
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    next.success();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_an_earlier_time_is_no_vote() {
    let breaker = ten().probes(1).build();
    let old: Vec<_> = (0..10).map(|_| permit(&breaker)).collect();
    open(&breaker);
    advance(30 * SEC).await;
    permit(&breaker).success();
    assert_eq!(breaker.state(), BreakerState::Closed);
    old.into_iter().for_each(Permit::failure);
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.snapshot().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_dropped_without_a_word_is_no_vote() {
    let breaker = ten().build();
    for _ in 0..20 {
        drop(permit(&breaker));
    }
    assert_eq!(breaker.snapshot().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_caller_is_not_the_other_sides() {
    let breaker = ten().build();
    for _ in 0..20 {
        let wrong = breaker.call_when(async { Err::<(), _>(404) }, |code| *code >= 500);
        assert_eq!(wrong.await, Err(CallError::Failed(404)));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    for _ in 0..10 {
        let _ = breaker
            .call_when(async { Err::<(), _>(503) }, |code| *code >= 500)
            .await;
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_retry_may_wait_for_the_breaker() {
    let breaker = ten().probes(1).build();
    open(&breaker);
    let policy = Policy::constant(MS).max_retries(1);
    let mut asked = 0;
    let answer = (|| {
        asked += 1;
        breaker.call(async { Ok::<_, ()>("up again") })
    })
    .retry(&policy)
    .classify(|error, _| match error.retry_in() {
        Some(time) => Verdict::RetryAfter(time),
        None => Verdict::Retry,
    });
    assert_eq!(answer.await.unwrap(), "up again");
    assert_eq!(asked, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_no_vote_and_no_probe_is_lost() {
    let breaker = ten().probes(1).build();
    open(&breaker);
    advance(30 * SEC).await;
    let call = breaker.call(async {
        if true {
            panic!("a bug");
        }
        Ok::<(), ()>(())
    });
    let mut call = Box::pin(call);
    let polled = catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = std::future::Future::poll(call.as_mut(), &mut cx);
    }));
    assert!(polled.is_err());
    drop(call);
    permit(&breaker).success();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn impossible_numbers_are_refused_with_what_would_be_right() {
    let refused = |builder: BreakerBuilder| builder.try_build().unwrap_err();
    for rate in [0.0, -1.0, 1.01, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            refused(ten().failure_rate(rate)),
            InvalidBreaker::FailureRate(_)
        ));
        assert!(matches!(
            refused(ten().slow_calls(SEC, rate)),
            InvalidBreaker::SlowRate(_)
        ));
    }
    assert_eq!(refused(ten().window_calls(0)), InvalidBreaker::Window);
    assert_eq!(
        refused(ten().window_time(Duration::ZERO)),
        InvalidBreaker::Window
    );
    let most = |most| InvalidBreaker::MinCalls { calls: 11, most };
    assert_eq!(refused(ten().min_calls(11)), most(10));
    assert!(matches!(
        refused(ten().min_calls(0)),
        InvalidBreaker::MinCalls { .. }
    ));
    assert_eq!(refused(ten().probes(0)), InvalidBreaker::Probes);
    assert_eq!(
        refused(ten().open_for(Duration::ZERO)),
        InvalidBreaker::Probes
    );
    assert_eq!(
        most(10).to_string(),
        "a breaker that waits for 11 calls can't open: it must be 1 to 10, which is what its window holds"
    );
    assert!(catch_unwind(|| ten().probes(0).build()).is_err());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Whether it fails.
    Call(bool),
    /// Kept for later.
    Begin,
    End(bool),
    Drop,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(Step::Call),
        3 => Just(Step::Begin),
        3 => any::<bool>().prop_map(Step::End),
        1 => Just(Step::Drop),
        2 => (0..12u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..300)
}

/// The same in the plainest words: a list of outcomes, and permits that know their time.
struct Model {
    state: BreakerState,
    time: usize,
    outcomes: VecDeque<bool>,
    open_until: u64,
    probes: Vec<(usize, u64)>,
    well: usize,
    next: usize,
}

const CALLS: usize = 6;
const MIN: usize = 3;
const PROBES: usize = 2;
const OPEN_SECS: u64 = 10;
const LEASE_SECS: u64 = 7;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticket {
    time: usize,
    probe: Option<usize>,
}

impl Model {
    fn acquire(&mut self, now: u64) -> Option<Ticket> {
        if self.state == BreakerState::Open && now >= self.open_until {
            self.change(BreakerState::HalfOpen);
        }
        let probe = match self.state {
            BreakerState::Closed => None,
            BreakerState::HalfOpen => {
                self.probes.retain(|(_, until)| *until > now);
                if self.probes.len() + self.well >= PROBES {
                    return None;
                }
                self.next += 1;
                self.probes.push((self.next, now + LEASE_SECS));
                Some(self.next)
            }
            _ => return None,
        };
        Some(Ticket {
            time: self.time,
            probe,
        })
    }

    fn change(&mut self, state: BreakerState) {
        self.state = state;
        self.time += 1;
        self.outcomes.clear();
        self.probes.clear();
        self.well = 0;
    }

    fn end(&mut self, ticket: Ticket, failed: Option<bool>, now: u64) {
        if ticket.time != self.time {
            return;
        }
        match (ticket.probe, failed) {
            (None, None) => {}
            (None, Some(failed)) => {
                self.outcomes.push_back(failed);
                if self.outcomes.len() > CALLS {
                    self.outcomes.pop_front();
                }
                let failures = self.outcomes.iter().filter(|failed| **failed).count();
                let (calls, many) = (self.outcomes.len(), failures * 2 >= self.outcomes.len());
                if failed && calls >= MIN && many {
                    self.change(BreakerState::Open);
                    self.open_until = now + OPEN_SECS;
                }
            }
            (Some(probe), _) => {
                let count = self.probes.len();
                self.probes.retain(|(number, _)| *number != probe);
                if self.probes.len() == count {
                    return;
                }
                match failed {
                    None => {}
                    Some(true) => {
                        self.change(BreakerState::Open);
                        self.open_until = now + OPEN_SECS;
                    }
                    Some(false) => {
                        self.well += 1;
                        if self.well == PROBES {
                            self.change(BreakerState::Closed);
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_breaker_is_its_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let breaker = Breaker::builder()
                .window_calls(CALLS)
                .min_calls(MIN as u32)
                .probes(PROBES as u32)
                .open_for(OPEN_SECS as u32 * SEC)
                .probe_lease(LEASE_SECS as u32 * SEC)
                .build();
            let mut model = Model {
                state: BreakerState::Closed,
                time: 0,
                outcomes: VecDeque::new(),
                open_until: 0,
                probes: Vec::new(),
                well: 0,
                next: 0,
            };
            let mut now = 0;
            let mut held: VecDeque<(Permit<'_>, Ticket)> = VecDeque::new();
            for step in steps {
                let end = |(permit, ticket): (Permit<'_>, Ticket), failed, model: &mut Model| {
                    match failed {
                        None => drop(permit),
                        Some(true) => permit.failure(),
                        Some(false) => permit.success(),
                    }
                    model.end(ticket, failed, now);
                };
                match step {
                    Step::Wait(secs) => {
                        advance(secs as u32 * SEC).await;
                        now += secs;
                    }
                    Step::Call(_) | Step::Begin => {
                        let (permit, ticket) = (breaker.try_acquire().ok(), model.acquire(now));
                        prop_assert_eq!(permit.is_some(), ticket.is_some(), "{:?}", breaker);
                        if let (Some(permit), Some(ticket)) = (permit, ticket) {
                            prop_assert_eq!(permit.is_probe(), ticket.probe.is_some());
                            match step {
                                Step::Call(failed) => end((permit, ticket), Some(failed), &mut model),
                                _ => held.push_back((permit, ticket)),
                            }
                        }
                    }
                    Step::End(failed) => {
                        if let Some(call) = held.pop_front() {
                            end(call, Some(failed), &mut model);
                        }
                    }
                    Step::Drop => {
                        if let Some(call) = held.pop_front() {
                            end(call, None, &mut model);
                        }
                    }
                }
                prop_assert_eq!(breaker.state(), model.state);
                let seen = breaker.snapshot();
                prop_assert_eq!(seen.calls as usize, model.outcomes.len());
            }
            Ok(())
        })?;
    }
}
