//! `ecomctl status`: how each service stands.

use std::process::ExitCode;

use anyhow::Result;
use api::{Probe, ServiceStatus, StatusReport};
use clap::Args;

use crate::{
    client::Api,
    table::{Align, Table, one_line, output_width},
};

/// Show how each service stands: mock or real, configured, whether it answers, what is lost while it does not
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this service, such as ai or email
    service: Option<String>,
}

pub(crate) async fn run(api: &Api, status: &Status, json: bool) -> Result<ExitCode> {
    let answer = api.status(status.service.as_deref()).await?;
    if json {
        println!("{answer:#}");
    } else if status.service.is_some() {
        print!("{}", show(&[api.understand(answer)?], output_width()));
    } else {
        let report: StatusReport = api.understand(answer)?;
        print!("mode: {}\n{}", report.mode, show(&report.services, output_width()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The table, and below it what is wrong, a line each.
fn show(services: &[ServiceStatus], width: usize) -> String {
    let columns = [
        ("service", Align::Left),
        ("risk", Align::Left),
        ("mode", Align::Left),
        ("configured", Align::Left),
        ("answers", Align::Left),
        ("breaker", Align::Left),
        ("calls/h", Align::Right),
        ("success", Align::Right),
        ("to heal", Align::Right),
        ("while it is down", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for service in services {
        table.row([
            service.service.to_string(),
            service.risk.to_string(),
            service.mode.to_string(),
            if service.configured { "yes" } else { "no" }.to_owned(),
            service.probe.as_ref().map_or_else(|| "-".to_owned(), answer),
            service.breaker.as_deref().unwrap_or("-").replace('_', " "),
            number(service.calls_1h),
            service.success_rate_1h.map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
            number(service.degraded_waiting),
            service.risk_text.to_string(),
        ]);
    }
    let mut text = table.render(width);
    let notes: Vec<String> = services.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        text.push('\n');
    }
    notes.iter().for_each(|note| text.push_str(&format!("{}\n", one_line(note))));
    text
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn answer(probe: &Probe) -> String {
    match (probe.ok, probe.latency_ms) {
        (true, Some(ms)) => format!("{ms:.1} ms"),
        (true, None) => "yes".to_owned(),
        (false, _) => "NO".to_owned(),
    }
}

/// What is wrong with it. What a mock lacks is no fault.
fn notes(status: &ServiceStatus) -> Vec<String> {
    let mut notes = Vec::new();
    let service = &status.service;
    if status.mode == "real" {
        if !status.missing.is_empty() {
            notes.push(format!("{service}: {} not set", status.missing.join(", ")));
        }
        notes.extend(status.hints.iter().map(|hint| format!("{service}: {hint}")));
    }
    let error = status.probe.as_ref().and_then(|probe| probe.error.as_ref());
    notes.extend(error.map(|error| format!("{service} does not answer: {error}")));
    notes.extend(status.breaker_reason.iter().map(|reason| format!("{service} is not asked: {reason}")));
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_shows_how_services_stand_and_what_is_wrong() {
        let services = json!([
            { "service": "ai", "mode": "real", "configured": true, "missing": [], "malformed": [], "hints": [], "risk": "P0",
              "risk_text": "templates instead of written texts", "breaker": "half_open", "breaker_reason": null,
              "probe": { "ok": false, "latency_ms": null, "at": "2026-01-02T03:04:05.000Z", "error": "no answer\nwithin 5 s" },
              "success_rate_1h": 0.998, "calls_1h": 412, "degraded_waiting": 7 },
            { "service": "email", "mode": "mock", "configured": false, "missing": ["SMTP_PORT"], "malformed": [], "hints": [],
              "risk": "P1", "risk_text": "notifications are late", "probe": null, "breaker": null,
              "success_rate_1h": null, "calls_1h": null, "degraded_waiting": null },
        ]);
        let text = show(&serde_json::from_value::<Vec<_>>(services).unwrap(), 140);
        let expected = [
            "service  risk  mode  configured  answers  breaker    calls/h  success  to heal  while it is down",
            "ai       P0    real  yes         NO       half open      412   99.8 %        7  templates instead of written texts",
            "email    P1    mock  no          -        -                -        -        -  notifications are late",
            "",
            "ai does not answer: no answer within 5 s",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
