//! `targets.toml`: what must hold, and whether it does.

use serde::{Deserialize, Serialize};

use crate::figure::Extra;
use crate::runner::{Measured, Row};
use crate::sample::Sample;
use crate::stats::{Summary, per_round};

/// One line of what this project promises.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Entry")]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) area: String,
    pub(crate) case: String,
    pub(crate) contender: String,
    pub(crate) measure: Measure,
    pub(crate) relation: Relation,
    pub(crate) limit: Limit,
}

/// Which figure of a sample is looked at.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    Ns,
    CpuNs,
    Allocs,
    Bytes,
    #[serde(untagged)]
    Extra(Extra),
}

/// What it is set against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Nothing: the figure itself.
    Itself,
    /// Divided by the same figure of another contender in the same round.
    Over(String),
    /// Less the same figure of another contender in the same round.
    Minus(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// So far from zero at most, to either side.
    Within(f64),
}

/// A target and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) name: String,
    pub(crate) case: String,
    /// The figure and its limit in words.
    pub(crate) asked: String,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Verdict {
    Held {
        figure: Summary,
    },
    /// The middle half of the rounds lies wholly beyond the limit.
    Missed {
        figure: Summary,
    },
    /// A contender was left out, so nobody knows.
    Unknown {
        why: String,
    },
}

/// The file's own form of a target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    area: String,
    case: String,
    contender: String,
    measure: Measure,
    over: Option<String>,
    minus: Option<String>,
    at_most: Option<f64>,
    at_least: Option<f64>,
    within: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    target: Vec<Target>,
}

/// All targets of the project.
///
/// # Panics
///
/// If the file, which is compiled in, is malformed.
pub(crate) fn all() -> Vec<Target> {
    let file: File =
        toml::from_str(include_str!("../targets.toml")).expect("targets.toml is well-formed");
    file.target
}

/// Judges each target whose case was measured.
pub(crate) fn judge_all(targets: &[Target], measured: &[Measured<'_>]) -> Vec<Judged> {
    targets
        .iter()
        .filter_map(|target| {
            let measured = measured
                .iter()
                .find(|m| m.area == target.area && m.case.name == target.case)?;
            Some(target.judge(measured))
        })
        .collect()
}

impl TryFrom<Entry> for Target {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let relation = match (entry.over, entry.minus) {
            (None, None) => Relation::Itself,
            (Some(other), None) => Relation::Over(other),
            (None, Some(other)) => Relation::Minus(other),
            _ => return Err(format!("{}: `over` or `minus`, not both", entry.name)),
        };
        let limit = match (entry.at_most, entry.at_least, entry.within) {
            (Some(limit), None, None) => Limit::AtMost(limit),
            (None, Some(limit), None) => Limit::AtLeast(limit),
            (None, None, Some(limit)) => Limit::Within(limit),
            _ => {
                let name = entry.name;
                return Err(format!("{name}: one of `at_most`, `at_least` and `within`"));
            }
        };
        Ok(Self {
            name: entry.name,
            area: entry.area,
            case: entry.case,
            contender: entry.contender,
            measure: entry.measure,
            relation,
            limit,
        })
    }
}

impl Target {
    fn judge(&self, measured: &Measured<'_>) -> Judged {
        let verdict = match self.figures(&measured.rows) {
            Ok(figures) => self.limit.judge(&figures),
            Err(why) => Verdict::Unknown { why },
        };
        Judged {
            name: self.name.clone(),
            case: self.case.clone(),
            asked: self.asked(),
            verdict,
        }
    }

    /// The figure of each round.
    fn figures(&self, rows: &[Row<'_>]) -> Result<Vec<f64>, String> {
        let ours = self.measure.series(rows, &self.contender)?;
        match &self.relation {
            Relation::Itself => Ok(ours),
            Relation::Over(other) => {
                let theirs = self.measure.series(rows, other)?;
                Ok(per_round(&ours, &theirs, |a, b| a / b))
            }
            Relation::Minus(other) => {
                let theirs = self.measure.series(rows, other)?;
                Ok(per_round(&ours, &theirs, |a, b| a - b))
            }
        }
    }

    fn asked(&self) -> String {
        let measure = self.measure.name();
        let figure = match &self.relation {
            Relation::Itself => format!("{measure} of {}", self.contender),
            Relation::Over(other) => format!("{measure} of {} ÷ {other}", self.contender),
            Relation::Minus(other) => format!("{measure} of {} − {other}", self.contender),
        };
        match self.limit {
            Limit::AtMost(limit) => format!("{figure} ≤ {limit}"),
            Limit::AtLeast(limit) => format!("{figure} ≥ {limit}"),
            Limit::Within(limit) => format!("{figure} within ± {limit}"),
        }
    }
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::CpuNs => "CPU ns",
            Self::Allocs => "allocations",
            Self::Bytes => "bytes",
            Self::Extra(extra) => extra.head(),
        }
    }

    fn series(self, rows: &[Row<'_>], contender: &str) -> Result<Vec<f64>, String> {
        let row = rows.iter().find(|row| row.contender.name == contender);
        let row = row.ok_or_else(|| format!("{contender} is not a contender"))?;
        let samples = row.samples.as_ref();
        let samples = samples.map_err(|why| format!("{contender} was left out: {why}"))?;
        samples
            .iter()
            .map(|sample| self.of(sample))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("{} can't be measured here", self.name()))
    }

    fn of(self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Ns => Some(sample.ns),
            Self::CpuNs => Some(sample.cpu_ns),
            Self::Allocs => Some(sample.allocs),
            Self::Bytes => Some(sample.bytes),
            Self::Extra(extra) => sample.extra.get(&extra).copied(),
        }
    }
}

