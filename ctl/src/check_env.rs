//! `ecomctl check-env`: whether the variables of this environment are those that the services need. Values are never shown.

use std::{
    collections::BTreeMap,
    env,
    io::{IsTerminal, stdout},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use services::{Accounts, Config, Environment, Malformed, Name, Risk, SERVICES, State, general_faults, truth};

use crate::table::{Align, Table, one_line, output_width};

/// Check the variables of this environment: what is set, missing or malformed, and what is lost without it
///
/// Exits with 1 when something critical is missing or malformed, with --strict when anything is. In production every critical service
/// (P0) counts, in development those that are to be real.
#[derive(Debug, Args)]
pub(crate) struct CheckEnv {
    /// What the environment is meant for
    #[arg(long, env = "APP_ENV", value_enum, default_value = "development")]
    mode: Purpose,
    /// Exit with 1 for anything that is missing or malformed, critical or not
    #[arg(long)]
    strict: bool,
    /// Ask each configured service whether it answers
    #[arg(long)]
    probe: bool,
}

/// What an environment is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Purpose {
    Production,
    Development,
}

/// What is said of the whole.
#[derive(Debug, Serialize)]
struct Report {
    mode: Purpose,
    strict: bool,
    /// Whether the exit code is 0.
    ok: bool,
    services: Vec<Row>,
    /// What is wrong with variables that belong to no service alone.
    problems: Vec<String>,
}

/// What is said of a service.
#[derive(Debug, Serialize)]
struct Row {
    service: &'static str,
    risk: &'static str,
    risk_text: &'static str,
    /// What the variables ask for.
    mode: &'static str,
    configured: bool,
    /// Whether it alone makes the exit code 1.
    critical: bool,
    present: Vec<&'static str>,
    missing: Vec<&'static str>,
    malformed: Vec<&'static str>,
    /// What is wrong, a sentence each.
    hints: Vec<String>,
    probe: Option<Probe>,
}

/// Whether a service answered.
#[derive(Debug, Serialize)]
struct Probe {
    ok: bool,
    latency_ms: Option<f64>,
    error: Option<String>,
}

