//! The one way to connect to Redis.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};

use crate::error::Error;

/// The crate's own default of 500 ms is shorter than a busy server's longest script.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A command that finds no server fails after this many further tries: whoever sent it knows better whether to wait.
const RECONNECTS: usize = 1;

/// A Redis server and the prefix of our keys on it. Cheap to clone; connects at the first command and again whenever the
/// connection is lost. A command that was under way when it was lost is not repeated.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    manager: ConnectionManager,
    prefix: String,
}

impl Redis {
    /// Reads the URL (`redis://`, `rediss://`, `redis+unix://`). Does not connect. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Url`] when the URL cannot be understood, [`Error::Prefix`] when the prefix is empty.
    pub fn open(url: &str, prefix: &str) -> Result<Self, Error> {
        if prefix.trim().is_empty() {
            return Err(Error::Prefix);
        }
        let bad = |e: RedisError| Error::Url(e.to_string());
        let client = Client::open(url.into_connection_info().map_err(bad)?).map_err(bad)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_number_of_retries(RECONNECTS);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(bad)?;
        Ok(Self { client, manager, prefix: prefix.to_owned() })
    }

    /// The shared connection, for commands that answer at once.
    #[must_use]
    pub fn connection(&self) -> ConnectionManager {
        self.manager.clone()
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

    /// A connection of its own that listens to published messages.
    ///
    /// # Errors
    /// Redis' own, when it cannot be reached.
    pub async fn pubsub(&self) -> Result<redis::aio::PubSub, RedisError> {
        self.client.get_async_pubsub().await
    }

    /// What all our keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
