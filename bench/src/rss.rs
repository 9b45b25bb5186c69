//! The resident set of this process, as Linux tells it.

/// In KiB; `None` where there is no `/proc`.
pub(crate) fn resident_kib() -> Option<f64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// By how much it grew since it was read.
pub(crate) fn growth_kib(before: Option<f64>) -> Option<f64> {
    Some(resident_kib()? - before?)
}

fn parse(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_one_line_that_matters() {
        let status = "VmHWM:\t    9000 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(parse(status), Some(1234.0));
        assert_eq!(parse("Name:\tbench\n"), None);
    }
}
