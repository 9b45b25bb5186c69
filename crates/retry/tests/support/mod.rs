//! A web server on loopback that answers what it was told to.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};

use http::header::RETRY_AFTER;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Status(u16),
    /// A 503 with this `Retry-After`.
    Busy(&'static str),
    /// The connection ends.
    Reset,
    /// Nothing.
    Silence,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) at: Instant,
    pub(crate) key: Option<String>,
}

/// Dropped, it no longer listens.
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    task: AbortHandle,
}

impl Server {
    /// Gives these answers in order, and a 200 afterwards.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let answers: VecDeque<_> = answers.into_iter().collect();
        let (answers, came) = (Arc::new(Mutex::new(answers)), Arc::default());
        let task = tokio::spawn(accept(listener, answers, Arc::clone(&came))).abort_handle();
        Self { at, came, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.at)
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    came: Arc<Mutex<Vec<Came>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (answers, came) = (answers.clone(), came.clone());
        let respond = service_fn(move |request: Request<Incoming>| {
            let key = request.headers().get("idempotency-key");
            came.lock().unwrap().push(Came {
                at: Instant::now(),
                key: key.map(|key| key.to_str().unwrap().to_owned()),
            });
            let answer = answers.lock().unwrap().pop_front();
            respond(answer.unwrap_or(Answer::Status(200)))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), respond));
    }
}

async fn respond(answer: Answer) -> io::Result<Response<String>> {
    let response = match answer {
        Answer::Status(code) => Response::builder().status(code),
        Answer::Busy(when) => Response::builder().status(503).header(RETRY_AFTER, when),
        Answer::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        Answer::Silence => std::future::pending().await,
    };
    Ok(response.body(String::from("what it is")).unwrap())
}

/// Where nobody listens, as long as the socket lives.
pub(crate) fn nowhere() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

/// One that keeps no connection: the timer of a pool would move a paused clock.
pub(crate) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let client = reqwest::Client::builder().pool_max_idle_per_host(0);
    client.build().unwrap()
}
