//! Layers for [tower](https://docs.rs/tower)'s services: [`RateLimitLayer`] and [`ConcurrencyLimitLayer`].
//!
//! A layer has one limit, which all services that it makes, and their clones, go by: a server that clones its service for each
//! connection has one limit for all of them. What is layered anew, such as by a closure that makes a new limiter, has another.
//!
//! # When the limit is asked
//!
//! By the future of the call, when it is polled first, and not by `poll_ready`, which asks the service inside and nothing else. Who is ready
//! need not call: a token that was taken to be ready would be lost, and a slot kept from others for as long as the service lies
//! about ready. And only a call has a request, by which a key can be told.
//!
//! The service that was ready is the one that is called; its clone takes its place. What it set aside to be ready is kept
//! while the call waits for its turn, and is free when the call is denied.
//!
//! # What a denied call gets
//!
//! An error, [`CallError::Denied`]. For services of HTTP, with the feature `http`, a response instead: with
//! [`headers`](RateLimitLayer::headers), and [`http`](ConcurrencyLimitLayer::http). Then the error is the service's own,
//! and for axum, where that is `Infallible`, no `HandleErrorLayer` is needed.

mod answer;
mod classify;
mod concurrency;
mod error;
mod key;
mod rate;

pub use self::answer::{Answer, AsError};
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use self::answer::{AsResponse, Empty};
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use self::classify::ByStatus;
pub use self::classify::{By, Classify, OkIsSuccess};
pub use self::concurrency::{
    Concurrency, ConcurrencyLimitFuture, ConcurrencyLimitLayer, ConcurrencyLimitService,
};
pub use self::error::CallError;
pub use self::key::ByKey;
pub use self::rate::{Rate, RateLimitFuture, RateLimitLayer, RateLimitService};
