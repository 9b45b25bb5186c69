//! A deadline on its way to another machine: as *remaining time* in a header, never as a wall
//! clock, since clocks disagree.
//!
//! Both forms round down, so the callee never believes it has more time than its caller has.
//! What the network takes is not known to either side; take off what you must.
//!
//! ```
//! use shibuya_cancel::{header, timeout};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // The caller: whatever is left here goes along with the request.
//! let sent = timeout(Duration::from_millis(1500), async {
//!     header::outgoing().map(|left| (header::NAME, header::encode(left)))
//! });
//! let (name, value) = sent.await.unwrap().unwrap();
//!
//! // The callee: works under the same deadline.
//! assert_eq!(name, "x-remaining-ms");
//! let left = header::decode(&value).unwrap();
//! let reply = timeout(left, async { "in time" }).await;
//! assert_eq!(reply, Ok("in time"));
//! # }
//! ```

use std::time::Duration;

/// The name of the plain header: whole milliseconds, in decimal digits.
pub const NAME: &str = "x-remaining-ms";

/// The name of gRPC's header, for [`encode_grpc`] and [`decode_grpc`].
pub const GRPC_NAME: &str = "grpc-timeout";

/// The time to send along, if a deadline is in force here: [`remaining`](crate::remaining).
pub fn outgoing() -> Option<Duration> {
    crate::remaining()
}

/// Whole milliseconds, rounded down.
pub fn encode(remaining: Duration) -> String {
    u64::try_from(remaining.as_millis())
        .unwrap_or(u64::MAX)
        .to_string()
}

/// Reads whole milliseconds, with spaces around them allowed. No number is too large.
///
/// # Errors
///
/// [`InvalidHeader`] for anything but decimal digits.
pub fn decode(value: &str) -> Result<Duration, InvalidHeader> {
    digits(value.trim_matches([' ', '\t']))
        .map(Duration::from_millis)
        .ok_or(InvalidHeader::Plain)
}

/// gRPC's form: at most eight digits and a unit, the finest one that fits, rounded down.
///
/// Source: the "Requests" section of gRPC's *PROTOCOL-HTTP2*.
pub fn encode_grpc(remaining: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let nanos = remaining.as_nanos();
    for (unit, length) in UNITS {
        if nanos / length <= MOST {
            return format!("{}{unit}", nanos / length);
        }
    }
    // More than 11,000 years.
    format!("{MOST}H")
}

/// Reads gRPC's form.
///
/// # Errors
///
/// [`InvalidHeader`] for anything but one to eight digits and one of the units `H M S m u n`.
pub fn decode_grpc(value: &str) -> Result<Duration, InvalidHeader> {
    let parse = || {
        let (unit_at, unit) = value.char_indices().next_back()?;
        let count = digits(value.get(..unit_at).filter(|count| count.len() <= 8)?)?;
        let (_, length) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let nanos = u128::from(count) * length;
        let secs = u64::try_from(nanos / 1_000_000_000).ok()?;
        Some(Duration::new(secs, (nanos % 1_000_000_000) as u32))
    };
    parse().ok_or(InvalidHeader::Grpc)
}

/// Units from fine to coarse, with their length in nanoseconds.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

/// Only digits, at least one; what is too large for the type saturates.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// A header that does not state a remaining time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// Not the plain form.
    #[error("not a remaining time: expected whole milliseconds in decimal digits, as in `1500`")]
    Plain,
    /// Not gRPC's form.
    #[error(
        "not a gRPC timeout: expected one to eight digits and a unit of H, M, S, m, u, n, as in `1500m`"
    )]
    Grpc,
}
