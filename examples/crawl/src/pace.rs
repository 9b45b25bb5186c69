//! At most so many requests per second, evenly spaced.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Hands out one turn per interval, in the order of asking.
#[derive(Debug)]
pub struct Pace(Mutex<Interval>);

impl Pace {
    /// `rate` turns per second; the first is at once.
    ///
    /// # Panics
    ///
    /// If `rate` isn't a positive number.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        let mut interval = interval(Duration::from_secs_f64(1.0 / rate));
        // Turns that nobody took are not made up for: that would be a burst.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Mutex::new(interval))
    }

    /// Waits for the next turn.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no turn from anybody.
    pub async fn turn(&self) {
        self.0.lock().await.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn turns_are_evenly_spaced_and_missed_ones_are_lost() {
        let pace = Pace::new(10.0);
        let start = Instant::now();
        for _ in 0..3 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_millis() / 10, 20);

        tokio::time::advance(Duration::from_secs(5)).await;
        pace.turn().await;
        let after = Instant::now();
        pace.turn().await;
        assert!(after.elapsed() >= Duration::from_millis(100));
    }
}
