//! `ecomctl job`: one job, or a list of them.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Result, bail};
use api::{AttemptOutcome, State};
use clap::{Args, Subcommand};
use serde::{Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    client::{Api, Event, Job},
    table::{Align, Table, one_line, output_width, printable},
    tell::{duration_ms, last_error, put_off},
};

/// What can be done with a job.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show many jobs, newest first
    List(List),
    /// Show a job
    Get {
        /// Its id
        id: String,
        /// Wait up to so many seconds for it to finish (0 to 60)
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=60))]
        wait: Option<u64>,
    },
    /// Follow a job until its end, one line for each thing that happens; exits with 1 unless it succeeds
    Watch {
        /// Its id
        id: String,
    },
    /// Cancel a job that has not finished
    Cancel {
        /// Its id
        id: String,
    },
    /// Run a dead, cancelled, expired or retrying job again now
    Retry {
        /// Its id
        id: String,
    },
    /// Run a scheduled or retrying job now, before its time
    RunNow {
        /// Its id
        id: String,
    },
}

/// Which jobs are shown.
#[derive(Debug, Args, Serialize)]
pub(crate) struct List {
    /// Only in this state: scheduled, ready, running, retrying, succeeded, dead, cancelled or expired
    #[arg(long)]
    state: Option<String>,
    /// Only of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only created then or later, like 2026-01-31T12:00:00Z
    #[arg(long)]
    created_from: Option<String>,
    /// Only created then or before
    #[arg(long)]
    created_to: Option<String>,
    /// Only with this id, this unique key, or these words in their errors
    #[arg(short)]
    q: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=200))]
    limit: u64,
    /// Go on where another list ended
    #[arg(long)]
    cursor: Option<String>,
}

