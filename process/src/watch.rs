//! Tells the log whether a server is there.

use std::{fmt::Display, time::Duration};

use tokio::time::{interval, timeout};

const EVERY: Duration = Duration::from_secs(5);
/// Longer than a healthy server ever takes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks every 5 s, until it is dropped; says so each time the server does not answer `ping`, with what that means `meanwhile`, and
/// once when it is there (again).
pub async fn watch<E: Display, F: Future<Output = Result<Duration, E>>>(
    service: &'static str,
    meanwhile: &'static str,
    mut ping: impl FnMut() -> F,
) {
    let mut there = None;
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        let reason = match timeout(PROBE_TIMEOUT, ping()).await {
            Ok(answer) => answer.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
        };
        match &reason {
            Some(reason) => tracing::warn!(service, reason, "{service} is away: {meanwhile}"),
            None if there == Some(false) => tracing::info!(service, "{service} is back"),
            None if there.is_none() => tracing::info!(service, "{service} is there"),
            None => {}
        }
        there = Some(reason.is_none());
    }
}
