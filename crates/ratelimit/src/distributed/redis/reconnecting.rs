use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisFuture, RedisResult, Value};
use tokio::sync::Mutex;

/// One connection for all who share it, opened when it is needed and anew after it was lost.
///
/// Requests are sent as they come and answered in that order. One that fails since the connection is lost has failed: it may have
/// been done, and is not sent again. A connection is given up, too, when three requests in a row were dropped without an answer:
/// a server that vanished says nothing of it. How long to wait for one is up to who asks.
#[derive(Clone)]
pub struct Reconnecting(Arc<Shared>);

struct Shared {
    client: Client,
    /// Held while it is connected, so that one connects and the others wait for that.
    current: Mutex<Current>,
    /// The number of the last connection that is of no use any more.
    lost: AtomicU64,
    /// How many requests in a row were dropped without an answer.
    unanswered: AtomicU32,
}

struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections.
    number: u64,
}

/// So many requests without an answer are one too many.
const UNANSWERED_MAX: u32 = 3;

impl Reconnecting {
    /// Connects to what `client` says, when it is asked for the first time.
    pub fn new(client: Client) -> Self {
        let current = Current {
            connection: None,
            number: 0,
        };
        Self(Arc::new(Shared {
            client,
            current: Mutex::new(current),
            lost: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
        }))
    }

    async fn send<T, F>(&self, send: impl FnOnce(MultiplexedConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (connection, number) = self.0.connection().await?;
        let mut request = Request {
            shared: &self.0,
            number,
            is_answered: false,
        };
        let answer = send(connection).await;
        request.is_answered = true;
        if answer.as_ref().is_err_and(|e| e.is_unrecoverable_error()) {
            self.0.lose(number);
        }
        answer
    }
}

impl Shared {
    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut current = self.current.lock().await;
        let number = current.number;
        if let (true, Some(connection)) = (number > self.lost.load(SeqCst), &current.connection) {
            return Ok((connection.clone(), number));
        }
        current.connection = None;
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&patient);
        let connection = connecting.await?;
        self.unanswered.store(0, SeqCst);
        current.connection = Some(connection.clone());
        current.number += 1;
        Ok((connection, current.number))
    }

    fn lose(&self, number: u64) {
        self.lost.fetch_max(number, SeqCst);
    }
}

/// A request under way.
struct Request<'a> {
    shared: &'a Shared,
    number: u64,
    is_answered: bool,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            self.shared.unanswered.store(0, SeqCst);
        } else if self.shared.unanswered.fetch_add(1, SeqCst) + 1 >= UNANSWERED_MAX {
            self.shared.lose(self.number);
        }
    }
}

impl ConnectionLike for Reconnecting {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(
            self.send(async move |mut connection: MultiplexedConnection| {
                connection.send_packed_command(cmd).await
            }),
        )
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(
            self.send(async move |mut connection: MultiplexedConnection| {
                connection.send_packed_commands(cmd, offset, count).await
            }),
        )
    }

    fn get_db(&self) -> i64 {
        self.0.client.get_connection_info().redis_settings().db()
    }
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting").finish_non_exhaustive()
    }
}
