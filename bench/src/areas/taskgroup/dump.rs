//! A look at a hundred thousand tasks: what it costs, and how long it keeps those waiting who spawn.

use std::fmt::Write;
use std::future::{Future, pending};
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use shibuya_cancel::Reason;
use shibuya_taskgroup::{TaskGroup, TreeSnapshot, dump};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, yield_now};

use super::work::{RAN, Tally, ready};
use crate::case::{Case, Threads};
use crate::meter::{Clock, Lap};

const MANY: usize = 100_000;
const FEW: usize = 10_000;
const SPAWNS: usize = 10_000;
/// Between two spawns. Where they follow each other at once, a dump that kept its lock throughout would delay a single one
/// of a hundred thousand, and no quantile would show it. So a dump sees a few hundred.
const PAUSE: Duration = Duration::from_micros(50);
const LOOKS: usize = 5;

/// What the other worker does is compared twice. To `nothing`, as whoever spawns sees it. And to `copies`, which has the
/// other worker write as much memory as a dump shows, but take none of the group's locks: a busy neighbour changes what
/// a spawn costs by itself, and what `dumps` has on top is the dump's own doing.
const SPAWN: &str = "Spawn 10,000 tasks that are ready at once, one each 50 µs, into a group of 100,000 that wait, while the \
     other worker does nothing, copies what was dumped before, or dumps, over and over; per task. p50 to p99.9 are of the \
     call that spawns.";
const LOOK: &str = "Dump 10,000 or 100,000 tasks that wait, while their group runs; per task. The base copies what was dumped.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("dump/spawn/mt2", Threads::Two, SPAWN)
            .laps(1)
            .max_rounds(7)
            .contender("nothing", SPAWNS, |n| spawn_beside(n, None))
            .contender("copies", SPAWNS, |n| {
                spawn_beside(n, Some(|dumped| dumped.clone()))
            })
            .contender("dumps", SPAWNS, |n| spawn_beside(n, Some(|_| dump()))),
        Case::new("dump/look/mt2", Threads::Two, LOOK)
            .laps(1)
            .max_rounds(7)
            .contender("copy", LOOKS * MANY, |n| look(n, TreeSnapshot::clone))
            .contender("dump", LOOKS * MANY, |n| look(n, |_| dump()))
            .contender("dump, 10,000", LOOKS * FEW, |n| look(n, |_| dump()))
            .contender("dump and print", LOOKS * MANY, |n| {
                look(n, |_| {
                    let dumped = dump();
                    let mut page = String::new();
                    write!(page, "{dumped:#}").expect("memory takes all");
                    black_box(page);
                    dumped
                })
            }),
    ]
}

/// What is done with a dump from before, or instead of it.
type Look = fn(&TreeSnapshot) -> TreeSnapshot;

static WAITING: Tally = Tally::new();

/// Runs `body` in a group in which `n` tasks wait.
async fn among<F, Fut>(n: usize, body: F) -> Lap
where
    F: FnOnce(TaskGroup<io::Error>) -> Fut,
    Fut: Future<Output = Lap>,
{
    let mut lap = None;
    let _ = TaskGroup::run(async |g| {
        for _ in 0..n {
            g.task("waits").spawn(async {
                WAITING.hit();
                pending::<io::Result<()>>().await
            });
        }
        while WAITING.sum() < n {
            yield_now().await;
        }
        WAITING.take();
        lap = Some(body(g.clone()).await);
        g.cancel(Reason::Requested);
        Ok(())
    })
    .await;
    lap.expect("the body got that far")
}

/// Ours, all of them.
async fn spawn_beside(n: usize, look: Option<Look>) -> Lap {
    among(MANY, async |g| {
        let other = look.map(Other::start);
        let clock = Clock::start();
        let mut times = Vec::with_capacity(n);
        while times.len() < n {
            let began = Instant::now();
            g.task("job").spawn(ready(times.len() as u64));
            times.push(began.elapsed().as_nanos() as u64);
            while g.len() > MANY || began.elapsed() < PAUSE {
                yield_now().await;
            }
        }
        let lap = clock.stop(RAN.take());
        if let Some(other) = other {
            assert!(other.stop().await > 1, "nothing went on beside");
        }
        lap.with_quantiles(times)
    })
    .await
}

/// A task that looks over and over, and has the other worker for itself: it never gives way.
struct Other {
    looks: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Other {
    fn start(look: Look) -> Self {
        let (looks, is_over) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let (counter, over) = (Arc::clone(&looks), Arc::clone(&is_over));
        let dumped = dump();
        let looking = async move {
            while !over.load(Relaxed) {
                black_box(look(&dumped));
                counter.fetch_add(1, Relaxed);
            }
        };
        // Spawned from outside it lies in no worker's own queue, and this one doesn't give way before the other has it.
        let runtime = Handle::current();
        let outside = thread::spawn(move || runtime.spawn(looking));
        let task = outside.join().expect("spawning doesn't panic");
        while looks.load(Relaxed) == 0 {
            thread::yield_now();
        }
        looks.store(0, Relaxed);
        Self {
            looks,
            is_over,
            task,
        }
    }

    /// Gives how often it looked.
    async fn stop(self) -> usize {
        let looks = self.looks.load(Relaxed);
        self.is_over.store(true, Relaxed);
        self.task.await.expect("looking doesn't panic");
        looks
    }
}

async fn look(n: usize, look: Look) -> Lap {
    among(n / LOOKS, async |_| {
        let dumped = dump();
        let clock = Clock::start();
        let mut shown = 0;
        for _ in 0..LOOKS {
            shown += black_box(look(&dumped)).tasks().count();
        }
        clock.stop(shown)
    })
    .await
}
