//! Tells the log whether Redis and MongoDB are there.

use std::time::Duration;

use store::Store;
use tokio::time::interval;

use crate::{config::Config, ping::asked, state::App};

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
        let (redis, mongodb) = tokio::join!(asked(app.client.ping_with_a_write()), asked(mongodb(&app, &config)));
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

fn tell(service: &str, meanwhile: &str, now: &Result<Duration, String>, there: &mut Option<bool>) {
    match now {
        Err(reason) => tracing::warn!(service, reason, "{service} is away: {meanwhile}"),
        Ok(_) if *there == Some(false) => tracing::info!(service, "{service} is back"),
        Ok(_) if there.is_none() => tracing::info!(service, "{service} is there"),
        Ok(_) => {}
    }
    *there = Some(now.is_ok());
}
