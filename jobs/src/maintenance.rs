//! What the system does for itself.

use api::FieldError;
use queue::{Job, JobId, JobView, NewJob};
use serde::{Deserialize, Serialize};
use services::{Config, Name};
use store::Store;
use utoipa::ToSchema;

use crate::{
    handler::{Context, Done, Handler, JobError},
    heal::{Healed, heal, kinds_of},
    market,
    reconcile::{self, Reconciled},
    recurring,
    rotate::{Rotated, rotate_keys},
    stop::{run_elsewhere, stop_elsewhere},
    watched,
};

/// One task of the system itself. Only operators may push it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// What to do.
    pub task: Task,
    /// For which service; `heal` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ai")]
    pub service: Option<String>,
    /// Which job; `stop_elsewhere` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0199a1b2-0000-7000-8000-000000000000")]
    pub job: Option<String>,
    /// Only tells what `payment_subscriptions` would do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    pub dry_run: bool,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Puts real results in the place of those that stand-ins made while a service could not answer.
    Heal,
    /// Fetches competitors' prices: a `scrape` job for each page of the collection `monitors`.
    Prices,
    /// Reminds tenants three days and one day before their trial ends: an `email` job for each.
    TrialReminders,
    /// Tells each tenant how its jobs of the last seven days ended: an `email` job for each.
    WeeklySummary,
    /// Shows that schedules, queue, workers and MongoDB work: the result is the proof.
    Heartbeat,
    /// Deletes results of this kind that are older than 30 days.
    Retention,
    /// Deletes files of pictures that no result refers to any more.
    UnusedFiles,
    /// Ends what a cancelled job has begun at its service: pictures that are still being made. Pushed when such a job is cancelled.
    StopElsewhere,
    /// Reads the day's exchange rates from the file that `RATES_URL` names.
    Rates,
    /// Compares the offers of each product of the collection `monitors`, and keeps what they say together.
    UnifiedPrices,
    /// Sends alerts of prices that could not be sent when the price was read: an `email` job for each.
    PriceAlerts,
    /// Seals the credentials of stores anew that are not sealed with the newest key of `ENCRYPTION_KEY`.
    RotateKeys,
    /// Fetches the events of the last 30 days that Stripe could not deliver: a `payment` job for each.
    PaymentEvents,
    /// Compares what is kept of subscriptions with Stripe: a `payment` job for each customer where that differs.
    PaymentSubscriptions,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MaintenanceResult {
    /// The task.
    pub task: Task,
    /// What `heal` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed: Option<Healed>,
    /// What `rotate_keys` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Rotated>,
    /// What `payment_subscriptions` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciled>,
    /// How many jobs the other tasks added, documents they deleted, rates they read, or products they compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Maintenance {
    /// The job that heals the results of `service`.
    #[must_use]
    pub fn heal(service: Name) -> Self {
        Self { task: Task::Heal, service: Some(service.as_str().to_owned()), job: None, dry_run: false }
    }

    /// The job that seals the credentials of stores anew.
    #[must_use]
    pub fn rotate_keys() -> NewJob {
        let payload = Self { task: Task::RotateKeys, service: None, job: None, dry_run: false };
        NewJob::new(Self::KIND, serde_json::to_string(&payload).unwrap_or_default())
    }

    /// The job that compares what is kept of subscriptions with Stripe; `dry_run`: and only tells what differs.
    #[must_use]
    pub fn reconcile(dry_run: bool) -> NewJob {
        let payload = Self { task: Task::PaymentSubscriptions, service: None, job: None, dry_run };
        NewJob::new(Self::KIND, serde_json::to_string(&payload).unwrap_or_default())
    }

    /// What follows when a job was cancelled, for [`queue::Client::with_follow_up`]: a task that ends what it has begun at its service,
    /// where something may go on there.
    pub fn after_cancel(services: &Config) -> impl Fn(&JobView) -> Option<NewJob> + Send + Sync + use<> {
        let kinds = run_elsewhere(services);
        move |job| {
            let payload =
                Self { task: Task::StopElsewhere, service: None, job: Some(job.id.to_string()), dry_run: false };
            let task = || NewJob::new(Self::KIND, serde_json::to_string(&payload).unwrap_or_default());
            kinds.contains(&job.kind.as_str()).then(task)
        }
    }

    fn stopped(&self) -> Option<JobId> {
        self.job.as_deref()?.parse().ok()
    }
}

impl Job for Maintenance {
    const KIND: &'static str = "maintenance";
    const MAX_ATTEMPTS: u32 = 3;
    const TIMEOUT_S: u64 = 600;
    const CONCURRENCY: usize = 4;
}

