//! # Concurrency limit: as many calls at once as the server is good for
//!
//! A server on loopback works on eight requests at a time, and lets the others wait. A fixed limit in front of it that is too low wastes
//! it, and one that is too high makes every call slow and brings nothing. Three algorithms find a good one by themselves, and follow when the server
//! grows. Then what becomes of those who can't be let through: a line with an end, and a time to wait.
//!
//! `cargo run -p patterns --example concurrency_limit` prints:
//!
//! ```text
//!               limit    calls/s    median
//! fixed             2        …
//! fixed             8        …
//! fixed            64        …
//! Gradient2  …
//! Vegas      …
//! Aimd       …
//! 64 at once: no more answers than 8 at once, and slower ones
//! Gradient2: as many answers as 8 at once, and much faster ones than 64
//! Vegas: as many answers as 8 at once, and much faster ones than 64
//! Aimd: as many answers as 8 at once, and much faster ones than 64
//! the server grows to 24 places: Vegas lets … through in place of …
//! 8 places and a line of 8: of 64 callers 16 are answered, 48 are denied at once
//! a caller who can't wait: the turn did not come within 5ms
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use shibuya_ratelimit::{Aimd, ConcurrencyLimiter, Denied, Gradient2, Vegas};
use shibuya_taskgroup::{TaskGroup, try_gather};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// How long the server works on a request.
const WORK: Duration = Duration::from_millis(10);

/// On how many at a time.
const PLACES: usize = 8;

/// Who would like to call, all the time.
const CALLERS: usize = 64;

/// A server whose latency grows with its load: a byte is a request, and a byte the answer.
struct Server {
    places: Semaphore,
}

impl Server {
    async fn serve(self: Arc<Self>, listener: TcpListener) -> Result<Infallible, Box<dyn Error>> {
        let connections = TaskGroup::run(async |g| {
            loop {
                let (stream, _) = listener.accept().await?;
                g.spawn(self.clone().connection(stream));
            }
        });
        Ok(connections.await?)
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // An error is a client that went away.
        while stream.read_u8().await.is_ok() {
            let place = self.places.acquire().await.expect("it is never closed");
            sleep(WORK).await;
            drop(place);
            stream.write_u8(0).await?;
        }
        Ok(())
    }
}

struct Client(TcpStream);

