//! What the timetable's `maintenance` jobs do that makes further jobs: one for each page to watch, or for each tenant.
//!
//! All these jobs have fixed ids, so a task that was killed in the middle is run again without doubling any.

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use queue::{Client, JobId, NewJob, Pushed};
use serde_json::{Value, json};
use store::{Cursor, Store, Tenant};

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
            jobs.push((id, NewJob { tenant: tenant.id, ..NewJob::new("email", reminder.payload.to_string()) }));
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
            let payload = summary(&tenant, &counts);
            let id = client.fixed_id("email", &format!("{job}/{}", tenant.id), job.created_ms()).await?;
            jobs.push((id, NewJob { tenant: tenant.id, ..NewJob::new("email", payload.to_string()) }));
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
    payload: Value,
}

fn reminder(tenant: &Tenant, now: DateTime<Utc>) -> Option<Reminder> {
    // A name that is no zone must not cost the tenant its reminder.
    let zone: Tz = tenant.time_zone.parse().unwrap_or(Tz::UTC);
    let (local, end) = (now.with_timezone(&zone), time(tenant.trial_ends_at?.ms()).with_timezone(&zone));
    let days_left = (end.date_naive() - local.date_naive()).num_days();
    if !DAYS_BEFORE.contains(&days_left) || local.hour() < MORNING {
        return None;
    }
    let (subject, text) = words(tenant, days_left, &end);
    Some(Reminder { day: local.date_naive(), payload: email(tenant, &subject, &text) })
}

fn email(tenant: &Tenant, subject: &str, text: &str) -> Value {
    let mut payload = json!({ "to": tenant.email, "subject": subject, "text": text });
    let name = &tenant.name;
    if !name.is_empty() && name.chars().count() <= 100 && !name.chars().any(char::is_control) {
        payload["to_name"] = json!(name);
    }
    payload
}

fn is_french(tenant: &Tenant) -> bool {
    tenant.language.to_lowercase().starts_with("fr")
}

/// How many jobs of each kind ended in each state.
fn summary(tenant: &Tenant, counts: &[(String, String, u64)]) -> Value {
    let lines: String = counts.iter().map(|(kind, state, n)| format!("- {kind}, {state}: {n}\n")).collect();
    if is_french(tenant) {
        let text = format!("Bonjour {},\n\nvos tâches des sept derniers jours :\n\n{lines}", tenant.name);
        email(tenant, "Votre semaine", &text)
    } else {
        let text = format!("Hello {},\n\nyour jobs of the last seven days:\n\n{lines}", tenant.name);
        email(tenant, "Your week", &text)
    }
}

/// Subject and text: French for French tenants, English for all others.
fn words(tenant: &Tenant, days_left: i64, end: &DateTime<Tz>) -> (String, String) {
    let name = &tenant.name;
    if is_french(tenant) {
        let date = end.format("%d/%m/%Y à %H:%M");
        let left = if days_left == 1 { "demain".to_owned() } else { format!("dans {days_left} jours") };
        let text = format!(
            "Bonjour {name},\n\nvotre période d'essai se termine {left}, le {date}. Choisissez une formule pour continuer sans \
             interruption.\n"
        );
        (format!("Votre essai se termine {left}"), text)
    } else {
        let date = end.format("%-d %B %Y at %H:%M");
        let left = if days_left == 1 { "tomorrow".to_owned() } else { format!("in {days_left} days") };
        let text =
            format!("Hello {name},\n\nyour trial ends {left}, on {date}. Choose a plan to go on without a break.\n");
        (format!("Your trial ends {left}"), text)
    }
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

    /// The subject of the reminder that is sent at a time, if one is.
    fn subject(tenant: &Tenant, now: &str) -> Option<String> {
        let reminder = reminder(tenant, now.parse().unwrap())?;
        reminder.payload["subject"].as_str().map(str::to_owned)
    }

    #[test]
    fn a_reminder_goes_out_three_days_and_one_day_before_in_the_tenants_morning() {
        let paris = trial("fr", "Europe/Paris", "2026-06-10T10:00:00Z");
        assert_eq!(subject(&paris, "2026-06-07T06:59:00Z"), None, "before nine");
        assert_eq!(subject(&paris, "2026-06-07T07:00:00Z").unwrap(), "Votre essai se termine dans 3 jours");
        assert_eq!(subject(&paris, "2026-06-08T09:00:00Z"), None);
        assert_eq!(subject(&paris, "2026-06-09T21:59:00Z").unwrap(), "Votre essai se termine demain");
        assert_eq!(subject(&paris, "2026-06-09T22:00:00Z"), None, "it is the next day in Paris");
    }

    #[test]
    fn days_are_those_of_the_tenants_calendar_and_words_its_language() {
        let apia = trial("en-NZ", "Pacific/Apia", "2026-06-10T10:30:00Z");
        let reminder = reminder(&apia, "2026-06-08T20:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(reminder.day.to_string(), "2026-06-09");
        assert_eq!(reminder.payload["subject"], "Your trial ends tomorrow");
        assert!(reminder.payload["text"].as_str().unwrap().contains("on 10 June 2026 at 23:30"), "{reminder:?}");
        assert_eq!(reminder.payload["to_name"], "Zoé Müller");
        let lost = trial("de", "Atlantis", "2026-06-10T10:30:00Z");
        assert_eq!(subject(&lost, "2026-06-09T09:00:00Z").unwrap(), "Your trial ends tomorrow");
    }

    #[test]
    fn a_week_is_summed_up() {
        let counts = [("content".to_owned(), "succeeded".to_owned(), 12), ("email".to_owned(), "dead".to_owned(), 1)];
        let payload = summary(&trial("fr", "Europe/Paris", "2026-06-10T10:30:00Z"), &counts);
        assert_eq!(payload["subject"], "Votre semaine");
        assert!(
            payload["text"].as_str().unwrap().ends_with("- content, succeeded: 12\n- email, dead: 1\n"),
            "{payload}"
        );
    }
}