impl Limit {
    fn judge(self, figures: &[f64]) -> Verdict {
        let Some(figure) = Summary::of(figures) else {
            let why = "no round was run".to_owned();
            return Verdict::Unknown { why };
        };
        let missed = match self {
            Self::AtMost(limit) => figure.q1 > limit,
            Self::AtLeast(limit) => figure.q3 < limit,
            Self::Within(limit) => figure.q1 > limit || figure.q3 < -limit,
        };
        if missed {
            Verdict::Missed { figure }
        } else {
            Verdict::Held { figure }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::areas;

    fn parse(toml: &str) -> Result<Target, toml::de::Error> {
        toml::from_str(toml)
    }

    const ENTRY: &str = "name = 'n'\narea = 'a'\ncase = 'c'\ncontender = 'ours'\nmeasure = 'ns'\n";

    #[test]
    fn every_target_names_a_case_and_contenders_that_exist() {
        let areas = areas::all();
        for target in all() {
            let area = areas.iter().find(|area| area.name == target.area);
            let area = area.unwrap_or_else(|| panic!("{}: no such area", target.name));
            let case = area.cases.iter().find(|case| case.name == target.case);
            let case = case.unwrap_or_else(|| panic!("{}: no such case", target.name));
            let other = match &target.relation {
                Relation::Itself => None,
                Relation::Over(other) | Relation::Minus(other) => Some(other),
            };
            for name in [&target.contender].into_iter().chain(other) {
                assert!(
                    case.contenders.iter().any(|c| c.name == name),
                    "{}: no contender {name} in {}",
                    target.name,
                    case.name
                );
            }
        }
    }

    #[test]
    fn a_target_has_one_limit_and_at_most_one_reference() {
        let target = parse(&format!("{ENTRY}over = 'theirs'\nat_most = 0.9")).unwrap();
        assert_eq!(target.relation, Relation::Over("theirs".to_owned()));
        assert_eq!(target.limit, Limit::AtMost(0.9));
        assert_eq!(target.asked(), "ns of ours ÷ theirs ≤ 0.9");

        assert!(parse(ENTRY).is_err());
        assert!(parse(&format!("{ENTRY}within = 1\nat_least = 1")).is_err());
        assert!(parse(&format!("{ENTRY}at_most = 1\nat_least = 1")).is_err());
        assert!(parse(&format!("{ENTRY}over = 'x'\nminus = 'y'\nat_most = 1")).is_err());
        assert!(parse(&format!("{ENTRY}at_most = 1\nat_mots = 1")).is_err());
    }

    #[test]
    fn an_upper_limit_is_missed_when_the_middle_half_lies_wholly_above() {
        let limit = Limit::AtMost(1.0);
        let held = [0.9, 0.95, 1.2, 1.3, 1.4];
        assert!(matches!(limit.judge(&held), Verdict::Held { .. }));
        let missed = [0.9, 1.1, 1.2, 1.3, 1.4];
        assert!(matches!(limit.judge(&missed), Verdict::Missed { .. }));
        assert!(matches!(limit.judge(&[1.0]), Verdict::Held { .. }));
    }

    #[test]
    fn a_lower_limit_is_missed_when_the_middle_half_lies_wholly_below() {
        let limit = Limit::AtLeast(4.0);
        let held = [3.0, 3.0, 3.5, 4.5, 5.0];
        assert!(matches!(limit.judge(&held), Verdict::Held { .. }));
        let missed = [3.0, 3.0, 3.5, 3.9, 5.0];
        assert!(matches!(limit.judge(&missed), Verdict::Missed { .. }));
    }

    #[test]
    fn a_limit_to_both_sides_is_missed_on_either() {
        let limit = Limit::Within(1.0);
        let held = [-3.0, -0.9, 0.0, 0.9, 3.0];
        assert!(matches!(limit.judge(&held), Verdict::Held { .. }));
        for missed in [[1.1, 1.2, 1.3], [-1.1, -1.2, -1.3]] {
            assert!(matches!(limit.judge(&missed), Verdict::Missed { .. }));
        }
    }

    #[test]
    fn an_extra_figure_is_a_measure_under_its_name() {
        let entry = ENTRY.replace("'ns'", "'rate_error'");
        let target = parse(&format!("{entry}within = 1")).unwrap();
        assert_eq!(target.measure, Measure::Extra(Extra::RateError));
        assert_eq!(target.asked(), "rate error of ours within ± 1");
        let entry = ENTRY.replace("'ns'", "'rate_eror'");
        assert!(parse(&format!("{entry}within = 1")).is_err());
    }

    #[test]
    fn no_round_is_no_verdict() {
        assert!(matches!(
            Limit::AtMost(1.0).judge(&[]),
            Verdict::Unknown { .. }
        ));
    }
}
