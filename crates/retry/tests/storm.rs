//! A service that fails for ten seconds, and a thousand calls a second that try again: what it is sent, with a
//! budget and without. All on a paused clock with seeded delays, so each run is the same.
#![cfg(not(shibuya_loom))]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use shibuya_retry::{Budget, Policy, Retryable};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

static POLICY: Policy =
    Policy::exponential(Duration::from_millis(100), Duration::from_secs(1)).max_retries(3);

/// Each second.
const CALLS: u64 = 1000;
const SECONDS: u64 = 40;
/// In seconds from the start.
const OUTAGE: std::ops::Range<u64> = 10..20;
/// Requests each second that it can answer; of what comes beyond that, nobody gets anything.
const CAPACITY: usize = 1500;

/// It fails in its outage, and whenever it is sent more than it can do.
struct Server {
    start: Instant,
    /// When the requests of the last second came.
    last: VecDeque<Instant>,
    /// In each tenth of a second.
    load: Vec<u32>,
    failed_calls: Vec<u32>,
}

impl Server {
    fn tenth(&self) -> usize {
        (self.start.elapsed().as_millis() / 100) as usize
    }

    fn request(&mut self) -> Result<(), ()> {
        let now = Instant::now();
        let tenth = self.tenth().min(self.load.len() - 1);
        self.load[tenth] += 1;
        self.last.push_back(now);
        while self.last.front().is_some_and(|at| now - *at > SEC) {
            self.last.pop_front();
        }
        let is_out = OUTAGE.contains(&(self.start.elapsed().as_secs()));
        match is_out || self.last.len() > CAPACITY {
            true => Err(()),
            false => Ok(()),
        }
    }
}

/// What the server was sent in each tenth of a second, and how many calls failed in the end.
struct Record {
    load: Vec<u32>,
    failed_calls: Vec<u32>,
}

impl Record {
    /// Requests a second, between two times in seconds.
    fn rate(&self, seconds: std::ops::Range<u64>) -> f64 {
        let tenths = seconds.start as usize * 10..seconds.end as usize * 10;
        let count = tenths.len() as f64 / 10.0;
        f64::from(self.load[tenths].iter().sum::<u32>()) / count
    }

    fn failed(&self, seconds: std::ops::Range<u64>) -> u32 {
        self.failed_calls[seconds.start as usize * 10..seconds.end as usize * 10]
            .iter()
            .sum()
    }
}

fn simulate(budget: Option<&'static Budget>) -> Record {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let start = Instant::now();
        let tenths = (SECONDS * 10) as usize;
        let server = Rc::new(RefCell::new(Server {
            start,
            last: VecDeque::new(),
            load: vec![0; tenths],
            failed_calls: vec![0; tenths],
        }));
        for number in 0..SECONDS * CALLS {
            sleep_until(start + Duration::from_micros(number * 1_000_000 / CALLS)).await;
            let server = server.clone();
            spawn_local(async move {
                let policy = POLICY.seed(number);
                let call = || async {
                    sleep(10 * MS).await;
                    server.borrow_mut().request()
                };
                let retry = call.retry(&policy);
                let ended = match budget {
                    Some(budget) => retry.budget(budget).await,
                    None => retry.await,
                };
                let mut server = server.borrow_mut();
                let tenth = server.tenth();
                if let (Err(_), Some(failed)) = (ended, server.failed_calls.get_mut(tenth)) {
                    *failed += 1;
                }
            });
        }
        let server = server.borrow();
        Record {
            load: server.load.clone(),
            failed_calls: server.failed_calls.clone(),
        }
    })
}

