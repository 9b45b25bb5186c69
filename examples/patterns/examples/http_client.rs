//! # HTTP client: retries, a cache, one request for all who ask, and a batch
//!
//! A client of an API that is busy, hangs, forgets to answer or is down: each attempt has its time, `Retry-After` is obeyed, an order
//! that may have been placed is sent again under the same key, and a budget keeps retries few. Prices are cached; whoever misses one at
//! the same moment shares a request, and a batch has no more than so many under way.
//!
//! It needs the feature `reqwest` of `shibuya-retry`, and reqwest itself without any of its own.
//!
//! `cargo run -p patterns --example http_client` prints:
//!
//! ```text
//! busy at first: a pear costs 4, in 2 requests, the second after 1 s or more
//! hangs at first: a plum costs 4, in 2 requests
//! no such thing: the answer was 404 Not Found (1 attempt in …; this is not retried)
//! no waiting in vain: the answer was 503 Service Unavailable (1 attempt in …; the next one would come after the deadline)
//! ten ask at once: a quince costs 6, in 1 request
//! once more: a quince costs 6, in 0 requests
//! a batch: 40 prices in 44 requests, never more than 4 at a time
//! an order whose answer was lost: number 1, in 2 requests, placed once
//! a service that is down: 50 calls are 69 requests
//! ```

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use quick_cache::sync::Cache;
use shibuya_cancel::timeout;
use shibuya_retry::reqwest::{RetryRequest, RetrySend};
use shibuya_retry::{Budget, Policy};
use shibuya_sync::SingleFlight;
use shibuya_taskgroup::{GroupError, TaskGroup, map_concurrent};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// ---- The client ----

/// Anything up to 10, 20 and 40 ms; a service of the real world has more.
static POLICY: Policy = Policy::exponential(ms(10), ms(1000));

/// For one attempt, from the connection to the head of the answer.
const ATTEMPT: Duration = ms(900);

/// All who share a request get its error, too, so it can be cloned.
type Failed = Arc<dyn Error + Send + Sync>;

struct Shop {
    client: reqwest::Client,
    url: String,
    /// One for all calls: ten retries at first, and then a fifth of the calls.
    budget: Budget,
    prices: Cache<String, u32>,
    requests: SingleFlight<String, Result<u32, Failed>>,
}

impl Shop {
    fn new(url: String) -> Result<Self, reqwest::Error> {
        // Only for a reqwest that was built with `rustls-no-provider`, as all examples of this repository together are.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            client: reqwest::Client::builder().no_proxy().build()?, // no proxy has this machine's loopback
            url,
            budget: Budget::ratio(0.2).burst(10).min_per_sec(0),
            prices: Cache::new(1000),
            requests: SingleFlight::new(),
        })
    }

    /// From the cache, from a request that is under way, or from one of its own.
    async fn price(&self, fruit: &str) -> Result<u32, Failed> {
        if let Some(price) = self.prices.get(fruit) {
            return Ok(price);
        }
        let miss = async || {
            // A request may have ended between the look above and this one.
            if let Some(price) = self.prices.get(fruit) {
                return Ok(price);
            }
            let price = self.request_price(fruit).await?;
            self.prices.insert(fruit.to_owned(), price);
            Ok(price)
        };
        self.requests.run(fruit.to_owned(), miss).await
    }

    async fn request_price(&self, fruit: &str) -> Result<u32, Failed> {
        let request = self.client.get(format!("{}/price/{fruit}", self.url));
        self.send(request.retry(&POLICY)).await
    }

    /// The number of the order. Without a key a POST would be sent once, as it may have had its effect.
    async fn order(&self, what: &'static str) -> Result<u32, Failed> {
        let request = self.client.post(format!("{}/orders", self.url)).body(what);
        self.send(request.retry(&POLICY).idempotency_key()).await
    }

    /// The number that is the answer.
    async fn send<'a>(&'a self, request: RetrySend<'a>) -> Result<u32, Failed> {
        let response = request.attempt_timeout(ATTEMPT).budget(&self.budget);
        let text = response.await.map_err(failed)?.text();
        text.await.map_err(failed)?.parse().map_err(failed)
    }

    /// All of them, in their order, or the first error; asks for so many at a time.
    async fn prices(
        self: &Arc<Self>,
        fruits: Vec<String>,
        at_a_time: usize,
    ) -> Result<Vec<u32>, GroupError<Failed>> {
        let shop = self.clone();
        let price = move |fruit: String| {
            let shop = shop.clone();
            async move { shop.price(&fruit).await }
        };
        map_concurrent(fruits, at_a_time, price).await
    }
}

fn failed(error: impl Error + Send + Sync + 'static) -> Failed {
    Arc::new(error)
}

// ---- The service ----

/// What came for each path, and what was ordered under which key.
#[derive(Default)]
struct Service {
    came: Mutex<HashMap<String, Vec<Instant>>>,
    orders: Mutex<HashMap<String, usize>>,
    under_way: AtomicUsize,
    most_at_a_time: AtomicUsize,
}

