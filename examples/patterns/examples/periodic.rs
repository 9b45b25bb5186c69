//! # Periodic: do something once in each period
//!
//! A heartbeat beside other work that ends with it, a run that takes too long under each of the three policies for missed
//! ones, and a poll that ends as soon as it has an answer.
//!
//! `cargo run -p patterns --example periodic` prints:
//!
//! ```text
//! worker: done after 3 heartbeats or more
//! heart: stopped, on request
//! Skip: 5 runs in 6 periods, one left out
//! Burst: 6 runs in 6 periods, one made up for
//! Delay: 4 runs in 6 periods, those after the slow one moved
//! ready at the 4th try
//! never ready: gave up after 3 tries
//! ```

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use shibuya_taskgroup::{Missed, Reason, TaskGroup, every, timeout};
use tokio::sync::watch;
use tokio::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A task of its own, until the group is told to end. The grace lets it say so.
async fn heartbeat() {
    let group = TaskGroup::<Infallible>::builder().grace(ms(500));
    let run = group.run(async |g| {
        let (beat, mut beats) = watch::channel(0);
        let scope = g.scope();
        let heart = g.task("heart").spawn(async move {
            let beats = every(ms(5)).run(async || {
                beat.send_modify(|beats| *beats += 1);
                Ok::<_, Infallible>(())
            });
            beats.await?;
            Ok(scope.reason().expect("nothing else ends it"))
        });
        let _ = beats.wait_for(|beats| *beats >= 3).await;
        println!("worker: done after 3 heartbeats or more");
        g.cancel(Reason::Requested);
        Ok(println!("heart: stopped, {}", heart.await))
    });
    run.await.expect("nothing in it fails");
}

/// Six periods of 200 ms; the second run takes one and a half.
async fn late(missed: Missed) -> usize {
    let runs = Cell::new(0);
    let beats = every(ms(200)).missed(missed).immediately();
    let beats = beats.run(async || {
        runs.set(runs.get() + 1);
        if runs.get() == 2 {
            sleep(ms(300)).await;
        }
        Ok::<_, Infallible>(())
    });
    let _ = timeout(ms(1100), beats).await;
    runs.get()
}

/// Asks until there is an answer, and not for ever.
async fn ready_at(answer_at: u32, tries: usize) -> Option<u32> {
    let asked = Cell::new(0);
    let poll = every(ms(2)).immediately().times(tries);
    let answer = poll.run_until(async || {
        asked.set(asked.get() + 1);
        sleep(ms(1)).await; // a request
        Ok::<_, Infallible>(match asked.get() == answer_at {
            true => Break(asked.get()),
            false => Continue(()),
        })
    });
    match answer.await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

#[tokio::main]
async fn main() {
    heartbeat().await;

    let (skip, burst, delay) =
        tokio::join!(late(Missed::Skip), late(Missed::Burst), late(Missed::Delay));
    println!("Skip: {skip} runs in 6 periods, one left out");
    println!("Burst: {burst} runs in 6 periods, one made up for");
    println!("Delay: {delay} runs in 6 periods, those after the slow one moved");

    if let Some(tries) = ready_at(4, 100).await {
        println!("ready at the {tries}th try");
    }
    if ready_at(9, 3).await.is_none() {
        println!("never ready: gave up after 3 tries");
    }
}
