//! Whom the system tells how it is.

use crate::{
    entry::{Account, Accounts, Entry, Risk},
    formats::{host, http_url, must, web_url, word},
    variable::{Environment, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "heartbeat, errors and figures",
    risk: Risk::P2,
    lost: "nobody is told",
    switch: Some("MOCK_MODE_MONITORING"),
    built: false,
    requests_per_min: None,
    tokens_per_min: None,
    variables: &[],
    accounts: Accounts::AnyOf(&[
        Account {
            name: "heartbeat",
            variables: &[Variable::required(
                "MONITORING_ENDPOINT",
                "an address that is called as long as jobs are run",
                http_url,
            )
            .secret()
            .example("https://beat.example/hushhush")],
        },
        Account {
            name: "sentry",
            variables: &[Variable::required("SENTRY_DSN", "where errors are reported", sentry_dsn)
                .secret()
                .example("https://hushhush@sentry.example/42")],
        },
        Account {
            name: "datadog",
            variables: &[
                Variable::required("DATADOG_API_KEY", "the key of Datadog", word).secret().example("datadog-hushhush"),
                Variable::optional("DD_SITE", "its site", host),
            ],
        },
    ]),
};

fn sentry_dsn(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = web_url(value).is_some_and(|url| {
        let project = url.path().rsplit('/').next().unwrap_or_default();
        !url.username().is_empty() && !project.is_empty() && project.bytes().all(|byte| byte.is_ascii_digit())
    });
    must(good, "must be of the form https://KEY@HOST/PROJECT, where PROJECT is a number")
}
