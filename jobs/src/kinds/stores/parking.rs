//! Stores that do not take their credentials any more: their jobs wait, their tenants are told once, and now and then one job looks whether they take
//! them again.

use std::time::Duration;

use providers::publication::Store;
use queue::{Client, Clock};
use services::Name;
use store::{Moment, Parked, StoredStore};

use super::credentials::opened;
use crate::{
    handler::Context,
    kinds::email::{
        StoreParkedData, Template,
        tenant::{NotPushed, email, email_job, push_emails, time, zone},
    },
};

/// How often one job looks whether a parked store takes its credentials again.
const LOOK_EVERY_MS: u64 = 15 * 60 * 1000;
/// How long such a look takes at most.
const LOOK_WITHIN: Duration = Duration::from_secs(30);
/// Characters of a reason that are kept.
const REASON: usize = 500;

/// A tenant's store does not take its credentials any more: parks it, and tells its tenant, once. One whose credentials are others by now stays as
/// it is, and so do those of the environment, whose breaker alone holds calls back. What does not succeed is made good by the next job.
pub async fn park(context: &Context, store: &Store, reason: &str) {
    if store.is_of_environment() {
        return;
    }
    if let Err(error) = try_to_park(context, store, reason).await {
        tracing::warn!(job.id = %context.job_id, store = store.account(), %error, "a store that refuses us is parked later");
    }
}

async fn try_to_park(context: &Context, store: &Store, reason: &str) -> Result<(), NotPushed> {
    let Some(mongo) = &context.store else { return Ok(()) };
    let Some(stored) = mongo.tenant_store(&store.tenant, &store.name).await? else { return Ok(()) };
    let same =
        opened(context.providers.ring.as_ref(), &stored).is_ok_and(|now| now.credentials.are(&store.credentials));
    if !same {
        return Ok(());
    }
    let now = now_ms(context);
    let (since, look_at) = (Moment::from_ms(now), Moment::from_ms(now + LOOK_EVERY_MS));
    let parked = Parked { since, reason: one_line(reason), told: false, look_at };
    if mongo.park_store(&stored.id, stored.version, &parked).await? {
        tracing::warn!(
            store = stored.id,
            reason = parked.reason,
            "a store does not take its credentials any more and is parked"
        );
        tell(context, &stored, &parked).await?;
    }
    Ok(())
}

/// Whether a parked store takes its credentials again. Sends the mail that could not be sent when it was parked.
pub(super) async fn works_again(context: &Context, stored: &StoredStore, parked: &Parked) -> bool {
    match look(context, stored, parked).await {
        Ok(works) => works,
        Err(error) => {
            tracing::warn!(job.id = %context.job_id, store = stored.id, %error, "a parked store is looked at later");
            false
        }
    }
}

async fn look(context: &Context, stored: &StoredStore, parked: &Parked) -> Result<bool, NotPushed> {
    if !parked.told {
        tell(context, stored, parked).await?;
    }
    let now = now_ms(context);
    let Some(mongo) = context.store.as_ref().filter(|_| parked.look_at.ms() <= now) else { return Ok(false) };
    let Ok(store) = opened(context.providers.ring.as_ref(), stored) else { return Ok(false) };
    // One job does, for all.
    if !mongo.look_at_parked_store(&stored.id, parked, Moment::from_ms(now + LOOK_EVERY_MS)).await? {
        return Ok(false);
    }
    release(context, &store).await;
    let time = context.policy().time.min(LOOK_WITHIN);
    if let Err(error) = context.providers.publication.test(&store, time).await {
        tracing::info!(store = stored.id, %error, "a parked store was looked at and stays parked");
        return Ok(false);
    }
    let works = mongo.unpark_store(&stored.id, stored.version, Moment::from_ms(now_ms(context))).await?;
    if works {
        tracing::info!(store = stored.id, "a parked store takes its credentials again");
        release(context, &store).await;
    }
    Ok(works)
}

/// Its breaker would hold calls back for up to an hour.
async fn release(context: &Context, store: &Store) {
    if let Err(error) = context.providers.fleet.release(Name::Publication.as_str(), &store.breaker()).await {
        tracing::warn!(%error, store = store.account(), "calls to the store are held back for a while yet");
    }
}

/// Pushes the mail under an id of its own, so that it is sent once however often this is repeated.
async fn tell(context: &Context, stored: &StoredStore, parked: &Parked) -> Result<(), NotPushed> {
    let (Some(mongo), Some(client)) = (&context.store, &context.client) else { return Ok(()) };
    // Who has no address is not told.
    let tenant = mongo.tenant(&stored.tenant).await?.filter(|tenant| !tenant.email.is_empty());
    if let Some(tenant) = tenant {
        let name = format!("store parked/{}/{}", stored.id, parked.since.ms());
        let id = client.fixed_id("email", &name, parked.since.ms()).await?;
        let mail = email(&tenant, &zone(&tenant), &mail(stored, parked));
        push_emails(mongo, client, vec![(id, email_job(stored.tenant.clone(), &mail))]).await?;
    }
    mongo.told_of_parked_store(&stored.id, parked.since).await?;
    Ok(())
}

fn mail(stored: &StoredStore, parked: &Parked) -> Template {
    let address = stored.url.split_once("://").map_or(stored.url.as_str(), |(_, address)| address);
    Template::StoreParked(StoreParkedData {
        store: stored.name.clone(),
        address: address.trim_end_matches('/').to_owned(),
        reason: parked.reason.clone(),
        since: time(parked.since.ms()),
        action_url: None,
    })
}

fn now_ms(context: &Context) -> u64 {
    context.client.as_ref().map_or_else(|| Clock::default().now_ms(), Client::now_ms)
}

/// What a shop says may be long, and on many lines.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(REASON).collect();
    if text.is_empty() { "?".to_owned() } else { text }
}
