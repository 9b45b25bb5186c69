//! What really happened, and what may follow from it.

use std::sync::{Arc, Mutex, MutexGuard};

use shibuya_cancel::current_deadline;
use shibuya_taskgroup::{Cause, GroupError};
use tokio::time::{Duration, Instant};

use crate::plan::Settings;

#[derive(Default)]
pub(crate) struct Ledger(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    groups: Vec<Group>,
    lives: Vec<LifeEntry>,
    complaints: Vec<String>,
}

struct Group {
    parent: Option<usize>,
    /// The task or body that drives it.
    runner: Option<usize>,
    settings: Settings,
    started: Instant,
    /// As its body saw it.
    deadline: Option<Instant>,
    /// When something first cancelled this very group.
    cancelled: Option<Instant>,
    dropped: bool,
    running: usize,
    /// The failures that nobody took, in order.
    failures: Vec<usize>,
    has_value: bool,
}

#[derive(Default)]
struct LifeEntry {
    group: usize,
    is_body: bool,
    started: bool,
    finished: bool,
    is_free: bool,
    ended: usize,
}

/// One task or body; it goes with the task's future.
pub(crate) struct Life {
    id: usize,
    group: usize,
    ledger: Arc<Ledger>,
}

impl Ledger {
    pub(crate) fn open(&self, runner: Option<&Life>, settings: Settings) -> usize {
        let mut pages = self.pages();
        pages.groups.push(Group {
            parent: runner.map(Life::group),
            runner: runner.map(Life::id),
            settings,
            started: Instant::now(),
            deadline: None,
            cancelled: None,
            dropped: false,
            running: 0,
            failures: Vec::new(),
            has_value: false,
        });
        pages.groups.len() - 1
    }

    pub(crate) fn enlist(self: &Arc<Self>, group: usize) -> Life {
        self.enlist_as(group, false)
    }

    pub(crate) fn enlist_body(self: &Arc<Self>, group: usize) -> Life {
        self.enlist_as(group, true)
    }

    fn enlist_as(self: &Arc<Self>, group: usize, is_body: bool) -> Life {
        let mut pages = self.pages();
        pages.lives.push(LifeEntry {
            group,
            is_body,
            ..LifeEntry::default()
        });
        Life {
            id: pages.lives.len() - 1,
            group,
            ledger: self.clone(),
        }
    }

    pub(crate) fn cancel(&self, group: usize) {
        self.pages().groups[group]
            .cancelled
            .get_or_insert_with(Instant::now);
    }

    /// Whether it may be dropped at any time: aborted by its handle, or not accepted by its group.
    pub(crate) fn set_free(&self, life: usize, free: bool) {
        self.pages().lives[life].is_free = free;
    }

    pub(crate) fn drop_group(&self, group: usize) {
        self.pages().groups[group].dropped = true;
    }

    /// Somebody asked for the outcome of a task that failed.
    pub(crate) fn take(&self, group: usize, life: usize) {
        let failures = &mut self.pages().groups[group].failures;
        let at = failures.iter().position(|failed| *failed == life);
        failures.remove(at.expect("it failed, and nobody else took it"));
    }

    /// The group has ended: is what it says what happened?
    pub(crate) fn conclude(&self, group: usize, result: Result<(), GroupError<usize>>) {
        let mut pages = self.pages();
        let now = Instant::now();
        let mut complaints = Vec::new();
        for (id, life) in pages.lives.iter().enumerate() {
            if life.ended != 1 && pages.is_within(life.group, group) {
                complaints.push(format!("{id} lives on after group {group}"));
            }
        }
        let ended = &pages.groups[group];
        let (is_ok, is_cancelled) = match &result {
            Ok(()) => (true, false),
            Err(error) => (false, error.is_cancelled()),
        };
        let (mut told, mut deadlines) = (Vec::new(), 0);
        if let Err(error) = result {
            for late in error.aborted() {
                let id: usize = late.name().to_string().parse().expect("a number");
                if pages.lives[id].finished || ended.settings.grace == 0 {
                    complaints.push(format!("{id} was not aborted after a grace"));
                }
            }
            for failure in error.into_failures() {
                match failure.into_cause() {
                    Cause::Error(id) => told.push(id),
                    Cause::Panic(panic) => told.push(*panic.into_payload().downcast().unwrap()),
                    Cause::Deadline => deadlines += 1,
                    _ => {}
                }
            }
        }
        if told != ended.failures {
            complaints.push(format!(
                "group {group} told of {told:?}, not of {:?}",
                ended.failures
            ));
        }
        let is_late = ended.ends_at().is_some_and(|at| now >= at);
        if deadlines > usize::from(is_late) {
            complaints.push(format!(
                "group {group} timed out {deadlines} times, too early"
            ));
        }
        let failed = !told.is_empty() || deadlines > 0;
        if is_ok != (ended.has_value && !failed) {
            complaints.push(format!(
                "group {group} gave a value: {is_ok}, after {told:?}"
            ));
        }
        if is_cancelled && (failed || !pages.may_be_cut(group, now)) {
            complaints.push(format!("group {group} says it was cancelled"));
        }
        pages.complaints.append(&mut complaints);
    }

