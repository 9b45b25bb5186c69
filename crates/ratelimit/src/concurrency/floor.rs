//! A limit at its least for a while: what calls take then is no queue of its own making. Without a clock.

use super::window::Rtt;

/// The windows in a row that the limit spent at its least.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor(Option<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    windows: u32,
    rtt: Rtt,
}

/// After so many, the times that were known before are those of a server that is no more.
const WINDOWS: u32 = 5;

impl Floor {
    /// Counts a window, and gives the least times of the last ones once there were enough of them in a row.
    pub(super) fn add(&mut self, is_at_floor: bool, rtt: Rtt) -> Option<Rtt> {
        if !is_at_floor {
            self.0 = None;
            return None;
        }
        let seen = match self.0 {
            None => Seen { windows: 1, rtt },
            Some(Seen {
                windows,
                rtt: least,
            }) => Seen {
                windows: windows + 1,
                rtt: Rtt {
                    mean: rtt.mean.min(least.mean),
                    least: rtt.least.min(least.least),
                },
            },
        };
        self.0 = (seen.windows < WINDOWS).then_some(seen);
        (seen.windows >= WINDOWS).then_some(seen.rtt)
    }
}

#[cfg(all(test, not(shibuya_loom)))]
mod tests {
    use super::*;

    #[test]
    fn five_in_a_row_are_enough_and_begin_anew() {
        let rtt = |mean| Rtt { mean, least: mean };
        let mut floor = Floor::default();
        let mut add = |is_at_floor, mean| floor.add(is_at_floor, rtt(mean));
        for _ in 0..2 {
            for mean in [9.0, 7.0, 8.0, 9.0] {
                assert_eq!(add(true, mean), None);
            }
            assert_eq!(add(true, 9.0), Some(rtt(7.0)));
        }
        assert_eq!(add(true, 1.0), None);
        assert_eq!(add(false, 1.0), None, "not in a row");
        for _ in 0..4 {
            assert_eq!(add(true, 3.0), None);
        }
        assert_eq!(add(true, 4.0), Some(rtt(3.0)));
    }
}