impl Service {
    async fn serve(self: Arc<Self>, listener: TcpListener) -> Result<Infallible, Box<dyn Error>> {
        let connections = TaskGroup::run(async |g| {
            loop {
                let (stream, _) = listener.accept().await?;
                g.spawn(connection(stream, self.clone()));
            }
        });
        Ok(connections.await?)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<String> {
        let path = request.uri().path().to_owned();
        let is_first = {
            let mut came = lock(&self.came);
            let came = came.entry(path.clone()).or_default();
            came.push(Instant::now());
            came.len() == 1
        };
        match path.trim_start_matches("/price/") {
            "pear" if is_first => busy("1"),
            "plum" if is_first => pending().await,
            "stone" => status(StatusCode::NOT_FOUND),
            "truffle" => busy("60"),
            "down" => status(StatusCode::SERVICE_UNAVAILABLE),
            "/orders" => self.order(&request),
            fruit if is_first && fruit.ends_with('0') => status(StatusCode::BAD_GATEWAY),
            fruit => {
                let now = 1 + self.under_way.fetch_add(1, Relaxed);
                self.most_at_a_time.fetch_max(now, Relaxed);
                sleep(ms(5)).await;
                self.under_way.fetch_sub(1, Relaxed);
                Response::new(fruit.len().to_string())
            }
        }
    }

    /// Places it, and the answer is lost; who asks again with the same key learns that it was placed.
    fn order(&self, request: &Request<Incoming>) -> Response<String> {
        let key = request.headers()["idempotency-key"].to_str();
        let key = key.expect("keys are ASCII").to_owned();
        let mut orders = lock(&self.orders);
        match orders.get(&key) {
            Some(number) => Response::new(number.to_string()),
            None => {
                let number = orders.len() + 1;
                orders.insert(key, number);
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// How many requests there were for `path`.
    fn requests(&self, path: &str) -> usize {
        lock(&self.came).get(path).map_or(0, Vec::len)
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) -> io::Result<()> {
    let answer = service_fn(async |request| Ok::<_, Infallible>(service.answer(request).await));
    // An error is a client that went away, as it does where it had to wait for too long.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics under it")
}

fn status(status: StatusCode) -> Response<String> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

fn busy(seconds: &'static str) -> Response<String> {
    let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
    let seconds = seconds.parse().expect("a number is a header's value");
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

// ---- What they do ----

async fn example(shop: &Arc<Shop>, service: &Service) -> Result<(), Box<dyn Error>> {
    let (pear, plum) = tokio::join!(shop.price("pear"), shop.price("plum"));
    let came = lock(&service.came)["/price/pear"].clone();
    assert!(came[1] - came[0] >= ms(1000));
    let (pear, requests) = (pear?, came.len());
    println!(
        "busy at first: a pear costs {pear}, in {requests} requests, the second after 1 s or more"
    );
    let (plum, requests) = (plum?, service.requests("/price/plum"));
    println!("hangs at first: a plum costs {plum}, in {requests} requests");

    let error = shop.price("stone").await.unwrap_err();
    println!("no such thing: {error}");
    let error = timeout(ms(20_000), shop.price("truffle")).await?;
    println!("no waiting in vain: {}", error.unwrap_err());

    let prices = shop.prices(vec!["quince".to_owned(); 10], 10).await?;
    let (price, requests) = (prices[9], service.requests("/price/quince"));
    println!("ten ask at once: a quince costs {price}, in {requests} request");
    let price = shop.price("quince").await?;
    let requests = service.requests("/price/quince") - requests;
    println!("once more: a quince costs {price}, in {requests} requests");

    let fruits: Vec<_> = (0..40).map(|number| format!("fruit-{number}")).collect();
    let paths = fruits
        .clone()
        .into_iter()
        .map(|fruit| format!("/price/{fruit}"));
    let prices = shop.prices(fruits, 4).await?.len();
    let requests: usize = paths.map(|path| service.requests(&path)).sum();
    assert!(service.most_at_a_time.load(Relaxed) <= 4);
    println!("a batch: {prices} prices in {requests} requests, never more than 4 at a time");

    let number = shop.order("two pears").await?;
    let (requests, placed) = (service.requests("/orders"), lock(&service.orders).len());
    assert_eq!(placed, 1);
    println!(
        "an order whose answer was lost: number {number}, in {requests} requests, placed once"
    );

    // One with a budget that nobody has drawn on yet.
    let shop = Shop::new(shop.url.clone())?;
    for _ in 0..50 {
        shop.price("down").await.unwrap_err();
    }
    let requests = service.requests("/price/down");
    println!("a service that is down: 50 calls are {requests} requests");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let shop = Arc::new(Shop::new(format!("http://{}", listener.local_addr()?))?);
    let service = Arc::new(Service::default());
    tokio::select! {
        done = example(&shop, &service) => done,
        Err(error) = service.clone().serve(listener) => Err(error),
    }
}
