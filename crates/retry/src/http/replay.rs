use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ::http::header::{Entry, HeaderName, HeaderValue};
use ::http::{HeaderMap, Method};

/// The header by which a server knows an attempt for one that it has seen:
/// [draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether a request that may have been processed may be sent once more: its method is idempotent (GET, HEAD,
/// OPTIONS, TRACE, PUT, DELETE), or it has an `Idempotency-Key`.
///
/// One that was never sent, as no connection was made, may be sent in any case.
///
/// # Examples
///
/// ```
/// use http::{HeaderMap, Method};
/// use shibuya_retry::http::{attach_idempotency_key, may_replay};
///
/// let mut headers = HeaderMap::new();
/// assert!(may_replay(&Method::PUT, &headers));
/// assert!(!may_replay(&Method::POST, &headers));
/// attach_idempotency_key(&mut headers);
/// assert!(may_replay(&Method::POST, &headers));
/// ```
pub fn may_replay(method: &Method, headers: &HeaderMap) -> bool {
    method.is_idempotent()
        || headers
            .get(IDEMPOTENCY_KEY)
            .is_some_and(|key| !key.is_empty())
}

/// A new key: 32 hexadecimal digits.
///
/// It tells calls apart, on all machines: its randomness is what the operating system seeds the standard
/// library's hash maps with. It is no secret.
pub fn idempotency_key() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let number = NEXT.fetch_add(1, Relaxed);
    let [high, low] = [0, 1].map(|half| SEED.hash_one((number, half)));
    let key = format!("{high:016x}{low:016x}");
    HeaderValue::try_from(key).expect("hexadecimal digits are visible ASCII")
}

/// Gives a request a new `Idempotency-Key`, unless it has one.
///
/// It is for the request of which each attempt sends a copy, so that all have the same key: with one of its own
/// an attempt would be another call. The server must know the header; one that does not does the work twice.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use shibuya_retry::http::{IDEMPOTENCY_KEY, attach_idempotency_key};
///
/// let mut request = Request::post("/orders").body("two pears").unwrap();
/// attach_idempotency_key(request.headers_mut());
/// let attempts = [request.clone(), request];
/// let [first, second] = attempts.map(|attempt| attempt.headers()[IDEMPOTENCY_KEY].clone());
/// assert_eq!(first, second);
/// assert_eq!(first.len(), 32);
/// ```
pub fn attach_idempotency_key(headers: &mut HeaderMap) {
    if let Entry::Vacant(place) = headers.entry(IDEMPOTENCY_KEY) {
        place.insert(idempotency_key());
    }
}
