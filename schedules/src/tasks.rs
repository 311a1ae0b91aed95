//! What the timetable's jobs do that concerns schedules: they turn one tick into one job for each page to watch, or each tenant.
//!
//! All jobs have fixed ids, so a task that was killed in the middle is run again without doubling any.

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use queue::{Client, JobId, NewJob, Pushed};
use serde_json::{Value, json};
use store::{Store, Trial};

use crate::ticker::Error;

/// Jobs that are pushed at a time.
const BATCH: usize = 1000;
/// Reminders go out so many days before the end of a trial, by the tenant's calendar.
const DAYS_BEFORE: [i64; 2] = [3, 1];
/// Not before this hour of the tenant's day.
const MORNING: u32 = 9;

/// Pushes a `scrape` job for each page of `monitors`, in its tenant's name; returns how many were added. `job` is the job that runs
/// this: a second run of the same job pushes the same ones.
///
/// # Errors
/// [`Error`], when a service is away; what was pushed by then is there, and it may be repeated.
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
/// returns how many were added. A tenant gets one a day, however often this runs.
///
/// # Errors
/// As [`prices`].
pub async fn trial_reminders(store: &Store, client: &Client) -> Result<u64, Error> {
    let now_ms = client.now_ms();
    let now = time(now_ms);
    let furthest = now + TimeDelta::days(5);
    let trials = store.trials_ending(now_ms, u64::try_from(furthest.timestamp_millis()).unwrap_or(u64::MAX)).await?;
    let mut jobs = Vec::new();
    for trial in trials {
        let Some(reminder) = reminder(&trial, now) else { continue };
        let name = format!("trial reminder/{}/{}", trial.tenant, reminder.day);
        let id = client.fixed_id("email", &name, day_ms(reminder.day)).await?;
        let job = NewJob::new("email", reminder.payload.to_string());
        jobs.push((id, NewJob { tenant: trial.tenant, ..job }));
    }
    let mut n_added = 0;
    for chunk in jobs.chunks(BATCH) {
        n_added += push(client, chunk.to_vec()).await?;
    }
    Ok(n_added)
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

fn reminder(trial: &Trial, now: DateTime<Utc>) -> Option<Reminder> {
    // A name that is no zone must not cost the tenant its reminder.
    let zone: Tz = trial.time_zone.parse().unwrap_or(Tz::UTC);
    let (local, end) = (now.with_timezone(&zone), time(trial.ends_at.ms()).with_timezone(&zone));
    let days_left = (end.date_naive() - local.date_naive()).num_days();
    if !DAYS_BEFORE.contains(&days_left) || local.hour() < MORNING {
        return None;
    }
    let (subject, text) = words(trial, days_left, &end);
    let mut payload = json!({ "to": trial.email, "subject": subject, "text": text });
    if !trial.name.is_empty() && trial.name.chars().count() <= 100 && !trial.name.chars().any(char::is_control) {
        payload["to_name"] = json!(trial.name);
    }
    Some(Reminder { day: local.date_naive(), payload })
}

/// Subject and text: French for French tenants, English for all others.
fn words(trial: &Trial, days_left: i64, end: &DateTime<Tz>) -> (String, String) {
    let name = &trial.name;
    if trial.language.to_lowercase().starts_with("fr") {
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

fn day_ms(day: NaiveDate) -> u64 {
    let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
    u64::try_from(midnight.timestamp_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use store::Moment;

    use super::*;

    fn trial(language: &str, zone: &str, ends_at: &str) -> Trial {
        let ends_at: DateTime<Utc> = ends_at.parse().unwrap();
        Trial {
            tenant: "atelier".to_owned(),
            name: "Zoé Müller".to_owned(),
            email: "zoe@customer.example".to_owned(),
            language: language.to_owned(),
            time_zone: zone.to_owned(),
            ends_at: Moment::from_ms(u64::try_from(ends_at.timestamp_millis()).unwrap()),
        }
    }

    /// The subject of the reminder that is sent at a time, if one is.
    fn subject(trial: &Trial, now: &str) -> Option<String> {
        let reminder = reminder(trial, now.parse().unwrap())?;
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
}
