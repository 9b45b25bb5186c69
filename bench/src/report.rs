//! What was measured, in the form in which it is written down.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::case::Threads;
use crate::figure::Extra;
use crate::machine::Machine;
use crate::runner::{Measured, Row};
use crate::sample::Sample;
use crate::stats::{Summary, per_round};
use crate::targets::Judged;

/// One run of the bench.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) cases: Vec<CaseReport>,
    pub(crate) targets: Vec<Judged>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CaseReport {
    pub(crate) area: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) runtime: &'static str,
    pub(crate) rounds: usize,
    /// The contender that ratios refer to.
    pub(crate) base: &'static str,
    pub(crate) contenders: Vec<ContenderReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ContenderReport {
    pub(crate) name: &'static str,
    /// Operations per lap.
    pub(crate) ops: usize,
    pub(crate) figures: Option<Figures>,
    /// Why there are no figures.
    pub(crate) left_out: Option<String>,
}

/// All figures but the extra ones are per operation.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) ns: Summary,
    /// To the base's time in the same round.
    pub(crate) ratio: Option<Summary>,
    pub(crate) cpu_ns: Summary,
    pub(crate) allocs: Summary,
    pub(crate) bytes: Summary,
    #[serde(flatten)]
    pub(crate) extra: BTreeMap<Extra, Summary>,
    /// Round by round.
    pub(crate) samples: Vec<Sample>,
}

impl CaseReport {
    pub(crate) fn new(measured: &Measured<'_>) -> Self {
        let case = measured.case;
        let base = &measured.rows[0];
        Self {
            area: measured.area,
            name: case.name,
            about: case.about,
            runtime: match case.threads {
                Threads::One => "current-thread",
                Threads::Two => "multi-thread, 2 workers",
                Threads::Split => "two threads, a current-thread runtime on each",
            },
            rounds: measured.rounds,
            base: base.contender.name,
            contenders: measured
                .rows
                .iter()
                .map(|row| ContenderReport::new(row, base))
                .collect(),
        }
    }
}

impl ContenderReport {
    fn new(row: &Row<'_>, base: &Row<'_>) -> Self {
        let (figures, left_out) = match &row.samples {
            Ok(samples) => (Figures::new(samples, base), None),
            Err(why) => (None, Some(why.clone())),
        };
        Self {
            name: row.contender.name,
            ops: row.contender.ops,
            figures,
            left_out,
        }
    }
}

impl Figures {
    fn new(samples: &[Sample], base: &Row<'_>) -> Option<Self> {
        let series = |figure: fn(&Sample) -> f64| samples.iter().map(figure).collect::<Vec<_>>();
        let ns = series(|sample| sample.ns);
        let asked: BTreeSet<Extra> = samples
            .iter()
            .flat_map(|s| s.extra.keys().copied())
            .collect();
        let extra = |figure: Extra| {
            let series: Vec<f64> = samples
                .iter()
                .filter_map(|s| s.extra.get(&figure).copied())
                .collect();
            Some((figure, Summary::of(&series)?))
        };
        let base_ns: Vec<f64> = base.samples.iter().flatten().map(|s| s.ns).collect();
        Some(Self {
            ns: Summary::of(&ns)?,
            ratio: Summary::of(&per_round(&ns, &base_ns, |a, b| a / b)),
            cpu_ns: Summary::of(&series(|sample| sample.cpu_ns))?,
            allocs: Summary::of(&series(|sample| sample.allocs))?,
            bytes: Summary::of(&series(|sample| sample.bytes))?,
            extra: asked.into_iter().filter_map(extra).collect(),
            samples: samples.to_vec(),
        })
    }
}