pub(crate) async fn run(check: &CheckEnv, json: bool) -> Result<ExitCode> {
    let variables: BTreeMap<String, String> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect();
    let report = examine(check, &|name| variables.get(name).cloned()).await;
    if json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        let colours = stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        print!("{}", report.render(output_width(), colours));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(check: &CheckEnv, var: &(dyn Fn(&str) -> Option<String> + Sync)) -> Report {
    let production = check.mode == Purpose::Production;
    let purpose = if production { "production" } else { "development" };
    let var = |name: &str| if name == "APP_ENV" { Some(purpose.to_owned()) } else { var(name) };
    let (environment, config) = (Environment::new(production, &var), Config::from_vars(var));
    let probes = async |service: Name, state: &State| {
        if check.probe && state.configured { probe(service, &config, &var).await } else { None }
    };
    let mut services = Vec::new();
    for service in SERVICES.iter().copied() {
        let mut state = service.entry().state(&environment);
        if service == Name::Payments
            && let Some(reason) = producer::plans_fault(&config)
        {
            state.malformed.push(Malformed { variable: "PLANS_FILE", reason });
            state.configured = false;
        }
        let probe = probes(service, &state).await;
        let mut row = Row::new(service, state, probe, production, config.is_real(service));
        row.hints.extend(config.note(service).map(str::to_owned));
        services.push(row);
    }
    let switches = SERVICES.iter().filter_map(|service| service.entry().switch).chain(["MOCK_MODE"]);
    let is_bad = |name: &&str| environment.get(name).is_some_and(|value| truth(&value).is_none());
    let mut problems: Vec<_> = switches.filter(is_bad).map(|name| format!("{name} must be true or false")).collect();
    problems.extend(general_faults(&environment).iter().map(ToString::to_string));
    let critical = services.iter().any(|row| row.critical);
    let anything = !problems.is_empty() || services.iter().any(Row::has_faults);
    Report { mode: check.mode, strict: check.strict, ok: !(critical || check.strict && anything), services, problems }
}

async fn probe(service: Name, config: &Config, var: impl Fn(&str) -> Option<String>) -> Option<Probe> {
    let asked = match producer::probe(service, var).await {
        Some(answer) => answer,
        None => providers::probe(config, service, true).await?,
    };
    let (latency_ms, error) = match asked {
        Ok(latency) => (Some((latency.as_secs_f64() * 1e6).round() / 1e3), None),
        Err(error) => (None, Some(config.secrets.redact(error))),
    };
    Some(Probe { ok: error.is_none(), latency_ms, error })
}

impl Row {
    fn new(service: Name, state: State, probe: Option<Probe>, production: bool, real: bool) -> Self {
        let entry = service.entry();
        let silent = probe.as_ref().is_some_and(|probe| !probe.ok);
        let matters = entry.risk == Risk::P0 && (production || real);
        let mut hints = Vec::new();
        if matches!(entry.accounts, Accounts::AnyOf(_)) && state.present.is_empty() {
            hints.push("any one of its accounts is enough".to_owned());
        }
        hints.extend(state.malformed.iter().map(ToString::to_string));
        Self {
            service: service.as_str(),
            risk: entry.risk.name(),
            risk_text: entry.lost,
            mode: if real { "real" } else { "mock" },
            configured: state.configured,
            critical: matters && (!state.configured || silent),
            present: state.present,
            missing: state.missing,
            malformed: state.malformed.iter().map(|malformed| malformed.variable).collect(),
            hints,
            probe,
        }
    }

    fn has_faults(&self) -> bool {
        let silent = self.probe.as_ref().is_some_and(|probe| !probe.ok);
        !self.configured || silent || !self.missing.is_empty() || !self.malformed.is_empty()
    }

    fn verdict(&self) -> &'static str {
        match (self.configured, self.has_faults()) {
            _ if self.critical => "CRITICAL",
            (true, false) => "ok",
            (false, _) if self.present.is_empty() => "not set",
            _ => "incomplete",
        }
    }

    /// What is wrong, below the table.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.missing.is_empty() {
            notes.push(format!("missing {}", self.missing.join(", ")));
        }
        notes.extend(self.hints.iter().cloned());
        let error = self.probe.as_ref().and_then(|probe| probe.error.as_ref());
        notes.extend(error.map(|error| format!("does not answer: {error}")));
        notes.into_iter().map(|note| format!("{}: {}", self.service, one_line(&note))).collect()
    }

    fn answers(&self) -> String {
        match &self.probe {
            None => "-".to_owned(),
            Some(Probe { latency_ms: Some(ms), .. }) => format!("{ms:.1} ms"),
            Some(_) => "NO".to_owned(),
        }
    }
}

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

