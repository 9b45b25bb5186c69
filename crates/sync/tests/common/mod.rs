//! Streams whose items come at their times, and what came out of a stream with the times.
#![allow(dead_code)] // each test file takes what it needs

use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep_until};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Items, each at its millisecond from now; the end comes with the last.
pub(crate) fn timed<T: 'static>(items: Vec<(u32, T)>) -> impl Stream<Item = T> + Unpin {
    let start = Instant::now();
    let items = stream::iter(items).then(move |(at, item)| async move {
        sleep_until(start + at * MS).await;
        item
    });
    Box::pin(items)
}

/// What comes out of the stream that is made of such items, with the milliseconds at which it comes.
pub(crate) fn seen<T: 'static, S: Stream>(
    items: Vec<(u32, T)>,
    make: impl FnOnce(Box<dyn Stream<Item = T> + Unpin>) -> S,
) -> Vec<(u32, S::Item)> {
    let paused = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    paused.block_on(async {
        let start = Instant::now();
        let stream = make(Box::new(timed(items)));
        let with_time = stream.map(|item| (start.elapsed().as_millis() as u32, item));
        with_time.collect().await
    })
}

/// Items one after the other, with these gaps before them.
pub(crate) fn with_gaps(gaps: Vec<u32>) -> Vec<(u32, u32)> {
    let mut at = 0;
    let items = (0..).zip(gaps).map(|(item, gap)| {
        at += gap;
        (at, item)
    });
    items.collect()
}

/// Panics unless `call` does, at the line where it stands.
#[track_caller]
pub(crate) fn panics_here<T>(call: impl FnOnce() -> T) {
    let caller = Location::caller();
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = places.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|at| (at.file().to_owned(), at.line()));
        seen.lock().unwrap().extend(place);
    }));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(call())));
    std::panic::set_hook(hook);
    assert!(caught.is_err());
    let places = places.lock().unwrap();
    // Others may panic meanwhile.
    let here = (caller.file().to_owned(), caller.line());
    assert!(places.contains(&here), "{places:?}");
}