impl Client {
    async fn new(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    async fn call(&mut self) -> io::Result<()> {
        self.0.write_u8(0).await?;
        self.0.read_u8().await.map(drop)
    }
}

/// How it went for those who called.
#[derive(Clone, Copy)]
struct Seen {
    limit: usize,
    per_second: f64,
    median: Duration,
}

/// Calls until `end`, each time as soon as it is let through. Gives the times of those calls that ended since `settled`.
async fn caller(
    server: SocketAddr,
    limiter: Arc<ConcurrencyLimiter>,
    settled: Instant,
    end: Instant,
) -> io::Result<Vec<Duration>> {
    let mut client = Client::new(server).await?;
    let mut latencies = Vec::new();
    loop {
        let permit = limiter.acquire().await.map_err(io::Error::other)?;
        let began = Instant::now();
        if began >= end {
            return Ok(latencies);
        }
        client.call().await?;
        permit.success();
        if (settled..end).contains(&Instant::now()) {
            latencies.push(began.elapsed());
        }
    }
}

/// All callers call for that time, of which the second half counts.
async fn load(
    server: SocketAddr,
    limiter: &Arc<ConcurrencyLimiter>,
    time: Duration,
) -> Result<Seen, Box<dyn Error>> {
    let settled = Instant::now() + time / 2;
    let end = settled + time / 2;
    let callers = (0..CALLERS).map(|_| caller(server, limiter.clone(), settled, end));
    let mut latencies = try_gather(callers).await?.concat();
    latencies.sort();
    Ok(Seen {
        limit: limiter.limit(),
        per_second: latencies.len() as f64 / (time / 2).as_secs_f64(),
        median: latencies
            .get(latencies.len() / 2)
            .copied()
            .unwrap_or_default(),
    })
}

fn print(name: &str, seen: Seen) {
    let Seen {
        limit, per_second, ..
    } = seen;
    let median = seen.median.as_millis();
    println!("{name:<10}{limit:>9}{per_second:>11.0}{median:>7} ms");
}

async fn fixed(server: SocketAddr, limit: usize) -> Result<Seen, Box<dyn Error>> {
    let limiter = Arc::new(ConcurrencyLimiter::fixed(limit));
    let seen = load(server, &limiter, Duration::from_millis(250)).await?;
    print("fixed", seen);
    Ok(seen)
}

/// One that begins low, and a name for it.
fn adaptive() -> [(&'static str, Arc<ConcurrencyLimiter>); 3] {
    let gradient2 = Gradient2::builder().initial(4).build();
    let vegas = Vegas::builder().initial(4).build();
    // The server refuses nothing, so a slow answer is a sign.
    let aimd = Aimd::builder().initial(4).timeout(2 * WORK).build();
    [
        (
            "Gradient2",
            Arc::new(ConcurrencyLimiter::adaptive(gradient2)),
        ),
        ("Vegas", Arc::new(ConcurrencyLimiter::adaptive(vegas))),
        ("Aimd", Arc::new(ConcurrencyLimiter::adaptive(aimd))),
    ]
}

async fn find_the_limit(address: SocketAddr, server: &Server) -> Result<(), Box<dyn Error>> {
    println!("              limit    calls/s    median");
    fixed(address, PLACES / 4).await?;
    let good = fixed(address, PLACES).await?;
    let high = fixed(address, CALLERS).await?;
    let limiters = adaptive();
    let mut found = Vec::new();
    for (name, limiter) in &limiters {
        let seen = load(address, limiter, Duration::from_millis(450)).await?;
        print(name, seen);
        found.push((name, seen));
    }

    // Roughly: other programs run on this machine, too.
    let as_many = |seen: Seen| seen.per_second > 0.5 * good.per_second;
    if high.per_second < 1.5 * good.per_second && high.median > 2 * good.median {
        println!("{CALLERS} at once: no more answers than {PLACES} at once, and slower ones");
    }
    for (name, seen) in &found {
        if as_many(*seen) && 2 * seen.median < high.median {
            println!(
                "{name}: as many answers as {PLACES} at once, and much faster ones than {CALLERS}"
            );
        }
    }

    server.places.add_permits(2 * PLACES);
    let [_, (name, vegas), _] = &limiters;
    let before = found[1].1.limit;
    let after = load(address, vegas, Duration::from_millis(300))
        .await?
        .limit;
    let places = 3 * PLACES;
    println!(
        "the server grows to {places} places: {name} lets {after} through in place of {before}"
    );
    Ok(())
}

/// A caller who is told at once can do something else: ask another server, or answer with less.
async fn a_line_with_an_end(server: SocketAddr) -> io::Result<()> {
    let limiter = ConcurrencyLimiter::fixed(PLACES).max_waiters(PLACES);
    // In one task, so that all have asked before the first is answered.
    let callers = (0..CALLERS).map(async |_| match limiter.acquire().await {
        Ok(permit) => {
            Client::new(server).await?.call().await?;
            permit.success();
            Ok(true)
        }
        Err(Denied::QueueFull { .. }) => Ok(false),
        Err(denied) => Err(io::Error::other(denied)),
    });
    let outcomes = try_join_all(callers).await?;
    let answered = outcomes.iter().filter(|answered| **answered).count();
    let denied = limiter.snapshot().denied;
    println!(
        "{PLACES} places and a line of {PLACES}: of {CALLERS} callers {answered} are answered, {denied} are denied at once"
    );
    Ok(())
}

async fn a_time_to_wait() -> Result<(), Denied> {
    static ONE: ConcurrencyLimiter = ConcurrencyLimiter::fixed(1);
    let _under_way = ONE.acquire().await?;
    if let Err(denied) = ONE.acquire_within(Duration::from_millis(5)).await {
        println!("a caller who can't wait: {denied}");
    }
    Ok(())
}

async fn example(address: SocketAddr, server: &Server) -> Result<(), Box<dyn Error>> {
    find_the_limit(address, server).await?;
    a_line_with_an_end(address).await?;
    a_time_to_wait().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Arc::new(Server {
        places: Semaphore::new(PLACES),
    });
    tokio::select! {
        done = example(address, &server) => done,
        Err(error) = server.clone().serve(listener) => Err(error),
    }
}
