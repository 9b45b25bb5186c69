/// What a [`Queue`](super::Queue) holds and has done, from [`stats`](super::Queue::stats). All of it is of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items that wait to be taken.
    pub len: usize,
    /// How many may wait; `None` without a bound.
    pub capacity: Option<usize>,
    /// Room that is kept by [`Slot`](super::Slot)s, and can't be used by others.
    pub reserved: usize,
    /// Items that were taken by [`get`](super::Queue::get) and are not done.
    pub in_hand: usize,
    /// Tasks that wait for room.
    pub waiting_to_put: usize,
    /// Tasks that wait for an item.
    pub waiting_to_get: usize,
    /// All items that ever came in. What is put back counts again.
    pub put: u64,
    /// All items that were ever taken.
    pub taken: u64,
    /// Whether it was shut down, either way.
    pub is_shut_down: bool,
}
