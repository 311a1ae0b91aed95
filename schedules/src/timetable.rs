//! The timetable: what recurs in every installation. To add a row, add it here; every worker brings MongoDB up to date when it
//! starts. A row can be paused, resumed and run through the API by an administrator, and is changed here alone.

use queue::DEFAULT_TENANT;
use serde_json::json;

use crate::definition::{Definition, JobSpec, Missed, Overlap, schedule_id};

/// The version of the rows below: one more with each change of them. While two releases run side by side, the workers of the older one
/// leave the rows of the newer one alone.
pub const TIMETABLE: i64 = 4;

/// A schedule of the timetable.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name; never used again for something else.
    pub name: &'static str,
    /// When and what.
    pub definition: Definition,
}

impl Row {
    /// Whom the rows belong to.
    #[must_use]
    pub fn tenant(&self) -> &'static str {
        DEFAULT_TENANT
    }

    /// The id of its schedule.
    #[must_use]
    pub fn id(&self) -> String {
        schedule_id(self.tenant(), self.name)
    }
}

/// What happens to times at which no worker was there.
#[derive(Clone, Copy)]
struct Policy {
    missed: Missed,
    window_s: u64,
}

/// Worth nothing later.
const NOW_OR_NEVER: Policy = Policy { missed: Missed::Skip, window_s: 0 };
/// Made up for once, for hours.
const THE_SAME_NIGHT: Policy = Policy { missed: Missed::Once, window_s: 6 * 3600 };
/// Made up for once, for a day.
const WITHIN_A_DAY: Policy = Policy { missed: Missed::Once, window_s: 24 * 3600 };

/// Every row: name, cron expression, time zone, task of the kind `maintenance`, policy.
#[must_use]
pub fn timetable() -> Vec<Row> {
    vec![
        row("competitor-prices", "0 3 * * *", "Europe/Paris", "prices", THE_SAME_NIGHT),
        // Three hours later, in which 5,400 pages of one shop can be fetched at its pace.
        row("unified-prices", "0 6 * * *", "Europe/Paris", "unified_prices", THE_SAME_NIGHT),
        // An alert goes out with the price that it is about; this sends what a worker that died left behind.
        row("price-alerts", "*/10 * * * *", "UTC", "price_alerts", NOW_OR_NEVER),
        // The European Central Bank has the day's about 16:00, on days when banks work.
        row("exchange-rates", "30 17 * * mon-fri", "Europe/Berlin", "rates", WITHIN_A_DAY),
        // Each hour, because tenants live in different zones: a reminder goes out in the tenant's morning.
        row("trial-reminders", "0 * * * *", "UTC", "trial_reminders", WITHIN_A_DAY),
        row("weekly-summary", "0 8 * * mon", "Europe/Paris", "weekly_summary", WITHIN_A_DAY),
        row("heartbeat", "* * * * *", "UTC", "heartbeat", NOW_OR_NEVER),
        healing("healing-ai", "ai"),
        healing("healing-images", "images"),
        healing("healing-scraping", "scraping"),
        row("retention", "30 4 * * *", "Europe/Paris", "retention", WITHIN_A_DAY),
        // A webhook delivers most; these are what it could not.
        row("payment-events", "35 * * * *", "UTC", "payment_events", NOW_OR_NEVER),
        row("payment-subscriptions", "15 2 * * *", "Europe/Paris", "payment_subscriptions", WITHIN_A_DAY),
        row("unused-files", "20 * * * *", "UTC", "unused_files", NOW_OR_NEVER),
    ]
}

/// Beside the healing that begins when a service answers again: for what that one left behind.
fn healing(name: &'static str, service: &str) -> Row {
    let row = row(name, "*/15 * * * *", "UTC", "heal", NOW_OR_NEVER);
    let job = JobSpec::new("maintenance", json!({ "task": "heal", "service": service }));
    Row { definition: Definition { job, ..row.definition }, ..row }
}

fn row(name: &'static str, cron: &str, zone: &str, task: &str, policy: Policy) -> Row {
    let job = JobSpec::new("maintenance", json!({ "task": task }));
    let definition = Definition {
        missed: Some(policy.missed),
        missed_window_s: Some(policy.window_s),
        // A task that takes longer than its period is not started a second time beside itself.
        overlap: Some(Overlap::Skip),
        ..Definition::new(cron, zone, job)
    };
    Row { name, definition }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the rows without one of the version would be undone by each worker of the older release that starts.
    #[test]
    fn a_change_of_the_rows_has_a_new_version() {
        let rows = timetable();
        let text: Vec<String> = rows.iter().map(|row| format!("{} {}", row.name, json!(row.definition))).collect();
        let now = (TIMETABLE, crc32fast::hash(text.join("\n").as_bytes()));
        assert_eq!(now, (4, 2_731_320_476), "change the version and this together");
    }

    #[test]
    fn every_row_can_be_read_and_has_a_name_of_its_own() {
        let rows = timetable();
        for row in &rows {
            assert!(row.definition.plan().is_ok(), "{}: {:?}", row.name, row.definition.plan());
            let job = &row.definition.job;
            assert!(jobs::Checks::all().check(&job.kind, &job.payload).is_ok(), "{}: a worker can run it", row.name);
            assert_eq!(rows.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
        }
    }
}