impl Report {
    fn render(&self, width: usize, colours: bool) -> String {
        let columns = [
            ("service", Align::Left),
            ("risk", Align::Left),
            ("mode", Align::Left),
            ("", Align::Left),
            ("present", Align::Right),
            ("missing", Align::Right),
            ("malformed", Align::Right),
            ("answers", Align::Left),
            ("without it", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for row in &self.services {
            table.row([
                row.service.to_owned(),
                row.risk.to_owned(),
                row.mode.to_owned(),
                row.verdict().to_owned(),
                row.present.len().to_string(),
                row.missing.len().to_string(),
                row.malformed.len().to_string(),
                row.answers(),
                row.risk_text.to_owned(),
            ]);
        }
        let mut text = String::new();
        for (index, line) in table.render(width).lines().enumerate() {
            let colour = index.checked_sub(1).map(|row| self.services[row].colour()).filter(|_| colours);
            text.push_str(&colour.map_or_else(|| format!("{line}\n"), |colour| format!("{colour}{line}{PLAIN}\n")));
        }
        text.push('\n');
        let notes = self.services.iter().flat_map(Row::notes).chain(self.problems.iter().cloned());
        notes.for_each(|note| text.push_str(&format!("{note}\n")));
        text.push_str(&self.conclusion());
        text
    }

    fn conclusion(&self) -> String {
        let purpose = if self.mode == Purpose::Production { "production" } else { "development" };
        let names = |pick: fn(&Row) -> bool| {
            let names: Vec<_> = self.services.iter().filter(|row| pick(row)).map(|row| row.service).collect();
            names.join(", ")
        };
        let critical = names(|row| row.critical);
        let mocked = names(|row| row.mode == "mock" && row.configured);
        let mut text = match (self.ok, critical.is_empty()) {
            (true, _) => format!("good for {purpose}\n"),
            (false, false) => format!("not good for {purpose}: {critical}\n"),
            (false, true) => format!("not complete, which --strict asks for: {}\n", names(Row::has_faults)),
        };
        if self.mode == Purpose::Production && !mocked.is_empty() {
            text.push_str(&format!("configured, but mock until MOCK_MODE=false or a switch at run time: {mocked}\n"));
        }
        text
    }
}

impl Row {
    fn colour(&self) -> &'static str {
        match self.verdict() {
            "ok" => GREEN,
            "CRITICAL" => RED,
            _ => YELLOW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything as the examples of the catalogue have it, and real.
    fn full() -> Vec<(&'static str, &'static str)> {
        let variables = SERVICES.iter().flat_map(|service| service.entry().all_variables());
        let examples = variables.filter_map(|variable| Some((variable.name, variable.example?)));
        examples.chain([("MOCK_MODE", "false")]).collect()
    }

    async fn check(mode: Purpose, strict: bool, vars: &[(&str, &str)]) -> Report {
        let vars: BTreeMap<_, _> = vars.iter().copied().collect();
        let var = |name: &str| vars.get(name).map(|value| (*value).to_owned());
        examine(&CheckEnv { mode, strict, probe: false }, &var).await
    }

    fn row<'a>(report: &'a Report, service: &str) -> &'a Row {
        report.services.iter().find(|row| row.service == service).unwrap()
    }

    #[tokio::test]
    async fn a_full_environment_is_good_even_strictly() {
        let report = check(Purpose::Production, true, &full()).await;
        assert!(report.ok && report.problems.is_empty(), "{}", report.render(200, false));
        assert!(report.render(200, false).ends_with("\ngood for production\n"));
    }

    #[tokio::test]
    async fn an_empty_environment_is_good_for_development_only() {
        assert!(check(Purpose::Development, false, &[]).await.ok, "mock needs no key");
        assert!(!check(Purpose::Development, true, &[]).await.ok);
        let production = check(Purpose::Production, false, &[]).await;
        assert!(!production.ok);
        let critical: Vec<_> = production.services.iter().filter(|row| row.critical).map(|row| row.service).collect();
        assert_eq!(critical, ["ai", "payments", "mongodb", "security"]);
        assert_eq!(row(&production, "mongodb").missing, ["MONGO_URL"]);
    }

    #[tokio::test]
    async fn what_is_to_be_real_must_be_there_in_development_too() {
        assert!(!check(Purpose::Development, false, &[("MOCK_MODE_AI", "false")]).await.ok);
        let uncritical = [("MOCK_MODE_EMAIL", "false"), ("SMTP_SERVER", "localhost")];
        let report = check(Purpose::Development, false, &uncritical).await;
        assert!(report.ok);
        assert_eq!(row(&report, "email").missing, ["SMTP_PORT", "SENDER_EMAIL"]);
        assert_eq!(row(&report, "email").verdict(), "incomplete");
    }

    #[tokio::test]
    async fn wrong_values_count_like_missing_ones_and_are_not_shown() {
        let wrong = [("STRIPE_API_KEY", "sk_test_hushhush"), ("SMTP_PORT", "hushhush"), ("MOCK_MODE_AI", "hushhush")];
        let report = check(Purpose::Production, false, &[&full()[..], &wrong].concat()).await;
        assert!(!report.ok && row(&report, "payments").critical && !row(&report, "email").critical);
        let text = report.render(200, false);
        assert!(text.contains("payments: STRIPE_API_KEY is a test key"), "{text}");
        assert!(
            text.contains("email: SMTP_PORT must be a port") && text.contains("MOCK_MODE_AI must be true or false")
        );
        let json = serde_json::to_string(&report).unwrap();
        assert!(!text.contains("hushhush") && !json.contains("hushhush"), "{text}{json}");
        let reverse = check(Purpose::Development, false, &full()).await;
        assert!(!reverse.ok && row(&reverse, "payments").hints[0].contains("live key"));
    }

    #[tokio::test]
    async fn a_table_of_plans_that_cannot_be_used_is_critical() {
        let file = env::temp_dir().join(format!("plans-{}.toml", uuid::Uuid::new_v4()));
        let plan = |name: &str, more: &str| {
            format!("[plans.{name}]\nprice = \"STRIPE_PRICE_ID_{}\"\n{more}\n", name.to_uppercase())
        };
        let plans = [("PLANS_FILE", file.to_str().unwrap())];
        let vars = [&full()[..], &plans].concat();
        for (table, says) in [
            (None, "PLANS_FILE cannot be used: No such file"),
            (Some("[plans.pro".to_owned()), "PLANS_FILE cannot be used: TOML"),
            (Some(plan("pro", "tier = \"gold\"")), "gold"),
            (Some(plan("pro", "kinds = [\"contnt\"]")), "plan pro: kinds: there is no kind \"contnt\""),
            (Some(plan("pro", "prices = [\"price_2\"]") + &plan("premium", "")), "both have the price price_2"),
            (Some(plan("pro", "")), "no plan has price = \"STRIPE_PRICE_ID_PREMIUM\""),
        ] {
            if let Some(table) = table {
                std::fs::write(&file, table).unwrap();
            }
            let report = check(Purpose::Production, false, &vars).await;
            let text = report.render(200, false);
            assert!(!report.ok && row(&report, "payments").critical && text.contains(says), "{says}: {text}");
            assert_eq!(row(&report, "payments").malformed, ["PLANS_FILE"]);
        }
        std::fs::write(&file, plan("pro", "") + &plan("premium", "")).unwrap();
        let report = check(Purpose::Production, true, &vars).await;
        assert!(report.ok, "{}", report.render(200, false));
        std::fs::remove_file(&file).unwrap();
    }

    #[tokio::test]
    async fn without_strict_only_what_is_critical_fails() {
        let without_mail: Vec<_> = full().into_iter().filter(|(name, _)| *name != "SMTP_SERVER").collect();
        assert!(check(Purpose::Production, false, &without_mail).await.ok);
        let strict = check(Purpose::Production, true, &without_mail).await;
        assert!(!strict.ok);
        assert!(strict.conclusion().ends_with("asks for: email\n"), "{}", strict.conclusion());
    }

    #[tokio::test]
    async fn a_public_address_sets_up_no_shop() {
        let report = check(Purpose::Production, false, &[("PUBLIC_URL", "https://jobs.example")]).await;
        let publication = row(&report, "publication");
        assert_eq!((publication.verdict(), publication.present.len()), ("ok", 0));
        assert!(publication.hints[0].starts_with("the environment has no store"), "{:?}", publication.hints);
        assert!(report.problems.is_empty());
        let bad = check(Purpose::Production, true, &[&full()[..], &[("PUBLIC_URL", "jobs.example")]].concat()).await;
        assert!(!bad.ok && bad.problems[0].starts_with("PUBLIC_URL must be"), "{:?}", bad.problems);
    }

    #[tokio::test]
    async fn colours_are_only_where_they_are_asked_for() {
        let report = check(Purpose::Production, false, &[]).await;
        assert!(!report.render(200, false).contains('\x1b'));
        let text = report.render(200, true);
        assert!(text.contains("\x1b[31mai ") && text.contains("\x1b[32mscraping"), "{text}");
    }

    #[tokio::test]
    async fn configured_services_that_stay_mock_in_production_are_named() {
        let vars: Vec<_> = full().into_iter().filter(|(name, _)| *name != "MOCK_MODE").collect();
        let report = check(Purpose::Production, true, &vars).await;
        assert!(
            report.ok && report.conclusion().contains("a switch at run time: ai, images"),
            "{}",
            report.conclusion()
        );
    }
}
