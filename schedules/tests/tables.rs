//! When expressions run in 2025 to 2030, compared with `instants.txt`, which `instants.py` made in another way, by the tables of a
//! version of `tzdata` that is pinned there.
//!
//! There are no differences between the two. Where this machine has newer tables than the pinned ones, what differs is only told: a
//! government may have changed its clock.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use schedules::{Expression, Version, Zone, next_instant, tables};

const TABLE: &str = include_str!("instants.txt");

fn instants(expression: &Expression, zone: &Zone, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let first = next_instant(expression, zone, from - chrono::Duration::seconds(1));
    let all = std::iter::successors(first, |last| next_instant(expression, zone, *last));
    all.take_while(|instant| *instant < to).collect()
}

/// What is wrong with the instants of a line, if something is. `listed` are those around changes of the clock, which say more.
fn difference(line: &str, listed: &[&str]) -> Option<String> {
    let [zone, text, n_expected, sum] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let (from, to) = ("2025-01-01T00:00:00Z".parse().unwrap(), "2031-01-01T00:00:00Z".parse().unwrap());
    let found = instants(&text.parse().unwrap(), &zone.parse().unwrap(), from, to);
    if let Some(missing) = listed.iter().find(|listed| !found.contains(&listed.trim().parse().unwrap())) {
        return Some(format!("{zone} {text}: {missing} is missing"));
    }
    if found.len().to_string() != n_expected {
        return Some(format!("{zone} {text}: {} instants in place of {n_expected}", found.len()));
    }
    let seconds: String = found.iter().map(|instant| format!("{}\n", instant.timestamp())).collect();
    let is_same = crc32fast::hash(seconds.as_bytes()).to_string() == sum;
    (!is_same).then(|| format!("{zone} {text}: other instants"))
}

#[test]
fn every_instant_of_six_years_is_that_of_the_other_implementation() {
    let mut lines = TABLE.lines().peekable();
    let pinned = lines.next().and_then(|line| Version::read(line.strip_prefix("tzdata ")?)).unwrap();
    let (mut differences, mut n_rows) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        let listed: Vec<&str> = std::iter::from_fn(|| lines.next_if(|line| line.starts_with(' '))).collect();
        differences.extend(difference(line, &listed));
        n_rows += 1;
    }
    assert_eq!(n_rows, 12 * 20);
    let tables = tables();
    if *tables.version() > pinned {
        eprintln!("{tables} is newer than {pinned}: make the table again. What differs: {differences:#?}");
    } else {
        assert!(differences.is_empty(), "{tables}, compared with {pinned}: {differences:#?}");
    }
}

/// Instants at which the clocks of these zones show noon, by the laws of 2026; older tables are an hour off.
#[test]
fn clocks_that_were_changed_in_2026_show_what_the_law_says() {
    for (zone, noon) in [
        ("Africa/Casablanca", "2026-12-01T12:00:00Z"),
        ("Africa/El_Aaiun", "2026-12-01T12:00:00Z"),
        ("America/Vancouver", "2026-12-01T19:00:00Z"),
        ("America/Edmonton", "2026-12-01T18:00:00Z"),
        ("America/Winnipeg", "2026-12-01T17:00:00Z"),
        ("America/Inuvik", "2026-12-01T18:00:00Z"),
        ("America/Havana", "2026-12-01T16:00:00Z"),
        ("Europe/Paris", "2026-12-01T11:00:00Z"),
    ] {
        let noon: DateTime<Utc> = noon.parse().unwrap();
        let next =
            next_instant(&"0 12 * * *".parse().unwrap(), &zone.parse().unwrap(), noon - chrono::Duration::hours(5));
        assert_eq!(next, Some(noon), "{zone}");
    }
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

fn zone() -> impl Strategy<Value = Zone> {
    let names = [
        "UTC",
        "Europe/Paris",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Pacific/Apia",
        "America/St_Johns",
    ];
    prop::sample::select(names.map(|name| name.parse::<Zone>().unwrap()).to_vec())
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
            let Some(next) = next_instant(&expression, &zone, last) else { break };
            prop_assert!(next > last, "{text} {}: {next} after {last}", zone.name());
            // Asked from anywhere between the two, it is the same one.
            let middle = last + (next - last) / 2;
            prop_assert_eq!(next_instant(&expression, &zone, middle), Some(next), "{} {} from {}", text, zone.name(), middle);
            let just_before = next - chrono::Duration::milliseconds(1);
            prop_assert_eq!(next_instant(&expression, &zone, just_before), Some(next), "{} {}", text, zone.name());
            last = next;
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[0-9*/,a-z@ -]{0,30}") {
        let _ = text.parse::<Expression>();
    }
}
