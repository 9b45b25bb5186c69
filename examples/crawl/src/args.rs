//! The command line.

use std::time::Duration;

use clap::{Parser, value_parser};
use url::Url;

use crate::crawl::Options;
use crate::links::is_http;

/// Check the links of a web site.
///
/// Visits every page that can be reached within the origin of URL, as far as robots.txt allows, and
/// reports the links that are broken. Without URL it serves a small site of its own on loopback and
/// checks that.
///
/// Exit status: 0 no broken link, 1 broken links found, 2 wrong usage or a URL that can't be reached.
/// The demo exits 0.
#[derive(Debug, Parser)]
#[command(name = "crawl", version)]
pub struct Args {
    /// The page to start from
    #[arg(value_parser = http_url)]
    pub url: Option<Url>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Go no further than so many clicks from the start
    #[arg(long, value_name = "CLICKS")]
    pub depth: Option<usize>,

    /// Requests at a time; browsers open as many connections to a host
    #[arg(long, value_name = "N", default_value = "6", value_parser = value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Requests per second to each host, at most
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,

    /// Time for one attempt at a request: 10, 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,

    /// Send a request that fails for the moment again, up to so many times; 0 for never
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parser!(u32).range(..=100))]
    pub retries: u32,

    /// Time for the whole crawl; what was found by then is reported
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,

    /// Request links to other origins too, without following theirs
    #[arg(long)]
    pub external: bool,

    /// Print what runs, as a tree, to standard error: on SIGUSR1, and when no page was finished for 5 s
    #[arg(long)]
    pub tree: bool,

    /// Serve the demo site until Ctrl-C, to look at it
    #[arg(long, conflicts_with = "url")]
    pub serve: bool,
}

impl Args {
    /// The options for a crawl from `start`.
    #[must_use]
    pub fn options(&self, mut start: Url) -> Options {
        start.set_fragment(None);
        Options {
            start,
            depth: self.depth,
            concurrency: self.concurrency.into(),
            rate: self.rate,
            timeout: self.timeout,
            retries: self.retries,
            deadline: self.deadline,
            external: self.external,
        }
    }
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("{error} (a URL looks like https://example.com/)"))?;
    if is_http(&url) {
        Ok(url)
    } else {
        Err("neither http nor https".to_owned())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("a number from 0.001 to 1000000 is needed".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("the units are ms, s, m and h".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "a number is needed, as in 10s".to_owned())?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= DURATION_MAX)
        .ok_or_else(|| "must be positive and no longer than a year".to_owned())
}

/// Longer ones overflow clocks.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "0", "-1s", "1x", "nan", "1e300h", "1 0"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_http_urls_are_crawled() {
        assert!(http_url("https://example.com").is_ok());
        assert!(http_url("example.com").unwrap_err().contains("looks like"));
        assert!(http_url("ftp://example.com").is_err());
    }
}
