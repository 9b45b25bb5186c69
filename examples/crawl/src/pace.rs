//! At most so many requests per second to each host, evenly spaced.

use std::future::pending;
use std::time::Duration;

use shibuya_ratelimit::{Keyed, Quota};
use url::{Position, Url};

/// Hands out the turns to ask a host, in the order of asking.
#[derive(Debug)]
pub struct Pace(Keyed<String>);

impl Pace {
    /// `rate` turns per second and host; the first is at once.
    ///
    /// # Panics
    ///
    /// If `rate` isn't a positive number, or less than one in years.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self(Keyed::new(Quota::every(Duration::from_secs_f64(
            1.0 / rate,
        ))))
    }

    /// Waits for the next turn to ask the host of `url`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no turn from anybody.
    pub async fn turn(&self, url: &Url) {
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        if self.0.acquire(&host).await.is_err() {
            // The turn would come after the crawl's deadline, which drops this.
            pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shibuya_cancel::timeout;
    use tokio::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn turns_are_evenly_spaced_and_missed_ones_are_lost() {
        let pace = Pace::new(10.0);
        let page = Url::parse("http://here.test/page").unwrap();
        let start = Instant::now();
        for _ in 0..3 {
            pace.turn(&page).await;
        }
        assert_eq!(start.elapsed(), 200 * MS);

        tokio::time::advance(5000 * MS).await;
        pace.turn(&page).await;
        let after = Instant::now();
        pace.turn(&page).await;
        assert_eq!(after.elapsed(), 100 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn each_host_has_its_own() {
        let pace = Pace::new(10.0);
        let start = Instant::now();
        for url in [
            "http://a.test/1",
            "http://b.test/1",
            "http://a.test:81/1",
            "https://user@a.test/2", // as the first, but for the scheme
        ] {
            pace.turn(&Url::parse(url).unwrap()).await;
        }
        assert_eq!(start.elapsed(), 100 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_after_the_deadline_never_comes() {
        let pace = Pace::new(10.0);
        let page = Url::parse("http://here.test/page").unwrap();
        pace.turn(&page).await;
        let start = Instant::now();
        assert!(timeout(50 * MS, pace.turn(&page)).await.is_err());
        assert_eq!(start.elapsed(), 50 * MS);
    }
}
