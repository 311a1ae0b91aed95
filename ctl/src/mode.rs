//! `ecomctl mode`: which services are mock and which are real.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{
    client::Api,
    table::{Align, Table, output_width},
};

/// What can be done with the mode.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show which services are mock and which are real, and who switched them
    Get,
    /// Switch a service, or all of them, between mock and real: in every replica within 2 s, without a restart
    Set {
        /// What to switch to
        mode: Mode,
        /// The service; all when absent
        #[arg(long)]
        service: Option<String>,
        /// Why, for those who look later
        #[arg(long, default_value = "")]
        reason: String,
        /// Switch to real although variables are missing
        #[arg(long)]
        force: bool,
    },
}

/// Whether a service is asked for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Mock,
    Real,
}

/// A switch, as the API takes it.
#[derive(Debug, Serialize)]
pub(crate) struct Switch<'a> {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    reason: &'a str,
    force: bool,
}

/// What is in force, as the API shows it.
#[derive(Debug, Deserialize)]
struct Report {
    mode: String,
    services: Vec<Service>,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Service {
    service: String,
    mode: Mode,
    decided_by: String,
    since: Option<DateTime<Utc>>,
    by: Option<String>,
    reason: Option<String>,
    missing: Vec<String>,
    configured: bool,
}

#[derive(Debug, Deserialize)]
struct Change {
    at: DateTime<Utc>,
    service: Option<String>,
    mode: Mode,
    by: String,
    reason: String,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Mock => "mock",
            Self::Real => "real",
        }
    }
}

impl Service {
    /// What an operator has to know beside who switched it.
    fn note(&self) -> String {
        let needs = match (self.configured, self.missing.as_slice()) {
            (true, _) => String::new(),
            (false, []) => "variables are malformed: see `ecomctl check-env`".to_owned(),
            (false, missing) => format!("lacks {}", missing.join(", ")),
        };
        let reason = self.reason.as_deref().filter(|reason| !reason.is_empty());
        let parts: Vec<_> = reason.into_iter().chain(Some(needs.as_str()).filter(|needs| !needs.is_empty())).collect();
        parts.join("; ")
    }
}

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    let answer = match verb {
        Verb::Get => api.mode().await?,
        Verb::Set { mode, service, reason, force } => {
            api.switch_mode(&Switch { mode: *mode, service: service.as_deref(), reason, force: *force }).await?
        }
    };
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let report: Report = api.understand(answer)?;
    if let Verb::Set { mode, service, .. } = verb {
        println!("{} is now {}", service.as_deref().unwrap_or("every service"), mode.name());
    }
    print!("{}", show(&report, output_width()));
    Ok(ExitCode::SUCCESS)
}

fn show(report: &Report, width: usize) -> String {
    let columns = ["service", "mode", "decided by", "since", "by", ""].map(|name| (name, Align::Left));
    let mut services = Table::new(&columns);
    for service in &report.services {
        let since = service.since.as_ref().map(time).unwrap_or_default();
        let (mode, by) = (service.mode.name().to_owned(), service.by.clone().unwrap_or_default());
        services.row([service.service.clone(), mode, service.decided_by.clone(), since, by, service.note()]);
    }
    let mut text = format!("mode: {}\n{}", report.mode, services.render(width));
    if !report.changes.is_empty() {
        let mut changes =
            Table::new(&["last switches", "service", "to", "by", "reason"].map(|name| (name, Align::Left)));
        for change in &report.changes {
            let service = change.service.clone().unwrap_or_else(|| "all".to_owned());
            let mode = change.mode.name().to_owned();
            changes.row([time(&change.at), service, mode, change.by.clone(), change.reason.clone()]);
        }
        text.push('\n');
        text.push_str(&changes.render(width));
    }
    text
}

fn time(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_shows_who_decided_and_what_is_missing() {
        let service = |name: &str| {
            json!({ "service": name, "mode": "mock", "decided_by": "variables", "since": null, "by": null, "reason": null,
                "missing": [], "configured": true })
        };
        let mut ai = service("ai");
        ai["missing"] = json!(["OPENAI_API_KEY"]);
        ai["configured"] = json!(false);
        let mut email = service("email");
        for (name, value) in [
            ("mode", "real"),
            ("decided_by", "switch"),
            ("since", "2026-01-02T03:04:05.000Z"),
            ("by", "anna"),
            ("reason", "go live"),
        ] {
            email[name] = json!(value);
        }
        let change =
            json!({ "at": "2026-01-02T03:04:05.000Z", "service": null, "mode": "real", "by": "anna", "reason": "x" });
        let report = json!({ "mode": "mixed", "services": [ai, email], "changes": [change] });
        let text = show(&serde_json::from_value(report).unwrap(), 120);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "mode: mixed",
                "service  mode  decided by  since                by",
                "ai       mock  variables                              lacks OPENAI_API_KEY",
                "email    real  switch      2026-01-02 03:04:05  anna  go live",
                "",
                "last switches        service  to    by    reason",
                "2026-01-02 03:04:05  all      real  anna  x",
            ]
        );
    }
}
