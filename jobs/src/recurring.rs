//! What the timetable's `maintenance` jobs do that makes further jobs: one for each tenant.
//!
//! All these jobs have fixed ids, so a task that was killed in the middle is run again without doubling any. E-mails have theirs of the
//! tenant and the day or week: whoever runs such a task once more sends nothing. A task writes down where it is, makes room for others
//! when its time is over, and goes on from there.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc, Weekday};
use futures::{StreamExt, stream};
use providers::payments::PaymentsMode;
use queue::{Client, JobId, NewJob};
use store::{Cursor, Moment, Store, StoredSubscription, TaskProgress, Tenant};

use crate::{
    handler::JobError,
    kinds::{
        email::{
            Email, PriceChange, Template, TrialEndingData, WeeklySummaryData,
            tenant::{NotPushed, email, email_job, ms, push_emails, time, zone},
        },
        image,
        payment::trial_name,
        scrape::alerts::price_changes,
    },
    payments::mode_of,
};

/// Jobs that are pushed at a time.
pub(crate) const BATCH: usize = 1000;
/// Tenants whose jobs are counted before it is written down where the task is, and at a time.
const COUNTED: (usize, usize) = (100, 4);
/// Reminders go out so many days before the end of a trial, by the tenant's calendar.
const DAYS_BEFORE: [i64; 2] = [3, 1];
/// Not before this hour of the tenant's day.
const MORNING: u32 = 9;
const WEEK: TimeDelta = TimeDelta::days(7);
/// Results of `maintenance` jobs are kept for so long.
const KEPT: TimeDelta = TimeDelta::days(30);

/// What was pushed is pushed once, so a task that met an outage goes on from the last page that it wrote down.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A task that made room for others goes on so much later.
const SOON: Duration = Duration::from_millis(100);

/// Why a task did not come to its end; what was pushed by then is there, and it may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// Redis.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It makes room for others, and goes on from where it is.
    #[error("{0} jobs were added so far")]
    TimeIsOver(u64),
}

impl From<NotPushed> for Unfinished {
    fn from(error: NotPushed) -> Self {
        match error {
            NotPushed::Queue(error) => Self::Queue(error),
            NotPushed::Store(error) => Self::Store(error),
        }
    }
}

impl Unfinished {
    /// None of these is a fault of the task: no attempt is used.
    pub(crate) fn put_off(&self) -> JobError {
        let (code, after) = match self {
            Self::TimeIsOver(_) => ("more_to_do", SOON),
            Self::Queue(_) | Self::Store(_) => ("away", AGAIN_AFTER),
        };
        JobError::Snooze { code, message: self.to_string(), after }
    }
}

/// What a task works with.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// MongoDB.
    pub store: &'a Store,
    /// The queue; also says what time it is.
    pub client: &'a Client,
    /// The job that runs it. When it runs again, it goes on where it was.
    pub job: JobId,
    /// How long it goes on before it makes room for others.
    pub time: Duration,
}

/// How far a task is in what the back end wrote.
pub(crate) struct Walk<'a> {
    task: Task<'a>,
    job: String,
    until: Instant,
    /// Where the next page begins.
    pub(crate) after: Option<Cursor>,
    n_added: u64,
}

impl<'a> Walk<'a> {
    /// Goes on where an earlier run of the job was.
    pub(crate) async fn go_on(task: Task<'a>) -> Result<Self, Unfinished> {
        let (job, until) = (task.job.to_string(), Instant::now() + task.time);
        let progress = task.store.task_progress(&job).await?;
        let (after, n_added) = progress.map_or((None, 0), |progress| (Some(progress.after), progress.n_added));
        Ok(Self { task, job, until, after, n_added })
    }

    /// A page is done, for which `n_added` jobs were added. Returns how many were added in all if it was the last.
    pub(crate) async fn turn_the_page(
        &mut self,
        n_added: u64,
        next: Option<Cursor>,
    ) -> Result<Option<u64>, Unfinished> {
        self.n_added += n_added;
        let Some(after) = next else {
            self.task.store.forget_task_progress(&self.job).await?;
            return Ok(Some(self.n_added));
        };
        let progress = TaskProgress { after: after.clone(), n_added: self.n_added };
        self.task.store.keep_task_progress(&self.job, &progress).await?;
        self.after = Some(after);
        if Instant::now() >= self.until { Err(Unfinished::TimeIsOver(self.n_added)) } else { Ok(None) }
    }
}

