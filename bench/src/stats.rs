//! What a row of samples says: the median, the extremes and the middle half.

use serde::Serialize;

/// The order statistics of one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Lower end of the middle half.
    pub(crate) q1: f64,
    /// Upper end of the middle half.
    pub(crate) q3: f64,
}

impl Summary {
    /// `None` for an empty series: there is no median of nothing.
    pub(crate) fn of(series: &[f64]) -> Option<Self> {
        let mut sorted = series.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&sorted, 0.5)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
            q1: quantile(&sorted, 0.25)?,
            q3: quantile(&sorted, 0.75)?,
        })
    }
}

/// Combines two series round by round: what disturbed a round disturbed both of its samples, and cancels out.
pub(crate) fn per_round(ours: &[f64], theirs: &[f64], combine: fn(f64, f64) -> f64) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(&a, &b)| combine(a, b))
        .collect()
}

/// The `q`-quantile of an ascending series, interpolated between its two neighbours.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let position = q * sorted.len().checked_sub(1)? as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_series_has_no_summary() {
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn one_sample_is_its_own_summary() {
        let summary = Summary::of(&[7.0]).unwrap();
        assert_eq!([summary.min, summary.q1, summary.median], [7.0; 3]);
        assert_eq!([summary.q3, summary.max], [7.0; 2]);
    }

    #[test]
    fn quartiles_are_interpolated_whatever_the_order() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((summary.min, summary.max), (1.0, 4.0));
        assert_eq!((summary.q1, summary.median, summary.q3), (1.75, 2.5, 3.25));
    }

    #[test]
    fn one_disturbed_round_moves_neither_the_median_nor_the_quartiles_of_the_ratio() {
        let ours = [10.0, 10.0, 90.0, 10.0, 10.0];
        let theirs = [20.0, 20.0, 180.0, 20.0, 20.0];
        let ratio = Summary::of(&per_round(&ours, &theirs, |a, b| a / b)).unwrap();
        assert_eq!((ratio.q1, ratio.median, ratio.q3), (0.5, 0.5, 0.5));
    }
}
