//! What only some cases ask about, beside the time, the allocations and the bytes of an operation.

use serde::{Deserialize, Serialize};

/// A figure that a lap has if its contender says so, by `Lap::with`.
///
/// It is a column of the tables where it is present, and a `measure` of the targets under its name in snake case. A new
/// one is a variant, and a line in `column`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Extra {
    /// How long a single operation took that half of the others didn't exceed.
    P50Ns,
    /// The same for 99 in a hundred.
    P99Ns,
    /// The same for 999 in a thousand.
    P999Ns,
    /// By how much the resident set grew, over the whole lap.
    GrowthKib,
    /// The same, in bytes and per operation.
    ResidentBytes,
    /// By how much more than the limit allows was let through in the long run; less, if negative.
    RateError,
    /// What the luckiest task had more than the unluckiest, relative to the mean.
    Spread,
    /// How many times as long it took as it would have if the limit had been used to the full.
    OverIdeal,
    /// How many were let through after one who had come later.
    Overtaken,
    /// How many were turned away.
    Denied,
    /// How often a server was asked, per operation.
    RoundTrips,
}

impl Extra {
    /// What stands above it, its unit, and how many decimals it needs.
    fn column(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::P50Ns => ("p50", " ns", 0),
            Self::P99Ns => ("p99", " ns", 0),
            Self::P999Ns => ("p99.9", " ns", 0),
            Self::GrowthKib => ("RSS growth", " KiB", 0),
            Self::ResidentBytes => ("RSS", " B", 0),
            Self::RateError => ("rate error", " %", 2),
            Self::Spread => ("spread", " %", 2),
            Self::OverIdeal => ("× ideal", "", 2),
            Self::Overtaken => ("overtaken", "", 0),
            Self::Denied => ("denied", " %", 1),
            Self::RoundTrips => ("round trips", "", 3),
        }
    }

    pub(crate) fn head(self) -> &'static str {
        self.column().0
    }

    /// A value with its unit, as it stands in a table.
    pub(crate) fn show(self, value: f64) -> String {
        let (_, unit, decimals) = self.column();
        format!("{value:.decimals$}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_with_its_unit() {
        assert_eq!(Extra::GrowthKib.show(1234.5678), "1235 KiB");
        assert_eq!(Extra::RateError.show(-0.123), "-0.12 %");
        assert_eq!(Extra::OverIdeal.show(1.0), "1.00");
    }
}