/// Pushes an `email` job for each tenant whose trial ends in three days or in one, by its own calendar and not before its morning;
/// returns how many were added. A tenant gets one a day, however often this runs. Now is the client's. Of a tenant that has subscribed,
/// the trial is the subscription's, whatever `tenants.trial_ends_at` says: `mode` tells which subscriptions count.
///
/// # Errors
/// [`Unfinished`].
pub async fn trial_reminders(task: Task<'_>, mode: PaymentsMode) -> Result<u64, Unfinished> {
    let mut walk = Walk::go_on(task).await?;
    let Task { store, client, .. } = task;
    let now_ms = client.now_ms();
    let now = time(now_ms);
    let furthest = ms(now + TimeDelta::days(5));
    let counts = |kept: &StoredSubscription| mode_of(kept) == mode && kept.subscription.is_some();
    // They are few, and done again when the task goes on: each has its name.
    let mut n_of_subscriptions =
        if walk.after.is_none() { remind_subscribed(task, now_ms, furthest, counts).await? } else { 0 };
    loop {
        let (tenants, next) = store.tenants(Some((now_ms, furthest)), walk.after.clone(), BATCH).await?;
        let ids: Vec<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
        let subscribed = store.subscriptions_of(&ids).await?.read;
        let subscribed: HashSet<String> = subscribed.into_iter().filter(counts).map(|kept| kept.tenant).collect();
        let mut jobs = Vec::new();
        for tenant in tenants.into_iter().filter(|tenant| !subscribed.contains(&tenant.id)) {
            jobs.extend(reminder_job(client, tenant, now).await?);
        }
        let n_added = push_emails(store, client, jobs).await? + std::mem::take(&mut n_of_subscriptions);
        if let Some(n_added) = walk.turn_the_page(n_added, next).await? {
            return Ok(n_added);
        }
    }
}

/// The same for the trials of subscriptions. Who ends with the trial is not reminded of a payment.
async fn remind_subscribed(
    task: Task<'_>,
    now_ms: u64,
    furthest: u64,
    counts: impl Fn(&StoredSubscription) -> bool,
) -> Result<u64, Unfinished> {
    let Task { store, client, .. } = task;
    let (between, mut after, mut n_added) = ((Moment::from_ms(now_ms), Moment::from_ms(furthest)), None::<String>, 0);
    loop {
        let trials = store.trials_ending(between, after.as_deref(), BATCH).await?;
        let n_found = trials.n();
        let ids = trials.read.iter().map(|kept| &kept.tenant).chain(trials.unreadable.iter().map(|odd| &odd.id));
        after = ids.max().cloned();
        let mut jobs = Vec::new();
        for kept in trials.read.into_iter().filter(|kept| counts(kept) && !kept.cancel_at_period_end) {
            if let Some(tenant) = store.tenant(&kept.tenant).await? {
                let tenant = Tenant { trial_ends_at: kept.trial_end, ..tenant };
                jobs.extend(reminder_job(client, tenant, time(now_ms)).await?);
            }
        }
        n_added += push_emails(store, client, jobs).await?;
        if n_found < BATCH {
            return Ok(n_added);
        }
    }
}

/// The reminder that is sent to a tenant today, if one is.
async fn reminder_job(
    client: &Client,
    tenant: Tenant,
    now: DateTime<Utc>,
) -> Result<Option<(JobId, NewJob)>, Unfinished> {
    let Some(reminder) = reminder(&tenant, now) else { return Ok(None) };
    let name = trial_name(&tenant.id, reminder.day);
    let id = client.fixed_id("email", &name, begin_ms(reminder.day)).await?;
    Ok(Some((id, email_job(tenant.id, &reminder.email))))
}

/// Pushes an `email` job for each tenant that had jobs in the last seven days, which says how they ended; returns how many were
/// added. The days are those before the task's job was made. A tenant gets one a week (Monday to Sunday in UTC), however often this
/// runs.
///
/// # Errors
/// [`Unfinished`].
pub async fn weekly_summary(task: Task<'_>) -> Result<u64, Unfinished> {
    let mut walk = Walk::go_on(task).await?;
    let until = time(task.job.created_ms());
    let monday = monday(until);
    loop {
        let (tenants, next) = task.store.tenants(None, walk.after.clone(), COUNTED.0).await?;
        let mut jobs = Vec::new();
        for (tenant, counts) in count_jobs(task.store, tenants, until).await? {
            if counts.is_empty() {
                continue;
            }
            let changes = price_changes(task.store, &tenant.id, until - WEEK, until).await?;
            let email = summary(&tenant, until, &counts, changes);
            let name = format!("weekly summary/{}/{monday}", tenant.id);
            let id = task.client.fixed_id("email", &name, begin_ms(monday)).await?;
            jobs.push((id, email_job(tenant.id, &email)));
        }
        let n_added = push_emails(task.store, task.client, jobs).await?;
        if let Some(n_added) = walk.turn_the_page(n_added, next).await? {
            return Ok(n_added);
        }
    }
}

