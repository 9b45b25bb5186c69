use std::time::{Duration, SystemTime};

use ::http::header::{HeaderMap, RETRY_AFTER};

/// How long a response asks to wait, in seconds or until a date; a date that has passed asks for no time at all.
///
/// What can't be read is as if it were not there. A number of seconds too large for a [`Duration`] is the longest
/// one. Of several headers the longest time holds, as it obeys the others, too.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use http::HeaderMap;
/// use http::header::RETRY_AFTER;
/// use shibuya_retry::http::retry_after;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(RETRY_AFTER, "120".parse().unwrap());
/// assert_eq!(retry_after(&headers, SystemTime::now()), Some(Duration::from_secs(120)));
///
/// let start_of_2030 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
/// headers.insert(RETRY_AFTER, "Tue, 01 Jan 2030 00:00:07 GMT".parse().unwrap());
/// assert_eq!(retry_after(&headers, start_of_2030), Some(Duration::from_secs(7)));
///
/// headers.insert(RETRY_AFTER, "soon".parse().unwrap());
/// assert_eq!(retry_after(&headers, SystemTime::now()), None);
/// ```
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let values = headers.get_all(RETRY_AFTER).iter();
    values
        .filter_map(|value| parse(value.to_str().ok()?.trim(), now))
        .max()
}

fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    if value.is_empty() {
        return None;
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that don't fit are too many of them.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}
