//! The bar chart of docs/benchmark.md: readable on light and dark pages.

use std::fmt::Write;

use crate::{figures::Values, report::number};

/// What is drawn, and its heading.
const DRAWN: [(&str, &str); 4] = [
    ("drain_kept", "Run jobs, results kept (jobs/s)"),
    ("drain_dropped", "Run jobs, results not kept (jobs/s)"),
    ("push_bulk", "Push in bulk (jobs/s)"),
    ("push_64", "Push from 64 clients (jobs/s)"),
];
const WIDTH: f64 = 760.0;
const NAME_WIDTH: f64 = 170.0;
const NUMBER_WIDTH: f64 = 90.0;
const BAR: f64 = 16.0;
const BAR_STEP: f64 = 22.0;
const HEADING: f64 = 34.0;
/// The page's own colours show through; only the text follows its scheme.
const STYLE: &str = "\
text { font: 13px sans-serif; fill: #24292f } .heading { font-weight: bold } .number { font-size: 12px }
.bar { fill: #8c959f } .ours { fill: #1f883d }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .ours { fill: #3fb950 } }";

/// The chart as an SVG file; `caption` stands below it.
pub(crate) fn svg(values: &Values, caption: &str) -> String {
    let mut body = String::new();
    let mut y = 8.0;
    for (figure, heading) in DRAWN {
        let bars: Vec<(&String, f64)> =
            values.systems.iter().filter_map(|system| Some((system, values.get(system, figure)?))).collect();
        let Some(longest) = bars.iter().map(|(_, value)| *value).max_by(f64::total_cmp) else { continue };
        y += HEADING;
        let _ = writeln!(body, r#"<text class="heading" x="0" y="{:.0}">{heading}</text>"#, y - 10.0);
        for (system, value) in bars {
            bar(&mut body, y, system, value, value / longest);
            y += BAR_STEP;
        }
    }
    let height = y + 28.0;
    let _ = writeln!(body, r#"<text class="number" x="0" y="{:.0}">{}</text>"#, y + 18.0, escape(caption));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

fn bar(body: &mut String, y: f64, system: &str, value: f64, share: f64) {
    let width = (share * (WIDTH - NAME_WIDTH - NUMBER_WIDTH)).max(1.0);
    let class = if system == "ours" { "bar ours" } else { "bar" };
    let text_y = y + BAR - 4.0;
    let _ = writeln!(body, r#"<text x="0" y="{text_y:.0}">{}</text>"#, escape(system));
    let _ = writeln!(
        body,
        r#"<rect class="{class}" x="{NAME_WIDTH}" y="{y:.0}" width="{width:.1}" height="{BAR}" rx="2"/>"#
    );
    let number_x = NAME_WIDTH + width + 6.0;
    let _ = writeln!(body, r#"<text class="number" x="{number_x:.1}" y="{text_y:.0}">{}</text>"#, number(value));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_the_largest_value_and_figures_without_values_are_left_out() {
        let mut values = Values::default();
        values.add("ours", "drain_kept", 150.0);
        values.add("bare-redis", "drain_kept", 300.0);
        let svg = svg(&values, "2 cores & Valkey");
        assert!(svg.contains(r#"class="bar ours" x="170" y="42" width="250.0""#), "{svg}");
        assert!(svg.contains(r#"class="bar" x="170" y="64" width="500.0""#), "{svg}");
        assert!(svg.contains("2 cores &amp; Valkey") && !svg.contains("Push in bulk"), "{svg}");
        assert!(svg.contains("prefers-color-scheme: dark"));
    }
}
