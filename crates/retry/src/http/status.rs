use std::time::SystemTime;

use ::http::{HeaderMap, Method, StatusCode};

use super::{may_replay, retry_after};
use crate::Verdict;

/// What to do about a response: `None` if it is no failure.
///
/// It goes by the request, which [may be replayed](may_replay) or not, and by the response's
/// [`verdict`]; the [module](crate::http) has the table. `now` is what a date in `Retry-After` is compared with.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use http::header::RETRY_AFTER;
/// use http::{HeaderMap, Method, StatusCode};
/// use shibuya_retry::Verdict;
/// use shibuya_retry::http::classify;
///
/// let request = HeaderMap::new();
/// let response = HeaderMap::from_iter([(RETRY_AFTER, "3".parse().unwrap())]);
/// let busy = |method| {
///     let status = StatusCode::SERVICE_UNAVAILABLE;
///     classify(&method, &request, status, &response, SystemTime::now())
/// };
/// assert_eq!(busy(Method::GET), Some(Verdict::RetryAfter(Duration::from_secs(3))));
/// assert_eq!(busy(Method::POST), Some(Verdict::Abort));
/// ```
pub fn classify(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    now: SystemTime,
) -> Option<Verdict> {
    match verdict(status, response, now) {
        Some(_) if !may_replay(method, request) => Some(Verdict::Abort),
        verdict => verdict,
    }
}

/// What a response says to a request that may be replayed: `None` if it is no failure.
pub fn verdict(status: StatusCode, response: &HeaderMap, now: SystemTime) -> Option<Verdict> {
    match status.as_u16() {
        ..400 => None,
        408 | 425 | 429 | 500 | 502 | 503 | 504 => {
            let hint = retry_after(response, now);
            Some(hint.map_or(Verdict::Retry, Verdict::RetryAfter))
        }
        _ => Some(Verdict::Abort),
    }
}
