//! What a task does, step by step, and how plans are made up.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Ok,
    Err,
    Panic,
    Never,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Yield,
    /// In milliseconds.
    Sleep(u64),
    Spawn(Plan),
    SpawnReady(Plan),
    TrySpawn(Plan),
    /// The group that it runs in.
    Cancel,
    /// The task spawned last.
    Abort,
    /// Awaits the outcome of the task spawned last.
    Outcome,
    /// Drops all handles.
    Forget,
    /// Runs a group inside.
    Nest(Settings, Plan),
    /// Runs a group inside, and drops it after so many polls.
    Drop(Settings, Plan, usize),
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) limit: Option<usize>,
    pub(crate) timeout: Option<u64>,
    pub(crate) grace: u64,
    pub(crate) collects: bool,
    /// Whether its failure is one of who runs it.
    pub(crate) passes_on: bool,
}

impl Plan {
    pub(crate) fn ok() -> Self {
        Self {
            steps: Vec::new(),
            end: End::Ok,
        }
    }
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let limit = option::weighted(0.4, 1..4_usize);
    let timeout = option::weighted(0.2, 0..8_u64);
    let grace = prop_oneof![3 => Just(0), 2 => 1..6_u64];
    (limit, timeout, grace, any::<bool>(), any::<bool>()).prop_map(
        |(limit, timeout, grace, collects, passes_on)| Settings {
            limit,
            timeout,
            grace,
            collects,
            passes_on,
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        5 => Just(End::Ok),
        2 => Just(End::Err),
        1 => Just(End::Panic),
        2 => Just(End::Never),
    ]
}

fn simple() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Yield),
        3 => (0..5_u64).prop_map(Step::Sleep),
        1 => Just(Step::Cancel),
        1 => Just(Step::Abort),
        2 => Just(Step::Outcome),
        1 => Just(Step::Forget),
    ]
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let leaf = (vec(simple(), 0..3), end()).prop_map(|(steps, end)| Plan { steps, end });
    leaf.prop_recursive(6, 1024, 5, |inner| {
        let step = prop_oneof![
            5 => simple(),
            6 => inner.clone().prop_map(Step::Spawn),
            1 => inner.clone().prop_map(Step::SpawnReady),
            1 => inner.clone().prop_map(Step::TrySpawn),
            2 => (settings(), inner.clone()).prop_map(|(settings, body)| Step::Nest(settings, body)),
            1 => (settings(), inner, 0..4_usize)
                .prop_map(|(settings, body, polls)| Step::Drop(settings, body, polls)),
        ];
        (vec(step, 1..7), end()).prop_map(|(steps, end)| Plan { steps, end })
    })
}
