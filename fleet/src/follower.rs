//! What replicas tell each other, and following it.
//!
//! A message only hurries things up: what is in force is read again at each connection and every 10 s, so a lost one does no harm.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::{connect::Redis, error::Error, fleet::Event, keys, shared::Shared};

const RECONNECT: Duration = Duration::from_millis(500);
const READ_AGAIN: Duration = Duration::from_secs(10);
const SET_CLOCK_AGAIN: Duration = Duration::from_secs(60);

/// A message, as it is published. Those of a newer release are left unread.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    Mode,
    BreakerOpened { account: String, reason: String },
    BreakerClosed { service: String, account: String },
}

/// Follows the news until `stop`.
pub(crate) async fn follow(shared: Arc<Shared>, redis: Redis, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Err(error) = listen(&shared, &redis) => tracing::debug!(%error, "the news of other replicas cannot be followed"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RECONNECT) => {}
        }
    }
}

/// Ends only with an error.
async fn listen(shared: &Shared, redis: &Redis) -> Result<std::convert::Infallible, Error> {
    let channel = keys::news(redis.prefix());
    let mut messages = redis.listen(&channel).await?;
    shared.read_modes().await?;
    shared.set_clock().await?;
    let (mut read_again, mut set_clock_again) = (every(READ_AGAIN), every(SET_CLOCK_AGAIN));
    loop {
        tokio::select! {
            message = messages.next() => {
                match serde_json::from_slice(message?.get_payload_bytes()) {
                    Ok(News::Mode) => shared.read_modes().await?,
                    Ok(News::BreakerOpened { account, reason }) => {
                        tracing::warn!(account, reason, "calls to {account} are stopped in all replicas");
                        shared.tell(Event::BreakerOpened { account, reason });
                    }
                    Ok(News::BreakerClosed { service, account }) => {
                        tracing::info!(service, account, "{account} answers again");
                        shared.tell(Event::BreakerClosed { service, account });
                    }
                    Err(error) => tracing::debug!(%error, "a message of another release"),
                }
            }
            _ = read_again.tick() => shared.read_modes().await?,
            _ = set_clock_again.tick() => shared.set_clock().await?,
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Lets something be said once a minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(Mutex<Option<Instant>>);

impl OnceAMinute {
    pub(crate) fn now(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= Duration::from_secs(60));
        if due {
            *last = Some(now);
        }
        due
    }
}
