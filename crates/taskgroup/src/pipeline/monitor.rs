use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use shibuya_sync::Queue;
use shibuya_sync::queue::Stats;

use crate::Name;

/// How full the stages of a pipeline are, from [`Pipeline::monitor`](super::Pipeline::monitor).
///
/// Clones ask the same pipeline. It keeps nothing alive but the counts, and may be asked from any thread,
/// also when the pipeline is over.
///
/// # Examples
///
/// The stage whose buffer is full is the one that the others wait for:
///
/// ```
/// use shibuya_taskgroup::pipeline;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let line = pipeline(0..10)
///     .stage("double", 2, 4, async |n| Ok::<_, std::io::Error>(n * 2))
///     .filter_stage("big", 1, 4, async |n| Ok((n >= 10).then_some(n)));
/// let monitor = line.monitor();
/// assert_eq!(line.run().await.unwrap(), [10, 12, 14, 16, 18]);
///
/// let big = &monitor.stats()[1];
/// assert_eq!((big.entered, big.left, big.discarded), (10, 5, 5));
/// # }
/// ```
#[derive(Clone)]
pub struct PipelineMonitor {
    meters: Vec<Arc<Meter>>,
}

/// What one stage of a pipeline holds and has done, from [`PipelineMonitor::stats`].
///
/// What entered is in the buffer, in flight, has left or was discarded. While it runs the counts may be
/// of moments that lie a little apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageStats {
    /// The stage's name.
    pub name: Name,
    /// How many items it can work on at a time.
    pub workers: usize,
    /// How many may wait in front of it.
    pub capacity: usize,
    /// All items that came in, the buffer included.
    pub entered: u64,
    /// How many wait in front of it.
    pub buffered: usize,
    /// How many its workers have: at work, or done and waiting for room in the next stage.
    pub in_flight: usize,
    /// All items that went on to the next stage, or to the consumer.
    pub left: u64,
    /// All that went no further: filtered out, failed, or dropped with the pipeline.
    pub discarded: u64,
}

impl PipelineMonitor {
    pub(super) fn new(meters: Vec<Arc<Meter>>) -> Self {
        Self { meters }
    }

    /// The stages, in the order in which the items pass them.
    pub fn stats(&self) -> Vec<StageStats> {
        self.meters.iter().map(|meter| meter.stats()).collect()
    }
}

impl fmt::Debug for PipelineMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.stats()).finish()
    }
}

/// The counts of a stage. What came in and was taken, its queue counts; so an item costs one count more.
pub(super) struct Meter {
    pub(super) name: Name,
    workers: usize,
    capacity: usize,
    queue: Arc<dyn Gauge>,
    left: AtomicU64,
    /// Those that a worker had taken.
    discarded: AtomicU64,
}

/// A queue of whatever type.
trait Gauge: Send + Sync {
    fn read(&self) -> Stats;
}

impl<T: Send> Gauge for Queue<T> {
    fn read(&self) -> Stats {
        self.stats()
    }
}

impl Meter {
    pub(super) fn new<T: Send + 'static>(
        name: Name,
        workers: usize,
        capacity: usize,
        queue: &Queue<T>,
    ) -> Self {
        Self {
            name,
            workers,
            capacity,
            queue: Arc::new(queue.clone()),
            left: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        }
    }

    /// A worker has taken an item. However that ends, it is counted once.
    pub(super) fn at_work(&self) -> Fate<'_> {
        Fate {
            count: &self.discarded,
            meter: self,
        }
    }

    fn stats(&self) -> StageStats {
        // What happened to an item is read before what it had to go through for that, so that no
        // difference is below zero.
        let (left, given_up) = (self.left.load(Acquire), self.discarded.load(Acquire));
        let queue = self.queue.read();
        // Dropped with the queue, where no worker took it.
        let cut = queue.put - queue.taken - queue.len as u64;
        StageStats {
            name: self.name.clone(),
            workers: self.workers,
            capacity: self.capacity,
            entered: queue.put,
            buffered: queue.len,
            in_flight: (queue.taken - left - given_up) as usize,
            left,
            discarded: given_up + cut,
        }
    }
}

/// What becomes of an item at work. It is discarded unless it [went on](Self::went_on).
pub(super) struct Fate<'a> {
    count: &'a AtomicU64,
    meter: &'a Meter,
}

impl Fate<'_> {
    pub(super) fn went_on(&mut self) {
        self.count = &self.meter.left;
    }
}

impl Drop for Fate<'_> {
    fn drop(&mut self) {
        self.count.fetch_add(1, AcqRel);
    }
}
