//! Tells the log whether Redis and MongoDB are there.

use std::{fmt::Display, time::Duration};

use store::Store;
use tokio::time::{interval, timeout};

use crate::{api::health::PROBE_TIMEOUT, app::App, config::Config};

const EVERY: Duration = Duration::from_secs(5);

/// Looks every 5 s until the process ends; says so each time one is away, and once when it is there (again).
pub(crate) async fn watch(app: App, config: Config) {
    let (mut redis_there, mut mongodb_there) = (None, None);
    let mut ticks = interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.closing.cancelled() => return,
        }
        let (redis, mongodb) = tokio::join!(probe(app.client.ping_with_a_write()), probe(mongodb(&app, &config)));
        tell("redis", "jobs are refused until it is back", &redis, &mut redis_there);
        tell("mongodb", "large results cannot be shown until it is back", &mongodb, &mut mongodb_there);
    }
}

async fn mongodb(app: &App, config: &Config) -> Result<Duration, store::Error> {
    if let Some(store) = app.store() {
        return store.ping().await;
    }
    let store = Store::open(config.mongo_url(), &config.db_name).await?;
    app.set_store(store.clone());
    store.ping().await
}

async fn probe<E: Display>(ping: impl Future<Output = Result<Duration, E>>) -> Result<Duration, String> {
    match timeout(PROBE_TIMEOUT, ping).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    }
}

fn tell(service: &str, meanwhile: &str, now: &Result<Duration, String>, there: &mut Option<bool>) {
    match now {
        Err(reason) => tracing::warn!(service, reason, "{service} is away: {meanwhile}"),
        Ok(_) if *there == Some(false) => tracing::info!(service, "{service} is back"),
        Ok(_) if there.is_none() => tracing::info!(service, "{service} is there"),
        Ok(_) => {}
    }
    *there = Some(now.is_ok());
}
