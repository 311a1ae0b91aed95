//! The reports: a Markdown table with ratios, and rows for machines.

use serde::Serialize;

use crate::figures::{FIGURES, Values, unit};

/// One value, for machines.
#[derive(Debug, Serialize, PartialEq)]
pub(crate) struct Row {
    system: String,
    figure: &'static str,
    value: f64,
    unit: &'static str,
}

/// A row a system and figure; with `server`, the system's name says where it was.
pub(crate) fn rows(values: &Values, server: Option<&str>) -> Vec<Row> {
    let row = |figure: &'static str, system: &String| {
        let name = server.map_or_else(|| system.clone(), |server| format!("{system} on {server}"));
        Some(Row { system: name, figure, value: values.get(system, figure)?, unit: unit(figure) })
    };
    FIGURES.iter().flat_map(|(figure, ..)| values.systems.iter().filter_map(|system| row(figure, system))).collect()
}

/// A line a figure, a column a system, and what ours is of the others'.
pub(crate) fn table(values: &Values) -> String {
    let others: Vec<&String> = values.systems.iter().filter(|system| *system != "ours").collect();
    let mut columns = vec!["figure".to_owned(), "unit".to_owned()];
    columns.extend(values.systems.iter().cloned());
    columns.extend(others.iter().map(|other| format!("ours ÷ {other}")));
    let mut lines = vec![line(&columns), line(&alignment(columns.len()))];
    for (figure, unit, meaning) in FIGURES {
        if values.systems.iter().all(|system| values.get(system, figure).is_none()) {
            continue;
        }
        let mut cells = vec![format!("`{figure}`: {meaning}"), unit.to_owned()];
        cells.extend(values.systems.iter().map(|system| cell(values, system, figure)));
        cells.extend(others.iter().map(|other| values.ratio(figure, "ours", other).map_or("–".to_owned(), times)));
        lines.push(line(&cells));
    }
    lines.join("\n")
}

fn alignment(n: usize) -> Vec<String> {
    (0..n).map(|column| if column < 2 { "---" } else { "--:" }.to_owned()).collect()
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn cell(values: &Values, system: &str, figure: &str) -> String {
    let Some(value) = values.get(system, figure) else { return "–".to_owned() };
    match values.spread_percent(system, figure).filter(|spread| *spread >= 0.5) {
        Some(spread) => format!("{} ± {spread:.0} %", number(value)),
        None => number(value),
    }
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0} ×") } else { format!("{ratio:.2} ×") }
}

/// Three digits at least, and thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value < 1.0 {
        return format!("{value:.4}");
    }
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.add("ours", "drain_kept", 150_000.0);
        values.add("bare-redis", "drain_kept", 250_000.0);
        values.add("ours", "start_p99", 0.75);
        values
    }

    #[test]
    fn the_table_has_ratios_and_leaves_out_what_was_not_measured() {
        let expected = "\
| figure | unit | ours | bare-redis | ours ÷ bare-redis |
| --- | --- | --: | --: | --: |
| `drain_kept`: drain, results kept 24 h | jobs/s | 150,000 | 250,000 | 0.60 × |
| `start_p99`: push to start at 100 jobs/s, p99 | ms | 0.7500 | – | – |";
        assert_eq!(table(&values()), expected);
    }

    #[test]
    fn rows_are_flat_and_name_another_server() {
        let json = serde_json::to_value(rows(&values(), None)).unwrap();
        assert_eq!(
            json[0],
            serde_json::json!({"system": "ours", "figure": "drain_kept", "value": 150_000.0, "unit": "jobs/s"})
        );
        assert_eq!(json.as_array().unwrap().len(), 3);
        assert_eq!(rows(&values(), Some("Redis 7.0.15"))[1].system, "bare-redis on Redis 7.0.15");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(321.4), "321");
        assert_eq!(number(12.345), "12.35");
        assert_eq!(number(0.00512), "0.0051");
        assert_eq!(times(12.4), "12 ×");
    }
}