    /// Fails the test if anything was wrong.
    pub(crate) fn complain(&self) {
        let pages = self.pages();
        let mut complaints = pages.complaints.clone();
        for (id, life) in pages.lives.iter().enumerate() {
            if life.ended != 1 {
                complaints.push(format!("{id} ended {} times", life.ended));
            }
        }
        drop(pages);
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }
}

impl Group {
    fn ends_at(&self) -> Option<Instant> {
        Some(self.started + Duration::from_millis(self.settings.timeout?))
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(self.settings.grace)
    }
}

impl Pages {
    /// The group and those further out.
    fn outwards(&self, group: usize) -> impl Iterator<Item = &Group> {
        std::iter::successors(Some(&self.groups[group]), |group| {
            group.parent.map(|parent| &self.groups[parent])
        })
    }

    fn is_within(&self, mut group: usize, outer: usize) -> bool {
        loop {
            if group == outer {
                return true;
            }
            let Some(parent) = self.groups[group].parent else {
                return false;
            };
            group = parent;
        }
    }

    /// Whether what runs in the group may be dropped by now: it or one further out was cancelled,
    /// and has had its grace; or was dropped; or its runner was aborted.
    fn may_be_cut(&self, group: usize, now: Instant) -> bool {
        self.outwards(group).any(|group| {
            let over = |at: Option<Instant>| at.is_some_and(|at| now >= at + group.grace());
            let runner = group
                .runner
                .is_some_and(|runner| self.lives[runner].is_free);
            group.dropped || over(group.cancelled) || over(group.ends_at()) || runner
        })
    }

    /// No deadline inside is later than one outside.
    fn note_deadline(&mut self, life: usize) {
        let seen = current_deadline();
        let entry = &self.lives[life];
        let group = &self.groups[entry.group];
        let outer = match (entry.is_body, group.parent) {
            (false, _) => group.deadline,
            (true, Some(parent)) => self.groups[parent].deadline,
            (true, None) => None,
        };
        let bounds = [outer, group.ends_at()];
        if bounds
            .into_iter()
            .flatten()
            .any(|bound| seen.is_none_or(|seen| seen > bound))
        {
            self.complaints.push(format!(
                "{life} has until {seen:?}, outside it is {bounds:?}"
            ));
        }
        if entry.is_body {
            let group = entry.group;
            self.groups[group].deadline = seen;
        }
    }
}

impl Life {
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn group(&self) -> usize {
        self.group
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(crate) fn begin(&self) {
        let mut pages = self.ledger.pages();
        pages.note_deadline(self.id);
        let life = &mut pages.lives[self.id];
        life.started = true;
        if life.is_body {
            return;
        }
        let group = &mut pages.groups[self.group];
        group.running += 1;
        let (running, limit) = (group.running, group.settings.limit);
        if limit.is_some_and(|limit| running > limit) {
            pages
                .complaints
                .push(format!("{running} run in group {}", self.group));
        }
    }

    pub(crate) fn succeed(&self) -> Result<(), usize> {
        let mut pages = self.ledger.pages();
        pages.lives[self.id].finished = true;
        if pages.lives[self.id].is_body {
            pages.groups[self.group].has_value = true;
        }
        Ok(())
    }

    pub(crate) fn fail(&self) -> usize {
        let mut pages = self.ledger.pages();
        pages.lives[self.id].finished = true;
        let group = &mut pages.groups[self.group];
        group.failures.push(self.id);
        if !group.settings.collects {
            group.cancelled.get_or_insert_with(Instant::now);
        }
        self.id
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut pages = self.ledger.pages();
        let entry = &mut pages.lives[self.id];
        entry.ended += 1;
        let (id, started, is_body) = (self.id, entry.started, entry.is_body);
        let was_cut = !entry.finished && !entry.is_free;
        if started && !is_body {
            pages.groups[self.group].running -= 1;
        }
        if was_cut && !pages.may_be_cut(self.group, Instant::now()) {
            pages.complaints.push(format!("{id} was cut too early"));
        }
    }
}
