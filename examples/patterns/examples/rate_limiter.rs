//! # Rate limiter: a client that keeps to what its server allows
//!
//! A server on loopback allows each client 100 requests a second, 40 of them at once, and answers 429 to the rest. A client that sends
//! what it has is refused most of the time; one with a limit of its own never is. Then tasks that share a limit in turn, work that is done only
//! when nobody else wants to send, and a caller who has no time to wait.
//!
//! `cargo run -p patterns --example rate_limiter` prints:
//!
//! ```text
//! no limit: of 400 requests most are answered 429, with a time to come back
//! a limit: of 60 requests 60 are answered 200, in half a second
//! three tasks in turn: anna ben carla anna ben carla anna ben carla
//! while a user waits: 0 of 3 pages are fetched ahead
//! when all is quiet: 3 of 3 pages are fetched ahead
//! no time to wait: the turn comes in …, and the deadline in …
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use shibuya_cancel::timeout;
use shibuya_ratelimit::{Denied, Keyed, Quota, RateLimiter};
use shibuya_taskgroup::{TaskGroup, map_concurrent};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

type Failed = Arc<dyn Error + Send + Sync>;

// ---- The client ----

/// The server's rate, and a smaller burst: what leaves here evenly may arrive there in a bunch.
static LIMIT: RateLimiter = RateLimiter::per_second(100).burst(10);

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
    key: &'static str,
    limit: Option<&'static RateLimiter>,
}

impl Client {
    async fn get(&self) -> Result<reqwest::Response, Failed> {
        if let Some(limit) = self.limit {
            limit.acquire().await.map_err(failed)?;
        }
        let request = self.http.get(&self.url).header("x-api-key", self.key);
        request.send().await.map_err(failed)
    }

    /// Sends so many, with 20 under way at a time. How many were answered, and how many were refused with a time to come back.
    async fn get_all(&self, requests: u32) -> Result<(usize, usize), Box<dyn Error>> {
        let client = self.clone();
        let get = move |_| {
            let client = client.clone();
            async move { client.get().await }
        };
        let responses = map_concurrent(0..requests, 20, get).await?;
        let count = |of: &dyn Fn(&reqwest::Response) -> bool| {
            responses.iter().filter(|response| of(response)).count()
        };
        let answered = count(&|response| response.status() == StatusCode::OK);
        let refused = count(&|response| {
            response.status() == StatusCode::TOO_MANY_REQUESTS
                && response.headers().contains_key(RETRY_AFTER)
        });
        Ok((answered, refused))
    }
}

fn failed(error: impl Error + Send + Sync + 'static) -> Failed {
    Arc::new(error)
}

// ---- The server ----

struct Server {
    /// Of each client. Those who are long gone take no memory.
    limits: Keyed<String>,
}

impl Server {
    async fn serve(self: Arc<Self>, listener: TcpListener) -> Result<Infallible, Box<dyn Error>> {
        let connections = TaskGroup::run(async |g| {
            loop {
                let (stream, _) = listener.accept().await?;
                g.spawn(connection(stream, self.clone()));
            }
        });
        Ok(connections.await?)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let key = request.headers().get("x-api-key");
        let key = String::from_utf8_lossy(key.map_or(b"", |key| key.as_bytes()));
        match self.limits.try_acquire(&key.into_owned()) {
            Ok(()) => Response::new("a page".to_owned()),
            Err(denied) => too_many(denied),
        }
    }
}

fn too_many(denied: Denied) -> Response<String> {
    let mut response = Response::new(denied.to_string());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    if let Some(time) = denied.retry_after() {
        // In whole seconds, of which a part of one is one: who comes back then finds room.
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

async fn connection(stream: TcpStream, server: Arc<Server>) -> io::Result<()> {
    let answer = service_fn(async |request| Ok::<_, Infallible>(server.answer(&request)));
    // An error is a client that went away.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    Ok(())
}

// ---- What they do ----

async fn with_and_without(url: String) -> Result<(), Box<dyn Error>> {
    // Only for a reqwest that was built with `rustls-no-provider`, as all examples of this repository together are.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?; // no proxy has this machine's loopback
    let hasty = Client {
        http,
        url,
        key: "hasty",
        limit: None,
    };
    let (answered, refused) = hasty.get_all(400).await?;
    if refused > answered {
        println!("no limit: of 400 requests most are answered 429, with a time to come back");
    }

    let polite = Client {
        key: "polite",
        limit: Some(&LIMIT),
        ..hasty
    };
    let begin = Instant::now();
    let (answered, _) = polite.get_all(60).await?;
    // Ten at once, and the others one each 10 ms.
    assert!(begin.elapsed() >= ms(495));
    println!("a limit: of 60 requests {answered} are answered 200, in half a second");
    Ok(())
}

/// Whoever asks stands behind all who asked before, also behind a task that asks without a pause.
async fn in_turn() -> Result<(), Box<dyn Error>> {
    let limit = RateLimiter::every(ms(5)).starts_empty();
    let turns = Arc::new(Mutex::new(Vec::new()));
    let group = TaskGroup::run(async |g| {
        for name in ["anna", "ben", "carla"] {
            let (limit, turns) = (limit.clone(), turns.clone());
            g.spawn(async move {
                for _ in 0..3 {
                    limit.acquire().await?;
                    let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                    turns.push(name);
                }
                Ok::<_, Denied>(())
            });
        }
        Ok(())
    });
    group.await?;
    let turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
    println!("three tasks in turn: {}", turns.join(" "));
    Ok(())
}

/// Pages that somebody may want soon are fetched with what nobody needs.
async fn optional_work() -> Result<(), Denied> {
    let limit = RateLimiter::every(ms(10)).burst(4);
    let fetch_ahead = || (0..3).filter(|_| limit.try_acquire().is_ok()).count();

    limit.try_acquire_n(4)?;
    let user = limit.acquire_n(2);
    let (waited, fetched) = tokio::join!(user, async { fetch_ahead() });
    waited?;
    println!("while a user waits: {fetched} of 3 pages are fetched ahead");

    sleep(ms(40)).await;
    let fetched = fetch_ahead();
    println!("when all is quiet: {fetched} of 3 pages are fetched ahead");
    Ok(())
}

/// A turn that would come after the deadline is not waited for, so there is time left for something else.
async fn no_time_to_wait() -> Result<(), Box<dyn Error>> {
    let limit = RateLimiter::per_minute(1);
    limit.try_acquire()?;
    let denied = timeout(ms(1000), limit.acquire()).await?.unwrap_err();
    println!("no time to wait: {denied}");
    Ok(())
}

async fn example(url: String) -> Result<(), Box<dyn Error>> {
    with_and_without(url).await?;
    in_turn().await?;
    optional_work().await?;
    no_time_to_wait().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Arc::new(Server {
        limits: Keyed::new(Quota::per_second(100).burst(40)),
    });
    tokio::select! {
        done = example(url) => done,
        Err(error) = server.serve(listener) => Err(error),
    }
}
