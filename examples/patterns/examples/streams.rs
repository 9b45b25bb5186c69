//! # Streams: async iterators and generators
//!
//! A `Stream` by hand, a generator from a function, a generator from a task, comprehensions, merging, chunks, a moving average of
//! readings that come over time, back-pressure, and what happens when a consumer has had enough.
//!
//! `cargo run -p patterns --example streams` prints:
//!
//! ```text
//! by hand: 3 2 1
//! pages: [a, b] [c, d] [e]
//! lazy: 0 pages fetched, then 1
//! squares of the even: [4, 16, 36]
//! names: ["user 1", "user 3"]
//! stopped at: "not a number"
//! merged: [1, 10, 2, 20, 3, 30]
//! by time: ["fast", "slow"]
//! first three: [1, 2, 3]
//! in pairs: [[1, 2], [3, 4], [5]]
//! degrees: 20.0 20.5 21.0 22.0 24.0
//! made before anybody asked: 2
//! taken: [1, 2, 3, 4]
//! closed early: cleaned up after 2 rows
//! closed early: the task said goodbye
//! ```

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::ready;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::time::{Interval, interval, sleep};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `class Countdown` with `__aiter__` and `__anext__`: one number per tick.
struct Countdown {
    left: u32,
    ticks: Interval,
}

impl Stream for Countdown {
    type Item = u32;

    /// `Pending` leaves a waker behind: here the clock does, since its poll was given `cx`. After `None` the stream is over.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        if self.left == 0 {
            return Poll::Ready(None); // `raise StopAsyncIteration`
        }
        ready!(self.ticks.poll_tick(cx));
        let number = self.left;
        self.left -= 1;
        Poll::Ready(Some(number))
    }
}

async fn by_hand() {
    let mut countdown = Countdown {
        left: 3,
        ticks: interval(ms(1)),
    };
    // `async for number in countdown:`
    let mut line = String::from("by hand:");
    while let Some(number) = countdown.next().await {
        line += &format!(" {number}");
    }
    println!("{line}");
}

/// Stands for a server that gives two items at a time.
async fn fetch_page(number: usize, fetched: &AtomicUsize) -> Vec<char> {
    fetched.fetch_add(1, Ordering::Relaxed);
    sleep(ms(1)).await;
    "abcde".chars().skip(2 * number).take(2).collect()
}

/// An async generator. Between two values only the state is kept: the number of the next page.
///
/// ```python
/// async def pages():
///     number = 0
///     while page := await fetch_page(number):
///         yield page
///         number += 1
/// ```
fn pages(fetched: &AtomicUsize) -> impl Stream<Item = Vec<char>> {
    stream::unfold(0, async move |number| {
        let page = fetch_page(number, fetched).await;
        (!page.is_empty()).then_some((page, number + 1))
    })
}

async fn a_generator() {
    let fetched = AtomicUsize::new(0);
    let shown = pages(&fetched).map(|page| format!(" [{}]", joined(&page, ", ")));
    println!("pages:{}", shown.collect::<String>().await);

    // As in Python, making a generator runs nothing of it.
    let fetched = AtomicUsize::new(0);
    let mut pages = pin!(pages(&fetched)); // what holds an `async` block is pinned before it is asked
    let before = fetched.load(Ordering::Relaxed);
    pages.next().await;
    let after = fetched.load(Ordering::Relaxed);
    println!("lazy: {before} pages fetched, then {after}");
}

fn joined(items: &[impl Display], between: &str) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(between)
}

fn numbers(to: u32) -> impl Stream<Item = u32> {
    stream::iter(1..=to)
}

async fn comprehensions() {
    // `[n * n async for n in numbers() if n % 2 == 0]`
    let squares = numbers(6).filter(|n| ready(n % 2 == 0)).map(|n| n * n);
    println!(
        "squares of the even: {:?}",
        squares.collect::<Vec<u32>>().await
    );

    // `[await name(n) async for n in numbers() if await is_active(n)]`: `filter` and `then` may wait.
    async fn is_active(n: u32) -> bool {
        sleep(ms(1)).await;
        n % 2 == 1
    }
    async fn name(n: u32) -> String {
        sleep(ms(1)).await;
        format!("user {n}")
    }
    let names = numbers(4).filter(|n| is_active(*n)).then(name);
    println!("names: {:?}", names.collect::<Vec<String>>().await);

    // Of results, all values or the first error. What comes after it is not asked for.
    let parse = |text: &'static str| text.parse::<u32>().map_err(|_| "not a number");
    let parsed = stream::iter(["1", "two", "3"]).map(parse);
    match parsed.try_collect::<Vec<u32>>().await {
        Ok(numbers) => println!("all: {numbers:?}"),
        Err(error) => println!("stopped at: {error:?}"),
    }
}

