//! What HTTP says about limits: the header fields by which a server tells its clients how fast they may be.
//!
//! They are those of [draft-ietf-httpapi-ratelimit-headers-11](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/),
//! which is no standard yet, and `Retry-After`:
//!
//! ```text
//! RateLimit-Policy: "default";q=100;w=60
//! RateLimit: "default";r=0;t=30
//! Retry-After: 30
//! ```
//!
//! The draft has windows with a quota in each, counted in whole seconds. A limit of this crate has a burst and an interval, and no window.
//! So this is what its numbers are:
//!
//! | | is | a client that goes by it |
//! |---|---|---|
//! | `w` | the time in which a burst is earned, rounded up to a second | |
//! | `q` | how many are earned in that time, rounded down | has the full rate if it spreads them, and at most the burst at once |
//! | `r` | how many can be had now; none while somebody waits in line | is granted so many at once |
//! | `t` | the time after which there is one more, rounded up | is denied none; where many are earned in a second it has to look at `q`, too |
//!
//! `Retry-After` is never before the end of `t`, as the draft wants it.
//!
//! All of it is pure: no clock, no service.

use std::fmt::Write;
use std::time::Duration;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::quota::UNITS_PER_NANO;
use crate::stamp::{self, Units};
use crate::{Quota, RateSnapshot};

/// The field that tells of the quota, which stays the same.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The field that tells what is left of it.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The most that a structured field can say: an integer has 15 digits.
const MAX: Units = 999_999_999_999_999;

const SECOND: Units = 1_000_000_000 * UNITS_PER_NANO as Units;

/// The value of `Retry-After`: whole seconds, rounded up, so that who goes by it does not come too early.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use shibuya_ratelimit::http::retry_after;
///
/// assert_eq!(retry_after(Duration::from_millis(2001)), "3");
/// ```
pub fn retry_after(after: Duration) -> HeaderValue {
    HeaderValue::from(whole_seconds(after))
}

/// The value of [`RATELIMIT_POLICY`] for a quota.
///
/// # Panics
///
/// When the name has other characters than the visible ones of ASCII, and spaces.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::Quota;
/// use shibuya_ratelimit::http::policy;
///
/// // A burst is earned in 6 s, and 10 are.
/// assert_eq!(policy("search", Quota::per_minute(100).burst(10)), r#""search";q=10;w=6"#);
/// // A burst is earned in 0.1 s, and in 1 s 100 are.
/// assert_eq!(policy("search", Quota::per_second(100).burst(10)), r#""search";q=100;w=1"#);
/// ```
#[track_caller]
pub fn policy(name: &str, quota: Quota) -> HeaderValue {
    // What a quota is rounded up by must not make it a second more, or one less.
    let window = (quota.tolerance() - 1).div_ceil(SECOND).clamp(1, MAX);
    let (earned, _) = quota.earned_in(window * SECOND + 1);
    value(name, [("q", earned.clamp(1, MAX)), ("w", window)])
}

/// The value of [`RATELIMIT`] for what a limit says of itself.
///
/// # Panics
///
/// As [`policy`].
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::http::limit;
/// use shibuya_ratelimit::{Denied, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Denied> {
/// let limiter = RateLimiter::per_minute(30).burst(3);
/// limiter.try_acquire()?;
/// assert_eq!(limit("default", &limiter.snapshot()), r#""default";r=2;t=2"#);
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn limit(name: &str, snapshot: &RateSnapshot) -> HeaderValue {
    let seconds = Units::from(whole_seconds(until_one_more(snapshot)));
    let remaining = Units::from(snapshot.remaining);
    value(name, [("r", remaining), ("t", seconds.clamp(1, MAX))])
}

/// Adds both fields. Those that are there, such as of another limit, stay: each field is a list.
///
/// # Panics
///
/// As [`policy`].
///
/// # Examples
///
/// ```
/// use http::HeaderMap;
/// use shibuya_ratelimit::http::{RATELIMIT, append};
/// use shibuya_ratelimit::{Keyed, Quota, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let all = RateLimiter::per_second(1000).burst(1000);
/// let each = Keyed::new(Quota::per_second(5).burst(5));
/// let mut headers = HeaderMap::new();
/// append(&mut headers, "all", &all.snapshot());
/// append(&mut headers, "each", &each.snapshot(&"client"));
/// let limits: Vec<_> = headers.get_all(RATELIMIT).iter().collect();
/// assert_eq!(limits, [r#""all";r=1000;t=1"#, r#""each";r=5;t=1"#]);
/// # }
/// ```
#[track_caller]
pub fn append(headers: &mut HeaderMap, name: &str, snapshot: &RateSnapshot) {
    headers.append(RATELIMIT_POLICY, policy(name, snapshot.quota));
    headers.append(RATELIMIT, limit(name, snapshot));
}

