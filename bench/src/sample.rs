//! The child's side: one process, one contender, one sample.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::case::{Case, Contender, Threads};
use crate::figure::Extra;
use crate::meter::Lap;

/// What a child prints: figures per operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) ns: f64,
    pub(crate) cpu_ns: f64,
    pub(crate) allocs: f64,
    pub(crate) bytes: f64,
    pub(crate) extra: BTreeMap<Extra, f64>,
}

/// Runs the contender once to warm up and then for the case's laps, each of which must have done what it was asked for.
///
/// # Panics
///
/// If a lap did not: a contender that does less than the others is no contender.
pub(crate) fn take(case: &Case, contender: &Contender) -> Sample {
    let runtime = runtime(case.threads);
    let lap = || {
        let lap = run(&runtime, case.threads, contender);
        let did = match case.is_timed {
            true => lap.count > 0,
            false => lap.count == contender.ops,
        };
        assert!(
            did,
            "{} did {} operations in {}, not {}",
            contender.name, lap.count, case.name, contender.ops
        );
        lap
    };

    let first = lap();
    let mut laps: Vec<Lap> = (0..case.laps).map(|_| lap()).collect();
    laps.sort_by_key(|lap| lap.wall);
    let median = laps.get(laps.len() / 2).unwrap_or(&first);
    per_operation(median)
}

fn runtime(threads: Threads) -> Runtime {
    match threads {
        Threads::One | Threads::Split => Builder::new_current_thread(),
        Threads::Two => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        }
    }
    .enable_time()
    .build()
    .expect("a runtime can be built")
}

fn run(runtime: &Runtime, threads: Threads, contender: &Contender) -> Lap {
    match threads {
        Threads::One | Threads::Split => runtime.block_on(contender.start()),
        Threads::Two => runtime
            .block_on(runtime.spawn(contender.start()))
            .expect("a contender doesn't panic"),
    }
}

fn per_operation(lap: &Lap) -> Sample {
    let ops = lap.count as f64;
    Sample {
        ns: lap.wall.as_nanos() as f64 / ops,
        cpu_ns: lap.cpu.as_nanos() as f64 / ops,
        allocs: lap.requested.allocations as f64 / ops,
        bytes: lap.requested.bytes as f64 / ops,
        extra: lap.extra.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Clock;

    fn case_of(asked: usize, done: usize) -> Case {
        Case::new("case", Threads::One, "").contender("contender", asked, move |_| async move {
            Clock::start().stop(done).with(Extra::Spread, 7.0)
        })
    }

    #[test]
    fn a_sample_has_the_figures_of_its_lap() {
        let case = case_of(3, 3);
        let sample = take(&case, &case.contenders[0]);
        assert_eq!(sample.extra, BTreeMap::from([(Extra::Spread, 7.0)]));
        let line = serde_json::to_string(&sample).unwrap();
        let read: Sample = serde_json::from_str(&line).unwrap();
        assert_eq!(read.extra, sample.extra);
    }

    #[test]
    #[should_panic(expected = "contender did 2 operations in case, not 3")]
    fn a_lap_must_do_what_was_asked() {
        let case = case_of(3, 2);
        take(&case, &case.contenders[0]);
    }

    #[test]
    fn a_timed_lap_does_what_it_can() {
        let case = case_of(3, 2).timed();
        take(&case, &case.contenders[0]);
    }

    #[test]
    #[should_panic(expected = "contender did 0 operations")]
    fn a_timed_lap_does_something() {
        let case = case_of(3, 0).timed();
        take(&case, &case.contenders[0]);
    }
}
