//! The figures, what they are measured by, and the values that came.

use crate::samples;

/// One kind of measurement; each gives one figure or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    PushOne,
    Push64,
    PushBulk,
    DrainKept,
    DrainDropped,
    Start,
    StartBusy,
    Bytes,
    DrainDeep,
    Calls,
    Idle,
    Recovery,
    Soak,
    WholeWayContent,
    WholeWayPublication,
    WholeWayEmail,
    WholeWayLone,
    Http,
    Webhook,
    Extract,
}

impl Measure {
    pub(crate) const ALL: [Self; 20] = [
        Self::PushOne,
        Self::Push64,
        Self::PushBulk,
        Self::DrainKept,
        Self::DrainDropped,
        Self::Start,
        Self::StartBusy,
        Self::Bytes,
        Self::DrainDeep,
        Self::Calls,
        Self::Idle,
        Self::Recovery,
        Self::Soak,
        Self::WholeWayContent,
        Self::WholeWayPublication,
        Self::WholeWayEmail,
        Self::WholeWayLone,
        Self::Http,
        Self::Webhook,
        Self::Extract,
    ];

    /// What it gives.
    pub(crate) fn figures(self) -> &'static [&'static str] {
        match self {
            Self::PushOne => &["push_one"],
            Self::Push64 => &["push_64"],
            Self::PushBulk => &["push_bulk"],
            Self::DrainKept => &["drain_kept"],
            Self::DrainDropped => &["drain_dropped"],
            Self::Start => &["start_p50", "start_p95", "start_p99", "start_max"],
            Self::StartBusy => &["start_5000_p50", "start_5000_p95", "start_5000_p99", "start_5000_max"],
            Self::Bytes => &["bytes_per_job"],
            Self::DrainDeep => &["drain_100k", "drain_10m"],
            Self::Calls => &["redis_calls_per_job"],
            Self::Idle => &["idle_calls_per_s"],
            Self::Recovery => &["recovery"],
            Self::Soak => &["soak_redis_growth", "soak_worker_growth"],
            Self::WholeWayContent => &[
                "whole_way_content",
                "whole_way_content_workers",
                "whole_way_content_mongod",
                "whole_way_content_redis",
            ],
            Self::WholeWayPublication => &[
                "whole_way_publication",
                "whole_way_publication_workers",
                "whole_way_publication_mongod",
                "whole_way_publication_redis",
            ],
            Self::WholeWayLone => &["whole_way_lone_p50", "whole_way_lone_p99"],
            Self::WholeWayEmail => {
                &["whole_way_email", "whole_way_email_workers", "whole_way_email_mongod", "whole_way_email_redis"]
            }
            Self::Extract => &["extract_pages", "extract_f1", "extract_wrong"],
            Self::Webhook => &["webhook", "webhook_least", "webhook_vs_constant"],
            Self::Http => &[
                "http_live",
                "http_post",
                "http_post_keyed",
                "http_list",
                "http_list_own",
                "http_list_ended",
                "http_batch_json_one",
                "http_batch_json",
                "http_batch_ndjson_one",
                "http_batch_ndjson",
                "http_least",
            ],
        }
    }

    /// Whether it is left out of the quick form.
    pub(crate) fn is_long(self) -> bool {
        matches!(
            self,
            Self::Soak
                | Self::StartBusy
                | Self::WholeWayContent
                | Self::WholeWayPublication
                | Self::WholeWayEmail
                | Self::WholeWayLone
                | Self::Http
                | Self::Webhook
                | Self::Extract
        )
    }

    /// Whether it needs a Redis server, so that another server can give another value.
    pub(crate) fn needs_server(self) -> bool {
        self != Self::Extract
    }

    /// The measure of a figure.
    pub(crate) fn of(figure: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.figures().contains(&figure))
    }
}

