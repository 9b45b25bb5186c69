//! The tree of what runs, on standard error: whenever somebody asks, and when the crawl stands still.

use std::fmt;
use std::io;
use std::time::Duration;

use shibuya_taskgroup::{dump, watchdog};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::progress::Progress;

/// When no page was finished for so long, the crawl stands still.
const STALL: Duration = Duration::from_secs(5);

/// Prints the tree of groups, tasks and steps when there is a reason to.
#[derive(Debug)]
pub struct Tree {
    progress: Progress,
    asked: Asked,
    visited: watch::Receiver<usize>,
    /// Since when no page was finished; `None` once that was told.
    still_since: Option<Instant>,
}

#[derive(Debug, PartialEq)]
enum Why {
    Asked,
    Stall,
}

impl Tree {
    /// Who asks from now on is answered once [`print`](Self::print) is polled. Where a task keeps its thread, that may be never;
    /// so this is told by the watchdog, from its own thread.
    ///
    /// # Errors
    ///
    /// When the signal can't be listened for.
    pub fn listen(progress: &Progress) -> io::Result<Self> {
        let progress = progress.clone();
        tell_of_stuck({
            let progress = progress.clone();
            move |lines| progress.say(&lines)
        });
        Self::new(progress)
    }

    fn new(progress: Progress) -> io::Result<Self> {
        Ok(Self {
            asked: Asked::listen()?,
            visited: progress.visited(),
            still_since: Some(Instant::now()),
            progress,
        })
    }

    /// Prints for as long as it is polled.
    pub async fn print(mut self) {
        loop {
            let why = self.next().await;
            self.progress.say(&explain(why));
        }
    }

    /// Waits for a reason.
    async fn next(&mut self) -> Why {
        loop {
            let stall = self.still_since.map(|since| since + STALL);
            tokio::select! {
                biased; // a page that was finished in time counts, even if it is seen late
                () = self.asked.next() => return Why::Asked,
                Ok(()) = self.visited.changed() => self.still_since = Some(Instant::now()),
                () = sleep_until(stall.unwrap_or_else(Instant::now)), if stall.is_some() => {
                    self.still_since = None;
                    return Why::Stall;
                }
            }
        }
    }
}

fn tell_of_stuck(say: impl Fn(String) + Send + Sync + 'static) {
    watchdog::on_stuck(move |stuck| say(explain(stuck)));
}

fn explain(why: impl fmt::Display) -> String {
    let tree = dump().to_string();
    format!("crawl: {why}\n{}", tree.trim_end())
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked for what runs"),
            Self::Stall => write!(f, "no page was finished for {STALL:?}"),
        }
    }
}

/// SIGUSR1.
#[derive(Debug)]
struct Asked(#[cfg(unix)] tokio::signal::unix::Signal);

#[cfg(unix)]
impl Asked {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::user_defined1()).map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
impl Asked {
    fn listen() -> io::Result<Self> {
        Ok(Self())
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::mpsc::{RecvTimeoutError, channel};

    use shibuya_taskgroup::TaskGroup;
    use tokio::time::{advance, timeout};

    #[tokio::test]
    async fn a_task_that_keeps_its_thread_is_told_meanwhile() {
        let (tell, told) = channel();
        tell_of_stuck(move |lines| drop(tell.send(lines)));
        let group = TaskGroup::<RecvTimeoutError>::run(async |g| {
            let stuck = async move { told.recv_timeout(Duration::from_secs(60)) };
            Ok(g.task("endless page").spawn(stuck).await)
        });
        let lines = group.await.unwrap();
        assert!(lines.starts_with("crawl: task `endless page`"), "{lines}");
        assert!(lines.contains("─ endless page: running"), "{lines}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_told_once_and_again_when_pages_were_finished_since() {
        let progress = Progress::hidden();
        let mut tree = Tree::new(progress.clone()).unwrap();
        let mut begun = Instant::now();
        for visited in 1..3 {
            assert_eq!(timeout(2 * STALL, tree.next()).await, Ok(Why::Stall));
            // The timer's grain is a millisecond.
            assert!(begun.elapsed() - STALL <= Duration::from_millis(1));
            assert!(timeout(10 * STALL, tree.next()).await.is_err());
            progress.show(visited, 9);
            begun = Instant::now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_now_and_then_is_no_stall() {
        let progress = Progress::hidden();
        let mut tree = Tree::new(progress.clone()).unwrap();
        for visited in 1..10 {
            assert!(timeout(STALL / 2, tree.next()).await.is_err());
            assert!(timeout(STALL / 4, tree.next()).await.is_err());
            progress.show(visited, 99);
        }
        advance(STALL / 2).await;
        assert!(timeout(STALL / 4, tree.next()).await.is_err());
    }
}
