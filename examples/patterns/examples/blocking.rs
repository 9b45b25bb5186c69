//! # Blocking: what stops a runtime, and where such work belongs
//!
//! What a blocking call does to the tasks beside it, the watchdog that catches it, blocking work on a thread that is told when to
//! stop, computing on all cores, computing in a child process that ends with its group, and computing in a task that lets others
//! have their turn.
//!
//! `cargo run -p patterns --example blocking` prints:
//!
//! ```text
//! while a task awaits, the others go on: true
//! while a task blocks, the others go on: false
//! while a thread blocks, the others go on: true
//! the watchdog: task `invoice`, spawned at …blocking.rs:…, has kept thread `main` for … without an await
//! told to stop: deadline passed, and … of 1000000 files were read
//! primes below 200000: 17984
//! in a process: 17984
//! endless, in a process: signal: 15 (SIGTERM)
//! sum: 499999500000, and the others went on: true
//! ```

use std::cell::Cell;
use std::env;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use shibuya_taskgroup::{CancelScope, Cancelled, TaskGroup, cpu, process, try_gather, watchdog};
use tokio::process::Command;
use tokio::task::yield_now;
use tokio::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Counts its turns, beside `work` and on the same thread; gives whether it had any while `work` ran.
async fn others_go_on<T>(work: impl Future<Output = T>) -> (T, bool) {
    let turns = Cell::new(0);
    let beside = async {
        loop {
            turns.set(turns.get() + 1);
            sleep(ms(1)).await;
        }
    };
    tokio::select! {
        biased; // `beside` has its first turn before the work begins
        () = beside => unreachable!("it counts for ever"),
        value = work => (value, turns.get() > 1),
    }
}

/// A runtime changes tasks at an `await` and nowhere else. asyncio is the same: `time.sleep` in a coroutine stops the loop.
async fn what_blocks() {
    let ((), go_on) = others_go_on(sleep(ms(50))).await;
    println!("while a task awaits, the others go on: {go_on}");

    // The same with `std::fs`, a `std::sync::Mutex` that is held for long, and any loop that computes.
    let ((), go_on) = others_go_on(async { thread::sleep(ms(50)) }).await;
    println!("while a task blocks, the others go on: {go_on}");

    // `await asyncio.to_thread(time.sleep, 0.05)`
    let on_a_thread =
        TaskGroup::<()>::run(async |g| Ok(g.spawn_blocking(|_| Ok(thread::sleep(ms(50)))).await));
    let (ended, go_on) = others_go_on(on_a_thread).await;
    ended.unwrap();
    println!("while a thread blocks, the others go on: {go_on}");
}

/// Says which task it is while it blocks, from a thread that looks at what the others do; without a listener it is a warning in
/// the log. asyncio's debug mode (`loop.slow_callback_duration`) says so when the callback has come back, if ever it does.
async fn what_is_caught() {
    let (tell, told) = mpsc::channel();
    watchdog::set_threshold(ms(100)); // a second, if nobody sets it
    watchdog::on_stuck(move |stuck| {
        let _ = tell.send(stuck.to_string()); // later ones interest nobody
    });
    let invoice = TaskGroup::<mpsc::RecvTimeoutError>::run(async |g| {
        let blocks = async move { told.recv_timeout(Duration::from_secs(10)) };
        Ok(g.task("invoice").spawn(blocks).await)
    });
    match invoice.await {
        Ok(stuck) => println!("the watchdog: {stuck}"),
        Err(error) => println!("it saw nothing: {error}"),
    }
}

/// Nobody can drop what runs on a thread, so the group waits for it. It is given a scope to look at now and then; a thread of
/// `asyncio.to_thread` gets nothing, and goes on after its caller was cancelled.
async fn a_thread_that_stops() {
    const FILES: usize = 1_000_000;

    fn read_all(scope: &CancelScope) -> Result<(), String> {
        for read in 0..FILES {
            if let Err(cancelled) = scope.check() {
                return Err(format!(
                    "{}, and {read} of {FILES} files were read",
                    cancelled.reason()
                ));
            }
            thread::sleep(ms(1)); // stands for the work
        }
        Ok(())
    }

    let group = TaskGroup::builder().timeout(ms(20));
    let ended = group
        .run(async |g| Ok(g.spawn_blocking(read_all).await))
        .await;
    for why in ended.unwrap_err().errors() {
        println!("told to stop: {why}");
    }
}

const BELOW: u64 = 200_000;

fn count_primes(numbers: Range<u64>) -> usize {
    let is_prime = |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0);
    numbers.filter(is_prime).count()
}

/// `cpu` has as many closures run at a time as there are cores, in the whole program; a `CpuPool` has a limit of its own. asyncio
/// needs processes for that, since its threads take turns.
async fn on_all_cores() {
    const PARTS: u64 = 16;

    let primes = try_gather((0..PARTS).map(|part| {
        cpu(move |scope| {
            scope.check()?; // between two parts is often enough
            let (from, to) = (part * BELOW / PARTS, (part + 1) * BELOW / PARTS);
            Ok::<_, Cancelled>(count_primes(from..to))
        })
    }));
    let primes: usize = primes.await.unwrap().iter().sum();
    println!("primes below {BELOW}: {primes}");
}

/// For what may crash, or never looks whether it should stop: a process can be killed, a thread can't. asyncio has
/// `ProcessPoolExecutor` and `create_subprocess_exec`; in both the work goes on when the task that awaits it is cancelled. It needs
/// the feature `process`.
async fn in_a_process() {
    /// This program once more, which then counts and does nothing else.
    fn count_below(n: u64) -> Command {
        let mut command = Command::new(env::current_exe().expect("a program has a path"));
        command.arg(n.to_string());
        command
    }

    let counted = process(count_below(BELOW)).output().await.unwrap();
    let primes = String::from_utf8_lossy(&counted.stdout);
    println!("in a process: {}", primes.trim());

    // This one would count for ages. It ends with its group: by SIGTERM, as there is a grace, and else by SIGKILL.
    let group = TaskGroup::builder().timeout(ms(50)).grace(ms(5000));
    let ended = group.run(async |g| {
        let endless = process(count_below(u64::MAX)).run();
        Ok(g.spawn(endless).await)
    });
    match ended.await {
        Ok(status) => println!("endless, in a process: {status}"),
        Err(error) => println!("endless, in a process: {error}"),
    }
}

/// A little computing may stay in its task, with an `await` every so often: `await asyncio.sleep(0)`. As a rule of thumb a turn
/// should not take longer than some hundred microseconds.
async fn in_turns() {
    let adds = async {
        let mut sum = 0u64;
        for n in 0..1_000_000 {
            sum += n;
            if n % 10_000 == 0 {
                thread::sleep(Duration::from_micros(100)); // stands for more of it
                yield_now().await;
            }
        }
        sum
    };
    let (sum, went_on) = others_go_on(adds).await;
    println!("sum: {sum}, and the others went on: {went_on}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Some(below) = env::args().nth(1) {
        let below = below.parse().expect("a number");
        return println!("{}", count_primes(0..below));
    }
    what_blocks().await;
    what_is_caught().await;
    a_thread_that_stops().await;
    on_all_cores().await;
    in_a_process().await;
    in_turns().await;
}
