//! Which job begins next, and which can't be ready in time: decisions without a clock of their own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

/// What is known of a job before it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) priority: i32,
    /// When it must be ready.
    pub(super) due: Instant,
    pub(super) estimate: Duration,
}

impl Ask {
    /// Whether it can be ready if it begins at `now`.
    pub(super) fn fits(&self, now: Instant) -> bool {
        now < self.due && self.estimate <= self.due.duration_since(now)
    }
}

/// What to do now with some of the jobs, each by its place in the input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) begin: Vec<usize>,
    /// By their estimates they would be late.
    pub(super) skip: Vec<usize>,
}

/// The jobs that wait, the one to begin next on top: the highest priority, among those the earliest
/// deadline, among those the first of the input.
#[derive(Debug)]
pub(super) struct Agenda {
    waiting: BinaryHeap<(i32, Reverse<Instant>, Reverse<usize>)>,
    asks: Vec<Ask>,
}

impl Agenda {
    pub(super) fn new(asks: Vec<Ask>) -> Self {
        let ranked = asks.iter().enumerate();
        let waiting = ranked
            .map(|(place, ask)| (ask.priority, Reverse(ask.due), Reverse(place)))
            .collect();
        Self { waiting, asks }
    }

    /// Fills the free workers with what still fits, best first. What no longer fits is skipped when
    /// it comes to the top: until then it is in nobody's way.
    pub(super) fn choose(&mut self, now: Instant, free: usize) -> Choice {
        let mut choice = Choice::default();
        while choice.begin.len() < free {
            let Some((_, _, Reverse(place))) = self.waiting.pop() else {
                break;
            };
            let side = match self.asks[place].fits(now) {
                true => &mut choice.begin,
                false => &mut choice.skip,
            };
            side.push(place);
        }
        choice
    }

    /// All that wait: none of them will begin. In the order of the input.
    pub(super) fn give_up(&mut self) -> Vec<usize> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut places: Vec<_> = waiting
            .into_iter()
            .map(|(_, _, Reverse(place))| place)
            .collect();
        places.sort_unstable();
        places
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ask(start: Instant, priority: i32, due: u32, estimate: u32) -> Ask {
        Ask {
            priority,
            due: start + due * MS,
            estimate: estimate * MS,
        }
    }

    #[test]
    fn the_earliest_deadline_first_among_equal_priority() {
        let start = Instant::now();
        let asks = [(0, 30, 1), (0, 10, 1), (5, 90, 1), (0, 10, 1)];
        let asks = asks.map(|(priority, due, estimate)| ask(start, priority, due, estimate));
        let mut agenda = Agenda::new(asks.into());
        assert_eq!(agenda.choose(start, 1).begin, [2]);
        assert_eq!(agenda.choose(start, 0), Choice::default());
        assert_eq!(agenda.choose(start, 9).begin, [1, 3, 0]);
        assert_eq!(agenda.choose(start, 9), Choice::default());
    }

    #[test]
    fn what_cannot_be_ready_leaves_its_worker_to_the_next() {
        let start = Instant::now();
        let asks = [(0, 10, 11), (0, 20, 20), (0, 30, 5)];
        let asks = asks.map(|(priority, due, estimate)| ask(start, priority, due, estimate));
        let mut agenda = Agenda::new(asks.into());
        let choice = agenda.choose(start, 1);
        assert_eq!(
            (choice.begin, choice.skip),
            (vec![1], vec![0]),
            "just in time"
        );
        let choice = agenda.choose(start + 26 * MS, 1);
        assert_eq!((choice.begin, choice.skip), (vec![], vec![2]));
        assert_eq!(agenda.give_up(), []);
    }

    /// A job's ask, and how long it really takes.
    fn jobs() -> impl Strategy<Value = Vec<(i32, u32, u32, u32)>> {
        prop::collection::vec((-1..2, 0u32..60, 0u32..30, 0u32..40), 0..14)
    }

    /// What began when, and what was skipped.
    type Course = (Vec<(u32, usize)>, Vec<usize>);

    /// Lets the jobs take their time on so many workers, and asks whenever one is free.
    fn simulate(
        durations: &[u32],
        workers: usize,
        mut choose: impl FnMut(u32, usize) -> Choice,
    ) -> Course {
        let (mut begun, mut skipped) = (Vec::new(), Vec::new());
        let mut running: Vec<u32> = Vec::new();
        let mut now = 0;
        loop {
            let choice = choose(now, workers - running.len());
            skipped.extend(choice.skip);
            for place in choice.begin {
                begun.push((now, place));
                running.push(now + durations[place]);
            }
            assert!(running.len() <= workers);
            let Some(ended) = running.iter().copied().min() else {
                skipped.sort_unstable();
                return (begun, skipped);
            };
            now = ended;
            running.retain(|end| *end > now);
        }
    }

    /// The same, from the words of the documentation: look at all, and take the best that fits.
    fn model(asks: &[Ask], start: Instant, durations: &[u32], workers: usize) -> Course {
        let mut waiting: Vec<usize> = (0..asks.len()).collect();
        let (begun, _) = simulate(durations, workers, |now, free| {
            let now = start + now * MS;
            let mut choice = Choice::default();
            for _ in 0..free {
                let mut best: Option<usize> = None;
                for &place in &waiting {
                    let ask = &asks[place];
                    if now >= ask.due || now + ask.estimate > ask.due {
                        continue;
                    }
                    let is_better = best.is_none_or(|best| {
                        ask.priority > asks[best].priority
                            || ask.priority == asks[best].priority && ask.due < asks[best].due
                    });
                    if is_better {
                        best = Some(place);
                    }
                }
                let Some(best) = best else { break };
                waiting.retain(|place| *place != best);
                choice.begin.push(best);
            }
            choice
        });
        (begun, waiting)
    }

    proptest! {
        #[test]
        fn it_is_the_brute_force_choice(jobs in jobs(), workers in 1usize..5) {
            let start = Instant::now();
            let asks: Vec<_> = jobs
                .iter()
                .map(|(priority, due, estimate, _)| ask(start, *priority, *due, *estimate))
                .collect();
            let durations: Vec<_> = jobs.iter().map(|job| job.3).collect();
            let mut agenda = Agenda::new(asks.clone());
            let course = simulate(&durations, workers, |now, free| {
                agenda.choose(start + now * MS, free)
            });
            prop_assert_eq!(&course, &model(&asks, start, &durations, workers));
            let (begun, skipped) = course;
            prop_assert_eq!(begun.len() + skipped.len(), jobs.len(), "each job once");
            for (at, place) in begun {
                prop_assert!(asks[place].fits(start + at * MS), "it would be late");
            }
        }
    }
}
