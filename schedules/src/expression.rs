//! Cron expressions as Unix writes them, translated for the crate `cron`, which walks through wall-clock times.
//!
//! Five fields (minute, hour, day of month, month, day of week) or six (second before them). A field is a list of numbers, names
//! (`jan`, `mon`), ranges and steps (`*/15`, `8-18/2`; `10/5` is from 10 to the end). Days of the week are 0 to 7, and both 0 and
//! 7 are Sunday. As in every Unix cron, when both days are given (neither field begins with `*`), one of them is enough;
//! otherwise both must fit. `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight` and `@hourly` stand for the usual
//! expressions.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDateTime};
use cron::Schedule;

/// A moment long before any schedule, after which an expression must have a run. The crate looks 100 years ahead.
const EARLY: DateTime<chrono::Utc> = DateTime::UNIX_EPOCH;
const LONGEST: usize = 200;

/// When something recurs, on the clock on the wall; which instants these are, the zone tells (see [`crate::next_instant`]).
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    /// One, or two of which either may fit.
    schedules: Vec<Schedule>,
    follows_real_time: bool,
}

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// There is no such macro.
    #[error("{0:?} is not known; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly")]
    Macro(String),
    /// Too few or too many fields, or far too long.
    #[error(
        "a cron expression has 5 fields (minute hour day-of-month month day-of-week) or 6 (second before them), not {0}"
    )]
    Fields(usize),
    /// A field that cannot be read.
    #[error("{field} {text:?}: {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// As it was given.
        text: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// No day of any year fits.
    #[error("{0:?} never runs: there is no such day in any year")]
    Never(String),
    /// Nobody writes such a text.
    #[error("a cron expression has at most {LONGEST} characters")]
    TooLong,
}

impl Expression {
    /// Whether real time counts, because the hour has `*` or a step; see [`crate::next_instant`].
    #[must_use]
    pub fn follows_real_time(&self) -> bool {
        self.follows_real_time
    }

    /// The next wall-clock times after `after`, in order, each once.
    pub(crate) fn wall_times(&self, after: NaiveDateTime) -> WallTimes<'_> {
        // The crate knows wall-clock times only with a zone; UTC has no gaps, so it changes nothing.
        let after = after.and_utc();
        let heads = self.schedules.iter().map(|schedule| schedule.after(&after).peekable()).collect();
        WallTimes { heads }
    }
}

type Head<'a> = std::iter::Peekable<cron::ScheduleIterator<'a, chrono::Utc>>;

/// Wall-clock times in order.
pub(crate) struct WallTimes<'a> {
    heads: Vec<Head<'a>>,
}

impl Iterator for WallTimes<'_> {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        let earliest = self.heads.iter_mut().filter_map(|head| head.peek().copied()).min()?;
        for head in &mut self.heads {
            head.next_if_eq(&earliest);
        }
        Some(earliest.naive_utc())
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(given: &str) -> Result<Self, ExpressionError> {
        if given.len() > LONGEST {
            return Err(ExpressionError::TooLong);
        }
        let text = given.trim();
        let spelled_out = if text.starts_with('@') { expand(text)? } else { text };
        let texts: Vec<&str> = spelled_out.split_whitespace().collect();
        let texts: [&str; 6] = match *texts {
            [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
            [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
            _ => return Err(ExpressionError::Fields(texts.len())),
        };
        let [second, minute, hour, day, month, weekday] = texts;
        let second = SECOND.read(second)?;
        let minute = MINUTE.read(minute)?;
        let hour = HOUR.read(hour)?;
        let day = DAY.read(day)?;
        let month = MONTH.read(month)?;
        let weekday = WEEKDAY.read(weekday)?;

        let either = !day.begins_with_star && !weekday.begins_with_star;
        let days = if either {
            vec![(day.list(), "*".to_owned()), ("*".to_owned(), weekday.quartz_list())]
        } else {
            vec![(day.list(), weekday.quartz_list())]
        };
        let mut schedules = Vec::new();
        for (day, weekday) in days {
            let quartz =
                format!("{} {} {} {day} {} {weekday}", second.list(), minute.list(), hour.list(), month.list());
            let schedule = Schedule::from_str(&quartz).map_err(|error| ExpressionError::Field {
                field: "expression",
                text: text.to_owned(),
                problem: error.to_string(),
            })?;
            // One of two ways may never come to pass, such as the 30 of February.
            if schedule.after(&EARLY).next().is_some() {
                schedules.push(schedule);
            }
        }
        if schedules.is_empty() {
            return Err(ExpressionError::Never(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), schedules, follows_real_time: hour.has_star_or_step })
    }
}

fn expand(name: &str) -> Result<&'static str, ExpressionError> {
    match name.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        _ => Err(ExpressionError::Macro(name.to_owned())),
    }
}

