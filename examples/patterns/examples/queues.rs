//! # Queues: every order, and every way to put and take
//!
//! First in first out, last in first out, least first, and levels that age; room that runs out, timeouts, values that nobody loses,
//! what is tried again, many at once, a stream, and both ways to close: asyncio's `shutdown()` and `shutdown(immediate=True)`.
//!
//! `cargo run -p patterns --example queues` prints:
//!
//! ```text
//! fifo: first second third
//! lifo: third second first
//! priority: 1 walk, 2 eat, 2 sleep
//! aging: when a level is worth 3600s, urgent is first
//! aging: when a level is worth 1ms, patient is first
//! full: put(3) gives 3 back, after a while as well
//! room: put(3) waited for it
//! empty: nothing now, nothing after a while
//! reserved: the slot was free before the letter was taken
//! requeued: a b! c b
//! many: 3, and then 2
//! stream: 0 1 2
//! shutdown: no to "late", still 1 and 2, then the queue is shut down
//! shutdown_now: [1, 2] left, the queue is shut down; join says: the queue was shut down with items left undone
//! ```

use std::error::Error;
use std::time::Duration;

use futures_util::StreamExt;
use shibuya_sync::Queue;
use shibuya_sync::queue::{Closed, TryGetError};

type Result = std::result::Result<(), Box<dyn Error>>;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `asyncio.Queue()` and `asyncio.LifoQueue()`.
async fn in_line_or_as_a_stack() -> Result {
    let fifo = Queue::unbounded();
    let lifo = Queue::builder().lifo().build();
    for (name, queue) in [("fifo", fifo), ("lifo", lifo)] {
        for word in ["first", "second", "third"] {
            queue.put(word).await?;
        }
        let words = [queue.pop().await?, queue.pop().await?, queue.pop().await?];
        println!("{name}: {}", words.join(" "));
    }
    Ok(())
}

/// `asyncio.PriorityQueue()`: the least first. Tuples compare their parts in turn, as in Python.
async fn least_first() -> Result {
    let queue = Queue::builder().priority().build();
    for job in [(2, "eat"), (1, "walk"), (2, "sleep")] {
        queue.put(job).await?;
    }
    print!("priority: ");
    for end in [", ", ", ", "\n"] {
        let (priority, what) = queue.pop().await?;
        print!("{priority} {what}{end}");
    }
    Ok(())
}

/// A stream of urgent things keeps the others waiting for ever, unless waiting counts: a level is worth a step of it.
async fn least_first_but_not_for_ever() -> Result {
    for step in [ms(3_600_000), ms(1)] {
        let queue = Queue::builder().aging(step, |&(level, _)| level).build();
        queue.put((1, "patient")).await?;
        tokio::time::sleep(ms(5)).await;
        queue.put((0, "urgent")).await?;
        let (_, first) = queue.pop().await?;
        println!("aging: when a level is worth {step:?}, {first} is first");
    }
    Ok(())
}

/// `asyncio.Queue(maxsize=2)`: who puts more waits, or has the value back.
async fn bounded() -> Result {
    let queue = Queue::bounded(2);
    for n in 1..=2 {
        queue.put(n).await?;
    }
    assert!(queue.is_full());
    let full = queue.try_put(3).expect_err("`put_nowait`: QueueFull");
    assert!(full.is_full());
    let late = queue.put_timeout(full.into_inner(), ms(5)).await;
    let late = late.expect_err("nobody takes one");
    assert!(late.is_timeout());
    println!(
        "full: put(3) gives {} back, after a while as well",
        late.into_inner()
    );

    let (put, taken) = tokio::join!(queue.put(3), queue.pop());
    assert_eq!((put.is_ok(), taken?, queue.len()), (true, 1, 2));
    println!("room: put(3) waited for it");
    Ok(())
}

