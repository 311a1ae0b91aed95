//! What replicas tell each other, and following it.
//!
//! A message only hurries things up: what is in force is read again at each connection and every 10 s, so a lost one does no harm.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{connect::Redis, error::Error, fleet::Event, keys, shared::Shared};

const RECONNECT: Duration = Duration::from_millis(500);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
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
    let connect = async {
        let mut pubsub = redis.pubsub().await?;
        pubsub.subscribe(&channel).await?;
        Ok::<_, Error>(pubsub)
    };
    let late = |_| Error::Unavailable(format!("no connection within {} s", CONNECT_WITHIN.as_secs()));
    let mut pubsub = timeout(CONNECT_WITHIN, connect).await.map_err(late)??;
    shared.read_modes().await?;
    shared.set_clock().await?;
    let mut messages = pubsub.on_message();
    let (mut read_again, mut set_clock_again) = (every(READ_AGAIN), every(SET_CLOCK_AGAIN));
    loop {
        tokio::select! {
            message = messages.next() => {
                let message = message.ok_or_else(|| Error::Unavailable("the connection was closed".to_owned()))?;
                match serde_json::from_slice(message.get_payload_bytes()) {
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
