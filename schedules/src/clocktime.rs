//! From the clock on the wall to instants.
//!
//! **The rule**, where a zone's clock is changed:
//! - an hour that is given as numbers means a time of day. One that does not exist, because the clock jumps over it, runs at the
//!   first moment after the gap. One that exists twice, because the clock is set back, runs once, the first time;
//! - with `*` or a step in the hour field real time counts: it runs at every instant at which the clock shows a time that fits,
//!   both times when it shows it twice, and not at times that it never shows.

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, Timelike, Utc};
use zones::Zone;

use crate::expression::Expression;

/// No zone sets its clock back further.
const FURTHEST_BACK: Duration = Duration::hours(3);
/// Around the wall-clock time, read as UTC, in which the change lies that jumps over it: offsets and jumps take at most a day.
const AROUND: Duration = Duration::hours(40);

/// The first instant after `after` at which `expression` runs in `zone`, by the rule above; a whole second. `None` when there is
/// none within the next decades.
#[must_use]
pub fn next_instant(expression: &Expression, zone: &Zone, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if expression.follows_real_time() {
        next_shown(expression, zone, after)
    } else {
        let wall = wall_time(zone, after);
        expression.wall_times(wall).find_map(|wall| time_of_day(zone, wall).filter(|instant| *instant > after))
    }
}

/// When a time of day is: the first of two, or the end of the gap that it lies in.
fn time_of_day(zone: &Zone, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.instants(wall) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => Some(instant),
        MappedLocalTime::None => end_of_gap(zone, wall),
    }
}

/// The change of the clock that jumps over a wall-clock time.
fn end_of_gap(zone: &Zone, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    let mut from = wall.and_utc() - AROUND;
    let until = wall.and_utc() + AROUND;
    while let Some(change) = zone.next_change(from, until) {
        if wall_time(zone, change - Duration::seconds(1)) < wall && wall < wall_time(zone, change) {
            return Some(change);
        }
        from = change;
    }
    None
}

/// The next instant at which the clock shows a time that fits.
fn next_shown(expression: &Expression, zone: &Zone, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let wall = wall_time(zone, after);
    let Some(change) = zone.next_change(after, after + FURTHEST_BACK) else {
        return first_shown(expression, zone, wall, after);
    };
    // Before the change the clock runs on; from it on, it may show again what it has shown.
    let offset = zone.offset(after);
    let before = expression.wall_times(wall).next().map(|wall| (wall - offset).and_utc());
    if let Some(before) = before.filter(|instant| *instant < change) {
        return Some(before);
    }
    let just_before = change - Duration::seconds(1);
    first_shown(expression, zone, wall_time(zone, change) - Duration::seconds(1), just_before)
}

/// The first instant after `after` that shows one of the times after `wall`.
fn first_shown(
    expression: &Expression,
    zone: &Zone,
    wall: NaiveDateTime,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    expression.wall_times(wall).find_map(|wall| match zone.instants(wall) {
        MappedLocalTime::Single(instant) => Some(instant),
        MappedLocalTime::Ambiguous(first, second) => [first, second].into_iter().find(|instant| *instant > after),
        MappedLocalTime::None => None,
    })
}

/// What the clock shows, to the second.
fn wall_time(zone: &Zone, instant: DateTime<Utc>) -> NaiveDateTime {
    let wall = zone.local(instant).naive_local();
    wall.with_nanosecond(0).unwrap_or(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str, from: &str, n: usize) -> Vec<String> {
        let (expression, zone): (Expression, Zone) = (expression.parse().unwrap(), zone.parse().unwrap());
        let from: DateTime<Utc> = from.parse().unwrap();
        let instants = std::iter::successors(next_instant(&expression, &zone, from), |last| {
            next_instant(&expression, &zone, *last)
        });
        instants.take(n).map(|instant| instant.format("%m-%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn a_time_of_day_that_is_jumped_over_runs_at_the_first_moment_after_the_gap_and_once() {
        let paris = ["03-28T01:30", "03-29T01:00", "03-30T00:30"];
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-03-27T12:00:00Z", 3), paris);
        let both = ["03-29T01:00", "03-30T00:00", "03-30T01:00"];
        assert_eq!(next("0 2,3 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", 3), both);
        // Half an hour, from 2:00 to 2:30.
        assert_eq!(
            next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
            ["10-03T15:30", "10-04T15:15"]
        );
    }

    #[test]
    fn a_time_of_day_that_comes_twice_runs_the_first_time() {
        let paris = ["10-25T00:30", "10-26T01:30"];
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", 2), paris);
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-10-25T00:45:00Z", 1), ["10-26T01:30"]);
        assert_eq!(next("30 2 * * *", "Europe/Paris", "2026-10-25T01:10:00Z", 1), ["10-26T01:30"]);
    }

    #[test]
    fn with_a_star_in_the_hour_real_time_counts() {
        let back = ["10-24T23:30", "10-25T00:30", "10-25T01:30", "10-25T02:30"];
        assert_eq!(next("30 * * * *", "Europe/Paris", "2026-10-24T23:00:00Z", 4), back);
        let forward = ["03-29T00:30", "03-29T01:30", "03-29T02:30"];
        assert_eq!(next("30 * * * *", "Europe/Paris", "2026-03-29T00:00:00Z", 3), forward);
        // 2:00 and 2:30 are shown, then from 1:30 on once more.
        let howe = ["04-04T14:45", "04-04T15:15", "04-04T15:45", "04-04T16:15"];
        assert_eq!(next("15,45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30:00Z", 4), howe);
        assert_eq!(
            next("0 */2 * * *", "Europe/Paris", "2026-10-24T23:59:00Z", 3),
            ["10-25T00:00", "10-25T01:00", "10-25T03:00"]
        );
    }

    #[test]
    fn a_day_that_was_left_out_runs_when_it_is_over() {
        assert_eq!(next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1), ["12-30T10:00"]);
    }

    #[test]
    fn parts_of_a_second_do_not_make_it_run_again() {
        assert_eq!(next("0 3 * * *", "UTC", "2026-01-01T03:00:00.500Z", 1), ["01-02T03:00"]);
        assert_eq!(next("0 3 * * *", "UTC", "2026-01-01T02:59:59.999Z", 1), ["01-01T03:00"]);
        assert_eq!(next("* * * * *", "Europe/Paris", "2026-10-25T00:59:59.999Z", 1), ["10-25T01:00"]);
    }
}
