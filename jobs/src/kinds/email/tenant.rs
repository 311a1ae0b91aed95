//! E-mails to tenants, which the back end has written down.

use chrono::{DateTime, Utc};
use providers::content::Language;
use queue::{Client, JobId, NewJob, Pushed};
use serde_json::json;
use store::{Store, Tenant};
use zones::Zone;

use super::{Email, Template};

/// Why jobs could not be pushed; those that were are there, and it may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum NotPushed {
    /// Redis.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What the tenant is told, in its language (French, or else English) and its zone.
pub(crate) fn email(tenant: &Tenant, zone: &Zone, template: &Template) -> Email {
    let name = &tenant.name;
    let is_line = !name.is_empty() && name.chars().count() <= 100 && !name.chars().any(char::is_control);
    let language = if tenant.language.to_lowercase().starts_with("fr") { Language::Fr } else { Language::En };
    let to_name = is_line.then(|| name.clone());
    Email::from_template(tenant.email.as_str(), to_name, language, Some(zone.name().to_owned()), template)
}

/// A name that is no zone must not cost the tenant its e-mail.
pub(crate) fn zone(tenant: &Tenant) -> Zone {
    tenant.time_zone.parse().unwrap_or(Zone::UTC)
}

pub(crate) fn email_job(tenant: String, email: &Email) -> NewJob {
    NewJob { tenant, ..NewJob::new("email", json!(email).to_string()) }
}

/// Pushes e-mails, but none whose job has ended already: Redis knows its id for a day only. Returns how many were added.
pub(crate) async fn push_emails(
    store: &Store,
    client: &Client,
    mut jobs: Vec<(JobId, NewJob)>,
) -> Result<u64, NotPushed> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let ids: Vec<String> = jobs.iter().map(|(id, _)| id.to_string()).collect();
    let ended = store.ended(&ids).await?;
    jobs.retain(|(id, _)| !ended.contains(&id.to_string()));
    push(client, jobs).await
}

/// Pushes jobs under fixed ids; returns how many were added.
pub(crate) async fn push(client: &Client, jobs: Vec<(JobId, NewJob)>) -> Result<u64, NotPushed> {
    let mut n_added = 0;
    for pushed in client.push_fixed(jobs).await {
        match pushed {
            Ok(Pushed::New(_)) => n_added += 1,
            Ok(_) => {}
            // What the back end wrote for one must not hold up the others.
            Err(error @ queue::Error::Invalid(_)) => tracing::error!(%error, "a job of a task cannot be enqueued"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(n_added)
}

/// In Unix milliseconds.
pub(crate) fn ms(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or(0)
}

/// From Unix milliseconds.
pub(crate) fn time(ms: u64) -> DateTime<Utc> {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
