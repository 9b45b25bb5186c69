//! # Futures: a value that another task sets
//!
//! What asyncio's `Future` is for: set a value or an error from elsewhere, give up, ask without waiting, wait for the first of
//! several, call back when done. Then its friends: for many readers, for a value that changes, and for none at all.
//!
//! `cargo run -p patterns --example futures` prints:
//!
//! ```text
//! value: 42
//! error: no such user
//! given up by the setter: channel closed
//! given up by the reader: the setter got "too late" back
//! the search stopped when nobody waited for it any more
//! not yet
//! done: 7
//! first: mirror 1 of 3, and 2 are still wanted
//! called back with 9
//! one value for 3 readers: 127.0.0.1:8080
//! connected 1 time for 3 readers
//! at 0 %, then at 60 %, then done
//! woken, by a call that came before the wait
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join_all, select_all};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, OnceCell, SetOnce, oneshot, watch};
use tokio::task::JoinHandle;

/// `future = loop.create_future()`: here a future and the right to set it are two things. So one task alone can set it, and once.
async fn a_value() {
    let (set, future) = oneshot::channel();
    tokio::spawn(async move {
        let _ = set.send(42); // `future.set_result(42)`
    });
    match future.await {
        Ok(value) => println!("value: {value}"),
        Err(given_up) => println!("{given_up}"),
    }
}

/// `future.set_exception(…)`: the value is a `Result`.
async fn an_error() {
    let (set, future) = oneshot::channel::<Result<u32, &str>>();
    tokio::spawn(async move {
        let _ = set.send(Err("no such user"));
    });
    // The outer `Result` is the channel's: was it set at all? The inner one is yours.
    match future.await {
        Ok(Ok(user)) => println!("user {user}"),
        Ok(Err(error)) => println!("error: {error}"),
        Err(given_up) => println!("{given_up}"),
    }
}

/// `future.cancel()`: whoever drops its end has given up, and the other end hears of it.
async fn given_up() {
    let (set, future) = oneshot::channel::<u32>();
    tokio::spawn(async move {
        let _set = set; // a task that returns early, panics or is aborted drops what it has
    });
    if let Err(given_up) = future.await {
        println!("given up by the setter: {given_up}");
    }

    let (set, future) = oneshot::channel();
    drop(future);
    if let Err(value) = set.send("too late") {
        println!("given up by the reader: the setter got {value:?} back");
    }

    // Work whose result nobody wants any more can end early.
    let (mut set, future) = oneshot::channel::<u32>();
    let search = tokio::spawn(async move {
        tokio::select! {
            found = std::future::pending() => { let _ = set.send(found); }
            () = set.closed() => println!("the search stopped when nobody waited for it any more"),
        }
    });
    drop(future);
    search.await.expect("the search does not panic");
}

/// `future.done()`, `future.result()`: ask, and do not wait.
async fn is_it_done() {
    let (set, mut future) = oneshot::channel();
    let ask = |future: &mut oneshot::Receiver<u32>| match future.try_recv() {
        Ok(value) => println!("done: {value}"), // taken: awaited now, it would give an error
        Err(TryRecvError::Empty) => println!("not yet"),
        Err(TryRecvError::Closed) => println!("given up, or taken before"),
    };
    ask(&mut future);
    set.send(7).expect("the future is still there");
    ask(&mut future);
}

/// `asyncio.wait(futures, return_when=FIRST_COMPLETED)`. Two that are known by name are a case for `tokio::select!`.
async fn first_of_several() {
    let (mut setters, futures): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
    let second = setters.swap_remove(1);
    second.send("the file").expect("it is waited for");

    // The other setters still live. One that was dropped would be the first, with an error.
    let (answer, which, others) = select_all(futures).await;
    assert_eq!(answer, Ok("the file"));
    println!(
        "first: mirror {which} of 3, and {} are still wanted",
        others.len()
    );
    drop(others); // and now they are not
}

/// `future.add_done_callback(f)`: a task that awaits, and goes on from there. It runs with the other tasks, not within `send`.
fn when_done(
    future: oneshot::Receiver<u32>,
    callback: impl FnOnce(Result<u32, oneshot::error::RecvError>) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move { callback(future.await) })
}

async fn a_callback() {
    let (set, future) = oneshot::channel();
    let called = when_done(future, |value| match value {
        Ok(value) => println!("called back with {value}"),
        Err(given_up) => println!("{given_up}"),
    });
    set.send(9).expect("the future is still there");
    called.await.expect("the callback does not panic");
}

/// A `oneshot` has one reader. For many there is `SetOnce`, where somebody else sets the value, and `OnceCell`, where whoever comes
/// first makes it and the others wait. Neither can be given up: if nobody sets a `SetOnce`, its readers wait for ever.
async fn many_readers() {
    let address = Arc::new(SetOnce::new());
    let readers = (0..3).map(|_| {
        let address = address.clone();
        tokio::spawn(async move { *address.wait().await })
    });
    let readers: Vec<JoinHandle<&str>> = readers.collect();
    address.set("127.0.0.1:8080").expect("nobody else sets it");
    let seen = join_all(readers).await;
    assert!(seen.iter().all(|seen| matches!(seen, Ok("127.0.0.1:8080"))));
    println!("one value for {} readers: 127.0.0.1:8080", seen.len());

    let connection = Arc::new(OnceCell::new());
    let connects = Arc::new(AtomicUsize::new(0));
    let readers = (0..3).map(|_| {
        let (connection, connects) = (connection.clone(), connects.clone());
        tokio::spawn(async move {
            let connect = async || connects.fetch_add(1, Ordering::Relaxed) + 1;
            *connection.get_or_init(connect).await
        })
    });
    let seen = join_all(readers).await;
    let connects = connects.load(Ordering::Relaxed);
    println!("connected {connects} time for {} readers", seen.len());
}

/// A value that changes: a reader finds the newest, and may miss those in between.
async fn a_value_that_changes() {
    let (progress, mut seen) = watch::channel(0);
    let at_first = *seen.borrow_and_update();
    for percent in [20, 40, 60] {
        progress.send_replace(percent);
    }
    seen.changed().await.expect("the sender is still there");
    let then = *seen.borrow_and_update();

    tokio::spawn(async move {
        for percent in [80, 100] {
            progress.send_replace(percent);
        }
    });
    // The last value stays readable, also after the sender was dropped.
    let done = seen.wait_for(|percent| *percent == 100).await.is_ok();
    assert!(done);
    println!("at {at_first} %, then at {then} %, then done");
}

/// No value, only "go on". A `notify_one` that finds nobody is kept for who comes next, once: it is no counter.
async fn no_value() {
    let wake = Arc::new(Notify::new());
    let waker = wake.clone();
    let waking = tokio::spawn(async move { waker.notify_one() });
    waking.await.expect("it does not panic");
    wake.notified().await;
    println!("woken, by a call that came before the wait");
}

#[tokio::main]
async fn main() {
    a_value().await;
    an_error().await;
    given_up().await;
    is_it_done().await;
    first_of_several().await;
    a_callback().await;
    many_readers().await;
    a_value_that_changes().await;
    no_value().await;
}
