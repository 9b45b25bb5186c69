//! What a queue knows, and whom it can serve. No time, no tasks: the list around it does the waiting.

use shibuya_waitlist::Serve;

use super::order::Line;

pub(crate) struct State<T> {
    line: Line<T>,
    /// How many may lie in it; `usize::MAX` without a bound.
    capacity: usize,
    /// Items that are promised to those who were woken to take one.
    claimed: usize,
    /// Room that is kept for those who reserved it.
    reserved: usize,
    /// Items that were handed out and are not done.
    in_hand: usize,
    phase: Phase,
    /// Something that was put will never be done: it was handed back.
    aborted: bool,
    /// All that ever came in, and went out.
    put: u64,
    taken: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Open,
    /// Nothing comes in, what is left goes out.
    Draining,
    /// Nothing comes in or goes out.
    Cut,
}

/// What one waits for. Each has a lane.
pub(crate) enum Request<T> {
    /// To put a value: `None` once it is in.
    Put { value: Option<T>, rank: u64 },
    /// To keep room for a value.
    Reserve,
    /// To take an item.
    Get,
    /// To see all done.
    Join,
}

pub(crate) enum Grant {
    Put,
    Slot,
    /// An item will be there when the getter comes for it. It is not handed over before, so a getter that never comes
    /// has not moved any: they keep their order.
    Claim,
    Joined,
    /// There is no item, and there will be none.
    Ended,
}

pub(crate) const PUT: usize = 0;
pub(crate) const GET: usize = 1;
const JOIN: usize = 2;

impl<T> State<T> {
    pub(crate) fn new(line: Line<T>, capacity: usize) -> Self {
        Self {
            line,
            capacity,
            claimed: 0,
            reserved: 0,
            in_hand: 0,
            phase: Phase::Open,
            aborted: false,
            put: 0,
            taken: 0,
        }
    }

    /// Whether a value may come in now.
    pub(crate) fn has_room(&self) -> bool {
        // What is requeued may exceed the capacity.
        self.line.len().saturating_add(self.reserved) < self.capacity
    }

    /// Takes a value in. Whoever calls this has seen that there is room, or has kept some.
    pub(crate) fn push(&mut self, value: T, rank: u64) {
        self.put += 1;
        self.line.push(value, rank);
    }

    /// The next value, unless it is promised to those who wait.
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.line.len() <= self.claimed {
            return None;
        }
        self.pop()
    }

    /// The value for a claim. There is none if the queue was cut meanwhile.
    pub(crate) fn take_claimed(&mut self) -> Option<T> {
        self.claimed -= 1;
        self.pop()
    }

    fn pop(&mut self) -> Option<T> {
        let value = self.line.pop()?;
        self.taken += 1;
        Some(value)
    }

    /// Notes that a value that was taken is not done yet.
    pub(crate) fn hand_out(&mut self) {
        self.in_hand += 1;
    }

    /// Notes that an item in hand is done.
    pub(crate) fn done(&mut self) {
        self.in_hand -= 1;
    }

    /// Puts an item in hand back, unless the queue is cut.
    pub(crate) fn requeue(&mut self, value: T, rank: u64) -> Result<(), T> {
        self.in_hand -= 1;
        if self.phase == Phase::Cut {
            self.aborted = true;
            return Err(value);
        }
        self.push(value, rank);
        Ok(())
    }

    /// Keeps room for a value. Whoever calls this has seen that there is some.
    pub(crate) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Gives up the room for a value.
    pub(crate) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Takes a value into the room that is kept for it, unless the queue is cut.
    pub(crate) fn put_reserved(&mut self, value: T, rank: u64) -> Result<(), T> {
        self.reserved -= 1;
        if self.phase == Phase::Cut {
            return Err(value);
        }
        self.push(value, rank);
        Ok(())
    }

    /// Nothing comes in from now on.
    pub(crate) fn drain(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
    }

    /// Nothing comes in or goes out from now on. Gives what is left.
    pub(crate) fn cut(&mut self) -> Line<T> {
        self.phase = Phase::Cut;
        self.aborted |= self.line.len() > 0;
        self.line.take()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether no item will ever be there again. While one is promised to somebody it may come back.
    pub(crate) fn is_ended(&self) -> bool {
        let expects = match self.phase {
            Phase::Open => return false,
            Phase::Draining => self.reserved,
            Phase::Cut => 0,
        };
        self.line.len() == 0 && expects == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    pub(crate) fn in_hand(&self) -> usize {
        self.in_hand
    }

    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.put, self.taken)
    }
}

impl<T> Serve for State<T> {
    type Request = Request<T>;
    type Grant = Grant;

    const LANES: usize = 3;

    fn lane(request: &Request<T>) -> usize {
        match request {
            Request::Put { .. } | Request::Reserve => PUT,
            Request::Get => GET,
            Request::Join => JOIN,
        }
    }

    fn try_serve(&mut self, request: &mut Request<T>) -> Option<Grant> {
        match request {
            // It is in already: `T`'s order panicked right after it was taken.
            Request::Put { value: None, .. } => Some(Grant::Put),
            Request::Put { value, rank } => self.has_room().then(|| {
                let value = value.take().expect("it is not in");
                self.push(value, *rank);
                Grant::Put
            }),
            Request::Reserve => self.has_room().then(|| {
                self.reserve();
                Grant::Slot
            }),
            Request::Get if self.line.len() > self.claimed => {
                self.claimed += 1;
                Some(Grant::Claim)
            }
            Request::Get => self.is_ended().then_some(Grant::Ended),
            Request::Join if self.line.len() + self.in_hand > 0 => None,
            Request::Join if self.aborted => Some(Grant::Ended),
            Request::Join => Some(Grant::Joined),
        }
    }

    fn take_back(&mut self, grant: Grant) {
        match grant {
            Grant::Claim => self.claimed -= 1,
            Grant::Slot => self.release(),
            Grant::Put | Grant::Joined | Grant::Ended => {}
        }
    }
}
