//! The global allocator: the system's, counted.
//!
//! It is the same one in every sample. It writes to counters of the calling thread with plain stores, so threads never
//! contend for them, and what it adds to an allocation (about a nanosecond) it adds for all contenders alike.

use std::alloc::System;

use alloc_tracker::{Allocator, ProcessSpan, Session};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

/// What a lap asked the allocator for, on all threads. A reallocation counts as one more request of its new size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Requested {
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

/// A count under way.
#[derive(Debug)]
pub(crate) struct Counting {
    session: Session,
    span: ProcessSpan,
}

impl Counting {
    pub(crate) fn start() -> Self {
        let session = Session::new().no_stdout().no_file();
        let span = session.operation("lap").measure_process();
        Self { session, span }
    }

    pub(crate) fn stop(self) -> Requested {
        drop(self.span.iterations(1));
        let report = self.session.to_report();
        let mut requested = Requested::default();
        for (_, operation) in report.operations() {
            requested.allocations += operation.total_allocations_count();
            requested.bytes += operation.total_bytes_allocated();
        }
        requested
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn counts_requests_of_every_thread() {
        let counting = Counting::start();
        drop(black_box(Box::new([0_u8; 1000])));
        std::thread::spawn(|| drop(black_box(vec![0_u8; 500_000])))
            .join()
            .unwrap();
        let requested = counting.stop();
        assert!(requested.allocations >= 2, "{requested:?}");
        assert!(requested.bytes >= 501_000, "{requested:?}");
    }
}