/// Kind, state and number.
type Counts = Vec<(String, String, u64)>;

/// How the jobs of each tenant ended that were made in the week before `until`.
async fn count_jobs(
    store: &Store,
    tenants: Vec<Tenant>,
    until: DateTime<Utc>,
) -> Result<Vec<(Tenant, Counts)>, Unfinished> {
    let (from_ms, until_ms) = (ms(until - WEEK), ms(until));
    let counts = stream::iter(tenants).map(|tenant| {
        let store = store.clone();
        async move {
            let counts = store.count_jobs(&tenant.id, from_ms, until_ms).await;
            (tenant, counts)
        }
    });
    let (mut counted, mut failed) = (Vec::new(), Vec::new());
    for (tenant, counts) in counts.buffered(COUNTED.1).collect::<Vec<_>>().await {
        match counts {
            Ok(counts) => counted.push((tenant, counts)),
            Err(error) => failed.push((tenant, error)),
        }
    }
    for (tenant, _) in failed {
        match store.count_jobs(&tenant.id, from_ms, until_ms).await {
            Ok(counts) => counted.push((tenant, counts)),
            // One tenant has too many jobs to be counted in time: the others get their summaries. Or MongoDB is away.
            Err(error) => {
                store.ping().await?;
                tracing::error!(tenant = tenant.id, %error, "a tenant's jobs cannot be counted, and it gets no summary");
            }
        }
    }
    Ok(counted)
}

/// The first day of the week, in UTC.
fn monday(at: DateTime<Utc>) -> NaiveDate {
    at.date_naive().week(Weekday::Mon).first_day()
}

/// Midnight in UTC, in Unix milliseconds.
fn begin_ms(day: NaiveDate) -> u64 {
    ms(day.and_time(NaiveTime::MIN).and_utc())
}

/// Deletes the results of `maintenance` jobs that are older than 30 days; returns how many there were. All else that is kept has
/// an expiry in its database.
///
/// # Errors
/// [`Unfinished`].
pub async fn retention(store: &Store, now_ms: u64) -> Result<u64, Unfinished> {
    Ok(store.delete_results_before("maintenance", ms(time(now_ms) - KEPT)).await?)
}

/// Deletes files of pictures that no result refers to; returns how many there were.
///
/// # Errors
/// [`Unfinished`].
pub async fn unused_files(task: Task<'_>) -> Result<u64, Unfinished> {
    let now = Moment::from_ms(task.client.now_ms());
    let swept = task.store.sweep_files(image::FILES, now, task.time).await?;
    if swept.is_over { Ok(swept.deleted) } else { Err(Unfinished::TimeIsOver(swept.deleted)) }
}

/// A reminder that is to be sent today.
#[derive(Debug, PartialEq)]
struct Reminder {
    /// The tenant's date.
    day: NaiveDate,
    email: Email,
}

fn reminder(tenant: &Tenant, now: DateTime<Utc>) -> Option<Reminder> {
    let zone = zone(tenant);
    let trial_ends_at = time(tenant.trial_ends_at?.ms());
    let local = zone.local(now);
    let days_left = (zone.local(trial_ends_at).date_naive() - local.date_naive()).num_days();
    if !DAYS_BEFORE.contains(&days_left) || local.hour() < MORNING {
        return None;
    }
    let data =
        TrialEndingData { trial_ends_at, days_left: u32::try_from(days_left).ok(), plan: None, action_url: None };
    Some(Reminder { day: local.date_naive(), email: email(tenant, &zone, &Template::TrialEnding(data)) })
}

/// How the jobs of the seven days before `until` ended: `counts` has kind, state and number.
fn summary(
    tenant: &Tenant,
    until: DateTime<Utc>,
    counts: &[(String, String, u64)],
    price_changes: Vec<PriceChange>,
) -> Email {
    let zone = zone(tenant);
    let sum = |wanted: &dyn Fn(&str, &str) -> bool| {
        counts.iter().filter(|(kind, state, _)| wanted(kind, state)).map(|(.., n)| n).sum::<u64>()
    };
    let succeeded = |wanted: &str| sum(&|kind, state| kind == wanted && state == "succeeded");
    let day = |time: DateTime<Utc>| zone.local(time).date_naive();
    let data = WeeklySummaryData {
        from: day(until - WEEK),
        to: day(until - TimeDelta::days(1)),
        texts: succeeded("content"),
        images: succeeded("image"),
        published: succeeded("publication"),
        prices: succeeded("scrape"),
        failed: sum(&|_, state| state == "dead"),
        price_changes,
        action_url: None,
    };
    email(tenant, &zone, &Template::WeeklySummary(data))
}

