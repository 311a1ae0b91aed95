//! Brings the timetable's rows up to date, and reckons next ticks by the tables of time zones of today.

use store::{Advance, Documents, Store, StoredSchedule, Unreadable};

use super::told::Told;
use crate::{
    due::reckoned_anew,
    error::Error,
    stored::{self, moment, new_schedule, pause, text, time},
    timetable::Row,
};

/// Schedules, or ticks, that are handled at a time.
pub(super) const BATCH: usize = 500;

/// Brings the rows of this version of the timetable up to date.
pub(super) async fn bring_up_to_date(
    store: &Store,
    rows: &[Row],
    version: i64,
    now_ms: u64,
    told: &Told,
) -> Result<(), Error> {
    let ids: Vec<String> = rows.iter().map(Row::id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    store.keep_built_in_schedules(&ids, version).await?;
    for row in rows {
        match store.schedule(&row.id()).await {
            Ok(found) => write(store, row, found, version, now_ms).await?,
            Err(store::Error::Refused { reason, .. }) => told.unreadable(&[Unreadable { id: row.id(), reason }]),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes a row of the timetable, unless it is there or a later version's is.
async fn write(
    store: &Store,
    row: &Row,
    found: Option<StoredSchedule>,
    version: i64,
    now_ms: u64,
) -> Result<(), Error> {
    let definition = text(&row.definition);
    let revision = found.as_ref().map(|found| found.revision);
    let mut stored = match found {
        Some(found) if !found.built_in => {
            tracing::warn!(schedule = found.id, "a schedule of the same name hides this row of the timetable");
            return Ok(());
        }
        Some(found) if found.timetable > version => return Ok(()),
        Some(found) if found.definition == definition && found.timetable == version => return Ok(()),
        // Only its version is new.
        Some(found) if found.definition == definition => found,
        found => {
            let mut stored = new_schedule(row.tenant(), row.name, &row.definition, now_ms);
            if found.as_ref().is_some_and(|found| found.paused) {
                pause(&mut stored);
            }
            stored.last_tick = found.and_then(|found| found.last_tick);
            stored
        }
    };
    stored.built_in = true;
    stored.timetable = version;
    stored.revision = revision.unwrap_or_default() + 1;
    // False: another replica was faster.
    store.replace_schedule(&stored, revision).await?;
    Ok(())
}

/// Reckons next ticks anew by the tables of time zones of today: all, or those that were reckoned by older tables, or by nobody
/// knows which. Returns how many are others now.
pub(super) async fn reckon(store: &Store, all: bool) -> Result<usize, Error> {
    let tables = zones::tables();
    let tables = tables.version().as_str();
    let (mut n_changed, mut after) = (0, None::<String>);
    loop {
        let Documents { read, unreadable } = store.schedules_to_reckon(tables, all, after.as_deref(), BATCH).await?;
        let n_found = read.len() + unreadable.len();
        let ids = read.iter().map(|schedule| &schedule.id).chain(unreadable.iter().map(|unreadable| &unreadable.id));
        after = ids.max().cloned();
        let mut advances = Vec::new();
        for schedule in read {
            // What newer tables say is right.
            let is_newer = schedule.reckoned_by().is_some_and(|theirs| theirs > tables);
            let (Some(found_tick), Ok((_, plan))) = (schedule.next_tick, stored::read(&schedule)) else { continue };
            if is_newer {
                continue;
            }
            let next = reckoned_anew(&plan, time(found_tick), schedule.last_tick.map(time), time(schedule.updated_at));
            let is_same = next.map(moment) == Some(found_tick);
            if is_same && schedule.reckoned_by() == Some(tables) {
                continue;
            }
            if !is_same {
                n_changed += 1;
                tracing::info!(schedule = schedule.id, tables, was = %time(found_tick), is = ?next,
                    "the next run is at another time by the tables of time zones of today");
            }
            let next_at = next.map(|next| moment(plan.push_at(&schedule.id, next)));
            advances.push(Advance {
                next_tick: next.map(moment),
                next_at: if is_same { schedule.next_at } else { next_at },
                made_up: is_same && schedule.made_up.is_some(),
                last_tick: None,
                tables: tables.to_owned(),
                found: schedule,
            });
        }
        store.advance_schedules(&advances).await?;
        if n_found < BATCH {
            return Ok(n_changed);
        }
    }
}