/// What a field may hold.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// The names of the numbers from `first` on.
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", first: 0, last: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
const DAY: Field = Field { name: "day-of-month", first: 1, last: 31, names: &[] };
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH: Field = Field { name: "month", first: 1, last: 12, names: &MONTHS };
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const WEEKDAY: Field = Field { name: "day-of-week", first: 0, last: 6, names: &WEEKDAYS };

/// The numbers of a field, one bit each.
struct Numbers {
    field: &'static Field,
    bits: u64,
    begins_with_star: bool,
    has_star_or_step: bool,
}

impl Numbers {
    fn each(&self, plus: u32) -> String {
        if (self.field.first..=self.field.last).all(|number| self.bits & 1 << number != 0) {
            return "*".to_owned();
        }
        let numbers = (self.field.first..=self.field.last).filter(|number| self.bits & 1 << number != 0);
        numbers.map(|number| (number + plus).to_string()).collect::<Vec<_>>().join(",")
    }

    fn list(&self) -> String {
        self.each(0)
    }

    /// Quartz counts the days of the week from 1, which is Sunday.
    fn quartz_list(&self) -> String {
        self.each(1)
    }
}

impl Field {
    fn read(&'static self, text: &str) -> Result<Numbers, ExpressionError> {
        let bad = |problem: String| ExpressionError::Field { field: self.name, text: text.to_owned(), problem };
        let mut numbers = Numbers {
            field: self,
            bits: 0,
            begins_with_star: text.starts_with('*') || text == "?",
            has_star_or_step: text.contains(['*', '/', '?']),
        };
        for part in text.split(',') {
            for number in self.part(part).map_err(bad)? {
                // Sunday is 0 and 7.
                numbers.bits |= 1 << if self.name == WEEKDAY.name { number % 7 } else { number };
            }
        }
        Ok(numbers)
    }

