//! What the timetable's `maintenance` jobs do with competitors' prices beside having them fetched: exchange rates, the unified price of each
//! watched product, and alerts that could not go out with the price that they are about.

use std::{collections::BTreeSet, time::Duration};

use chrono::Utc;
use providers::{ProviderError, rates::RatesFile};
use serde_json::json;
use store::{Moment, Store, Unified};

use crate::{
    handler::JobError,
    kinds::{
        email::tenant::time,
        scrape::{
            alerts::send_alerts,
            offers::{self, last_day_of_rates, stored_rates},
        },
    },
    recurring::{BATCH, Task, Unfinished, Walk},
};

/// Pages of a product that are compared, those that were visited last.
pub const MOST_OFFERS: usize = 100;
/// Whoever scraped the page pushes the alert itself, and has so long for it.
const LEFT_BEHIND_MS: u64 = 60_000;
/// Offers whose alerts are sent at a time.
const ALERTS: usize = 200;
/// When the file of exchange rates is asked for again that could not be had: its server may be away for hours.
const RATES_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// When rates are stored again that MongoDB could not take.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Reads the file of exchange rates and keeps it; tells how many there were. A file that cannot be had or read changes nothing.
///
/// # Errors
/// [`JobError::Retry`] for a bad file, [`JobError::Snooze`] for one that cannot be had now, or stored; each with the reason.
pub(crate) async fn rates(store: &Store, file: &RatesFile) -> Result<u64, JobError> {
    let bad = |reason: String| JobError::Retry {
        code: "bad_rates",
        message: format!("no new exchange rates, those that are there stay: {reason}"),
        after: None,
    };
    let text = file.fetch().await.map_err(|error| match error {
        ProviderError::RateLimited { .. } | ProviderError::Transient { .. } => {
            JobError::Snooze { code: "rates_unavailable", message: error.to_string(), after: RATES_AGAIN_AFTER }
        }
        error => bad(error.to_string()),
    })?;
    let rates = prices::Rates::from_ecb(&text).map_err(|error| bad(format!("{}: {error}", file.host())))?;
    let now = Utc::now();
    if rates.date() > last_day_of_rates(now) {
        return Err(bad(format!("{}: they are of a day to come, {}", file.host(), rates.date())));
    }
    let at_ms = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let kept = store.put_rates(&stored_rates(&rates, false, file.host(), at_ms)).await;
    match kept {
        Ok(true) => tracing::info!(date = %rates.date(), n_rates = rates.rates().len(), "exchange rates were read"),
        Ok(false) => tracing::info!(date = %rates.date(), "exchange rates of that day were set by hand and stay"),
        Err(error @ store::Error::Unavailable { .. }) => {
            return Err(JobError::Snooze { code: "away", message: error.to_string(), after: STORE_AGAIN_AFTER });
        }
        Err(error) => return Err(bad(error.to_string())),
    }
    Ok(u64::try_from(rates.rates().len()).unwrap_or(u64::MAX))
}

/// Compares the offers of each product that is watched, and keeps what they say together; returns how many products that was. A second
/// run does the same again.
///
/// # Errors
/// [`Unfinished`].
pub async fn unified_prices(task: Task<'_>) -> Result<u64, Unfinished> {
    let mut walk = Walk::go_on(task).await?;
    let store = task.store;
    let rates = store.rates(None).await?;
    loop {
        let (monitors, next) = store.monitors(walk.after.clone(), BATCH).await?;
        // Most often the pages of a product stand together; a product that is on two pages of monitors is done twice.
        let products: BTreeSet<(String, String)> =
            monitors.into_iter().map(|monitor| (monitor.tenant, monitor.product_id)).collect();
        let mut n_done = 0;
        for (tenant, product_id) in &products {
            let found = store.offers_of(tenant, product_id, MOST_OFFERS).await?;
            if found.is_empty() {
                continue;
            }
            let now_ms = task.client.now_ms();
            let comparison = offers::compare(&found, None, rates.as_ref(), time(now_ms));
            let unified = Unified { at: Moment::from_ms(now_ms), comparison: json!(comparison) };
            store.keep_unified(tenant, product_id, &unified).await?;
            n_done += 1;
        }
        if let Some(n_done) = walk.turn_the_page(n_done, next).await? {
            return Ok(n_done);
        }
    }
}

/// Sends the alerts that whoever wrote them down could not send; returns how many e-mails were added.
///
/// # Errors
/// [`Unfinished`].
pub async fn price_alerts(task: Task<'_>) -> Result<u64, Unfinished> {
    let (began, mut n_added) = (std::time::Instant::now(), 0);
    let until = Moment::from_ms(task.client.now_ms().saturating_sub(LEFT_BEHIND_MS));
    loop {
        let found = task.store.offers_with_alerts(until, ALERTS).await?;
        n_added += send_alerts(task.store, task.client, &found).await?;
        if found.len() < ALERTS {
            return Ok(n_added);
        }
        if began.elapsed() >= task.time {
            return Err(Unfinished::TimeIsOver(n_added));
        }
    }
}