impl Handler for Maintenance {
    type Output = MaintenanceResult;
    const COLLECTION: &'static str = "maintenance";
    const FOR_OPERATORS: bool = true;

    fn check(&self) -> Vec<FieldError> {
        match (self.task, self.service.as_deref()) {
            (Task::Heal, service) if service.and_then(Name::named).is_none_or(|name| kinds_of(name).is_empty()) => {
                vec![FieldError::new("/service", "must be a service with stand-ins: ai, images or scraping")]
            }
            (Task::StopElsewhere, _) if self.stopped().is_none() => {
                vec![FieldError::new("/job", "must be the id of a job")]
            }
            (task, _) if self.dry_run && task != Task::PaymentSubscriptions => {
                vec![FieldError::new("/dry_run", "is only of payment_subscriptions")]
            }
            _ => Vec::new(),
        }
    }

    async fn run(self, context: &Context) -> Result<Done<MaintenanceResult>, JobError> {
        let stopped = self.stopped();
        let Self { task, service, dry_run, .. } = self;
        let (mut note, mut rotated, mut reconciled) = (None, None, None);
        let (healed, count) = match task {
            Task::StopElsewhere => match stopped {
                Some(job) => (None, Some(stop_elsewhere(job, context).await?)),
                None => (None, Some(0)),
            },
            Task::Rates if context.providers.rates.is_none() => {
                note = Some("RATES_URL is not set: no exchange rates were read".to_owned());
                (None, None)
            }
            Task::RotateKeys => {
                rotated = Some(rotate_keys(context).await?);
                (None, None)
            }
            Task::PaymentSubscriptions => {
                reconciled = Some(reconcile::subscriptions(context, dry_run).await?);
                (None, None)
            }
            Task::PaymentEvents => (None, Some(reconcile::events(context).await?)),
            Task::Heal => {
                let healed = match service.as_deref().and_then(Name::named) {
                    Some(service) => heal(service, context).await?,
                    None => Healed::default(),
                };
                (Some(healed), None)
            }
            task => (None, recur(task, context).await?),
        };
        let result = MaintenanceResult { task, healed, rotated, reconciled, count, note };
        Ok(Done { result, provider: None, degraded_reason: None })
    }
}

/// A task that recurs.
async fn recur(task: Task, context: &Context) -> Result<Option<u64>, JobError> {
    let (Some(store), Some(client)) = (&context.store, &context.client) else {
        return Err(JobError::Fatal { code: "no_store", message: "this task needs redis and mongodb".to_owned() });
    };
    let with = recurring::Task { store, client, job: context.job_id, time: context.time_for_a_task() };
    let done = match task {
        Task::Heal
        | Task::Heartbeat
        | Task::StopElsewhere
        | Task::RotateKeys
        | Task::PaymentEvents
        | Task::PaymentSubscriptions => return Ok(None),
        Task::Rates => return read_rates(context, store).await,
        Task::Prices => watched::prices(with, &context.plans, context.providers.payments.mode()).await,
        Task::TrialReminders => recurring::trial_reminders(with, context.providers.payments.mode()).await,
        Task::WeeklySummary => recurring::weekly_summary(with).await,
        Task::Retention => recurring::retention(store, client.now_ms()).await,
        Task::UnusedFiles => recurring::unused_files(with).await,
        Task::UnifiedPrices => market::unified_prices(with).await,
        Task::PriceAlerts => market::price_alerts(with).await,
    };
    done.map(Some).map_err(|error| error.put_off())
}

async fn read_rates(context: &Context, store: &Store) -> Result<Option<u64>, JobError> {
    match &context.providers.rates {
        Some(file) => market::rates(store, file).await.map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{complaints, refused};

    #[test]
    fn a_task_that_cannot_be_done_is_refused() {
        assert_eq!(
            refused::<Maintenance>(&json!({ "task": "dance", "service": 1, "x": 2 })),
            ["/service", "/task", "/x"]
        );
        for bad in [json!({ "task": "heal" }), json!({ "task": "heal", "service": "email" })] {
            assert_eq!(complaints::<Maintenance>(bad), ["/service"]);
        }
        for bad in [json!({ "task": "stop_elsewhere" }), json!({ "task": "stop_elsewhere", "job": "7" })] {
            assert_eq!(complaints::<Maintenance>(bad), ["/job"]);
        }
        assert_eq!(complaints::<Maintenance>(json!({ "task": "prices", "dry_run": true })), ["/dry_run"]);
        for service in ["ai", "images", "scraping"] {
            assert!(complaints::<Maintenance>(json!({ "task": "heal", "service": service })).is_empty(), "{service}");
        }
    }
}
