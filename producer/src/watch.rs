//! Tells the log whether Redis and MongoDB are there.

use std::time::Duration;

use store::Store;

use crate::{config::Config, state::App};

/// Looks every few seconds until it is dropped; says so each time one is away, and once when it is there (again).
pub(crate) async fn watch(app: App, config: Config) {
    tokio::join!(
        process::watch("redis", "jobs are refused until it is back", || app.client.ping_with_a_write()),
        process::watch("mongodb", "large results cannot be shown until it is back", || mongodb(&app, &config)),
    );
}

async fn mongodb(app: &App, config: &Config) -> Result<Duration, store::Error> {
    if let Some(store) = app.store() {
        return store.ping().await;
    }
    let store = Store::open(config.mongo_url(), &config.db_name).await?;
    app.set_store(store.clone());
    store.ping().await
}
