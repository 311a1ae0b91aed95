//! `ecomctl status`: how each service stands.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;

use crate::{
    client::Api,
    table::{Align, Table, output_width},
};

/// Show how each service stands: mock or real, configured, whether it answers, what is lost while it does not
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this service, such as ai or email
    service: Option<String>,
}

/// A service as the API shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) service: String,
    mode: String,
    configured: bool,
    missing: Vec<String>,
    #[serde(default)]
    hints: Vec<String>,
    risk: String,
    risk_text: String,
    probe: Option<Probe>,
    breaker: Option<String>,
    #[serde(default)]
    pub(crate) breaker_reason: Option<String>,
    success_rate_1h: Option<f64>,
    calls_1h: Option<u64>,
    degraded_waiting: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Probe {
    ok: bool,
    latency_ms: Option<f64>,
    error: Option<String>,
}

/// How all services stand, as the API shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    mode: String,
    pub(crate) services: Vec<Service>,
}

pub(crate) async fn run(api: &Api, status: &Status, json: bool) -> Result<ExitCode> {
    let answer = api.status(status.service.as_deref()).await?;
    if json {
        println!("{answer:#}");
    } else if status.service.is_some() {
        print!("{}", show(&[api.understand(answer)?], output_width()));
    } else {
        let report: Report = api.understand(answer)?;
        print!("mode: {}\n{}", report.mode, show(&report.services, output_width()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The table, and below it what is wrong, a line each.
fn show(services: &[Service], width: usize) -> String {
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
            service.service.clone(),
            service.risk.clone(),
            service.mode.clone(),
            if service.configured { "yes" } else { "no" }.to_owned(),
            service.probe.as_ref().map_or_else(|| "-".to_owned(), Probe::text),
            service.breaker.as_deref().unwrap_or("-").replace('_', " "),
            number(service.calls_1h),
            service.success_rate_1h.map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
            number(service.degraded_waiting),
            service.risk_text.clone(),
        ]);
    }
    let mut text = table.render(width);
    let notes: Vec<String> = services.iter().flat_map(Service::notes).collect();
    if !notes.is_empty() {
        text.push('\n');
    }
    notes.iter().for_each(|note| text.push_str(&format!("{}\n", crate::table::one_line(note))));
    text
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

impl Probe {
    fn text(&self) -> String {
        match (self.ok, self.latency_ms) {
            (true, Some(ms)) => format!("{ms:.1} ms"),
            (true, None) => "yes".to_owned(),
            (false, _) => "NO".to_owned(),
        }
    }
}

impl Service {
    /// What is wrong with it. What a mock lacks is no fault.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.mode == "real" {
            if !self.missing.is_empty() {
                notes.push(format!("{}: {} not set", self.service, self.missing.join(", ")));
            }
            notes.extend(self.hints.iter().map(|hint| format!("{}: {hint}", self.service)));
        }
        let error = self.probe.as_ref().and_then(|probe| probe.error.as_ref());
        notes.extend(error.map(|error| format!("{} does not answer: {error}", self.service)));
        notes.extend(self.breaker_reason.iter().map(|reason| format!("{} is not asked: {reason}", self.service)));
        notes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_shows_how_services_stand_and_what_is_wrong() {
        let services = json!([
            { "service": "ai", "mode": "real", "configured": true, "missing": [], "malformed": [], "risk": "P0",
              "risk_text": "templates instead of written texts", "breaker": "half_open", "breaker_reason": null,
              "probe": { "ok": false, "latency_ms": null, "at": "2026-01-02T03:04:05.000Z", "error": "no answer\nwithin 5 s" },
              "success_rate_1h": 0.998, "calls_1h": 412, "degraded_waiting": 7 },
            { "service": "email", "mode": "mock", "configured": false, "missing": ["SMTP_PORT"], "malformed": [],
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
