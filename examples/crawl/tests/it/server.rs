//! An HTTP server for tests: a closure says what each path is answered, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The answer to a request.
pub(crate) enum Reply {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// Nothing, until the client gives up.
    Hang,
}

/// `body` as an HTML page.
pub(crate) fn html(body: impl AsRef<[u8]>) -> Reply {
    page("200 OK", "Content-Type: text/html\r\n", body)
}

/// A redirect.
pub(crate) fn redirect(location: &str) -> Reply {
    page("302 Found", &format!("Location: {location}\r\n"), "")
}

pub(crate) fn not_found() -> Reply {
    page("404 Not Found", "", "")
}

/// A status, header lines, a body.
pub(crate) fn page(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Reply::Bytes(bytes)
}

/// Serves until the test process ends.
pub(crate) struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let (answer, counter) = (Arc::new(answer), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
                thread::spawn(move || {
                    // A client that went away is none of the server's business.
                    let _ = stream.and_then(|stream| converse(&stream, &counter, &*answer));
                });
            }
        });
        Self { address, requests }
    }

    /// The URL of `path` on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests came in, those for robots.txt not counted.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn converse(
    mut stream: &TcpStream,
    requests: &AtomicUsize,
    answer: &dyn Fn(&str) -> Reply,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}

    let path = request.split(' ').nth(1).unwrap_or("/");
    if path != "/robots.txt" {
        requests.fetch_add(1, Ordering::SeqCst);
    }
    match answer(path) {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes)?;
            stream.shutdown(Shutdown::Write)
        }
        Reply::Hang => stream.read_to_end(&mut Vec::new()).map(drop),
    }
}
