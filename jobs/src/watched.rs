//! What the timetable's `maintenance` job does for competitors' prices: a job for each page to watch.

use std::collections::{BTreeMap, BTreeSet};

use providers::{payments::PaymentsMode, scraping::is_selector};
use queue::{Job, NewJob};
use serde_json::{Value, json};
use store::{Monitor, StoredSubscription};

use crate::{
    kinds::{
        email::tenant::{push, time},
        scrape::Scrape,
    },
    payments::{Plans, entitlements},
    recurring::{BATCH, Task, Unfinished, Walk},
};

/// Why a page of `monitors` is not watched: another price than the one that is meant would be read.
#[must_use]
pub fn not_watched(monitor: &Monitor) -> Option<&'static str> {
    let bad = monitor.has_no_text_as_selector || monitor.selector.as_deref().is_some_and(|css| !is_selector(css));
    bad.then_some("selector is no CSS selector of at most 500 characters")
}

/// Why tenants of these pages may not have them fetched now, of those who may not: their plans allow no such job. Nobody's plan is minded
/// while payments are mock.
async fn refused(
    task: Task<'_>,
    monitors: &[Monitor],
    plans: &Plans,
    mode: PaymentsMode,
) -> Result<BTreeMap<String, String>, Unfinished> {
    if mode == PaymentsMode::Mock {
        return Ok(BTreeMap::new());
    }
    let tenants: BTreeSet<&str> = monitors.iter().map(|monitor| monitor.tenant.as_str()).collect();
    let tenants: Vec<&str> = tenants.into_iter().collect();
    let kept = task.store.subscriptions_of(&tenants).await?.read;
    let kept: BTreeMap<&str, &StoredSubscription> = kept.iter().map(|kept| (kept.tenant.as_str(), kept)).collect();
    let now = time(task.client.now_ms());
    let why_not = |tenant: &str| {
        let allowed = entitlements(kept.get(tenant).copied(), mode, plans, now);
        allowed.allow(plans, Scrape::KIND, &Value::Null).err().map(|refused| (tenant.to_owned(), refused.reason))
    };
    Ok(tenants.into_iter().filter_map(why_not).collect())
}

/// Pushes a `scrape` job for each page of `monitors`, in its tenant's name; returns how many were added. A second run of the same job
/// pushes the same ones. One that is [not watched](not_watched) is told in the log, and the others go on; so are those of a tenant whose
/// plan allows none.
///
/// # Errors
/// [`Unfinished`].
pub async fn prices(task: Task<'_>, plans: &Plans, mode: PaymentsMode) -> Result<u64, Unfinished> {
    let mut walk = Walk::go_on(task).await?;
    let Task { store, client, job, .. } = task;
    loop {
        let (monitors, next) = store.monitors(walk.after.clone(), BATCH).await?;
        let refused = refused(task, &monitors, plans, mode).await?;
        for (tenant, reason) in &refused {
            tracing::info!(tenant, reason, "a tenant's pages are not watched");
        }
        let mut jobs = Vec::with_capacity(monitors.len());
        for monitor in monitors.into_iter().filter(|monitor| !refused.contains_key(&monitor.tenant)) {
            if let Some(reason) = not_watched(&monitor) {
                let Monitor { id, tenant, product_id, url, .. } = monitor;
                tracing::warn!(monitor.id = id, tenant, product_id, url, reason, "a page is not watched");
                continue;
            }
            let id = client.fixed_id("scrape", &format!("{job}/{}", monitor.id), job.created_ms()).await?;
            let mut payload = json!({ "product_id": monitor.product_id, "urls": [monitor.url] });
            if let Some(selector) = monitor.selector {
                payload["selector"] = json!(selector);
            }
            jobs.push((id, NewJob { tenant: monitor.tenant, ..NewJob::new("scrape", payload.to_string()) }));
        }
        let n_added = push(client, jobs).await?;
        if let Some(n_added) = walk.turn_the_page(n_added, next).await? {
            return Ok(n_added);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_whose_selector_is_none_is_not_watched() {
        let monitor = |selector: Option<&str>, has_no_text_as_selector| Monitor {
            id: "m".to_owned(),
            tenant: "acme".to_owned(),
            product_id: "L-1".to_owned(),
            url: "https://shop.example/".to_owned(),
            selector: selector.map(str::to_owned),
            has_no_text_as_selector,
        };
        let is_watched = |selector, has_no_text| not_watched(&monitor(selector, has_no_text)).is_none();
        assert!(is_watched(None, false) && is_watched(Some(".product .price"), false));
        assert!(!is_watched(Some("..price"), false) && !is_watched(None, true));
        assert!(!is_watched(Some(&"a".repeat(501)), false));
    }
}
