//! A limit that is kept in Redis: [`RedisBackend`].

mod reconnecting;
mod script;

use std::fmt;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, RedisError, RedisResult};

pub use reconnecting::Reconnecting;

use self::script::{Reply, SCRIPT};
use super::backend::{Backend, BackendError, Take, Verdict};
use crate::{Outage, Quota};

/// Keeps limits in Redis, one small key each, by one script: exact GCRA on the server's clock, to a 64th of a nanosecond.
///
/// The key of `user:7` is `rl:{user:7}`, so that in a cluster it lies with the other keys of that tag. It expires when its limit is full
/// again. What somebody else stored there is left as it is, and gives [`Outage::WrongType`]. The server needs to be of version 5
/// at least.
///
/// A clock of the server that goes back, or another server's after a failover, grants nothing that it should not: the time it went
/// back by is lost to those who wait. A server that forgets (restarted without persistence, or a replica that had not heard of the last
/// writes) grants what it forgot a second time.
///
/// # Examples
///
/// ```
/// use shibuya_ratelimit::distributed::Distributed;
/// use shibuya_ratelimit::distributed::redis::RedisBackend;
/// use shibuya_ratelimit::{Denied, Outage, Quota};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let redis = RedisBackend::open("redis://127.0.0.1:1").unwrap(); // connects when it is asked
/// let limit = Distributed::new(redis, Quota::per_second(100).burst(10));
/// let nobody_listens_there = Denied::Unavailable(Outage::Unreachable);
/// assert_eq!(limit.try_acquire("user:7").await.unwrap_err(), nobody_listens_there);
/// # }
/// ```
#[derive(Clone)]
pub struct RedisBackend<C = Reconnecting> {
    connection: C,
    prefix: String,
}

impl RedisBackend {
    /// By a URL such as `redis://127.0.0.1:6379`. Connects when it is asked for the first time, and anew whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// When it is no such URL.
    pub fn open(url: &str) -> RedisResult<Self> {
        let client = ::redis::Client::open(url)?;
        Ok(Self::new(Reconnecting::new(client)))
    }
}

impl<C> RedisBackend<C> {
    /// Over any connection that can be cloned: one to a cluster, for instance. It should connect again by itself.
    pub fn new(connection: C) -> Self {
        Self {
            connection,
            prefix: "rl:".to_owned(),
        }
    }

    /// What all keys begin with; `rl:` unless told.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Nothing but the key is between the two ends, so no two keys have the same name, whatever braces are in them.
    fn name(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), b"{", key, b"}"].concat()
    }
}

impl<C: ConnectionLike + Clone + Send + Sync> Backend for RedisBackend<C> {
    async fn take(&self, key: &[u8], quota: Quota, take: Take) -> Result<Verdict, BackendError> {
        let arguments = script::arguments(quota, take)?;
        let name = self.name(key);
        let command = |verb: &str, text: &str| {
            let mut command = ::redis::cmd(verb);
            command.arg(text).arg(1).arg(&name).arg(&arguments);
            command
        };
        let mut answer = self.ask(&command("EVALSHA", SCRIPT.hash()), take).await;
        if let Err(error) = &answer {
            // It was restarted, or its scripts were flushed.
            if error.code() == Some("NOSCRIPT") {
                answer = self.ask(&command("EVAL", SCRIPT.text()), take).await;
            }
        }
        Reply::parse(&answer.map_err(to_backend_error)?)
    }
}

impl<C: ConnectionLike + Clone> RedisBackend<C> {
    /// Tries once more if the connection was lost before the answer: the server may have been restarted since the last request. It
    /// may have done the request, too. A second charge is no harm, but a second refund is.
    async fn ask(&self, command: &Cmd, take: Take) -> RedisResult<Vec<i64>> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        match answer {
            Err(error) if is_lost(&error) && !matches!(take, Take::Refund { .. }) => {
                command.query_async(&mut self.connection.clone()).await
            }
            answer => answer,
        }
    }
}

/// Not: that there was none to begin with.
fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal() && !error.is_timeout()
}

fn to_backend_error(error: RedisError) -> BackendError {
    let outage = match () {
        () if error.is_timeout() => Outage::TimedOut,
        () if error.is_io_error() => Outage::Unreachable,
        () => Outage::Refused,
    };
    BackendError::new(outage, error)
}

impl<C> fmt::Debug for RedisBackend<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