/// When who has used up all that there is can have another one.
fn until_one_more(snapshot: &RateSnapshot) -> Duration {
    let RateSnapshot {
        quota, remaining, ..
    } = *snapshot;
    if remaining == 0 {
        return snapshot.retry_after;
    }
    // By then so much must not be owed any more as would be if all but this one were taken.
    let owed = stamp::length(snapshot.reset_after) + quota.cost(remaining) + quota.cost(1);
    let after = owed.saturating_sub(quota.tolerance());
    Duration::from_nanos(stamp::nanos(after))
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// An item of a structured field: a string with two parameters.
#[track_caller]
fn value(name: &str, parameters: [(&str, Units); 2]) -> HeaderValue {
    check(name);
    let mut text = String::with_capacity(name.len() + 24);
    text.push('"');
    for char in name.chars() {
        if matches!(char, '"' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('"');
    for (key, value) in parameters {
        write!(text, ";{key}={value}").expect("a string takes all");
    }
    HeaderValue::try_from(text).expect("it is visible ASCII")
}

/// # Panics
///
/// When the name of a policy has other characters than the visible ones of ASCII, and spaces.
#[track_caller]
pub(crate) fn check(name: &str) {
    let is_fine = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    assert!(is_fine, "a policy's name is of visible ASCII: {name:?}");
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn seconds_are_rounded_up() {
        let seconds = [
            (Duration::ZERO, "0"),
            (Duration::from_nanos(1), "1"),
            (999 * MS, "1"),
            (SEC, "1"),
            (SEC + Duration::from_nanos(1), "2"),
            (3600 * SEC, "3600"),
        ];
        for (time, expected) in seconds {
            assert_eq!(retry_after(time), expected);
        }
        assert_eq!(retry_after(Duration::MAX).as_bytes().len(), 20);
    }

    #[test]
    fn a_window_is_the_time_of_a_burst_and_has_what_is_earned_in_it() {
        let second = Quota::per_second;
        let policies = [
            (second(1), "q=1;w=1"),
            (second(100), "q=100;w=1"),
            (second(100).burst(100), "q=100;w=1"),
            (second(100).burst(101), "q=200;w=2"),
            (second(3).burst(3), "q=3;w=1"),
            (second(7).burst(70), "q=70;w=10"),
            (second(u32::MAX).burst(u32::MAX), "q=4294967295;w=1"),
            (Quota::per_minute(1), "q=1;w=60"),
            (Quota::per_minute(7).burst(7), "q=7;w=60"),
            (Quota::per(1000, 86_400 * SEC).burst(1000), "q=1000;w=86400"),
            (Quota::every(1500 * MS), "q=1;w=2"),
            (Quota::every(1500 * MS).burst(2), "q=2;w=3"),
        ];
        for (quota, expected) in policies {
            let expected = format!(r#""x";{expected}"#);
            assert_eq!(policy("x", quota), expected, "{quota:?}");
        }
    }

    #[test]
    fn what_has_too_many_digits_is_as_much_as_can_be_said() {
        let nine_years = Quota::every(9 * 365 * 86_400 * SEC).burst(u32::MAX);
        let text = policy("x", nine_years);
        assert!(text.to_str().unwrap().ends_with(";w=999999999999999"));
    }

    fn snapshot(remaining: u32, reset_after: Duration, retry_after: Duration) -> RateSnapshot {
        RateSnapshot {
            quota: Quota::every(3 * SEC).burst(4),
            remaining,
            retry_after,
            reset_after,
            waiters: 0,
            queued: 0,
        }
    }

    #[test]
    fn the_time_is_until_there_is_one_more() {
        let zero = Duration::ZERO;
        let limits = [
            (snapshot(4, zero, zero), "r=4;t=3"),
            (snapshot(3, 3 * SEC, zero), "r=3;t=3"),
            (snapshot(3, 2 * SEC, zero), "r=3;t=2"),
            (snapshot(3, MS, zero), "r=3;t=1"),
            (snapshot(1, 7100 * MS, zero), "r=1;t=2"),
            (snapshot(0, 11 * SEC, 2 * SEC), "r=0;t=2"),
            // Somebody waits in line.
            (snapshot(0, 14 * SEC, 5100 * MS), "r=0;t=6"),
        ];
        for (snapshot, expected) in limits {
            let expected = format!(r#""x";{expected}"#);
            assert_eq!(limit("x", &snapshot), expected, "{snapshot:?}");
        }
    }

    #[test]
    fn a_name_is_quoted() {
        let text = policy(r#"a "b" \c"#, Quota::per_second(1));
        assert_eq!(text, r#""a \"b\" \\c";q=1;w=1"#);
    }

    #[test]
    #[should_panic = "visible ASCII"]
    fn a_name_that_no_header_can_have_is_refused() {
        policy("naïve", Quota::per_second(1));
    }
}
