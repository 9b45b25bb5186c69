//! The script, what it is given and what it answers.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script as Hashed;

use crate::distributed::backend::{Answer, BackendError, Charge, Take, Verdict};
use crate::distributed::local::Units;
use crate::quota::UNITS_PER_NANO;
use crate::{Outage, Quota};

/// What time it is, since the beginning of 2025: a double holds each microsecond of the next 285 years.
const CLOCK: &str = "\
local clock = redis.call('TIME')
local now = (clock[1] - 1735689600) * 1000000 + clock[2]
";

const GCRA: &str = include_str!("gcra.lua");

pub(super) static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(CLOCK, GCRA));

pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn new(clock: &str, body: &str) -> Self {
        let text = [clock, body].concat();
        let hash = Hashed::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

const UNITS_PER_MICRO: Units = UNITS_PER_NANO as Units * 1000;

/// The longest time that the script counts with, in microseconds: 142 years.
const LONGEST: Units = 1 << 52;

pub(super) fn arguments(quota: Quota, take: Take) -> Result<Vec<String>, BackendError> {
    let (verb, numbers) = match take {
        Take::Acquire { least, most } => ("take", vec![least.into(), most.into()]),
        Take::Peek => ("peek", vec![]),
        Take::Refund { n, charge } => {
            let [whole, part] = split(charge.0);
            ("refund", vec![n.into(), whole, part])
        }
    };
    let largest = match take {
        Take::Acquire { least, .. } => least.max(quota.burst_size()),
        _ => quota.burst_size(),
    };
    let interval = Units::from(quota.units());
    if interval * Units::from(largest) > LONGEST * UNITS_PER_MICRO {
        let complaint = format!("{largest} of {quota:?} are earned in more than 142 years");
        return Err(BackendError::new(Outage::Refused, complaint));
    }
    let [whole, part] = split(interval);
    let first = [whole, part, quota.burst_size().into()];
    let numbers = first.into_iter().chain(numbers);
    let words = std::iter::once(verb.to_owned()).chain(numbers.map(|number| number.to_string()));
    Ok(words.collect())
}

/// Microseconds, and parts of one.
fn split(units: Units) -> [Units; 2] {
    [
        units.div_euclid(UNITS_PER_MICRO),
        units.rem_euclid(UNITS_PER_MICRO),
    ]
}

const WRONG_TYPE: i64 = -1;
const DENIED: i64 = 0;
const GRANTED: i64 = 1;
const DONE: i64 = 2;

pub(super) struct Reply;

impl Reply {
    pub(super) fn parse(reply: &[i64]) -> Result<Verdict, BackendError> {
        let &[status, n, remaining, wait, reset, whole, part] = reply else {
            return Err(match reply {
                [WRONG_TYPE] => Outage::WrongType.into(),
                other => strange(other),
            });
        };
        let answer = match status {
            DENIED => Answer::Denied {
                retry_after: micros(wait),
            },
            GRANTED => Answer::Granted {
                n: count(n),
                charge: Charge(Units::from(whole) * UNITS_PER_MICRO + Units::from(part)),
            },
            DONE => Answer::Done,
            _ => return Err(strange(reply)),
        };
        Ok(Verdict {
            answer,
            remaining: count(remaining),
            reset_after: micros(reset),
        })
    }
}

fn strange(reply: &[i64]) -> BackendError {
    BackendError::new(Outage::Refused, format!("a strange reply: {reply:?}"))
}

fn micros(n: i64) -> Duration {
    Duration::from_micros(n.max(0).unsigned_abs())
}

fn count(n: i64) -> u32 {
    n.max(0).try_into().unwrap_or(u32::MAX)
}

#[cfg(all(test, unix, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use redis::{Client, Connection};
    use servers::Redis;

    use super::*;
    use crate::distributed::local::decide;

    /// The script at times that the test tells it. Keys don't expire, since the server's own time is another.
    fn at_told_times() -> String {
        let expiry = ", 'PX', string.format('%.0f', ms)";
        assert!(GCRA.contains(expiry));
        format!(
            "local now = tonumber(ARGV[8])\n{}",
            GCRA.replace(expiry, "")
        )
    }

    /// What the key should hold: the state, and when it was written, in microseconds.
    type Model = Option<(Units, Units)>;

    fn expected(model: &mut Model, micros: Units, quota: Quota, take: Take) -> Verdict {
        let now = micros * UNITS_PER_MICRO;
        let tat = model.map_or(now, |(tat, written)| {
            tat - (written - micros).max(0) * UNITS_PER_MICRO
        });
        let (next, verdict) = decide(tat, now, quota, take);
        let writes = match verdict.answer {
            Answer::Granted { .. } => true,
            Answer::Denied { .. } => false,
            Answer::Done => matches!(take, Take::Refund { .. }),
        };
        if writes {
            *model = (next > now).then_some((next, micros));
        }
        verdict
    }

    /// As coarse as the server's answers are.
    fn in_micros(verdict: Verdict) -> Verdict {
        let up = |d: Duration| Duration::from_micros(d.as_nanos().div_ceil(1000) as u64);
        let answer = match verdict.answer {
            Answer::Denied { retry_after } => Answer::Denied {
                retry_after: up(retry_after),
            },
            other => other,
        };
        let reset_after = up(verdict.reset_after);
        Verdict {
            answer,
            reset_after,
            ..verdict
        }
    }

    fn run(
        connection: &mut Connection,
        script: &str,
        micros: Units,
        arguments: &[String],
    ) -> Vec<i64> {
        let mut arguments = arguments.to_vec();
        arguments.resize(7, String::new());
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(1).arg("key").arg(arguments);
        command.arg(micros.to_string()).query(connection).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire {
            least: u32,
            more: u32,
        },
        Peek,
        /// Of the grant so many before the last.
        Refund {
            back: usize,
        },
    }

    fn step() -> impl Strategy<Value = (i64, Step)> {
        let step = prop_oneof![
            6 => (1..8u32, prop_oneof![Just(0), 0..30u32]).prop_map(|(least, more)| Step::Acquire { least, more }),
            1 => Just(Step::Peek),
            2 => (0..4usize).prop_map(|back| Step::Refund { back }),
        ];
        // In hundredths of the interval. Now and then the clock goes back.
        (
            prop_oneof![8 => 0..300i64, 1 => -2000..0i64, 1 => Just(0)],
            step,
        )
    }

    /// Of a nanosecond, of a third of a microsecond, of a week: whatever comes.
    fn quota() -> impl Strategy<Value = Quota> {
        let period = prop_oneof![
            (1..1_000_000u64).prop_map(Duration::from_nanos),
            (1..100_000u64).prop_map(Duration::from_millis),
            (1..90u64).prop_map(|days| Duration::from_secs(86_400 * days)),
        ];
        (1..1000u32, period, 1..20u32, any::<bool>()).prop_filter_map(
            "too fast",
            |(n, period, burst, debt)| {
                let quota = Quota::try_per(n, period).ok()?.burst(burst);
                Some(if debt { quota.debt() } else { quota })
            },
        )
    }

    #[test]
    fn the_script_does_what_the_model_does() {
        let Some(server) = Redis::start() else { return };
        let mut connection = Client::open(server.url())
            .unwrap()
            .get_connection()
            .unwrap();
        let script = at_told_times();
        let starts = prop::sample::select(vec![-1_000_000, 0, 60_000_000_000_000, 1 << 51]);
        let cases = (quota(), starts, prop::collection::vec(step(), 1..50));
        let config = Config {
            failure_persistence: None,
            ..Config::with_cases(400)
        };
        let compare = |(quota, start, steps): (Quota, Units, Vec<(i64, Step)>)| {
            redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
            let (mut model, mut micros) = (None, start);
            let mut grants = Vec::new();
            for (hundredths, step) in steps {
                micros +=
                    Units::from(quota.units()) * Units::from(hundredths) / 100 / UNITS_PER_MICRO;
                let take = match step {
                    Step::Peek => Take::Peek,
                    Step::Acquire { least, more } => {
                        let least = match quota.allows_debt() {
                            true => least,
                            false => least.min(quota.burst_size()),
                        };
                        let most = least + more;
                        Take::Acquire { least, most }
                    }
                    Step::Refund { back } => match grants.iter().rev().nth(back) {
                        Some(&(n, charge)) => Take::Refund { n, charge },
                        None => continue,
                    },
                };
                let expected = expected(&mut model, micros, quota, take);
                let arguments = arguments(quota, take).unwrap();
                let reply = run(&mut connection, &script, micros, &arguments);
                let verdict = Reply::parse(&reply).unwrap();
                prop_assert_eq!(verdict, in_micros(expected), "{:?} at {}", take, micros);
                if let Answer::Granted { n, charge } = verdict.answer {
                    grants.push((n, charge));
                }
            }
            Ok(())
        };
        let compare = std::cell::RefCell::new(compare);
        let ran = TestRunner::new(config).run(&cases, |case| (compare.borrow_mut())(case));
        ran.unwrap();
    }

    /// The quotient of two doubles is a whole number here, which the exact one is not.
    #[test]
    fn a_week_less_a_64th_of_a_nanosecond_is_no_week() {
        let Some(server) = Redis::start() else { return };
        let mut connection = Client::open(server.url())
            .unwrap()
            .get_connection()
            .unwrap();
        let script = at_told_times();
        const WEEK: Units = 7 * 86_400_000_000;
        let units = (WEEK * UNITS_PER_MICRO + 1) as u128;
        let nanos = units * 1000;
        let period = Duration::new(
            (nanos / 1_000_000_000) as u64,
            (nanos % 1_000_000_000) as u32,
        );
        let quota = Quota::per(64_000, period).burst(2);
        assert_eq!(u128::from(quota.units()), units);
        let arguments = arguments(quota, Take::exactly(2)).unwrap();
        let mut take = |micros| {
            let reply = run(&mut connection, &script, micros, &arguments);
            Reply::parse(&reply).unwrap().answer
        };
        assert!(matches!(take(0), Answer::Granted { .. }));
        let retry_after = Duration::from_micros(1);
        assert_eq!(take(2 * WEEK), Answer::Denied { retry_after });
        assert!(matches!(take(2 * WEEK + 1), Answer::Granted { .. }));
    }

    #[test]
    fn what_the_script_could_not_count_is_refused() {
        let slow = Quota::every(Duration::from_secs(365 * 86_400));
        assert!(arguments(slow.burst(100), Take::exactly(1)).is_ok());
        let refused = arguments(slow.burst(1000), Take::exactly(1)).unwrap_err();
        assert_eq!(refused.outage(), Outage::Refused);
        assert!(arguments(slow.debt(), Take::exactly(1000)).is_err());
    }

    #[test]
    fn a_strange_reply_is_an_error() {
        for reply in [&[][..], &[7; 7], &[1; 6]] {
            let refused = Reply::parse(reply).unwrap_err();
            assert_eq!(refused.outage(), Outage::Refused);
        }
        assert_eq!(Reply::parse(&[-1]).unwrap_err().outage(), Outage::WrongType);
    }
}
