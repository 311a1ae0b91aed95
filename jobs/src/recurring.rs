//! What the timetable's `maintenance` jobs do that makes further jobs: one for each page to watch, or for each tenant.
//!
//! All these jobs have fixed ids, so a task that was killed in the middle is run again without doubling any.

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use providers::content::Language;
use queue::{Client, JobId, NewJob, Pushed};
use serde_json::json;
use store::{Cursor, Store, Tenant};

use crate::email::{Email, Template, TrialEndingData, WeeklySummaryData};

/// Jobs that are pushed at a time.
const BATCH: usize = 1000;
/// Reminders go out so many days before the end of a trial, by the tenant's calendar.
const DAYS_BEFORE: [i64; 2] = [3, 1];
/// Not before this hour of the tenant's day.
const MORNING: u32 = 9;
const WEEK: TimeDelta = TimeDelta::days(7);
/// Results of `maintenance` jobs are kept for so long.
const KEPT: TimeDelta = TimeDelta::days(30);

/// Why a task could not be done to its end; what was pushed by then is there, and it may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Pushes a `scrape` job for each page of `monitors`, in its tenant's name; returns how many were added. `job` is the job that runs
/// this: a second run of the same job pushes the same ones.
///
/// # Errors
/// [`Error`].
pub async fn prices(store: &Store, client: &Client, job: JobId) -> Result<u64, Error> {
    let (mut n_added, mut after) = (0, None);
    loop {
        let (monitors, next) = store.monitors(after, BATCH).await?;
        let mut jobs = Vec::with_capacity(monitors.len());
        for monitor in monitors {
            let id = client.fixed_id("scrape", &format!("{job}/{}", monitor.id), job.created_ms()).await?;
            let payload = json!({ "product_id": monitor.product_id, "urls": [monitor.url] });
            jobs.push((id, NewJob { tenant: monitor.tenant, ..NewJob::new("scrape", payload.to_string()) }));
        }
        n_added += push(client, jobs).await?;
        match next {
            Some(_) => after = next,
            None => return Ok(n_added),
        }
    }
}

/// Pushes an `email` job for each tenant whose trial ends in three days or in one, by its own calendar and not before its morning;
/// returns how many were added. A tenant gets one a day, however often this runs. Now is the client's.
///
/// # Errors
/// [`Error`].
pub async fn trial_reminders(store: &Store, client: &Client) -> Result<u64, Error> {
    let now_ms = client.now_ms();
    let now = time(now_ms);
    let furthest = now + TimeDelta::days(5);
    let (mut n_added, mut after) = (0, None);
    loop {
        let (tenants, next) = store.tenants(Some((now_ms, ms(furthest))), after, BATCH).await?;
        let mut jobs = Vec::new();
        for tenant in tenants {
            let Some(reminder) = reminder(&tenant, now) else { continue };
            let name = format!("trial reminder/{}/{}", tenant.id, reminder.day);
            let id =
                client.fixed_id("email", &name, ms(reminder.day.and_time(chrono::NaiveTime::MIN).and_utc())).await?;
            jobs.push((id, email_job(tenant.id, &reminder.email)));
        }
        n_added += push(client, jobs).await?;
        match next {
            Some(_) => after = next,
            None => return Ok(n_added),
        }
    }
}

/// Pushes an `email` job for each tenant that had jobs in the last seven days, which says how they ended; returns how many were
/// added. `job` as for [`prices`]; the days are those before it was made.
///
/// # Errors
/// [`Error`].
pub async fn weekly_summary(store: &Store, client: &Client, job: JobId) -> Result<u64, Error> {
    let from_ms = ms(time(job.created_ms()) - WEEK);
    let (mut n_added, mut after) = (0, None::<Cursor>);
    loop {
        let (tenants, next) = store.tenants(None, after, BATCH).await?;
        let mut jobs = Vec::new();
        for tenant in tenants {
            let counts = store.count_jobs(&tenant.id, from_ms, job.created_ms()).await?;
            if counts.is_empty() {
                continue;
            }
            let email = summary(&tenant, time(job.created_ms()), &counts);
            let id = client.fixed_id("email", &format!("{job}/{}", tenant.id), job.created_ms()).await?;
            jobs.push((id, email_job(tenant.id, &email)));
        }
        n_added += push(client, jobs).await?;
        match next {
            Some(_) => after = next,
            None => return Ok(n_added),
        }
    }
}

/// Deletes the results of `maintenance` jobs that are older than 30 days; returns how many there were. All else that is kept has
/// an expiry in its database.
///
/// # Errors
/// [`Error`].
pub async fn retention(store: &Store, now_ms: u64) -> Result<u64, Error> {
    Ok(store.delete_results_before("maintenance", ms(time(now_ms) - KEPT)).await?)
}

