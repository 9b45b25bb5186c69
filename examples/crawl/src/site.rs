//! The demo site: a small web of its own, served over real HTTP on a free loopback port.
//!
//! It has what a link checker meets outside: slow pages, pages that fail at the first request, dead
//! links, redirects and loops of them, other content types, other charsets. [`BROKEN`] says which
//! links it knows to be broken, [`FLAKY`] which are so at first.

mod pages;
mod text;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use shibuya_taskgroup::{GroupError, TaskGroup};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use pages::Answer;

pub use pages::{BROKEN, FLAKY};

type Body = BoxBody<Bytes, io::Error>;

/// The demo site, bound to a port.
#[derive(Debug)]
pub struct Site {
    listener: TcpListener,
    address: SocketAddr,
}

impl Site {
    /// Binds a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// What the operating system says when there is no such port.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The URL of the site's first page.
    #[must_use]
    pub fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).expect("a socket address is a valid host")
    }

    /// Serves until the future is dropped, which drops the connections too.
    ///
    /// # Errors
    ///
    /// It never ends otherwise, unless an answer panics.
    pub async fn serve(self) -> Result<Infallible, GroupError<Infallible>> {
        let flaky = Arc::new(Flaky::default());
        let connections = TaskGroup::builder().name("demo site");
        connections
            .run(async |g| {
                loop {
                    match self.listener.accept().await {
                        Ok((stream, _)) => drop(g.spawn(converse(stream, Arc::clone(&flaky)))),
                        // A client that is gone already, or no file descriptor left: the next one may do.
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            })
            .await
    }
}

/// The flaky pages that have had their first request: the next one is answered.
#[derive(Debug, Default)]
struct Flaky(Mutex<HashSet<String>>);

impl Flaky {
    fn is_first(&self, path: &str) -> bool {
        let mut seen = self.0.lock().expect("nothing panics under this lock");
        seen.insert(path.to_owned())
    }
}

async fn converse(stream: TcpStream, flaky: Arc<Flaky>) -> Result<(), Infallible> {
    let service = service_fn(move |request: Request<Incoming>| {
        let flaky = Arc::clone(&flaky);
        async move { Ok::<_, Infallible>(respond(request.uri().path(), &flaky).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // An error here is a client that went away, or a page that was cut off on purpose.
    let _ = connection.await;
    Ok(())
}

async fn respond(path: &str, flaky: &Flaky) -> Response<Body> {
    match pages::answer(path) {
        Answer::Html(html) => page("text/html; charset=utf-8", html),
        Answer::Slow(pause, html) => {
            tokio::time::sleep(pause).await;
            page("text/html; charset=utf-8", html)
        }
        Answer::Flaky(_) if flaky.is_first(path) => {
            let mut response = status(503);
            response.headers_mut().insert(RETRY_AFTER, 1.into());
            response
        }
        Answer::Flaky(html) => page("text/html; charset=utf-8", html),
        Answer::Other(content_type, bytes) => page(content_type, bytes),
        Answer::Redirect(to) => {
            let mut response = status(301);
            response
                .headers_mut()
                .insert(LOCATION, to.parse().expect("the site's paths are ASCII"));
            response
        }
        Answer::Status(code) => status(code),
        Answer::CutOff(html) => {
            let promised = html.len() + 1000;
            let mut response = page("text/html; charset=utf-8", "");
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, promised.into());
            *response.body_mut() = cut_off(html);
            response
        }
    }
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// Ends with an error, for which the server closes the connection.
fn cut_off(bytes: impl Into<Bytes>) -> Body {
    let error = io::Error::from(io::ErrorKind::ConnectionAborted);
    let frames = [Ok(Frame::data(bytes.into())), Err(error)];
    StreamBody::new(stream::iter(frames)).boxed()
}

fn page(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    Response::builder()
        .header(CONTENT_TYPE, content_type)
        .body(whole(body))
        .expect("the header is a constant")
}

fn status(code: u16) -> Response<Body> {
    let body = format!("<!doctype html><title>{code}</title><h1>{code}</h1>");
    Response::builder()
        .status(code)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .body(whole(body))
        .expect("the site's status codes are valid")
}
