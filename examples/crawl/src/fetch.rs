//! One URL, requested: redirects followed, time limited, tried again where that may help, no more read than is of use.

mod body;
mod error;
mod retries;

use std::time::{Duration, Instant};

use reqwest::header::LOCATION;
use reqwest::{Client, Response, redirect};
use shibuya_cancel::step;
use url::{Host, Url};

use crate::links::is_http;
use crate::pace::Pace;
use crate::robots::PRODUCT;

pub use body::{BODY_MAX, Body, Read};
pub use error::FetchError;
pub use retries::Retried;

use retries::{Retries, Setback};

/// A chain of redirects that is longer than this has no end.
const REDIRECTS_MAX: usize = 10;

/// What answered in the end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its URL: behind the redirects, where there were any.
    pub end: Url,
    /// Its length in bytes: what its header promised, else what was read.
    pub length: u64,
    /// Its body, if that was to be read.
    pub body: Option<Body>,
    /// From request to last byte, of all redirects together. Where a request was sent again, its last attempt counts.
    pub took: Duration,
}

/// An HTTP client that behaves.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    timeout: Duration,
    retries: Retries,
    pace: Option<Pace>,
}

impl Fetcher {
    /// A client for the site of `start`: `timeout` for each attempt at a request, up to `retries` more of them, `rate` of
    /// them all per second and host.
    ///
    /// # Errors
    ///
    /// If the client can't be set up.
    pub fn new(
        start: &Url,
        timeout: Duration,
        retries: u32,
        rate: Option<f64>,
    ) -> Result<Self, reqwest::Error> {
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
            retries: Retries::new(retries),
            pace: rate.map(Pace::new),
        })
    }

    /// What was sent again so far.
    #[must_use]
    pub fn retried(&self) -> Retried {
        self.retries.so_far()
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
        let mut took = Duration::ZERO;
        loop {
            let at = &chain[chain.len() - 1];
            let (hop, hop_took) = self.hop(at, read).await?;
            took += hop_took;
            match hop {
                Hop::End(answer) => return Ok(Answer { took, ..answer }),
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

    /// One request, made again until its answer is one to keep or there are to be no more attempts; and how long the last of
    /// them took.
    async fn hop(&self, url: &Url, read: Read) -> Result<(Hop, Duration), FetchError> {
        let retries = &self.retries;
        let run = retries.policy.start().attempt_timeout(self.timeout);
        let mut run = run.budget(&retries.budget).classify(Setback::verdict);
        for number in 1.. {
            if let Some(pace) = &self.pace {
                step("wait for a turn (--rate)", pace.turn(url)).await;
            }
            let sent = Instant::now();
            let outcome = run.attempt(self.request(url, read)).await;
            let took = sent.elapsed();
            retries.count(number, outcome.is_err());
            let setback = match outcome {
                Ok(hop) => return Ok((hop, took)),
                Err(setback) => setback,
            };
            let wait = run.backoff(setback);
            if let Err(ended) = step("wait before another attempt", wait).await {
                return Ok((Setback::settle(ended, self.timeout)?, took));
            }
        }
        unreachable!("a policy ends")
    }

    /// One attempt.
    async fn request(&self, url: &Url, read: Read) -> Result<Hop, Setback> {
        let sent = self.client.get(url.clone()).send();
        let response = step("connect and wait for the answer", sent).await?;
        let again = Setback::worth_of(&response);
        match redirect_target(&response)? {
            Some(to) => {
                step("read to the end", body::drain(response)).await;
                Ok(Hop::Redirect(to))
            }
            None => {
                let answer = step("read the body", receive(response, url, read));
                let end = Hop::End(answer.await?);
                match again {
                    None => Ok(end),
                    Some(verdict) => Err(Setback::of_answer(end, verdict)),
                }
            }
        }
    }
}

#[derive(Debug)]
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
    let body = if status.is_success() {
        Body::receive(response, read).await?
    } else {
        body::drain(response).await;
        None
    };
    let received = body.as_ref().map(|body| body.bytes.len() as u64);
    Ok(Answer {
        status: status.as_u16(),
        end: url.clone(),
        length: promised.or(received).unwrap_or(0),
        body,
        took: Duration::ZERO, // the caller knows
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
