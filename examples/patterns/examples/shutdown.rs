//! # Shutdown: a service that ends when it is asked to, in bounded time, and says who did not
//!
//! A web server, two workers and a periodic job under `serve`. At SIGTERM or Ctrl-C it takes nothing new and finishes what it has
//! begun. What is not done when the grace is over is dropped, what can't be dropped is left behind, and both are reported by name. A
//! second signal does not wait for the grace.
//!
//! It needs the feature `signal`, and sends the signals to itself. With `-- --wait` it waits for yours, as it does on Windows.
//!
//! `cargo run -p patterns --example shutdown` prints:
//!
//! ```text
//! GET /order: 202 Accepted: order 1
//! GET /order: 202 Accepted: order 2
//! GET /order: 202 Accepted: order 3
//! GET /nowhere: 404 Not Found: no such page
//! SIGTERM
//! 3 orders were packed
//! the shop went down (shutting down): 3 finished, 1 aborted, 1 stuck
//! aborted: `newsletter` (…shutdown.rs:…)
//! stuck: `old driver` (…shutdown.rs:…)
//! twice: went down (shutting down): 0 finished, 1 aborted, 0 stuck
//! aborted: `deaf` (…shutdown.rs:…)
//! ```

use std::convert::Infallible;
use std::env;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use shibuya_sync::Queue;
use shibuya_taskgroup::{OrCancelled, ShutdownReport, Signal, TaskGroup, cancelled, every, serve};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// ---- The service ----

/// From the first signal on all of it has 500 ms, and 100 more to be dropped. `asyncio.run` cancels `main` at Ctrl-C, waits for it as
/// long as that takes, and leaves SIGTERM to you.
async fn shop(listener: TcpListener) -> ShutdownReport {
    let serve = serve(ms(500)).abandon_after(ms(100)); // 5 s, if nobody sets it
    let served = serve
        .on_signals([Signal::Term, Signal::Int])
        .run(async |g| {
            let orders = Queue::unbounded();
            let workers =
                ["packer 1", "packer 2"].map(|name| g.task(name).spawn(pack(orders.clone())));
            g.task("stock").spawn(every(ms(20)).run(count_stock));
            g.task("newsletter").spawn(newsletter());
            g.task("old driver")
                .spawn_blocking(|_scope| Ok(old_driver()));

            web(listener, orders.clone()).await?;
            orders.shutdown(); // nobody orders any more: the workers pack what is left, and end
            let mut packed = 0;
            for worker in workers {
                packed += worker.await;
            }
            Ok(println!("{packed} orders were packed"))
        });
    let served = served.await;
    if let Err(error) = served.result.or_cancelled(()) {
        println!("{error}");
    }
    served.report
}

/// Ends with the queue, so no order is lost.
async fn pack(orders: Queue<usize>) -> io::Result<usize> {
    let mut packed = 0;
    while let Ok(_order) = orders.get().await {
        sleep(ms(20)).await;
        packed += 1;
    }
    Ok(packed)
}

/// `every` is asked like all others, and ends between two runs.
async fn count_stock() -> io::Result<()> {
    Ok(sleep(ms(1)).await)
}

/// Never looks whether it should stop, so it is dropped where it waits.
async fn newsletter() -> io::Result<()> {
    loop {
        sleep(ms(5)).await;
    }
}

/// Blocks its thread, which nobody can stop.
fn old_driver() {
    thread::sleep(Duration::from_secs(60));
}

// ---- Its web server ----

/// Accepts until the service is to end, and returns when the last connection has. With axum all of this is
/// `axum::serve(listener, app).with_graceful_shutdown(g.shutdown_requested())`.
async fn web(listener: TcpListener, orders: Queue<usize>) -> io::Result<()> {
    let orders = Arc::new(Orders {
        queue: orders,
        taken: AtomicUsize::new(0),
    });
    let connections = TaskGroup::run(async |g| {
        let mut asked = pin!(cancelled());
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, visitor) = accepted?;
                    g.task(visitor.to_string()).spawn(connection(stream, orders.clone()));
                }
                _ = asked.as_mut() => return Ok(()),
            }
        }
    });
    connections.await.map_err(io::Error::other)
}

struct Orders {
    queue: Queue<usize>,
    taken: AtomicUsize,
}

/// Ends after the answer that it is at, and at once where it is idle.
async fn connection(stream: TcpStream, orders: Arc<Orders>) -> io::Result<()> {
    let answer = service_fn(|request| answer(request, &orders));
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        eprintln!("{error}"); // one visitor's trouble is not the server's
    }
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    orders: &Orders,
) -> Result<Response<String>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/order" => {
            let order = 1 + orders.taken.fetch_add(1, Relaxed);
            match orders.queue.put(order).await {
                Ok(()) => (StatusCode::ACCEPTED, format!("order {order}\n")),
                Err(_) => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "we are closing\n".to_owned(),
                ),
            }
        }
        _ => (StatusCode::NOT_FOUND, "no such page\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    Ok(response)
}

// ---- The second signal ----

/// Somebody presses Ctrl-C twice and is not made to wait for a minute.
async fn twice() -> ShutdownReport {
    let serve = serve(Duration::from_secs(60)).on_signals([Signal::Term, Signal::Int]);
    let served = serve.run(async |g| {
        g.task("deaf").spawn(pending::<Result<(), Infallible>>());
        send_sigterm();
        g.shutdown_requested().await;
        send_sigterm();
        pending::<Result<(), _>>().await
    });
    served.await.report
}

// ---- The world around it ----

/// A visitor with one connection, and then an operator.
async fn visit(server: SocketAddr) -> io::Result<()> {
    let mut server = BufStream::new(TcpStream::connect(server).await?);
    for path in ["/order", "/order", "/order", "/nowhere"] {
        println!("GET {path}: {}", get(&mut server, path).await?);
    }
    println!("SIGTERM");
    send_sigterm();
    let heard = server.read_line(&mut String::new()).await?;
    assert_eq!(heard, 0, "the server hangs up, as nothing is under way");
    Ok(())
}

/// The status and the text, which is a line.
async fn get(server: &mut BufStream<TcpStream>, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n");
    server.write_all(request.as_bytes()).await?;
    server.flush().await?;
    let mut lines = server.lines();
    let status = lines.next_line().await?.unwrap_or_default();
    while lines
        .next_line()
        .await?
        .is_some_and(|header| !header.is_empty())
    {}
    let text = lines.next_line().await?.unwrap_or_default();
    Ok(format!(
        "{}: {text}",
        status.trim_start_matches("HTTP/1.1 ")
    ))
}

#[cfg(unix)]
fn send_sigterm() {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::TERM).expect("a process may signal itself");
}

#[cfg(not(unix))]
fn send_sigterm() {
    unreachable!("it waits for Ctrl-C");
}

async fn example(wait: bool) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    if wait {
        println!("try http://{server}/order, and then Ctrl-C");
        println!("the shop {}", shop(listener).await);
        return Ok(());
    }
    let (report, visited) = tokio::join!(shop(listener), visit(server));
    visited?;
    println!("the shop {report}");
    println!("twice: {}", twice().await);
    Ok(())
}

fn main() -> io::Result<()> {
    let wait = cfg!(not(unix)) || env::args().any(|arg| arg == "--wait");
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(example(wait));
    runtime.shutdown_background(); // with `#[tokio::main]` the stuck thread would keep the process
    ended
}
