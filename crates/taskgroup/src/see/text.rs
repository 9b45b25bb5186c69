//! How a snapshot prints: a line each, in the shape of a tree.

use std::fmt;

use super::snapshot::{Kind, State, TaskInfo, TreeSnapshot};

/// So many neighbours are printed one by one; the others are summed up.
const SHOWN: usize = 10;

/// So many levels are drawn. Deeper ones are told by their number, as a line longer than a screen tells nobody anything.
const DRAWN: usize = 40;

/// A line of the print.
enum Line<'a> {
    Entry(&'a TaskInfo),
    /// Those next to the last one shown at that depth.
    More {
        depth: usize,
        states: Vec<(State, usize)>,
    },
}

impl Line<'_> {
    fn depth(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.depth,
            Self::More { depth, .. } => *depth,
        }
    }
}

/// The lines, with at most `shown` neighbours one by one.
fn lines(entries: &[TaskInfo], shown: usize) -> Vec<Line<'_>> {
    /// The neighbours at one depth, so far.
    #[derive(Default)]
    struct Level {
        shown: usize,
        more: Vec<(State, usize)>,
    }
    fn close<'a>(levels: &mut Vec<Level>, to: usize, lines: &mut Vec<Line<'a>>) {
        while levels.len() > to {
            let level = levels.pop().expect("there are more");
            if !level.more.is_empty() {
                let depth = levels.len();
                lines.push(Line::More {
                    depth,
                    states: level.more,
                });
            }
        }
    }
    let mut lines = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    let mut skipped = usize::MAX; // what lies deeper than this belongs to one that is not shown
    for entry in entries {
        if entry.depth > skipped {
            continue;
        }
        skipped = usize::MAX;
        close(&mut levels, entry.depth + 1, &mut lines);
        levels.resize_with(entry.depth + 1, Level::default);
        let level = &mut levels[entry.depth];
        if level.shown < shown {
            level.shown += 1;
            lines.push(Line::Entry(entry));
            continue;
        }
        skipped = entry.depth;
        match level
            .more
            .iter_mut()
            .find(|(state, _)| *state == entry.state)
        {
            Some((_, count)) => *count += 1,
            None => level.more.push((entry.state, 1)),
        }
    }
    close(&mut levels, 0, &mut lines);
    lines
}

impl fmt::Display for TreeSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = lines(
            &self.entries,
            if f.alternate() { usize::MAX } else { SHOWN },
        );
        // Whether another one comes at that depth, under the same parent.
        let mut comes: Vec<bool> = Vec::new();
        let mut is_last = vec![true; lines.len()];
        for (line, is_last) in lines.iter().zip(&mut is_last).rev() {
            comes.resize(line.depth() + 1, false);
            *is_last = !std::mem::replace(&mut comes[line.depth()], true);
        }
        let mut bars: Vec<&str> = Vec::new();
        for (line, is_last) in lines.iter().zip(is_last) {
            bars.truncate(line.depth().saturating_sub(1));
            bars.iter()
                .take(DRAWN)
                .try_for_each(|bar| f.write_str(bar))?;
            if bars.len() > DRAWN {
                write!(f, "({} deep) ", line.depth() + 1)?;
            }
            if line.depth() > 0 {
                f.write_str(if is_last { "└─ " } else { "├─ " })?;
                bars.push(if is_last { "   " } else { "│  " });
            }
            match line {
                Line::Entry(entry) => entry.fmt(f)?,
                Line::More { states, .. } => more(states, f)?,
            }
            writeln!(f)?;
        }
        if f.alternate() {
            for ended in &self.ended {
                writeln!(f, "ended: {ended}")?;
            }
        }
        Ok(())
    }
}

fn more(states: &[(State, usize)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let count: usize = states.iter().map(|(_, count)| count).sum();
    write!(f, "{count} more: ")?;
    for (i, (state, count)) in states.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        write!(f, "{comma}{count} {state}")?;
    }
    Ok(())
}

/// `{}` is a line without times, `{:#}` one with them.
impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Step => write!(f, "step {}", self.name)?,
            _ if !self.name.is_unnamed() => self.name.fmt(f)?,
            Kind::Group => f.write_str("group")?,
            Kind::Task => f.write_str("task")?,
        }
        if f.alternate() {
            write!(f, " #{}", self.id)?;
        }
        if let Some(counts) = self.counts {
            let s = if counts.living == 1 { "" } else { "s" };
            write!(f, ": group of {} task{s}", counts.living)?;
            if counts.failed > 0 {
                write!(f, ", {} failed", counts.failed)?;
            }
            write!(f, ", {}", self.state)?;
        } else if self.kind == Kind::Task {
            write!(f, ": {}", self.state)?;
        }
        if let Some(idle) = self.idle.filter(|_| f.alternate()) {
            write!(f, " for {idle:.1?}")?;
        }
        if let Some(reason) = &self.reason {
            match self.state {
                State::Cancelling => write!(f, " ({reason})")?,
                _ => write!(f, ", cancelled ({reason})")?,
            }
        }
        if f.alternate() {
            write!(f, ", {:.1?} old", self.age)?;
            if self.kind == Kind::Task {
                write!(f, ", {} polls", self.polls)?;
            }
        }
        write!(f, " ({}:{})", self.location.file(), self.location.line())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Cancelling => "cancelling",
            Self::Shielded => "shielded",
            Self::Blocking => "blocking",
            Self::Waiting => "body done",
        })
    }
}
