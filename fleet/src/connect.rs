//! The one way to connect to Redis.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures::StreamExt;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Msg, Pipeline, RedisError, RedisFuture, Value,
    aio::{
        ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSubSink, PubSubStream,
    },
};
use tokio::time::{Interval, MissedTickBehavior, interval_at, timeout};

use crate::{error::Error, tasks::Tasks};

/// The crate's own default of 500 ms is shorter than a busy server's longest script.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A command that finds no server fails after this many further tries: whoever sent it knows better whether to wait.
const RECONNECTS: usize = 1;
/// A connection that listens is asked so often whether it still lives.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// A connection that is of no more use is replaced at most so often.
const REPLACE_EVERY: Duration = Duration::from_secs(1);

/// A Redis server and the prefix of our keys on it. Cheap to clone; connects at the first command and again whenever the
/// connection is lost. A command that was under way when it was lost is not repeated.
#[derive(Clone)]
pub struct Redis {
    client: Arc<Client>,
    connection: Connection,
    prefix: String,
    tasks: Tasks,
}

impl Redis {
    /// Reads the URL (`redis://`, `rediss://`, `redis+unix://`). Does not connect. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Url`] when the URL cannot be understood, [`Error::Prefix`] when the prefix is empty.
    pub fn open(url: &str, prefix: &str) -> Result<Self, Error> {
        Self::open_within(url, prefix, RESPONSE_TIMEOUT)
    }

    /// As [`Redis::open`], but an answer may take this long instead of 2 s: for tests, which share a busy machine.
    ///
    /// # Errors
    /// Those of [`Redis::open`].
    pub fn open_within(url: &str, prefix: &str, response_timeout: Duration) -> Result<Self, Error> {
        if prefix.trim().is_empty() {
            return Err(Error::Prefix);
        }
        let bad = |e: RedisError| Error::Url(e.to_string());
        let client = Arc::new(Client::open(url.into_connection_info().map_err(bad)?).map_err(bad)?);
        let connection = Connection::new(client.clone(), response_timeout).map_err(bad)?;
        Ok(Self { client, connection, prefix: prefix.to_owned(), tasks: Tasks::default() })
    }

    /// The shared connection, for commands that answer at once.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// A connection of its own without response timeout, for blocking commands.
    ///
    /// # Errors
    /// Redis' own, when it cannot be reached.
    pub async fn blocking(&self) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(CONNECT_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// What is published on the channels of this pattern from now on, on a connection of its own.
    ///
    /// # Errors
    /// Redis' own, when it cannot be reached within 2 s.
    pub async fn listen(&self, pattern: &str) -> Result<Messages, RedisError> {
        let connect = async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.psubscribe(pattern).await?;
            Ok(pubsub.split())
        };
        let (sink, stream) = timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(|_| Err(silent()))?;
        let mut ask = interval_at(tokio::time::Instant::now() + ASK_EVERY, ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Messages { sink, stream, ask })
    }

    /// What all our keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The background tasks of all that share this Redis in this process.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Messages as they are published. A connection over which nothing comes may be dead, so the server is asked now and then.
pub struct Messages {
    sink: PubSubSink,
    stream: PubSubStream,
    ask: Interval,
}

impl Messages {
    /// The next one. May be dropped while it waits, without a loss.
    ///
    /// # Errors
    /// When the connection was closed, or is silent although the server was asked.
    pub async fn next(&mut self) -> Result<Msg, RedisError> {
        loop {
            tokio::select! {
                message = self.stream.next() => return message.ok_or_else(closed),
                _ = self.ask.tick() => {
                    let asked = timeout(RESPONSE_TIMEOUT, self.sink.ping::<Value>()).await;
                    asked.unwrap_or_else(|_| Err(silent()))?;
                }
            }
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "the connection that listens is silent"))
}

fn closed() -> RedisError {
    RedisError::from((ErrorKind::Io, "the connection that listens was closed"))
}

/// The connection that all clones of a [`Redis`] share. Cheap to clone.
///
/// The driver connects again when a connection breaks off. There are three cases besides, in which it would stay with what it has: a
/// server that refused the password, or the database, as the connection was set up; one that answers that it takes no writes, because
/// behind its address another one may have become the primary; and one that does not answer. Then this connects anew.
#[derive(Clone)]
pub struct Connection {
    /// Not copied with each command: it has the address and the password.
    client: Arc<Client>,
    response_timeout: Duration,
    current: Arc<RwLock<Current>>,
}

struct Current {
    manager: ConnectionManager,
    /// Counts replacements.
    number: u64,
    since: Instant,
}

impl Connection {
    fn new(client: Arc<Client>, response_timeout: Duration) -> Result<Self, RedisError> {
        let current = Current { manager: lazily(&client, response_timeout)?, number: 0, since: Instant::now() };
        Ok(Self { client, response_timeout, current: Arc::new(RwLock::new(current)) })
    }

    fn manager(&self) -> (ConnectionManager, u64) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.manager.clone(), current.number)
    }

    /// Replaces the connection `number`, unless somebody has done so already.
    fn replace(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number == number && current.since.elapsed() >= REPLACE_EVERY {
            // It cannot fail where it did not fail before; if it does, all stays as it is.
            if let Ok(manager) = lazily(&self.client, self.response_timeout) {
                *current = Current { manager, number: number + 1, since: Instant::now() };
            }
        }
    }
}

/// Connects at the first command.
fn lazily(client: &Client, response_timeout: Duration) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(response_timeout))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(RECONNECTS);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Whether the connection that brought this error is of no more use, and the driver does not see it.
fn is_useless(error: &RedisError) -> bool {
    match error.clone().into_server_errors() {
        Some(errors) => errors.iter().any(|(_, error)| error.code() == "READONLY"),
        // The driver replaces those that broke off. Of one that is silent it waits for the system to find out, which takes a
        // quarter of an hour.
        None => !error.is_io_error() || error.is_timeout(),
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (mut manager, number) = self.manager();
            let answer = manager.send_packed_command(command).await.and_then(Value::extract_error);
            if answer.as_ref().is_err_and(is_useless) {
                self.replace(number);
            }
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut manager, number) = self.manager();
            let mut answers = manager.send_packed_commands(pipeline, offset, count).await;
            // A transaction whose commands were taken and that is refused as it is to be carried out: the driver would only say
            // that the answer is of another type.
            if pipeline.is_transaction()
                && let Ok([.., Value::ServerError(error)]) = answers.as_deref()
            {
                answers = Err(error.clone().into());
            }
            if answers.as_ref().is_err_and(is_useless) {
                self.replace(number);
            }
            answers
        })
    }

    fn get_db(&self) -> i64 {
        self.manager().0.get_db()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