#[test]
fn a_budget_keeps_a_storm_from_coming_up() {
    static BUDGET: Budget = Budget::ratio(0.2);
    let (with, without) = (simulate(Some(&BUDGET)), simulate(None));

    let normal = CALLS as f64;
    let storm = without.rate(11..20) / normal;
    let calm = with.rate(11..20) / normal;
    println!("load in the outage: {storm:.2} of the calls without a budget, {calm:.2} with one");
    println!(
        "load at the end: {:.2} without, {:.2} with",
        without.rate(35..40) / normal,
        with.rate(35..40) / normal
    );
    assert!(storm > 3.4, "{storm}");
    // A fifth of the calls, and the ten a second that are free.
    assert!(calm <= 1.0 + 0.2 + 0.015, "{calm}");

    // With a budget the failures end with the outage. Without one the retries alone are more than the
    // server can answer, so it is kept down by those who wait for it.
    assert_eq!(with.failed(22..40), 0);
    assert!((with.rate(22..40) / normal - 1.0).abs() < 0.01);
    assert!(without.failed(35..40) > 4000, "{}", without.failed(35..40));

    // Where nothing fails, a budget changes nothing.
    assert_eq!(with.load[..100], without.load[..100]);

    the_book_has_this_picture(&with, &without);
}

/// The picture in the book is what this simulation draws; `SHIBUYA_BLESS=1` puts it there.
fn the_book_has_this_picture(with: &Record, without: &Record) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/en/retry-storm.svg");
    let picture = draw(with, without);
    if std::env::var_os("SHIBUYA_BLESS").is_some() {
        std::fs::write(&path, &picture).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there.replace("\r\n", "\n") == picture,
        "docs/src/en/retry-storm.svg is not what the simulation draws: run it with SHIBUYA_BLESS=1"
    );
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 16.0;
const TOP_RATE: f64 = 5000.0;

fn x(seconds: f64) -> f64 {
    LEFT + seconds / SECONDS as f64 * WIDTH
}

fn y(rate: f64) -> f64 {
    TOP + (1.0 - rate / TOP_RATE) * HEIGHT
}

/// The requests of each half second, as a line.
fn line(record: &Record, colour: &str, dashes: &str) -> String {
    let points: Vec<_> = record
        .load
        .chunks(5)
        .enumerate()
        .map(|(i, tenths)| {
            let rate = f64::from(tenths.iter().sum::<u32>()) * 2.0;
            format!("{:.1},{:.1}", x(i as f64 / 2.0 + 0.25), y(rate))
        })
        .collect();
    let points = points.join(" ");
    format!(
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\" points=\"{points}\"/>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>\n")
}

fn draw(with: &Record, without: &Record) -> String {
    let (width, height) = (LEFT + WIDTH + 16.0, TOP + HEIGHT + 44.0);
    let mut svg = String::new();
    // Grey that can be read on white and on black.
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#888\">"
    )
    .unwrap();
    svg += "<title>Requests each second, with a retry budget and without</title>\n";
    let (from, to) = (x(OUTAGE.start as f64), x(OUTAGE.end as f64));
    writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{HEIGHT}\" opacity=\"0.2\"/>",
        to - from
    )
    .unwrap();
    svg += &text((from + to) / 2.0, TOP + 14.0, "middle", "outage");
    for rate in (0..=5).map(|thousands| f64::from(thousands) * 1000.0) {
        writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#888\" stroke-width=\"0.5\"/>",
            LEFT + WIDTH,
            y(rate),
            y(rate)
        )
        .unwrap();
        svg += &text(LEFT - 6.0, y(rate) + 4.0, "end", &format!("{rate}"));
    }
    for seconds in (0..=SECONDS).step_by(10) {
        let below = TOP + HEIGHT + 16.0;
        svg += &text(x(seconds as f64), below, "middle", &format!("{seconds} s"));
    }
    let capacity = y(CAPACITY as f64);
    writeln!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{capacity:.1}\" y2=\"{capacity:.1}\" stroke=\"#888\" stroke-dasharray=\"2 4\"/>",
        LEFT + WIDTH
    )
    .unwrap();
    svg += &text(
        LEFT + 4.0,
        capacity - 5.0,
        "start",
        "what the server can answer",
    );
    svg += &line(without, "#d9534f", "none");
    svg += &line(with, "#3a87c8", "8 3");
    let below = TOP + HEIGHT + 36.0;
    svg += &format!(
        "<g fill=\"#d9534f\">{}</g>\n",
        text(LEFT, below, "start", "— without a budget").trim_end()
    );
    svg += &format!(
        "<g fill=\"#3a87c8\">{}</g>\n",
        text(LEFT + 180.0, below, "start", "- - with a budget of a fifth").trim_end()
    );
    svg += "</svg>\n";
    svg
}
