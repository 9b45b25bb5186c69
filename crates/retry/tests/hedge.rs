//! Another attempt beside one that takes long: when it begins, who wins, and what becomes of the rest.
#![cfg(not(shibuya_loom))]

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::time::Duration;

use shibuya_retry::{Budget, Cost, Delay, Fallback, Latencies, hedge};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

/// When each attempt began, of those that never answer, until another one does.
async fn begun(hedges: u32, answers: usize) -> Vec<u64> {
    let (begin, at) = (Instant::now(), RefCell::new(Vec::new()));
    let answer = hedge(Delay::Fixed(10 * MS), || {
        at.borrow_mut().push(begin.elapsed().as_millis() as u64);
        let answers = at.borrow().len() == answers;
        async move {
            match answers {
                true => Ok::<_, ()>(()),
                false => pending().await,
            }
        }
    });
    answer.max_hedges(hedges).await.unwrap();
    at.into_inner()
}

#[tokio::test(start_paused = true)]
async fn each_begins_when_those_before_it_took_long() {
    assert_eq!(begun(1, 1).await, [0]);
    assert_eq!(begun(1, 2).await, [0, 10]);
    assert_eq!(begun(5, 4).await, [0, 10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn the_first_success_wins_and_the_others_are_gone_by_then() {
    struct Runs<'c>(&'c Cell<i32>);
    impl Drop for Runs<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let (running, number) = (Cell::new(0), Cell::new(0));
    let answer = hedge(Delay::Fixed(10 * MS), || {
        number.set(number.get() + 1);
        running.set(running.get() + 1);
        let (number, runs) = (number.get(), Runs(&running));
        async move {
            let _runs = runs;
            sleep(if number == 2 { 5 * MS } else { 1000 * MS }).await;
            Ok::<_, ()>(number)
        }
    });
    assert_eq!(answer.max_hedges(3).await, Ok(2));
    assert_eq!((number.get(), running.get()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_makes_room_for_the_next_at_once() {
    let begin = Instant::now();
    let mut number = 0;
    let answer = hedge(Delay::Fixed(1000 * MS), || {
        number += 1;
        ready(if number < 3 { Err(number) } else { Ok(number) })
    });
    assert_eq!(answer.max_hedges(4).await, Ok(3));
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_it_gives_the_last_error() {
    let mut number = 0;
    let answer = hedge(Delay::Fixed(10 * MS), || {
        number += 1;
        let number = number;
        async move {
            sleep(number * 100 * MS).await;
            Err::<(), _>(number)
        }
    });
    assert_eq!(answer.max_hedges(2).await, Err(3));
    assert_eq!(number, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_failed_while_another_runs_is_no_answer() {
    let mut number = 0;
    let answer = hedge(Delay::Fixed(10 * MS), || {
        number += 1;
        let first = number == 1;
        async move {
            sleep(if first { 50 * MS } else { 5 * MS }).await;
            if first {
                Ok("slow, and well")
            } else {
                Err("fast, and wrong")
            }
        }
    });
    assert_eq!(answer.await, Ok("slow, and well"));
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_leaves_one_attempt() {
    let budget = Budget::ratio(0.0).burst(1).min_per_sec(0);
    let call = || {
        let mut number = 0;
        hedge(Delay::Fixed(10 * MS), move || {
            number += 1;
            let number = number;
            async move {
                sleep(50 * MS).await;
                Ok::<_, ()>(number)
            }
        })
        .max_hedges(9)
        .budget(&budget)
    };
    let begin = Instant::now();
    call().await.unwrap();
    assert_eq!(budget.snapshot().granted, 1);
    assert!(budget.try_withdraw(Cost::Hedge).is_none());
    call().await.unwrap();
    assert_eq!(begin.elapsed(), 100 * MS);
    assert_eq!(budget.snapshot().granted, 1);
}

#[tokio::test(start_paused = true)]
async fn no_delay_begins_all_at_once() {
    let begin = Instant::now();
    let mut number = 0;
    let answer = hedge(Delay::Fixed(Duration::ZERO), || {
        number += 1;
        let number = number;
        async move {
            sleep((10 - number) * MS).await;
            Ok::<_, ()>(number)
        }
    });
    assert_eq!(answer.max_hedges(3).await, Ok(4));
    assert_eq!(begin.elapsed(), 6 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_quantile_says_what_is_long() {
    let latencies = Latencies::new();
    let machine = Cell::new(0);
    let call = || {
        machine.set(machine.get() + 1);
        // One machine in twenty is slow.
        let slow = machine.get() % 20 == 0;
        async move {
            sleep(if slow { 1000 * MS } else { 10 * MS }).await;
            Ok::<_, ()>(())
        }
    };
    let ask = || hedge(Delay::quantile(&latencies, 0.9).min_samples(50), call);
    let begin = Instant::now();
    for _ in 0..50 {
        ask().await.unwrap();
    }
    // Two were slow, as there was nothing to go by yet.
    assert_eq!(begin.elapsed(), (48 * 10 + 2 * 1000) * MS);
    assert_eq!(machine.get(), 50);
    let begin = Instant::now();
    for _ in 0..100 {
        ask().await.unwrap();
    }
    assert!(begin.elapsed() < 1300 * MS, "{:?}", begin.elapsed());
    assert!(latencies.samples() > 150, "the dropped ones count, too");
}

#[test]
#[should_panic(expected = "a quantile is a number from 0 to 1")]
fn an_impossible_quantile_panics() {
    let _ = Delay::quantile(&Latencies::new(), 95.0);
}

#[tokio::test]
async fn a_fallback_takes_the_place_of_an_error() {
    let fails = || ready(Err::<u32, _>("down"));
    assert_eq!(fails().or(3).await, 3);
    assert_eq!(fails().or_default().await, 0);
    assert_eq!(fails().or_else(|_| ready(Ok::<_, ()>(4))).await, Ok(4));
    assert_eq!(
        fails().or_else(|error| ready(Err(error.len()))).await,
        Err(4)
    );
    let well = || ready(Ok::<u32, ()>(7));
    assert_eq!(well().or(3).await, 7);
    assert_eq!(well().or_default().await, 7);
    let never = well().or_else(|()| -> std::future::Ready<Result<u32, ()>> { unreachable!() });
    assert_eq!(never.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_swallows_no_cancellation() {
    let scope = shibuya_cancel::CancelScope::new();
    let stop = scope.clone();
    let run = scope.run(async {
        let fut = async {
            stop.cancel(shibuya_cancel::Reason::Requested);
            pending::<Result<u32, ()>>().await
        };
        fut.or(3).await
    });
    assert!(run.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_that_begins_after_a_failure_has_all_of_its_time() {
    let (begin, at) = (Instant::now(), RefCell::new(Vec::new()));
    let answer = hedge(Delay::Fixed(100 * MS), || {
        at.borrow_mut().push(begin.elapsed().as_millis() as u64);
        let number = at.borrow().len();
        async move {
            match number {
                1 => sleep(90 * MS).await,
                2 => pending().await,
                _ => return Ok(number),
            }
            Err("down")
        }
    });
    assert_eq!(answer.max_hedges(2).await, Ok(3));
    assert_eq!(at.into_inner(), [0, 90, 190]);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_go_by_a_failure_makes_room_nevertheless() {
    for waits in [false, true] {
        let latencies = Latencies::new();
        let mut number = 0;
        let answer = hedge(Delay::quantile(&latencies, 0.9), || {
            number += 1;
            let number = number;
            async move {
                if waits {
                    sleep(1000 * MS).await;
                }
                if number == 1 { Err("down") } else { Ok(number) }
            }
        });
        assert_eq!(answer.await, Ok(2));
    }
}
