use std::fmt;
use std::time::Duration;

use shibuya_cancel::raw::Timestamp;
use shibuya_waitlist::primitives::Mutex;

use crate::Denied;

/// At most so many in each window of time, as it is counted by two counters: what passed in this window, and of what passed in the one
/// before the part that a window which ends now would still see, if it was spread evenly.
///
/// It is for those whose rule is written so: "1,000 per hour". Unlike a [`RateLimiter`](crate::RateLimiter), it lets all pass at once and then
/// nothing for a while; and since it assumes that the window before was even, it can let up to twice as many pass in a window that begins with
/// the end of a rush. The counting is [Cloudflare's](https://blog.cloudflare.com/counting-things-a-lot-of-different-things/).
/// Nobody waits in line for it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::SlidingWindow;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// static HOURLY: SlidingWindow = SlidingWindow::new(1_000, Duration::from_secs(3600));
///
/// HOURLY.try_acquire_n(1_000).unwrap();
/// let denied = HOURLY.try_acquire().unwrap_err();
/// assert!(denied.retry_after().unwrap() > Duration::from_secs(3));
/// # }
/// ```
pub struct SlidingWindow {
    rule: Rule,
    counters: Mutex<Counters>,
}

#[derive(Clone, Copy)]
struct Rule {
    limit: u32,
    /// In nanoseconds.
    window: u64,
}

/// Without a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    /// The number of the window that is counted now.
    number: u64,
    current: u32,
    previous: u32,
}

impl SlidingWindow {
    /// At most `limit` in each `window`.
    ///
    /// # Panics
    ///
    /// When the limit or the window is zero, or the window longer than five centuries.
    #[cfg(not(shibuya_loom))]
    #[track_caller]
    pub const fn new(limit: u32, window: Duration) -> Self {
        Self {
            rule: Rule::new(limit, window),
            counters: Mutex::new(Counters {
                number: 0,
                current: 0,
                previous: 0,
            }),
        }
    }

    /// As without loom, whose mutex can't be made in a constant.
    #[cfg(shibuya_loom)]
    #[track_caller]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self {
            rule: Rule::new(limit, window),
            counters: Mutex::new(Counters::default()),
        }
    }

    /// Takes one now or not at all.
    ///
    /// # Errors
    ///
    /// [`Denied::RetryAfter`] with the time after which one can be had, if nobody else takes it.
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.try_acquire_n(1)
    }

    /// Takes `n` now or nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), and [`Denied::ExceedsBurst`] when `n` is above the limit.
    pub fn try_acquire_n(&self, n: u32) -> Result<(), Denied> {
        let limit = self.rule.limit;
        if n > limit {
            return Err(Denied::ExceedsBurst {
                asked: n,
                burst: limit,
            });
        }
        let now = Timestamp::now().as_nanos();
        let taken = self.counters.lock().take(self.rule, now, n);
        taken.map_err(|after| Denied::RetryAfter(Duration::from_nanos(after)))
    }

    /// How many could be had now.
    pub fn remaining(&self) -> u32 {
        let now = Timestamp::now().as_nanos();
        let mut counters = self.counters.lock();
        counters.turn(self.rule, now);
        counters.remaining(self.rule, now)
    }
}

impl Rule {
    #[track_caller]
    const fn new(limit: u32, window: Duration) -> Self {
        assert!(limit > 0, "a limit must be at least 1");
        let nanos = window.as_nanos();
        assert!(
            nanos > 0 && nanos <= u64::MAX as u128,
            "a window must be above zero, and below five centuries"
        );
        Self {
            limit,
            window: nanos as u64,
        }
    }
}

impl Counters {
    /// Goes on to the window of now. A clock that went back stays where it was.
    fn turn(&mut self, rule: Rule, now: u64) {
        let number = now / rule.window;
        if number <= self.number {
            return;
        }
        self.previous = match number - self.number {
            1 => self.current,
            _ => 0,
        };
        (self.number, self.current) = (number, 0);
    }

    /// How much of the current window is still to come.
    fn left(&self, rule: Rule, now: u64) -> u64 {
        match now / rule.window == self.number {
            true => rule.window - now % rule.window,
            false => rule.window,
        }
    }

