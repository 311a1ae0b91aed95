//! When expressions run in 2025 to 2030, compared with `instants.txt`, which `instants.py` made in another way.
//!
//! Both have the same data of zones (`chrono_tz::IANA_TZDB_VERSION`), and there are no differences. Morocco's changes around
//! Ramadan are announced year by year, so other versions of the data differ there.

use chrono::{DateTime, Utc};
use chrono_tz::{IANA_TZDB_VERSION, Tz};
use proptest::prelude::*;
use schedules::{Expression, next_instant};

const TABLE: &str = include_str!("instants.txt");

fn instants(expression: &Expression, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let first = next_instant(expression, zone, from - chrono::Duration::seconds(1));
    let all = std::iter::successors(first, |last| next_instant(expression, zone, *last));
    all.take_while(|instant| *instant < to).collect()
}

#[test]
fn every_instant_of_six_years_is_that_of_the_other_implementation() {
    let mut lines = TABLE.lines().peekable();
    let version = lines.next().unwrap();
    assert_eq!(
        version,
        format!("tzdata {IANA_TZDB_VERSION}"),
        "make the table again, with the data that chrono-tz has"
    );
    let (from, to) = ("2025-01-01T00:00:00Z".parse().unwrap(), "2031-01-01T00:00:00Z".parse().unwrap());
    let mut n_rows = 0;
    while let Some(line) = lines.next() {
        let [zone, text, n_expected, sum] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let found = instants(&text.parse().unwrap(), zone.parse().unwrap(), from, to);
        // Those around changes of the clock first, because they say what is wrong.
        while let Some(listed) = lines.next_if(|line| line.starts_with(' ')) {
            let listed: DateTime<Utc> = listed.trim().parse().unwrap();
            assert!(found.contains(&listed), "{zone} {text}: {listed} is missing");
        }
        assert_eq!(found.len().to_string(), n_expected, "{zone} {text}");
        let seconds: String = found.iter().map(|instant| format!("{}\n", instant.timestamp())).collect();
        assert_eq!(crc32fast::hash(seconds.as_bytes()).to_string(), sum, "{zone} {text}");
        n_rows += 1;
    }
    assert_eq!(n_rows, 6 * 20);
}

fn field(first: u32, last: u32) -> impl Strategy<Value = String> {
    let number = first..=last;
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => number.clone().prop_map(|number| number.to_string()),
        1 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (number.clone(), number).prop_map(|(a, b)| format!("{a},{b}")),
        1 => (2..last).prop_map(|step| format!("*/{step}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)).prop_map(
        |(second, minute, hour, day, month, weekday)| format!("{second} {minute} {hour} {day} {month} {weekday}"),
    )
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![
        Tz::UTC,
        Tz::Europe__Paris,
        Tz::America__New_York,
        Tz::Australia__Lord_Howe,
        Tz::Africa__Casablanca,
        Tz::Pacific__Apia,
        Tz::America__St_Johns,
    ])
}

/// A time within two hours of a change of the clock, or any.
fn start() -> impl Strategy<Value = i64> {
    let changes = vec![1_774_746_000_i64, 1_792_890_000, 1_772_953_200, 1_793_512_800, 1_775_314_800, 1_791_041_400];
    prop_oneof![
        (prop::sample::select(changes), -7200..7200_i64).prop_map(|(change, around)| change + around),
        1_735_689_600..1_924_992_000_i64,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn instants_strictly_increase_and_depend_on_no_start(text in expression(), zone in zone(), start in start()) {
        let Ok(expression) = text.parse::<Expression>() else { return Ok(()) };
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let mut last = start;
        for _ in 0..20 {
            let Some(next) = next_instant(&expression, zone, last) else { break };
            prop_assert!(next > last, "{text} {zone}: {next} after {last}");
            // Asked from anywhere between the two, it is the same one.
            let middle = last + (next - last) / 2;
            prop_assert_eq!(next_instant(&expression, zone, middle), Some(next), "{} {} from {}", text, zone, middle);
            let just_before = next - chrono::Duration::milliseconds(1);
            prop_assert_eq!(next_instant(&expression, zone, just_before), Some(next), "{} {}", text, zone);
            last = next;
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[0-9*/,a-z@ -]{0,30}") {
        let _ = text.parse::<Expression>();
    }
}
