//! How far the crawl is: a bar on standard error, where that is a terminal, and a number to wait for.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

/// How far the crawl is. Clones show the same.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
    visited: watch::Sender<usize>,
}

impl Progress {
    /// A bar on standard error; nothing at all where nobody would see it.
    #[must_use]
    pub fn on_stderr() -> Self {
        let bar = ProgressBar::no_length(); // hides itself when standard error is no terminal
        let style = ProgressStyle::with_template("{spinner} {bar:32} {pos}/{len} {elapsed}");
        bar.set_style(style.expect("the template is a constant"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::new(bar)
    }

    /// No bar.
    #[must_use]
    pub fn hidden() -> Self {
        Self::new(ProgressBar::hidden())
    }

    fn new(bar: ProgressBar) -> Self {
        let visited = watch::Sender::new(0);
        Self { bar, visited }
    }

    /// How many URLs were visited, as that changes.
    pub(crate) fn visited(&self) -> watch::Receiver<usize> {
        self.visited.subscribe()
    }

    pub(crate) fn show(&self, visited: usize, planned: usize) {
        self.bar.set_length(planned as u64);
        self.bar.set_position(visited as u64);
        self.visited.send_replace(visited);
    }

    /// Lines of their own, shown in any case.
    pub(crate) fn say(&self, lines: &str) {
        self.bar.suspend(|| eprintln!("{lines}"));
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