    /// `Err` with the time until `n` can be had.
    fn take(&mut self, rule: Rule, now: u64, n: u32) -> Result<(), u64> {
        self.turn(rule, now);
        let left = self.left(rule, now);
        let room = u64::from(rule.limit - n);
        match self.current.checked_add(n).filter(|sum| *sum <= rule.limit) {
            Some(sum) => {
                // So much of the window may still be to come for the previous one to weigh no more than there is room.
                let weighs = fits(u64::from(rule.limit - sum), rule, self.previous);
                if left <= weighs {
                    self.current = sum;
                    return Ok(());
                }
                Err(left - weighs)
            }
            // In the next window, when this one has lost weight.
            None => Err(left.saturating_add(rule.window - fits(room, rule, self.current))),
        }
    }

    fn remaining(&self, rule: Rule, now: u64) -> u32 {
        let left = u128::from(self.left(rule, now));
        let weight = (u128::from(self.previous) * left).div_ceil(rule.window.into());
        rule.limit.saturating_sub(self.current + weight as u32)
    }
}

/// How much of a window may be left for `count` in the previous one to weigh no more than `room`.
fn fits(room: u64, rule: Rule, count: u32) -> u64 {
    let most = u128::from(room) * u128::from(rule.window);
    match most.checked_div(count.into()) {
        Some(left) => left.min(rule.window.into()) as u64,
        None => rule.window,
    }
}

impl fmt::Debug for SlidingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlidingWindow")
            .field("limit", &self.rule.limit)
            .field("window", &Duration::from_nanos(self.rule.window))
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule::new(10, Duration::from_nanos(1000));

    fn counted(number: u64, previous: u32, current: u32) -> Counters {
        Counters {
            number,
            current,
            previous,
        }
    }

    #[test]
    fn the_window_before_weighs_by_the_part_that_is_still_seen() {
        let mut counters = Counters::default();
        assert_eq!(counters.take(RULE, 0, 10), Ok(()));
        assert_eq!(counters.take(RULE, 500, 1), Err(600)); // at 1100 nine of them are seen
        assert_eq!(counters.take(RULE, 1099, 1), Err(1));
        assert_eq!(counters.take(RULE, 1100, 1), Ok(()));
        assert_eq!(counters, counted(1, 10, 1));
        assert_eq!(counters.remaining(RULE, 1100), 0);
        assert_eq!(counters.remaining(RULE, 1500), 4);
        assert_eq!(counters.take(RULE, 1500, 4), Ok(()));
        assert_eq!(counters.take(RULE, 9999, 10), Ok(())); // long ago
        assert_eq!(counters, counted(9, 0, 10));
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing_again() {
        let mut counters = Counters::default();
        assert_eq!(counters.take(RULE, 5500, 10), Ok(()));
        assert!(counters.take(RULE, 100, 1).is_err());
        assert_eq!(counters, counted(5, 0, 10));
    }

    proptest! {
        #[test]
        fn the_time_of_a_refusal_is_honest(
            previous in 0_u32..=10,
            current in 0_u32..=10,
            n in 1_u32..=10,
            at in 0_u64..1000,
        ) {
            let now = 7000 + at;
            let fresh = || counted(7, previous, current);
            // What is counted was let through, so it was not above the limit.
            let weight = u64::from(previous) * (1000 - at) / 1000 + u64::from(current);
            prop_assume!(weight <= 10);
            if let Err(after) = fresh().take(RULE, now, n) {
                prop_assert!(after > 0);
                prop_assert_eq!(fresh().take(RULE, now + after, n), Ok(()));
                prop_assert!(fresh().take(RULE, now + after - 1, n).is_err());
            } else {
                let mut counters = fresh();
                counters.turn(RULE, now);
                prop_assert!(n <= counters.remaining(RULE, now));
            }
        }

        #[test]
        fn what_is_counted_never_weighs_more_than_the_limit(
            takes in prop::collection::vec((0_u64..700, 1_u32..=10), 1..60),
        ) {
            let mut counters = Counters::default();
            let mut now = 0;
            for (pause, n) in takes {
                now += pause;
                let there = { counters.turn(RULE, now); counters.remaining(RULE, now) };
                prop_assert_eq!(counters.take(RULE, now, n).is_ok(), n <= there);
            }
        }
    }
}
