//! What belongs to the crawl: one origin, less what its robots.txt keeps for itself.

use url::{Origin, Position, Url};

use crate::fetch::{FetchError, Fetcher, Read};
use crate::robots::{PRODUCT, Robots};

/// More of a robots.txt need not be read (RFC 9309, 2.5).
const ROBOTS_MAX: usize = 500 << 10;

/// The origin that is crawled, and its rules.
#[derive(Debug)]
pub struct Scope {
    origin: Origin,
    /// Or why they can't be had, which forbids everything.
    robots: Result<Robots, String>,
}

impl Scope {
    /// The origin of `url`; asks for its robots.txt.
    pub async fn of(url: &Url, fetcher: &Fetcher) -> Self {
        let robots_txt = url.join("/robots.txt").expect("an http URL can be a base");
        let robots = match fetcher
            .get(&robots_txt, Read::UpTo(ROBOTS_MAX), |_| Ok(()))
            .await
        {
            Ok(answer) if answer.status >= 500 => Err(format!("status {}", answer.status)),
            Ok(answer) => Ok(match answer.body {
                Some(body) => Robots::parse(&String::from_utf8_lossy(&body.bytes), PRODUCT),
                None => Robots::allow_all(),
            }),
            Err(error) if error.is_redirect() => Ok(Robots::allow_all()),
            Err(error) => Err(error.to_string()),
        };
        Self {
            origin: url.origin(),
            robots,
        }
    }

    /// Whether `url` is of this origin.
    #[must_use]
    pub fn contains(&self, url: &Url) -> bool {
        url.origin() == self.origin
    }

    /// Whether robots.txt lets `url` be requested. It speaks for its own origin alone.
    ///
    /// # Errors
    ///
    /// [`FetchError::Disallowed`], or [`FetchError::NoRobots`] where there may be rules that couldn't
    /// be had (RFC 9309, 2.3.1.4).
    pub fn allows(&self, url: &Url) -> Result<(), FetchError> {
        if !self.contains(url) {
            return Ok(());
        }
        let robots = self
            .robots
            .as_ref()
            .map_err(|why| FetchError::NoRobots(why.clone()))?;
        let path = &url[Position::BeforePath..Position::AfterQuery];
        if robots.allows(path) {
            Ok(())
        } else {
            Err(FetchError::Disallowed(url.clone()))
        }
    }
}
