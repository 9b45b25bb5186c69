//! One URL, requested: redirects followed, time limited, no more read than is of use.

use std::error::Error;
use std::time::Duration;

use encoding_rs::Encoding;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, redirect};
use url::{Host, Url};

use crate::charset;
use crate::links::is_http;
use crate::pace::Pace;
use crate::robots::PRODUCT;

/// A chain of redirects that is longer than this has no end.
const REDIRECTS_MAX: usize = 10;

/// What of a page is read: the rest is neither waited for nor kept.
pub const BODY_MAX: usize = 16 << 20;

/// A body that nobody wants is read all the same when it is this short, since that keeps the
/// connection for the next request.
const DRAIN_MAX: u64 = 64 << 10;

/// Which bodies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// None: the status is enough.
    Nothing,
    /// That of a page.
    Html,
    /// Any, up to so many bytes.
    UpTo(usize),
}

/// What answered in the end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its URL: behind the redirects, where there were any.
    pub end: Url,
    /// Its length in bytes: of what was read, else of what its header promised.
    pub length: u64,
    /// Its body, if that was to be read.
    pub body: Option<Body>,
}

impl Answer {
    /// Whether the status is one of the 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The bytes of a body.
#[derive(Debug)]
pub struct Body {
    /// At most [`BODY_MAX`] of them.
    pub bytes: Vec<u8>,
    /// There were more.
    pub truncated: bool,
    /// The charset in the header.
    pub charset: Option<&'static Encoding>,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The time for one request was over.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// More than ten redirects.
    #[error("too many redirects (more than {REDIRECTS_MAX})")]
    TooManyRedirects,
    /// A redirect led back to a URL of its own chain.
    #[error("redirect loop through {0}")]
    RedirectLoop(Url),
    /// A redirect to what is no http(s) URL.
    #[error("redirect to {0:?}, which is no http(s) URL")]
    BadRedirect(String),
    /// robots.txt forbids to go there.
    #[error("{0} is disallowed by robots.txt")]
    Disallowed(Url),
    /// A robots.txt that can't be had forbids everything.
    #[error("robots.txt can't be had: {0}")]
    NoRobots(String),
    /// No connection, or it broke.
    #[error("{}", root_cause(.0))]
    Transport(#[from] reqwest::Error),
}

impl FetchError {
    /// Whether the redirects led nowhere.
    #[must_use]
    pub fn is_redirect(&self) -> bool {
        matches!(
            self,
            Self::TooManyRedirects | Self::RedirectLoop(_) | Self::BadRedirect(_)
        )
    }
}

/// An HTTP client that behaves.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    timeout: Duration,
    pace: Option<Pace>,
}

impl Fetcher {
    /// A client for the site of `start`: `timeout` for each request, `rate` requests per second.
    ///
    /// # Errors
    ///
    /// If the client can't be set up.
    pub fn new(start: &Url, timeout: Duration, rate: Option<f64>) -> Result<Self, reqwest::Error> {
        // An error says that there is a provider already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || {
            let builder = Client::builder()
                .user_agent(format!("{PRODUCT}/{}", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none());
            // No proxy can reach our loopback.
            if is_loopback(start) {
                builder.no_proxy()
            } else {
                builder
            }
        };
        // A machine without certificates can check http all the same.
        let client = client()
            .build()
            .or_else(|_| client().tls_certs_only([]).build())?;
        Ok(Self {
            client,
            timeout,
            pace: rate.map(Pace::new),
        })
    }

    /// Requests `url` and follows its redirects as far as `may_go` lets it,
    /// which is asked about `url` too.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it closes the connection that it used; no other request notices.
    ///
    /// # Errors
    ///
    /// Whatever left the URL without an answer. A status is no error.
    pub async fn get(
        &self,
        url: &Url,
        read: Read,
        may_go: impl Fn(&Url) -> Result<(), FetchError>,
    ) -> Result<Answer, FetchError> {
        may_go(url)?;
        let mut chain = vec![url.clone()];
        loop {
            let at = &chain[chain.len() - 1];
            if let Some(pace) = &self.pace {
                pace.turn().await;
            }
            let hop = tokio::time::timeout(self.timeout, self.request(at, read)).await;
            match hop.map_err(|_| FetchError::Timeout(self.timeout))?? {
                Hop::End(answer) => return Ok(answer),
                Hop::Redirect(to) if chain.contains(&to) => {
                    return Err(FetchError::RedirectLoop(to));
                }
                Hop::Redirect(_) if chain.len() > REDIRECTS_MAX => {
                    return Err(FetchError::TooManyRedirects);
                }
                Hop::Redirect(to) => {
                    may_go(&to)?;
                    chain.push(to);
                }
            }
        }
    }

    async fn request(&self, url: &Url, read: Read) -> Result<Hop, FetchError> {
        let response = self.client.get(url.clone()).send().await?;
        match redirect_target(&response)? {
            Some(to) => {
                drain(response).await;
                Ok(Hop::Redirect(to))
            }
            None => Ok(Hop::End(receive(response, url, read).await?)),
        }
    }
}

enum Hop {
    Redirect(Url),
    End(Answer),
}

fn redirect_target(response: &Response) -> Result<Option<Url>, FetchError> {
    let location = match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => response.headers().get(LOCATION),
        _ => None,
    };
    let Some(location) = location else {
        return Ok(None);
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    match response.url().join(&location) {
        Ok(mut to) if is_http(&to) => {
            to.set_fragment(None);
            Ok(Some(to))
        }
        _ => Err(FetchError::BadRedirect(location.into_owned())),
    }
}

async fn receive(response: Response, url: &Url, read: Read) -> Result<Answer, FetchError> {
    let status = response.status();
    let promised = response.content_length();
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let charset = charset::of_content_type(content_type);
    let max = match read {
        Read::Html if status.is_success() && is_html(content_type) => Some(BODY_MAX),
        Read::UpTo(max) if status.is_success() => Some(max),
        _ => None,
    };
    let body = match max {
        Some(max) => {
            let (bytes, truncated) = read_up_to(max, response).await?;
            Some(Body {
                bytes,
                truncated,
                charset,
            })
        }
        None => {
            drain(response).await;
            None
        }
    };
    let received = body.as_ref().map(|body| body.bytes.len() as u64);
    let length = promised.or(received).unwrap_or(0);
    Ok(Answer {
        status: status.as_u16(),
        end: url.clone(),
        length,
        body,
    })
}

fn is_html(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("text/html")
        || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

/// The first `max` bytes, and whether there were more.
async fn read_up_to(max: usize, mut response: Response) -> Result<(Vec<u8>, bool), FetchError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok((bytes, true));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, false))
}

/// A long body is not worth it: dropping the response closes the connection. Nor is an error here,
/// since the answer is known.
async fn drain(mut response: Response) {
    if response
        .content_length()
        .is_some_and(|length| length <= DRAIN_MAX)
    {
        while let Ok(Some(_)) = response.chunk().await {}
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The innermost error is the one that says something: "Connection refused", not "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
