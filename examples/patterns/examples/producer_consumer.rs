//! # Producer and consumer: many who put, many who take, and a clean end
//!
//! Three ways to the end: wait until all that was put is done (`join`), close the queue behind the last producer so that the
//! consumers take what is left (`shutdown`), or put a last word for each consumer (a sentinel).
//!
//! `cargo run -p patterns --example producer_consumer` prints:
//!
//! ```text
//! joined: 3 producers put 12 loaves, 2 consumers ate 12
//! found on the way: 3 loaves put, 9 pieces eaten
//! shut down: 3 producers put 12 loaves, 2 consumers ate 12
//! sentinels: 3 producers put 12 loaves, 2 consumers ate 12
//! ```

use std::convert::Infallible;
use std::time::Duration;

use shibuya_sync::Queue;
use shibuya_taskgroup::{GroupError, Task, TaskGroup};
use tokio::time::sleep;

type Group = TaskGroup<Infallible>;
type Count = Result<usize, Infallible>;

/// Stands for work.
async fn a_while() {
    sleep(Duration::from_millis(1)).await;
}

async fn bake(bread: Queue<usize>) -> Count {
    for loaf in 0..4 {
        a_while().await;
        bread
            .put(loaf)
            .await
            .expect("it is closed after the bakers"); // waits while there is no room
    }
    Ok(4)
}

/// Eats until nothing comes any more, and says how many it were.
async fn eat(bread: Queue<usize>) -> Count {
    let mut eaten = 0;
    while let Ok(_loaf) = bread.get().await {
        a_while().await;
        eaten += 1;
        // The loaf is dropped here, and done: asyncio's `task_done()`, which can't be forgotten.
    }
    Ok(eaten)
}

async fn sum<const N: usize>(tasks: [Task<usize, Infallible>; N]) -> usize {
    let mut sum = 0;
    for task in tasks {
        sum += task.await;
    }
    sum
}

/// `await queue.join()`, and then the consumers are of no use any more: asyncio's usual way, and the one to take where somebody
/// wants to know that the *work* is done.
async fn joined() -> Result<(), GroupError<Infallible>> {
    let bread = Queue::bounded(2);
    let (put, eaten) = Group::run(async |g| {
        let eaters = [(); 2].map(|()| g.spawn(eat(bread.clone())));
        let bakers = [(); 3].map(|()| g.spawn(bake(bread.clone())));
        let put = sum(bakers).await;
        bread.join().await.expect("nobody throws bread away");
        assert_eq!(bread.stats().in_hand, 0);
        bread.shutdown(); // asyncio cancels its workers here; these see the end
        Ok((put, sum(eaters).await))
    })
    .await?;
    println!("joined: 3 producers put {put} loaves, 2 consumers ate {eaten}");
    Ok(())
}

/// Who takes may put as well. Then there is no last producer who could close the queue, and `join` alone knows the end.
async fn found_on_the_way() -> Result<(), GroupError<Infallible>> {
    async fn crumble(crumbs: Queue<u32>) -> Count {
        let mut eaten = 0;
        while let Ok(size) = crumbs.get().await {
            a_while().await;
            eaten += 1;
            if *size > 0 {
                // Before this one is done, so that `join` can't miss it.
                crumbs
                    .put(*size - 1)
                    .await
                    .expect("it is closed after `join`");
            }
        }
        Ok(eaten)
    }

    // Without a bound: a consumer must not wait for room that only consumers make.
    let crumbs = Queue::unbounded();
    for _ in 0..3 {
        crumbs.put(2).await.expect("it is open");
    }
    let eaten = Group::run(async |g| {
        let eaters = [(); 2].map(|()| g.spawn(crumble(crumbs.clone())));
        crumbs.join().await.expect("nobody throws bread away");
        crumbs.shutdown();
        Ok(sum(eaters).await)
    })
    .await?;
    println!("found on the way: 3 loaves put, {eaten} pieces eaten");
    Ok(())
}

/// `queue.shutdown()` behind the last producer: what is in the queue is still taken, then `get` fails. The one to take where the
/// producers know when they are done.
async fn shut_down() -> Result<(), GroupError<Infallible>> {
    let bread = Queue::bounded(2);
    let (put, eaten) = Group::run(async |g| {
        let eaters = [(); 2].map(|()| g.spawn(eat(bread.clone())));
        let bakers = [(); 3].map(|()| g.spawn(bake(bread.clone())));
        let put = sum(bakers).await;
        bread.shutdown();
        Ok((put, sum(eaters).await))
    })
    .await?;
    println!("shut down: 3 producers put {put} loaves, 2 consumers ate {eaten}");
    Ok(())
}

/// A value that says "no more", one for each consumer: where the queue itself goes on, for others. Code from asyncio before Python
/// 3.13 has it everywhere, since its queues could not be closed.
async fn with_sentinels() -> Result<(), GroupError<Infallible>> {
    async fn bake(bread: Queue<Option<usize>>) -> Count {
        for loaf in 0..4 {
            a_while().await;
            bread.put(Some(loaf)).await.expect("nobody closes it");
        }
        Ok(4)
    }

    async fn eat(bread: Queue<Option<usize>>) -> Count {
        let mut eaten = 0;
        while let Ok(Some(_loaf)) = bread.pop().await {
            a_while().await;
            eaten += 1;
        }
        Ok(eaten)
    }

    let bread = Queue::bounded(2);
    let (put, eaten) = Group::run(async |g| {
        let eaters = [(); 2].map(|()| g.spawn(eat(bread.clone())));
        let bakers = [(); 3].map(|()| g.spawn(bake(bread.clone())));
        let put = sum(bakers).await;
        for _ in &eaters {
            bread.put(None).await.expect("nobody closes it");
        }
        Ok((put, sum(eaters).await))
    })
    .await?;
    println!("sentinels: 3 producers put {put} loaves, 2 consumers ate {eaten}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), GroupError<Infallible>> {
    joined().await?;
    found_on_the_way().await?;
    shut_down().await?;
    with_sentinels().await
}