fn email_job(tenant: String, email: &Email) -> NewJob {
    NewJob { tenant, ..NewJob::new("email", json!(email).to_string()) }
}

async fn push(client: &Client, jobs: Vec<(JobId, NewJob)>) -> Result<u64, Error> {
    let mut n_added = 0;
    for pushed in client.push_fixed(jobs).await {
        if let Pushed::New(_) = pushed? {
            n_added += 1;
        }
    }
    Ok(n_added)
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
    let local = now.with_timezone(&zone);
    let days_left = (trial_ends_at.with_timezone(&zone).date_naive() - local.date_naive()).num_days();
    if !DAYS_BEFORE.contains(&days_left) || local.hour() < MORNING {
        return None;
    }
    let data =
        TrialEndingData { trial_ends_at, days_left: u32::try_from(days_left).ok(), plan: None, action_url: None };
    Some(Reminder { day: local.date_naive(), email: email(tenant, zone, &Template::TrialEnding(data)) })
}

/// What the tenant is told, in its language (French, or else English) and its zone.
fn email(tenant: &Tenant, zone: Tz, template: &Template) -> Email {
    let name = &tenant.name;
    let is_line = !name.is_empty() && name.chars().count() <= 100 && !name.chars().any(char::is_control);
    let language = if tenant.language.to_lowercase().starts_with("fr") { Language::Fr } else { Language::En };
    let to_name = is_line.then(|| name.clone());
    Email::from_template(tenant.email.as_str(), to_name, language, Some(zone.name().to_owned()), template)
}

/// A name that is no zone must not cost the tenant its e-mail.
fn zone(tenant: &Tenant) -> Tz {
    tenant.time_zone.parse().unwrap_or(Tz::UTC)
}

/// How the jobs of the seven days before `until` ended: `counts` has kind, state and number.
fn summary(tenant: &Tenant, until: DateTime<Utc>, counts: &[(String, String, u64)]) -> Email {
    let zone = zone(tenant);
    let sum = |wanted: &dyn Fn(&str, &str) -> bool| {
        counts.iter().filter(|(kind, state, _)| wanted(kind, state)).map(|(.., n)| n).sum::<u64>()
    };
    let succeeded = |wanted: &str| sum(&|kind, state| kind == wanted && state == "succeeded");
    let day = |time: DateTime<Utc>| time.with_timezone(&zone).date_naive();
    let data = WeeklySummaryData {
        from: day(until - WEEK),
        to: day(until - TimeDelta::days(1)),
        texts: succeeded("content"),
        images: succeeded("image"),
        published: succeeded("publication"),
        prices: succeeded("scrape"),
        failed: sum(&|_, state| state == "dead"),
        price_changes: Vec::new(),
        action_url: None,
    };
    email(tenant, zone, &Template::WeeklySummary(data))
}

fn time(ms: u64) -> DateTime<Utc> {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn ms(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use queue::Job;
    use store::Moment;

    use super::*;

    fn trial(language: &str, zone: &str, ends_at: &str) -> Tenant {
        let ends_at: DateTime<Utc> = ends_at.parse().unwrap();
        Tenant {
            id: "atelier".to_owned(),
            name: "Zoé Müller".to_owned(),
            email: "zoe@customer.example".to_owned(),
            language: language.to_owned(),
            time_zone: zone.to_owned(),
            trial_ends_at: Some(Moment::from_ms(ms(ends_at))),
        }
    }

    /// How many days the reminder that is sent at a time tells, if one is.
    fn days_left(tenant: &Tenant, now: &str) -> Option<u64> {
        let email = reminder(tenant, now.parse().unwrap())?.email;
        assert_eq!(email.check(), [], "it can be sent");
        email.data.unwrap()["days_left"].as_u64()
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
    fn a_week_is_summed_up() {
        let count = |kind: &str, state: &str, n| (kind.to_owned(), state.to_owned(), n);
        let counts = [count("content", "succeeded", 12), count("content", "dead", 2), count("email", "dead", 1)];
        let tenant = trial("fr", "Europe/Paris", "2026-06-10T10:30:00Z");
        let email = summary(&tenant, "2026-06-08T06:00:00Z".parse().unwrap(), &counts);
        assert_eq!(email.check(), [], "it can be sent");
        let data = json!({ "from": "2026-06-01", "to": "2026-06-07", "texts": 12, "images": 0, "published": 0, "prices": 0, "failed": 3 });
        assert_eq!(json!(email.data), data);
    }
}