/// Two streams as one: whichever has something. They take turns while both have, and it ends when both have ended.
async fn merging() {
    let merged = stream::select(numbers(3), numbers(3).map(|n| 10 * n));
    println!("merged: {:?}", merged.collect::<Vec<u32>>().await);

    let after = |time, what| stream::once(async move { (sleep(time).await, what).1 });
    let merged = stream::select(after(ms(50), "slow"), after(ms(1), "fast"));
    println!("by time: {:?}", merged.collect::<Vec<&str>>().await);
}

async fn parts() {
    let endless = stream::iter(1..);
    println!(
        "first three: {:?}",
        endless.take(3).collect::<Vec<u32>>().await
    );
    let pairs = numbers(5).chunks(2); // the last one may be short
    println!("in pairs: {:?}", pairs.collect::<Vec<Vec<u32>>>().await);
}

/// Stands for a sensor: a reading per tick.
fn readings() -> impl Stream<Item = f64> {
    let degrees = stream::iter([20.0, 21.0, 22.0, 23.0, 27.0]);
    let ticks = stream::unfold(interval(ms(1)), async |mut ticks| {
        ticks.tick().await;
        Some(((), ticks))
    });
    ticks.zip(degrees).map(|((), degrees)| degrees)
}

/// The average of the last `n` readings, anew with each.
fn moving_average(readings: impl Stream<Item = f64>, n: usize) -> impl Stream<Item = f64> {
    readings.scan(VecDeque::with_capacity(n), move |window, reading| {
        if window.len() == n {
            window.pop_front();
        }
        window.push_back(reading);
        ready(Some(window.iter().sum::<f64>() / window.len() as f64))
    })
}

async fn a_data_stream() {
    let averages = moving_average(readings(), 3).map(|degrees| format!(" {degrees:.1}"));
    println!("degrees:{}", averages.collect::<String>().await);
}

/// A generator from a task: it sends where Python yields. Unlike the others it works ahead, as far as the channel has room; then it
/// waits for the consumer. That is the back-pressure.
fn from_a_task(made: Arc<AtomicUsize>) -> impl Stream<Item = usize> {
    let (items, mut taken) = mpsc::channel(2);
    tokio::spawn(async move {
        for item in 1..=4 {
            // First a place, then the work. It fails when nobody is there any more.
            let Ok(place) = items.reserve().await else {
                return;
            };
            made.fetch_add(1, Ordering::Relaxed);
            place.send(item);
        }
    });
    stream::poll_fn(move |cx| taken.poll_recv(cx))
}

async fn back_pressure() {
    let made = Arc::new(AtomicUsize::new(0));
    let stream = from_a_task(made.clone());
    while made.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await; // the task is at work by itself
    }
    sleep(ms(5)).await; // and however long we wait,
    println!(
        "made before anybody asked: {}",
        made.load(Ordering::Relaxed)
    );
    println!("taken: {:?}", stream.collect::<Vec<usize>>().await);
}

/// Stands for a cursor that a database keeps open.
struct Cursor {
    row: usize,
}

impl Drop for Cursor {
    fn drop(&mut self) {
        println!("closed early: cleaned up after {} rows", self.row);
    }
}

/// `async with aclosing(rows()):`. Here a stream is closed by its drop, also by an early `return`, a `?` or a cancellation.
async fn closing() {
    let rows = stream::unfold(Cursor { row: 0 }, async |mut cursor| {
        cursor.row += 1;
        Some((cursor.row, cursor))
    });
    let mut rows = pin!(rows.take(2));
    while rows.next().await.is_some() {}
}

/// A destructor cannot wait. Clean-up that does is for a task, which goes on when it finds that nobody is there to send to.
async fn closing_that_waits() {
    let (rows, mut taken) = mpsc::channel(1);
    let producer = tokio::spawn(async move {
        let mut row = 1;
        while rows.send(row).await.is_ok() {
            row += 1;
        }
        sleep(ms(1)).await; // tells the server
        println!("closed early: the task said goodbye");
    });
    let rows = stream::poll_fn(move |cx| taken.poll_recv(cx));
    let two: Vec<u32> = rows.take(2).collect().await;
    assert_eq!(two, [1, 2]);
    producer.await.expect("the task does not panic");
}

#[tokio::main]
async fn main() {
    by_hand().await;
    a_generator().await;
    comprehensions().await;
    merging().await;
    parts().await;
    a_data_stream().await;
    back_pressure().await;
    closing().await;
    closing_that_waits().await;
}
