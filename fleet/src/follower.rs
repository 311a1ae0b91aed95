//! Follows what replicas tell each other.
//!
//! A message only hurries things up: what is in force is read again at each connection and every 10 s, so a lost one does no harm.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    connect::Redis,
    error::Error,
    event::{Event, News},
    keys,
    shared::Shared,
};

const RECONNECT: Duration = Duration::from_millis(500);
const READ_AGAIN: Duration = Duration::from_secs(10);
const SET_CLOCK_AGAIN: Duration = Duration::from_secs(60);

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
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