#[cfg(test)]
mod tests {
    use providers::content::Language;
    use serde_json::json;

    use super::*;
    use crate::handler::Handler;

    fn trial(language: &str, zone: &str, ends_at: &str) -> Tenant {
        let ends_at: DateTime<Utc> = ends_at.parse().unwrap();
        Tenant {
            id: "atelier".to_owned(),
            name: "Zoé Müller".to_owned(),
            email: "zoe@customer.example".to_owned(),
            language: language.to_owned(),
            time_zone: zone.to_owned(),
            trial_ends_at: Some(Moment::from_ms(ms(ends_at))),
            price_alert_percent: None,
        }
    }

    /// How many days the reminder that is sent at a time tells, if one is.
    fn days_left(tenant: &Tenant, now: &str) -> Option<u64> {
        let email = reminder(tenant, now.parse().unwrap())?.email;
        assert_eq!(email.check(), [], "it can be sent");
        email.data.unwrap()["days_left"].as_u64()
    }

    #[test]
    fn a_task_whose_time_is_over_or_whose_servers_are_away_uses_no_attempt() {
        let away = queue::Error::Unavailable("redis is away".to_owned());
        for (error, expected) in [(Unfinished::TimeIsOver(7), "more_to_do"), (away.into(), "away")] {
            let put_off = error.put_off();
            assert!(matches!(&put_off, JobError::Snooze { code, .. } if *code == expected), "{put_off:?}");
        }
    }

    #[test]
    fn a_reminder_goes_out_three_days_and_one_day_before_in_the_tenants_morning() {
        let paris = trial("fr", "Europe/Paris", "2026-06-10T10:00:00Z");
        assert_eq!(days_left(&paris, "2026-06-07T06:59:00Z"), None, "before nine");
        assert_eq!(days_left(&paris, "2026-06-07T07:00:00Z"), Some(3));
        assert_eq!(days_left(&paris, "2026-06-08T09:00:00Z"), None);
        assert_eq!(days_left(&paris, "2026-06-09T21:59:00Z"), Some(1));
        assert_eq!(days_left(&paris, "2026-06-09T22:00:00Z"), None, "it is the next day in Paris");
    }

    #[test]
    fn days_are_those_of_the_tenants_calendar_and_words_its_language() {
        let apia = trial("en-NZ", "Pacific/Apia", "2026-06-10T10:30:00Z");
        let Reminder { day, email } = reminder(&apia, "2026-06-08T20:00:00Z".parse().unwrap()).unwrap();
        assert_eq!((day.to_string().as_str(), email.language), ("2026-06-09", Some(Language::En)));
        assert_eq!((email.time_zone.as_deref(), email.to_name.as_deref()), (Some("Pacific/Apia"), Some("Zoé Müller")));
        let lost = trial("fr-CA", "Atlantis", "2026-06-10T10:30:00Z");
        let email = reminder(&lost, "2026-06-09T09:00:00Z".parse().unwrap()).unwrap().email;
        assert_eq!((email.language, email.time_zone.as_deref()), (Some(Language::Fr), Some("UTC")));
    }

    #[test]
    fn a_week_begins_on_monday_also_at_the_turn_of_the_year() {
        for (at, expected) in [
            ("2026-11-23T00:00:00Z", "2026-11-23"),
            ("2026-11-29T23:59:59Z", "2026-11-23"),
            ("2027-01-01T12:00:00Z", "2026-12-28"),
        ] {
            assert_eq!(monday(at.parse().unwrap()).to_string(), expected, "{at}");
        }
    }

    #[test]
    fn a_week_is_summed_up() {
        let count = |kind: &str, state: &str, n| (kind.to_owned(), state.to_owned(), n);
        let counts = [count("content", "succeeded", 12), count("content", "dead", 2), count("email", "dead", 1)];
        let tenant = trial("fr", "Europe/Paris", "2026-06-10T10:30:00Z");
        let email = summary(&tenant, "2026-06-08T06:00:00Z".parse().unwrap(), &counts, Vec::new());
        assert_eq!(email.check(), [], "it can be sent");
        let data = json!({ "from": "2026-06-01", "to": "2026-06-07", "texts": 12, "images": 0, "published": 0, "prices": 0, "failed": 3 });
        assert_eq!(json!(email.data), data);
    }
}
