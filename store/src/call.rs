//! The one way to call the driver.

use std::{future::Future, time::Duration};

use crate::error::Error;

/// How long the server may work on one operation.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(5);
/// How long the majority may take to confirm a write; afterwards it may have happened or not.
pub(crate) const MAJORITY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a server that accepts the call and says nothing: the driver has no timeout for that.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs one call of the driver in a task of its own and waits for it, at most `timeout`. `what` completes "cannot …".
pub(crate) async fn run<T: Send + 'static>(
    what: impl Into<String>,
    timeout: Duration,
    call: impl Future<Output = mongodb::error::Result<T>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::time::timeout(timeout, tokio::spawn(call)).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(Error::from_driver(what.into(), &error)),
        Ok(Err(stopped)) => Err(Error::Unavailable { what: what.into(), reason: stopped.to_string() }),
        Err(_) => {
            let reason = format!("no answer within {} s", timeout.as_secs());
            Err(Error::Unavailable { what: what.into(), reason })
        }
    }
}