    /// One element of the list: all, a number, a range, each with a step or without.
    fn part(&self, part: &str) -> Result<impl Iterator<Item = u32> + use<>, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let is_any = range == "*" || (range == "?" && step.is_none() && [DAY.name, WEEKDAY.name].contains(&self.name));
        let (from, to) = match range.split_once('-') {
            _ if is_any => (self.first, self.last),
            Some((from, to)) => {
                let (from, to) = (self.number(from)?, self.number(to)?);
                // Friday to Sunday, spelled with names.
                if self.name == WEEKDAY.name && to == 0 && from > 0 && range.ends_with(char::is_alphabetic) {
                    (from, 7)
                } else {
                    (from, to)
                }
            }
            None => {
                let from = self.number(range)?;
                (from, if step.is_some() { self.last.max(from) } else { from })
            }
        };
        if from > to {
            return Err(format!("the range {range} goes backwards; write it as two, with a comma"));
        }
        let step = match step {
            None => 1,
            Some(step) => match step.parse::<u32>() {
                Ok(step) if step > 0 => step,
                _ => return Err(format!("the step {step:?} is no number from 1 on")),
            },
        };
        // Longer than any field: the first alone fits, whatever the number.
        Ok((from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let last = if self.name == WEEKDAY.name { 7 } else { self.last };
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.first + u32::try_from(at).unwrap_or_default());
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(number) if digits && (self.first..=last).contains(&number) => Ok(number),
            _ => {
                let names = match (self.names.first(), self.names.last()) {
                    (Some(first), Some(last)) => format!(" or {first} to {last}"),
                    _ => String::new(),
                };
                Err(format!("{text:?} is not {} to {last}{names}", self.first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first times after the beginning of 2026, a Thursday.
    fn first(expression: &str, n: usize) -> Vec<String> {
        let start = "2025-12-31T23:59:59".parse().unwrap();
        let expression: Expression = expression.parse().unwrap();
        expression.wall_times(start).take(n).map(|time| time.format("%m-%d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn fields_names_steps_ranges_and_lists() {
        assert_eq!(first("30 3 * * *", 2), ["01-01 03:30:00", "01-02 03:30:00"]);
        assert_eq!(first("*/20 30 3 * * *", 2), ["01-01 03:30:00", "01-01 03:30:20"]);
        assert_eq!(
            first("0 8-18/5,23 * * *", 4),
            ["01-01 08:00:00", "01-01 13:00:00", "01-01 18:00:00", "01-01 23:00:00"]
        );
        assert_eq!(first("0 0 1 FEB,apr *", 2), ["02-01 00:00:00", "04-01 00:00:00"]);
        assert_eq!(first("50/5 0 * * *", 3), ["01-01 00:50:00", "01-01 00:55:00", "01-02 00:50:00"]);
        assert_eq!(first("@weekly", 1), ["01-04 00:00:00"]);
        assert_eq!(first("@Hourly", 2), ["01-01 00:00:00", "01-01 01:00:00"]);
        assert_eq!(first("0 0 29 2 *", 1), ["02-29 00:00:00"]);
    }

    #[test]
    fn sunday_is_0_and_7_and_monday_is_1() {
        for sunday in ["0", "7", "sun", "SUN", "7/2"] {
            assert_eq!(first(&format!("0 0 * * {sunday}"), 2), ["01-04 00:00:00", "01-11 00:00:00"], "{sunday}");
        }
        assert_eq!(first("0 0 * * 1", 1), ["01-05 00:00:00"]);
        for weekend in ["5-7", "fri-sun", "0,5-6"] {
            let days = ["01-02 00:00:00", "01-03 00:00:00", "01-04 00:00:00", "01-09 00:00:00"];
            assert_eq!(first(&format!("0 0 * * {weekend}"), 4), days, "{weekend}");
        }
    }

    #[test]
    fn of_two_given_days_one_is_enough() {
        assert_eq!(first("0 0 13 * 5", 3), ["01-02 00:00:00", "01-09 00:00:00", "01-13 00:00:00"]);
        assert_eq!(first("0 0 2 * 5", 2), ["01-02 00:00:00", "01-09 00:00:00"], "both fit, and it runs once");
        assert_eq!(first("0 0 */2 * 5", 2), ["01-09 00:00:00", "01-23 00:00:00"], "a star: both must fit");
        assert_eq!(first("0 0 30 2 1", 1), ["02-02 00:00:00"], "the other day exists");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |text: &str| text.parse::<Expression>().unwrap_err().to_string();
        assert_eq!(told("60 * * * *"), r#"minute "60": "60" is not 0 to 59"#);
        assert_eq!(told("* 24 * * *"), r#"hour "24": "24" is not 0 to 23"#);
        assert_eq!(told("* * 0 * *"), r#"day-of-month "0": "0" is not 1 to 31"#);
        assert_eq!(told("* * * Foo *"), r#"month "Foo": "Foo" is not 1 to 12 or jan to dec"#);
        assert_eq!(told("* * * * 8"), r#"day-of-week "8": "8" is not 0 to 7 or sun to sat"#);
        assert_eq!(told("*/0 * * * *"), r#"minute "*/0": the step "0" is no number from 1 on"#);
        assert_eq!(
            told("30-10 * * * *"),
            r#"minute "30-10": the range 30-10 goes backwards; write it as two, with a comma"#
        );
        assert_eq!(told("+5 * * * *"), r#"minute "+5": "+5" is not 0 to 59"#);
        assert_eq!(told("1, * * * *"), r#"minute "1,": "" is not 0 to 59"#);
        assert_eq!(told("* * L * *"), r#"day-of-month "L": "L" is not 1 to 31"#);
        assert!(told("").ends_with("not 0") && told("* * * * * * *").ends_with("not 7"), "{}", told(""));
        assert!(told("@reboot").starts_with("\"@reboot\" is not known"));
        assert_eq!(told("0 0 30 2 *"), r#""0 0 30 2 *" never runs: there is no such day in any year"#);
        assert!(told("0 0 31 4,6,9,11 *").contains("never runs"));
        assert!(told(&"*".repeat(300)).contains("at most 200"));
    }
}
