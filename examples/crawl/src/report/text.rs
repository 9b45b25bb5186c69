//! The report for people.

use std::fmt::{self, Display, Formatter};

use super::{Broken, Note, PageInfo, Report, Retried};

/// Longer lists are cut; `--json` has them whole.
const LIST_MAX: usize = 20;
/// Pages that link to a broken one: a few show where to look.
const REFERRERS_MAX: usize = 5;
/// The longest pages.
const PAGES_MAX: usize = 10;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.pages(f)?;
        self.notes(f)?;
        self.broken(f)?;
        self.summary(f)
    }
}

impl Report {
    fn pages(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut pages: Vec<&PageInfo> = self.pages.iter().collect();
        pages.sort_by_key(|page| std::cmp::Reverse(page.bytes));
        if pages.is_empty() {
            return Ok(());
        }
        writeln!(f, "Pages, the longest first")?;
        for page in pages.iter().take(PAGES_MAX) {
            let title = page.title.as_deref().unwrap_or("-");
            writeln!(f, "  {:>9}  {}  {title}", bytes(page.bytes), page.url)?;
        }
        more(f, pages.len(), PAGES_MAX)?;
        writeln!(f)
    }

    fn notes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.notes.is_empty() {
            return Ok(());
        }
        writeln!(f, "Notes")?;
        for Note { url, note } in self.notes.iter().take(LIST_MAX) {
            writeln!(f, "  {url}  {note}")?;
        }
        more(f, self.notes.len(), LIST_MAX)?;
        writeln!(f)
    }

    fn broken(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.broken.is_empty() {
            return Ok(());
        }
        writeln!(f, "Broken links")?;
        for broken in &self.broken {
            let Broken { url, referrers, .. } = broken;
            writeln!(f, "  {url}  {}", Reason(broken))?;
            for referrer in referrers.iter().take(REFERRERS_MAX) {
                writeln!(f, "    on {referrer}")?;
            }
            more(f, referrers.len(), REFERRERS_MAX)?;
        }
        writeln!(f)
    }

    /// Nothing where nothing failed for a moment.
    fn retried(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Retried {
            requests,
            attempts,
            recovered,
            refused,
        } = self.retried;
        if requests + refused == 0 {
            return Ok(());
        }
        let s = if attempts == 1 { "" } else { "s" };
        let refused = match refused {
            0 => String::new(),
            _ => format!("; {refused} not sent, as too many were"),
        };
        writeln!(
            f,
            "Retried    requests {requests} (recovered {recovered}) with {attempts} more attempt{s}{refused}"
        )
    }

    fn summary(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let statuses: Vec<_> = self
            .statuses
            .iter()
            .map(|(class, count)| format!("{class} {count}"))
            .collect();
        writeln!(
            f,
            "Statuses   {} (redirected {})",
            statuses.join(", "),
            self.redirected
        )?;
        self.retried(f)?;
        if let Some(latency) = self.latency_ms {
            let super::Latency { p50, p90, p99, max } = latency;
            writeln!(
                f,
                "Latency    p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
            )?;
        }
        let skipped = self.skipped;
        writeln!(
            f,
            "Skipped    external {}, disallowed by robots.txt {}, too deep {}, other schemes {}",
            skipped.external, skipped.disallowed, skipped.too_deep, skipped.other_schemes
        )?;
        if let Some(why) = &self.stopped {
            writeln!(
                f,
                "Stopped    {why}: {} known URLs were not visited",
                self.unvisited
            )?;
        }
        let seconds = self.elapsed_ms as f64 / 1000.0;
        let (checked, broken, rate) = (self.checked, self.broken.len(), self.pages_per_second);
        writeln!(
            f,
            "{checked} good, {broken} broken in {seconds:.2} s ({rate:.0} pages per second)"
        )
    }
}

struct Reason<'a>(&'a Broken);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0.status, &self.0.error) {
            (_, Some(error)) => f.write_str(error),
            (Some(status), None) => write!(f, "{status}"),
            (None, None) => f.write_str("no answer"),
        }
    }
}

fn more(f: &mut Formatter<'_>, all: usize, shown: usize) -> fmt::Result {
    if all > shown {
        writeln!(f, "    … and {} more", all - shown)
    } else {
        Ok(())
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}
