//! A case is one question; its contenders are the ways to answer it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::meter::Lap;

/// Cases that are measured together, under one name on the command line.
#[derive(Debug)]
pub(crate) struct Area {
    pub(crate) name: &'static str,
    /// The crates whose versions a reader of the figures wants to know.
    pub(crate) compared: &'static [&'static str],
    pub(crate) cases: Vec<Case>,
}

/// One question, put to all its contenders in the same way.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What one operation is and what is done with it, in one line for the report.
    pub(crate) about: &'static str,
    pub(crate) threads: Threads,
    /// Measured laps per sample, after an unmeasured one; the sample is the lap of median time.
    pub(crate) laps: usize,
    /// A case that takes long or is steady needs fewer rounds than the others.
    pub(crate) max_rounds: usize,
    /// Whether a lap takes as long as the contender wants, and what it did in that time is what is asked.
    pub(crate) is_timed: bool,
    /// A sample that takes longer counts as hung.
    pub(crate) patience: Duration,
    /// The first one is the base that the table's ratios refer to.
    pub(crate) contenders: Vec<Contender>,
}

/// The runtime that a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// A current-thread runtime; the contender is its root future.
    One,
    /// A multi-thread runtime with two workers; the contender is a task on one of them, since the thread in `block_on`
    /// would be a third one.
    Two,
    /// A current-thread runtime, the contender being its root future, which starts another one on a thread of its own.
    Split,
}

/// One way to do what a case asks for.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// How many operations a lap does. May differ within a case, figures are per operation.
    pub(crate) ops: usize,
    run: Box<dyn Fn(usize) -> LapFuture>,
}

pub(crate) type LapFuture = Pin<Box<dyn Future<Output = Lap> + Send>>;

impl Case {
    pub(crate) fn new(name: &'static str, threads: Threads, about: &'static str) -> Self {
        Self {
            name,
            about,
            threads,
            laps: 3,
            max_rounds: usize::MAX,
            is_timed: false,
            patience: Duration::from_secs(60),
            contenders: Vec::new(),
        }
    }

    pub(crate) fn laps(mut self, laps: usize) -> Self {
        self.laps = laps;
        self
    }

    /// For what must start from a fresh heap: a single lap, without one to warm up.
    pub(crate) fn cold(mut self) -> Self {
        self.laps = 0;
        self
    }

    /// For what is asked how much it does in a time: a contender's `ops` is then only what it ought to do.
    pub(crate) fn timed(mut self) -> Self {
        self.is_timed = true;
        self
    }

    pub(crate) fn max_rounds(mut self, rounds: usize) -> Self {
        self.max_rounds = rounds;
        self
    }

    /// Adds a contender that does `ops` operations between `Clock::start` and `Clock::stop`.
    pub(crate) fn contender<F, Fut>(mut self, name: &'static str, ops: usize, run: F) -> Self
    where
        F: Fn(usize) -> Fut + 'static,
        Fut: Future<Output = Lap> + Send + 'static,
    {
        self.contenders.push(Contender {
            name,
            ops,
            run: Box::new(move |ops| Box::pin(run(ops))),
        });
        self
    }
}

impl Contender {
    pub(crate) fn start(&self) -> LapFuture {
        (self.run)(self.ops)
    }
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .field("ops", &self.ops)
            .finish_non_exhaustive()
    }
}
