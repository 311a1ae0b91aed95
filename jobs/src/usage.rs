//! What language models took, counted by day, tenant and model.

use std::time::Duration;

use providers::content::Tokens;
use store::{NewUsage, Store};

/// Waits before usage is counted again after MongoDB was away.
const COUNT_AGAIN: [u64; 6] = [1, 5, 15, 60, 240, 600];

/// Adds one answer to what was used.
pub(crate) fn add(all: &mut Vec<NewUsage>, service: &str, model: &str, tokens: Tokens, nano_usd: Option<u64>) {
    let known = all.iter().position(|used| used.service == service && used.model == model);
    let index = known.unwrap_or_else(|| {
        all.push(NewUsage {
            at: None,
            id: String::new(),
            tenant: String::new(),
            service: service.to_owned(),
            model: model.to_owned(),
            calls: 0,
            unpriced_calls: 0,
            tokens_in: 0,
            tokens_out: 0,
            cost_nano_usd: 0,
        });
        all.len() - 1
    });
    let used = &mut all[index];
    used.calls += 1;
    used.unpriced_calls += u64::from(nano_usd.is_none());
    used.tokens_in += tokens.input;
    used.tokens_out += tokens.output;
    used.cost_nano_usd = used.cost_nano_usd.saturating_add(nano_usd.unwrap_or(0));
}

/// Counts it now, or when MongoDB is back; the job does not wait for that. What comes again under the same `id` counts once.
pub(crate) async fn count(store: &Store, tenant: &str, id: &str, all: Vec<NewUsage>) {
    for used in all {
        count_one(store, NewUsage { id: id.to_owned(), tenant: tenant.to_owned(), ..used }).await;
    }
}

async fn count_one(store: &Store, used: NewUsage) {
    let Err(error) = store.count_usage(used.clone()).await else { return };
    tracing::warn!(usage.id = used.id, %error, "usage is not counted yet");
    let store = store.clone();
    tokio::spawn(async move {
        for wait_s in COUNT_AGAIN {
            tokio::time::sleep(Duration::from_secs(wait_s)).await;
            if store.count_usage(used.clone()).await.is_ok() {
                return;
            }
        }
        tracing::error!(usage.id = used.id, tenant = used.tenant, model = used.model, "usage was not counted");
    });
}