/// Unit and meaning of every figure, in the order of the reports.
pub(crate) const FIGURES: [(&str, &str, &str); 52] = [
    ("push_one", "jobs/s", "push, one client that waits for each"),
    ("push_64", "jobs/s", "push, 64 clients that wait for each"),
    ("push_bulk", "jobs/s", "push in bulk"),
    ("drain_kept", "jobs/s", "drain, results kept 24 h"),
    ("drain_dropped", "jobs/s", "drain, results not kept"),
    ("drain_100k", "jobs/s", "drain at 100,000 waiting"),
    ("drain_10m", "jobs/s", "drain at 10,000,000 waiting (quick: 1,000,000)"),
    ("start_p50", "ms", "push to start at 100 jobs/s, median"),
    ("start_p95", "ms", "push to start at 100 jobs/s, p95"),
    ("start_p99", "ms", "push to start at 100 jobs/s, p99"),
    ("start_max", "ms", "push to start at 100 jobs/s, longest"),
    ("start_5000_p50", "ms", "push to start at 5,000 jobs/s, median"),
    ("start_5000_p95", "ms", "push to start at 5,000 jobs/s, p95"),
    ("start_5000_p99", "ms", "push to start at 5,000 jobs/s, p99"),
    ("start_5000_max", "ms", "push to start at 5,000 jobs/s, longest"),
    ("recovery", "s", "a worker is killed: its jobs run again after"),
    ("bytes_per_job", "bytes", "Redis memory a waiting job, payload of 200 bytes"),
    ("redis_calls_per_job", "calls/job", "commands that clients send, push and run"),
    ("idle_calls_per_s", "calls/s", "commands of an idle replica, all queues"),
    ("soak_redis_growth", "%", "Redis memory after the soak, against its start"),
    ("soak_worker_growth", "%", "worker memory after the soak, against its start"),
    ("whole_way_content", "jobs/s", "mock texts, two workers, until results and history are in MongoDB"),
    ("whole_way_content_workers", "µs/job", "processor time of the workers for it"),
    ("whole_way_content_mongod", "µs/job", "processor time of MongoDB for it"),
    ("whole_way_content_redis", "µs/job", "processor time of Redis for it"),
    ("whole_way_publication", "jobs/s", "mock publications, likewise"),
    ("whole_way_publication_workers", "µs/job", "processor time of the workers for it"),
    ("whole_way_publication_mongod", "µs/job", "processor time of MongoDB for it"),
    ("whole_way_publication_redis", "µs/job", "processor time of Redis for it"),
    ("whole_way_email", "jobs/s", "mock e-mails, likewise"),
    ("whole_way_email_workers", "µs/job", "processor time of the workers for it"),
    ("whole_way_email_mongod", "µs/job", "processor time of MongoDB for it"),
    ("whole_way_email_redis", "µs/job", "processor time of Redis for it"),
    ("whole_way_lone_p50", "ms", "a lone mock text, from its push to its end, median"),
    ("whole_way_lone_p99", "ms", "a lone mock text, from its push to its end, p99"),
    ("http_live", "answers/s", "`GET /api/health/live`, 64 clients that wait for each answer"),
    ("http_least", "answers/s", "a route that checks the token, reads the body and answers a constant, likewise"),
    ("http_post", "jobs/s", "`POST /api/jobs`, likewise"),
    ("http_post_keyed", "jobs/s", "the same with an idempotency key"),
    ("http_list", "pages/s", "`GET /api/jobs` with 50 jobs that wait, likewise"),
    ("http_list_own", "pages/s", "the same, but each client asks for another page"),
    ("http_list_ended", "pages/s", "`GET /api/jobs` with 50 jobs that have ended, likewise"),
    ("http_batch_json_one", "jobs/s", "batches of 1,000 jobs as JSON, one client"),
    ("http_batch_json", "jobs/s", "batches of 1,000 jobs as JSON, four clients"),
    ("http_batch_ndjson_one", "jobs/s", "batches of 1,000 jobs as NDJSON, one client"),
    ("http_batch_ndjson", "jobs/s", "batches of 1,000 jobs as NDJSON, four clients"),
    (
        "webhook",
        "events/s",
        "`POST /api/webhooks/stripe` with events that are stored, 64 clients that wait for each answer, no workers",
    ),
    ("webhook_least", "answers/s", "a route that reads the same requests and answers a constant, likewise"),
    ("webhook_vs_constant", "×", "the first by the second"),
    ("extract_pages", "pages/s", "prices read from pages of 150 and 600 KB, half of them visible only, one core"),
    ("extract_f1", "F1", "prices of `examples/pages`"),
    ("extract_wrong", "prices", "those that are wrong"),
];

/// The unit of a figure.
pub(crate) fn unit(figure: &str) -> &'static str {
    FIGURES.iter().find(|(name, ..)| *name == figure).map_or("", |(_, unit, _)| unit)
}

/// The values of all rounds on one server.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// In the order of their first values.
    pub(crate) systems: Vec<String>,
    values: Vec<(String, &'static str, Vec<f64>)>,
}

impl Values {
    pub(crate) fn add(&mut self, system: &str, figure: &'static str, value: f64) {
        if !self.systems.iter().any(|known| known == system) {
            self.systems.push(system.to_owned());
        }
        match self.values.iter_mut().find(|(of, name, _)| of == system && *name == figure) {
            Some((.., values)) => values.push(value),
            None => self.values.push((system.to_owned(), figure, vec![value])),
        }
    }

    fn of(&self, system: &str, figure: &str) -> &[f64] {
        let found = self.values.iter().find(|(of, name, _)| of == system && *name == figure);
        found.map_or(&[], |(.., values)| values)
    }

    /// The median of the rounds.
    pub(crate) fn get(&self, system: &str, figure: &str) -> Option<f64> {
        samples::median(self.of(system, figure))
    }

    /// How often the figure was measured that was measured most.
    pub(crate) fn n_rounds(&self) -> usize {
        self.values.iter().map(|(.., values)| values.len()).max().unwrap_or(0)
    }

    /// See [`samples::spread_percent`].
    pub(crate) fn spread_percent(&self, system: &str, figure: &str) -> Option<f64> {
        samples::spread_percent(self.of(system, figure))
    }

    /// The value of `system` as a multiple of another's.
    pub(crate) fn ratio(&self, figure: &str, system: &str, other: &str) -> Option<f64> {
        let other = self.get(other, figure).filter(|value| *value != 0.0)?;
        Some(self.get(system, figure)? / other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_unit() {
        for figure in Measure::ALL.into_iter().flat_map(Measure::figures) {
            assert_ne!(unit(figure), "", "{figure}");
        }
        assert_eq!(Measure::of("start_p99"), Some(Measure::Start));
        assert_eq!(Measure::of("speed"), None);
    }

    #[test]
    fn values_are_medians_and_ratios_of_medians() {
        let mut values = Values::default();
        for value in [100.0, 300.0, 200.0] {
            values.add("ours", "push_one", value);
        }
        values.add("bullmq", "push_one", 50.0);
        assert_eq!(values.systems, ["ours", "bullmq"]);
        assert_eq!(values.n_rounds(), 3);
        assert_eq!(values.get("ours", "push_one"), Some(200.0));
        assert_eq!(values.ratio("push_one", "ours", "bullmq"), Some(4.0));
        assert_eq!(values.ratio("push_64", "ours", "bullmq"), None);
        assert_eq!(values.spread_percent("ours", "push_one"), Some(50.0));
    }
}