/// A page of a list.
type Page = api::JobPage<IgnoredAny>;

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    let answer = match verb {
        Verb::Watch { id } => return watch(api, id, json).await,
        Verb::List(list) => return show_list(api, list, json).await,
        Verb::Get { id, wait } => api.job(id, *wait).await?,
        Verb::Cancel { id } => api.cancel(id).await?,
        Verb::Retry { id } => api.retry(id).await?,
        Verb::RunNow { id } => api.run_now(id).await?,
    };
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let job: Job = api.understand(answer)?;
    match verb {
        Verb::List(_) | Verb::Get { .. } | Verb::Watch { .. } => print!("{}", describe(&job)),
        Verb::Cancel { .. } if job.state == State::Running => println!("{}  is running and was told to stop", job.id),
        Verb::Cancel { .. } | Verb::Retry { .. } | Verb::RunNow { .. } => println!("{}  {}", job.id, job.state.name()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what happens to a job, until its end.
async fn watch(api: &Api, id: &str, json: bool) -> Result<ExitCode> {
    let mut events = api.events(id);
    while let Some(event) = events.next().await? {
        println!("{}", if json { event.as_json().to_string() } else { line_of(&event) });
        if event.name == "end" {
            let succeeded = event.text("state") == Some("succeeded");
            return Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    bail!("the job {id} is no longer known");
}

/// When, what, and the rest of an event.
fn line_of(event: &Event) -> String {
    let at = event.text("at").unwrap_or_default();
    let message = event.text("message").unwrap_or_default();
    let attempt = event.data["attempt"].as_u64().map(|number| format!("attempt {number}")).unwrap_or_default();
    let rest = match event.name.as_str() {
        "state" => format!("{}, {attempt}", event.text("state").unwrap_or_default()),
        "progress" => format!("{} %, {message}", event.data["percent"]),
        "end" => event.text("state").unwrap_or_default().to_owned(),
        _ => message.to_owned(),
    };
    format!("{:<24}  {:<8}  {}", one_line(at), one_line(&event.name), one_line(&rest))
}

async fn show_list(api: &Api, list: &List, json: bool) -> Result<ExitCode> {
    let answer: Value = api.jobs(list).await?;
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let page: Page = api.understand(answer)?;
    print!("{}", table(&page.items).render(output_width()));
    if let Some(cursor) = page.next_cursor {
        println!("more: --cursor {}", one_line(&cursor));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(jobs: &[Job]) -> Table {
    let header = ["id", "kind", "tenant", "state", "created", "attempt", "provider or error"];
    let mut table = Table::new(&header.map(|name| (name, Align::Left)));
    for job in jobs {
        let put_off = || Some(format!("put off {}", put_off(job)?)).filter(|_| !job.state.is_finished());
        let what = job.provider.clone().or_else(|| last_error(job)).or_else(put_off).unwrap_or_default();
        let attempt = format!("{} of {}", job.attempt, job.max_attempts);
        let (id, state, created) = (job.id.to_string(), job.state.name().to_owned(), job.created_at.to_string());
        table.row([id, job.kind.clone(), job.tenant.clone(), state, created, attempt, what]);
    }
    table
}

fn describe(job: &Job) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10}{}", one_line(value));
    };
    line("id", &job.id.to_string());
    line("kind", &job.kind);
    line("tenant", &job.tenant);
    line("state", job.state.name());
    line("created", &job.created_at.to_string());
    if let (Some(finished_at), Some(duration_ms)) = (job.finished_at, duration_ms(job)) {
        line("finished", &format!("{finished_at}, {duration_ms} ms after its creation"));
    }
    if let Some(provider) = &job.provider {
        line("provider", provider);
    }
    if job.degraded {
        line("degraded", job.degraded_reason.as_deref().unwrap_or("yes"));
    }
    if let Some(progress) = &job.progress {
        line("progress", &format!("{} %, {}", progress.percent, progress.message));
    }
    line("attempt", &format!("{} of {}", job.attempt, job.max_attempts));
    for attempt in &job.attempts {
        let outcome = attempt.outcome.map_or("running", AttemptOutcome::name);
        let error = attempt.error.as_ref().map(|error| format!(": {}: {}", error.code, error.message));
        line("", &format!("{} {outcome} on {}{}", attempt.number, attempt.worker, error.unwrap_or_default()));
    }
    if let Some(put_off) = put_off(job) {
        line("put off", &put_off);
    }
    if let Some(result) = &job.result {
        let _ = writeln!(text, "result    {}", printable(&format!("{result:#}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tell::tests::{attempt, job};

    #[test]
    fn an_event_is_one_line() {
        let event = |name: &str, data| Event { id: "7".to_owned(), name: name.to_owned(), data };
        let at = "2026-01-02T03:04:05.000Z";
        let lines = [
            (event("state", json!({ "state": "running", "attempt": 2, "at": at })), "state     running, attempt 2"),
            (
                event("progress", json!({ "percent": 40, "message": "page 2 of 5", "at": at })),
                "progress  40 %, page 2 of 5",
            ),
            (event("log", json!({ "message": "two\nlines", "at": at })), "log       two lines"),
            (event("end", json!({ "state": "dead", "at": at })), "end       dead"),
        ];
        for (event, expected) in lines {
            assert_eq!(line_of(&event), format!("{at}  {expected}"));
        }
    }

    #[test]
    fn a_job_is_described_line_by_line() {
        let job = job(&json!({
            "state": "succeeded", "created_at": "1970-01-01T00:00:00.000Z", "finished_at": "1970-01-01T00:00:01.500Z",
            "attempt": 2, "attempts": [attempt(1, "retry", Some(("rate_limited", "openai: 429\u{1b}[31m")))],
            "snoozes": { "count": 12, "last_code": "provider_held", "last_at": "1970-01-01T00:00:01.250Z" },
            "progress": { "percent": 100, "message": "stored" },
            "degraded": true, "degraded_reason": "openai: out of quota", "result": { "title": "Käse" }
        }));
        let expected = "id        0199a1b2-0000-7000-8000-000000000001\nkind      content\ntenant    default\nstate     succeeded\n\
                        created   1970-01-01T00:00:00.000Z\n\
                        finished  1970-01-01T00:00:01.500Z, 1500 ms after its creation\n\
                        degraded  openai: out of quota\nprogress  100 %, stored\nattempt   2 of 5\n          \
                        1 retry on host-1/7: rate_limited: openai: 429[31m\n\
                        put off   12 times, last: provider_held at 1970-01-01T00:00:01.250Z\nresult    {\n  \"title\": \"Käse\"\n}\n";
        assert_eq!(describe(&job), expected);
    }
}
