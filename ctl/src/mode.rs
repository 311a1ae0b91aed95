//! `ecomctl mode`: which services are mock and which are real.

use std::process::ExitCode;

use anyhow::Result;
use api::{Mode, ModeReport, ModeRequest, ServiceMode, Timestamp};
use clap::Subcommand;

use crate::{
    client::Api,
    options::one_of,
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
        #[arg(value_parser = one_of(&Mode::ALL, Mode::name))]
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

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    let answer = match verb {
        Verb::Get => api.mode().await?,
        Verb::Set { mode, service, reason, force } => {
            let (mode, service, reason, force) = (*mode, service.clone(), reason.clone(), *force);
            api.switch_mode(&ModeRequest { mode, service, reason, force }).await?
        }
    };
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let report: ModeReport = api.understand(answer)?;
    if let Verb::Set { mode, service, .. } = verb {
        println!("{} is now {}", service.as_deref().unwrap_or("every service"), mode.name());
    }
    print!("{}", show(&report, output_width()));
    Ok(ExitCode::SUCCESS)
}

/// What an operator has to know beside who switched it.
fn note(service: &ServiceMode) -> String {
    let needs = match (service.configured, service.missing.as_slice()) {
        (true, _) => String::new(),
        (false, []) => "variables are malformed: see `ecomctl check-env`".to_owned(),
        (false, missing) => format!("lacks {}", missing.join(", ")),
    };
    let reason = service.reason.as_deref().filter(|reason| !reason.is_empty());
    let parts: Vec<_> = reason.into_iter().chain(Some(needs.as_str()).filter(|needs| !needs.is_empty())).collect();
    parts.join("; ")
}

fn show(report: &ModeReport, width: usize) -> String {
    let columns = ["service", "mode", "decided by", "since", "by", ""].map(|name| (name, Align::Left));
    let mut services = Table::new(&columns);
    for service in &report.services {
        let since = service.since.map(time).unwrap_or_default();
        let (mode, by) = (service.mode.name().to_owned(), service.by.clone().unwrap_or_default());
        services.row([service.service.to_string(), mode, service.decided_by.to_string(), since, by, note(service)]);
    }
    let mut text = format!("mode: {}\n{}", report.mode, services.render(width));
    if !report.changes.is_empty() {
        let mut changes =
            Table::new(&["last switches", "service", "to", "by", "reason"].map(|name| (name, Align::Left)));
        for change in &report.changes {
            let service = change.service.clone().unwrap_or_else(|| "all".to_owned());
            let mode = change.mode.name().to_owned();
            changes.row([time(change.at), service, mode, change.by.clone(), change.reason.clone()]);
        }
        text.push('\n');
        text.push_str(&changes.render(width));
    }
    text
}

fn time(time: Timestamp) -> String {
    time.time().format("%Y-%m-%d %H:%M:%S").to_string()
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