async fn empty() {
    let queue = Queue::<u32>::unbounded();
    let now = queue.try_get().expect_err("`get_nowait`: QueueEmpty");
    let later = queue.get_timeout(ms(5)).await.expect_err("nobody puts one");
    assert!(now.is_empty() && later.is_timeout());
    println!("empty: nothing now, nothing after a while");
}

/// A `put` that is dropped drops its value. So what must not be lost is taken out once there is room for it.
async fn reserved() -> Result {
    let queue = Queue::bounded(1);
    let mut letters = vec!["a letter"];
    queue.put("another").await?;

    let gave_up = tokio::time::timeout(ms(5), queue.reserve()).await;
    assert!(gave_up.is_err());
    assert_eq!(letters.len(), 1);

    queue.pop().await?;
    let slot = queue.reserve().await?;
    assert!(queue.is_full()); // for others
    slot.put(letters.remove(0))?;
    assert_eq!(queue.pop().await?, "a letter");
    println!("reserved: the slot was free before the letter was taken");
    Ok(())
}

/// What failed goes back and is tried again, behind the others. `join` waits for it: in between it was never done.
async fn requeued() -> Result {
    let queue = Queue::unbounded();
    for letter in ["a", "b", "c"] {
        queue.put((letter, 1)).await?;
    }
    print!("requeued:");
    let work = async {
        while let Ok(mut item) = queue.get().await {
            let (letter, attempt) = *item;
            if (letter, attempt) == ("b", 1) {
                print!(" {letter}!");
                item.1 += 1;
                item.requeue().expect("it is not cut off");
            } else {
                print!(" {letter}");
            }
        }
    };
    let end = async {
        let joined = queue.join().await;
        queue.shutdown();
        joined
    };
    let ((), joined) = tokio::join!(work, end);
    println!();
    Ok(joined?)
}

/// Waits for one, and takes what is there with it: for a consumer that writes them all at once.
async fn many() -> Result {
    let queue = Queue::unbounded();
    for n in 0..5 {
        queue.put(n).await?;
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    queue.get_many(&mut first, 3).await?;
    queue.get_many(&mut rest, 3).await?;
    println!("many: {}, and then {}", first.len(), rest.len());
    Ok(())
}

/// `async for`: the items until the queue is shut down and empty.
async fn stream() -> Result {
    let queue = Queue::unbounded();
    for n in 0..3 {
        queue.put(n).await?;
    }
    queue.shutdown();
    print!("stream:");
    let mut items = queue.stream();
    while let Some(item) = items.next().await {
        print!(" {}", *item);
    }
    println!();
    Ok(())
}

/// `queue.shutdown()`: nothing comes in, what is there goes out, and then `QueueShutDown`.
async fn shut_down() -> Result {
    let queue = Queue::unbounded();
    for word in ["1", "2"] {
        queue.put(word).await?;
    }
    queue.shutdown();
    let Closed(late) = queue.put("late").await.expect_err("it is shut down");
    let (one, two) = (queue.pop().await?, queue.pop().await?);
    let closed = queue.pop().await.expect_err("nothing is left");
    println!("shutdown: no to {late:?}, still {one} and {two}, then {closed}");
    Ok(())
}

/// `queue.shutdown(immediate=True)`: nothing comes out, either. What was left is handed to you and counts as not done, where
/// asyncio drops it and lets `join` return as if it were.
async fn shut_down_now() -> Result {
    let queue = Queue::unbounded();
    for n in [1, 2] {
        queue.put(n).await?;
    }
    let left = queue.shutdown_now();
    let closed = queue.try_get().expect_err("it is shut down");
    assert_eq!(closed, TryGetError::Closed);
    let joined = queue.join().await.expect_err("two were not done");
    println!("shutdown_now: {left:?} left, {closed}; join says: {joined}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    in_line_or_as_a_stack().await?;
    least_first().await?;
    least_first_but_not_for_ever().await?;
    bounded().await?;
    empty().await;
    reserved().await?;
    requeued().await?;
    many().await?;
    stream().await?;
    shut_down().await?;
    shut_down_now().await
}
