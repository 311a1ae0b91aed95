//! Variables that belong to no service: those of the processes, and what several services use and none of them needs.

use crate::{
    formats::{anything, http_url, must},
    variable::{Environment, Malformed, Variable},
};

/// Variables that are told together.
#[derive(Debug)]
pub struct Group {
    /// What they have in common.
    pub title: &'static str,
    /// The variables.
    pub variables: &'static [Variable],
}

/// All of them. Those with a flag of the same meaning have its default; a test compares.
pub static GENERAL: &[Group] = &[
    Group {
        title: "processes",
        variables: &[
            Variable::optional(
                "APP_ENV",
                "`production`: the producer refuses to start with no or a short `JWT_SECRET`, and test keys of Stripe are refused",
                anything,
            )
            .default("development"),
            Variable::optional("HTTP_ADDR", "where the API listens", anything).default("127.0.0.1:8080"),
            Variable::optional(
                "ADMIN_ADDR",
                "where metrics and the worker's health are served, internal; if taken, the next free port",
                anything,
            )
            .default("127.0.0.1:9100"),
            Variable::optional(
                "HTTP_MAX_CONNECTIONS",
                "connections of the API at a time, four fifths of them from one address; fewer where fewer files can be open",
                anything,
            )
            .default("10000"),
            Variable::optional(
                "PUBLIC_URL",
                "where this API is reached from outside: pictures' addresses begin with it, and links to unsubscribe in reminders, which need \
                 `JWT_SECRET` too; the page of plans leads back to it",
                http_url,
            ),
            Variable::optional(
                "SHUTDOWN_GRACE_S",
                "how long a worker lets jobs finish before it hands them back, and the producer requests",
                anything,
            )
            .default("25"),
            Variable::optional(
                "LEASE_S",
                "a job whose worker does not renew its lease for so long runs elsewhere; at least twice `RENEWAL_S`",
                anything,
            )
            .default("12"),
            Variable::optional("RENEWAL_S", "how often a worker renews its leases", anything).default("4"),
            Variable::optional(
                "CONCURRENCY",
                "jobs at a time in one worker, by kind, as in `content=32,image=4`; the rest has its default",
                anything,
            ),
            Variable::optional("KINDS", "the kinds that a worker runs, separated by commas; empty: all", anything),
            Variable::optional("RUST_LOG", "what is logged: `warn`, `info,queue=debug`, …", anything).default("info"),
            Variable::optional(
                "ZONEINFO_DIR",
                "a folder with tables of time zones, such as `tzdata/zoneinfo` of PyPI's package; used, like the system's, if they are \
                 newer than the program's own",
                anything,
            ),
        ],
    },
    Group {
        title: "all services",
        variables: &[
            Variable::optional(
                "MOCK_MODE",
                "`true`: no outside service is called, and no key is needed; `false`: every service that is configured is real",
                anything,
            )
            .default("true"),
            Variable::optional(
                "BREAKER_OPEN_S",
                "an outside service that fails is left alone for so long at first, and up to ten times as long",
                anything,
            )
            .default("30"),
            Variable::optional(
                "SPENDING_CAP_USD",
                "what a tenant may spend on texts and pictures in a day (UTC), as in `2.50`; then templates and placeholders stand in, and \
                 real ones follow the next day",
                anything,
            ),
            Variable::optional(
                "HEAL_PER_MIN",
                "how many results of stand-ins are replaced by real ones in a minute, for each service",
                anything,
            )
            .default("120"),
            Variable::optional(
                "EMAIL_RETENTION_DAYS",
                "days that mails are kept in the collection `emails`, 1 to 3650; the same for all workers. The history of jobs and receipts \
                 have 90 days of their own",
                days,
            )
            .default("90"),
        ],
    },
    Group {
        title: "ecomctl",
        variables: &[
            Variable::optional("ECOM_URL", "the API it speaks to", anything).default("http://127.0.0.1:8080"),
            Variable::optional(
                "ECOM_TOKEN",
                "the token it shows; when it is not set or empty, `.dev/token` in the current folder is read",
                anything,
            ),
        ],
    },
];

/// Those of [`GENERAL`] whose values cannot be right. What has a flag is checked where the flag is.
#[must_use]
pub fn general_faults(environment: &Environment<'_>) -> Vec<Malformed> {
    let variables = GENERAL.iter().flat_map(|group| group.variables);
    let faults = variables.filter_map(|variable| variable.fault(&variable.value(environment)?, environment));
    faults.collect()
}

fn days(value: &str, _: &Environment<'_>) -> Option<String> {
    must(retention_days(value).is_some(), "must be a whole number of days, 1 to 3650")
}

pub(crate) fn retention_days(value: &str) -> Option<u32> {
    value.parse().ok().filter(|days| (1..=3650).contains(days))
}
