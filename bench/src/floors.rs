//! What our own figures must reach, and whether they do.

use crate::figures::{Values, unit};

/// One floor: what is asked of a figure.
struct Floor {
    figure: &'static str,
    asks: Asks,
}

enum Asks {
    /// At least so many times another system's value.
    Times(f64, &'static str),
    /// At least so many times another of our figures.
    Of(f64, &'static str),
    /// Below that value.
    Below(f64),
    /// At least that value.
    AtLeast(f64),
    /// At most that value.
    AtMost(f64),
    /// Below each other system's value.
    BelowAll,
    /// Not below another of our figures by more than the spread of both.
    NoSlowerThan(&'static str),
}

/// `bytes` is what a waiting job may take on this server.
fn floors(bytes: f64) -> [Floor; 17] {
    [
        Floor { figure: "drain_kept", asks: Asks::Times(0.7, "bare-redis") },
        Floor { figure: "drain_kept", asks: Asks::Times(8.8, "bullmq") },
        Floor { figure: "drain_dropped", asks: Asks::Times(0.55, "bare-redis") },
        Floor { figure: "push_bulk", asks: Asks::Times(0.7, "bare-redis") },
        Floor { figure: "push_bulk", asks: Asks::Times(3.2, "bullmq") },
        Floor { figure: "start_p99", asks: Asks::Below(2.0) },
        Floor { figure: "start_p99", asks: Asks::BelowAll },
        Floor { figure: "bytes_per_job", asks: Asks::AtMost(bytes) },
        Floor { figure: "redis_calls_per_job", asks: Asks::Below(0.05) },
        Floor { figure: "idle_calls_per_s", asks: Asks::Below(1.0) },
        Floor { figure: "drain_10m", asks: Asks::NoSlowerThan("drain_100k") },
        Floor { figure: "http_post", asks: Asks::Of(0.6, "http_least") },
        Floor { figure: "http_post_keyed", asks: Asks::Of(0.5, "http_least") },
        Floor { figure: "http_list", asks: Asks::Times(5.0, "before") },
        Floor { figure: "http_batch_ndjson", asks: Asks::NoSlowerThan("http_batch_json") },
        Floor { figure: "webhook_vs_constant", asks: Asks::AtLeast(0.3) },
        Floor { figure: "extract_pages", asks: Asks::Times(5.0, "extruct") },
    ]
}

/// One line a floor whose figures were measured: `ok` or `MISSED`, what is asked, what was reached.
pub(crate) fn lines(values: &Values, server: &str) -> Vec<String> {
    let bytes = if server.starts_with("Redis 7.") { 365.0 } else { 330.0 };
    floors(bytes).iter().filter_map(|floor| line(floor, values)).collect()
}

fn line(floor: &Floor, values: &Values) -> Option<String> {
    let Floor { figure, asks } = floor;
    let ours = values.get("ours", figure)?;
    let (reached, text) = match asks {
        Asks::Times(least, other) => {
            let ratio = values.ratio(figure, "ours", other)?;
            (ratio >= *least, format!("at least {least} × {other}: {ratio:.2}"))
        }
        Asks::Of(least, other) => {
            let ratio = ours / values.get("ours", other)?;
            (ratio >= *least, format!("at least {least} × {other}: {ratio:.2}"))
        }
        Asks::Below(limit) => (ours < *limit, format!("below {limit} {}: {ours:.3}", unit(figure))),
        Asks::AtLeast(least) => (ours >= *least, format!("at least {least} {}: {ours:.2}", unit(figure))),
        Asks::AtMost(limit) => (ours <= *limit, format!("at most {limit} {}: {ours:.0}", unit(figure))),
        Asks::BelowAll => {
            let others = values.systems.iter().filter(|system| *system != "ours");
            let best = others.filter_map(|system| values.get(system, figure)).min_by(f64::total_cmp)?;
            (ours < best, format!("below every other, {best:.3}: {ours:.3}"))
        }
        Asks::NoSlowerThan(other) => {
            let spread = |figure| values.spread_percent("ours", figure).unwrap_or(0.0);
            let ratio = ours / values.get("ours", other)?;
            let allowed = 1.0 - (spread(figure) + spread(other)) / 100.0;
            (ratio >= allowed, format!("no slower than {other} but for the spread, {allowed:.2}: {ratio:.2}"))
        }
    };
    Some(format!("{} {figure}: {text}", if reached { "ok    " } else { "MISSED" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_reached_or_missed_or_not_measured() {
        let mut values = Values::default();
        values.add("ours", "drain_kept", 75.0);
        values.add("bare-redis", "drain_kept", 100.0);
        values.add("bullmq", "drain_kept", 12.5);
        values.add("ours", "bytes_per_job", 331.0);
        values.add("ours", "http_post", 59.0);
        values.add("ours", "http_least", 100.0);
        let expected = [
            "ok     drain_kept: at least 0.7 × bare-redis: 0.75",
            "MISSED drain_kept: at least 8.8 × bullmq: 6.00",
            "MISSED bytes_per_job: at most 330 bytes: 331",
            "MISSED http_post: at least 0.6 × http_least: 0.59",
        ];
        assert_eq!(lines(&values, "Valkey 9.1.2"), expected);
        assert!(lines(&values, "Redis 7.0.15").contains(&"ok     bytes_per_job: at most 365 bytes: 331".to_owned()));
    }

    #[test]
    fn a_deep_queue_may_be_slower_by_the_spread() {
        let mut values = Values::default();
        for value in [95.0, 100.0, 105.0] {
            values.add("ours", "drain_100k", value);
        }
        values.add("ours", "drain_10m", 96.0);
        assert!(lines(&values, "Valkey 9.1.2")[0].starts_with("ok "));
    }
}
