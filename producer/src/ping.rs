//! Whether a server of ours answers, within the patience of whoever asks.

use std::{fmt::Display, time::Duration};

use tokio::time::timeout;

/// Longer than a healthy server ever takes, shorter than the patience of whoever asks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// What is said of a MongoDB whose address a name server does not give.
pub(crate) const NO_ADDRESS: &str = "its address cannot be looked up";

/// How fast it answers, or why it does not.
pub(crate) async fn asked<E: Display>(ping: impl Future<Output = Result<Duration, E>>) -> Result<Duration, String> {
    match timeout(PATIENCE, ping).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
