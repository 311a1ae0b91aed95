//! In mock mode: nothing leaves the system. The would-be product is in the jobs' results, and reads back from them like a shop's.

use futures::future::{BoxFuture, FutureExt};
use providers::publication::{
    Action, Change, DEFAULT_STORE, Desk, Fields, Key, Listing, Notes, Order, Publication as Published,
    PublicationStatus, PublishError, Shop, carry_out, mock_id, mock_store, plain,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    notes::STORE_AGAIN_AFTER,
    order::{Publication, PublicationResult},
    pictures,
};
use crate::handler::{Context, Done, Handler, JobError};

/// Nothing has to be remembered.
struct Nothing;

impl Notes for Nothing {
    fn save<'a>(&'a self, _listing: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>> {
        futures::future::ready(Ok(())).boxed()
    }
}

pub(super) async fn run(job: Publication, context: &Context) -> Result<Done<PublicationResult>, JobError> {
    let store = name_of(&job);
    let account = job.shop.map_or_else(|| store.clone(), |shop: Shop| shop.to_string());
    let (sku, action, shop) = (job.sku.clone(), job.action, job.shop);
    let published = match job.action {
        // What there was before is not looked for: the result says what would be there now.
        Action::Publish => {
            let images = pictures::named(&job);
            let fields = plain(&job.into_patch(images));
            let changes = fields.into_iter().map(|(field, becomes)| Change { field, was: Value::Null, becomes });
            nothing_published(Some(mock_id(&account, &sku)), changes.collect())
        }
        _ => {
            let before = fields_before(&job, context).await?;
            let patch = job.patch(pictures::named(&job));
            let job_id = context.job_id.to_string();
            let key = Key { sku: &job.sku, product_id: &job.product_id };
            let order = Order {
                job: &job_id,
                key,
                action: job.action,
                patch: &patch,
                force: true,
                keep_edits: false,
                now_ms: 0,
            };
            let api = mock_store(&account, before);
            let done = carry_out(&*api, order, &mut Desk::new(Listing::default(), &Nothing)).await;
            let done =
                done.map_err(|error| JobError::Fatal { code: "refused_by_store", message: error.to_string() })?;
            nothing_published(done.external_id, done.changes)
        }
    };
    let result = PublicationResult::of(sku, (action, shop), store, published, None);
    Ok(Done { result, provider: Some("mock"), degraded_reason: None })
}

fn name_of(job: &Publication) -> String {
    job.store.clone().unwrap_or_else(|| DEFAULT_STORE.to_owned())
}

fn nothing_published(external_id: Option<String>, changes: Vec<Change>) -> Published {
    Published { status: PublicationStatus::Mock, external_id, url: None, published: false, changes }
}

/// What earlier jobs of the same product would have made of it, in the order of their ids.
async fn fields_before(job: &Publication, context: &Context) -> Result<Option<Fields>, JobError> {
    let Some(store) = &context.store else { return Ok(None) };
    let results = store.results_of(Publication::COLLECTION, &context.tenant, &job.product_id).await;
    let results = results.map_err(|error| JobError::Snooze {
        code: "store_unavailable",
        message: error.to_string(),
        after: STORE_AGAIN_AFTER,
    })?;
    let mut fields = None;
    // One that cannot be read is of an older release, which kept no fields.
    for before in results.into_iter().filter_map(|result| serde_json::from_value::<Before>(result.result).ok()) {
        let is_same = before.status == "mock" && before.sku == job.sku && before.store == name_of(job);
        if !is_same || before.shop != job.shop {
            continue;
        }
        match before.action {
            Action::Publish | Action::Unpublish => {
                let changes = before.changes.into_iter().map(|change| (change.field, change.becomes));
                fields.get_or_insert_with(Fields::new).extend(changes);
            }
            Action::Delete => fields = None,
            Action::DryRun | Action::Verify => {}
        }
    }
    Ok(fields)
}

/// What is read of an earlier result.
#[derive(Deserialize)]
struct Before {
    sku: String,
    store: String,
    shop: Option<Shop>,
    action: Action,
    status: String,
    changes: Vec<Change>,
}
