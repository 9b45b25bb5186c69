//! A progress bar on standard error, where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How far the crawl is. Clones show the same.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar on standard error; nothing at all where nobody would see it.
    #[must_use]
    pub fn on_stderr() -> Self {
        let bar = ProgressBar::no_length(); // hides itself when standard error is no terminal
        let style = ProgressStyle::with_template("{spinner} {bar:32} {pos}/{len} {elapsed}");
        bar.set_style(style.expect("the template is a constant"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// No bar.
    #[must_use]
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    pub(crate) fn show(&self, visited: usize, planned: usize) {
        self.0.set_length(planned as u64);
        self.0.set_position(visited as u64);
    }

    /// A line of its own, shown in any case.
    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
