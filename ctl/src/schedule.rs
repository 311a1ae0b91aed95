//! `ecomctl schedule`: recurring jobs.

use std::process::ExitCode;

use anyhow::{Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use queue::Json;
use schedules::{Expression, Zone, next_instant};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    global::Global,
    options::read_json,
    table::{Align, Table, one_line, output_width},
};

/// What can be done with schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show all schedules and when they run next
    List {
        /// Only of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Enqueue a schedule's job now, beside its times
    Run(Which),
    /// Enqueue nothing until it is resumed
    Pause(Which),
    /// Let a paused schedule go on; what it missed meanwhile is not made up for
    Resume(Which),
    /// Show a schedule
    Get(Which),
    /// Make a schedule, or change the one of this name
    Put {
        #[command(flatten)]
        which: Which,
        /// When and what, as for `PUT /api/schedules/{name}`; `@-` reads the standard input
        #[arg(long, value_name = "JSON|@FILE|@-", value_parser = read_json)]
        definition: Json,
        /// Only if the schedule still has this `ETag`
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// Delete a schedule; jobs that it enqueued stay
    Delete(Which),
    /// Print the next instants, in UTC: of a schedule, or (without any server) of a cron expression
    ///
    /// The version of the tables of time zones (tzdata) by which they were reckoned goes to the standard error.
    Next(NextTimes),
}

/// A schedule.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The schedule
    name: String,
    /// Whose it is, if not the token's tenant's; needs `admin`
    #[arg(long)]
    tenant: Option<String>,
}

/// Whose instants, and how many.
#[derive(Debug, Args)]
pub(crate) struct NextTimes {
    /// The schedule
    #[arg(required_unless_present = "cron", conflicts_with_all = ["cron", "zone", "from"])]
    name: Option<String>,
    /// Whose schedule it is, if not the token's tenant's; needs `admin`
    #[arg(long, requires = "name")]
    tenant: Option<String>,
    /// Cron expression of 5 or 6 fields, or @daily and the like
    #[arg(long, allow_hyphen_values = true)]
    cron: Option<Expression>,
    /// IANA name of the time zone of the expression
    #[arg(long, default_value = "UTC", value_parser = zone)]
    zone: Zone,
    /// Print instants after this one (RFC 3339) [default: now]
    #[arg(long, value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// How many
    #[arg(short, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    n: u32,
}

fn zone(name: &str) -> Result<Zone, String> {
    name.parse().map_err(|_| "this is no time zone of the IANA database, such as Europe/Paris".to_owned())
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| "this is no time of RFC 3339, such as 2026-03-28T00:00:00Z".to_owned())
}

/// A schedule, as far as it is shown here.
type Schedule = api::Schedule<Told>;

/// When it is due, and what it enqueues.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    cron: Option<String>,
    #[serde(default)]
    every_s: Option<u64>,
    #[serde(default)]
    at: Option<DateTime<Utc>>,
    zone: String,
    job: Job,
    paused: bool,
}

#[derive(Debug, Deserialize)]
struct Job {
    kind: String,
}

impl Told {
    fn when(&self) -> String {
        match (&self.cron, self.every_s, &self.at) {
            (Some(cron), ..) => format!("{cron} {}", self.zone),
            (_, Some(every_s), _) => format!("every {every_s} s"),
            (.., at) => at.map(|at| format!("at {}", text(at))).unwrap_or_default(),
        }
    }
}

pub(crate) async fn run(global: &Global, verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::List { tenant } => list(global, tenant.as_deref()).await?,
        Verb::Run(Which { name, tenant }) => {
            let answer = global.api()?.post_schedule(name, tenant.as_deref(), "run").await?;
            match answer["id"].as_str() {
                Some(id) if !global.json => println!("{id}"),
                _ => println!("{answer:#}"),
            }
        }
        Verb::Get(Which { name, tenant }) => {
            println!("{:#}", global.api()?.schedule(name, tenant.as_deref()).await?);
        }
        Verb::Put { which: Which { name, tenant }, definition, if_match } => {
            let api = global.api()?;
            let answer = api.put_schedule(name, tenant.as_deref(), definition, if_match.as_deref()).await?;
            match answer["next_at"].as_str() {
                _ if global.json => println!("{answer:#}"),
                Some(next_at) => println!("{name} is stored, next at {next_at}"),
                None => println!("{name} is stored, and has no next time"),
            }
        }
        Verb::Delete(Which { name, tenant }) => {
            global.api()?.delete_schedule(name, tenant.as_deref()).await?;
            println!(
                "{}",
                if global.json { json!({ "deleted": name }).to_string() } else { format!("{name} is deleted") }
            );
        }
        Verb::Pause(which) => switch(global, which, "pause").await?,
        Verb::Resume(which) => switch(global, which, "resume").await?,
        Verb::Next(next) => print_next(global, next).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(global: &Global, tenant: Option<&str>) -> Result<()> {
    let api = global.api()?;
    let (schedules, unreadable) = api.schedules(tenant).await?;
    // Beside the list, which programs read.
    for id in unreadable {
        eprintln!("{} was written by a newer release, and cannot be shown", one_line(&id));
    }
    if global.json {
        println!("{:#}", Value::Array(schedules));
    } else if schedules.is_empty() {
        println!("no schedules");
    } else {
        print!("{}", table(&api.understand::<Vec<Schedule>>(Value::Array(schedules))?).render(output_width()));
    }
    Ok(())
}

fn table(schedules: &[Schedule]) -> Table {
    let columns = ["schedule", "tenant", "when", "kind", "next", "last"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    for schedule in schedules {
        let next = match schedule.next_at {
            _ if schedule.definition.paused => "paused".to_owned(),
            Some(next) => text(next.time()),
            None => "never".to_owned(),
        };
        let last = schedule.last.as_ref().map(|last| format!("{} {}", text(last.tick.time()), last.outcome));
        let last = last.unwrap_or_else(|| "-".to_owned());
        table.row([
            schedule.name.clone(),
            schedule.tenant.clone(),
            schedule.definition.when(),
            schedule.definition.job.kind.clone(),
            next,
            last,
        ]);
    }
    table
}

async fn switch(global: &Global, Which { name, tenant }: &Which, verb: &str) -> Result<()> {
    let answer = global.api()?.post_schedule(name, tenant.as_deref(), verb).await?;
    if global.json {
        println!("{answer:#}");
    } else if verb == "pause" {
        println!("{name} is paused");
    } else {
        println!("{name} goes on, next at {}", answer["next_at"].as_str().unwrap_or("no time"));
    }
    Ok(())
}

async fn print_next(global: &Global, asked: &NextTimes) -> Result<()> {
    let n = usize::try_from(asked.n)?;
    let (instants, tables) = match (&asked.cron, &asked.name) {
        (Some(cron), _) => {
            let from = asked.from.unwrap_or_else(Utc::now);
            let next = |after| next_instant(cron, &asked.zone, after);
            let instants = std::iter::successors(next(from), |last| next(*last)).take(n).map(text).collect();
            (instants, schedules::tables().to_string())
        }
        (None, Some(name)) => {
            let (instants, version) = global.api()?.next_of_schedule(name, asked.tenant.as_deref(), asked.n).await?;
            (instants, format!("tzdata {} of the API", version.as_deref().unwrap_or("of an unknown version")))
        }
        (None, None) => bail!("name a schedule, or give --cron"),
    };
    // Beside the instants, which programs read.
    eprintln!("{tables}");
    if global.json {
        println!("{:#}", Value::from(instants));
        return Ok(());
    }
    if instants.is_empty() {
        bail!("there is no such instant");
    }
    for instant in instants {
        println!("{instant}");
    }
    Ok(())
}

fn text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_are_listed_with_their_times() {
        let schedules: Vec<Schedule> = serde_json::from_value(json!([
            { "name": "prices", "tenant": "default", "built_in": true, "updated_at": "2026-01-01T00:00:00.000Z",
              "cron": "0 3 * * *", "zone": "Europe/Paris", "job": { "kind": "maintenance" }, "paused": false,
              "next_at": "2026-01-02T02:00:00.000Z", "last": { "tick": "2026-01-01T02:00:00.000Z", "by_hand": false,
              "outcome": "pushed", "reason": null, "job": null, "state": null } },
            { "name": "ping", "tenant": "acme", "built_in": false, "updated_at": "2026-01-01T00:00:00.000Z",
              "every_s": 60, "zone": "UTC", "job": { "kind": "email" }, "paused": true, "next_at": null, "last": null }
        ]))
        .unwrap();
        let text = table(&schedules).render(140);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "schedule tenant when kind next last");
        assert_eq!(
            lines[1],
            "prices default 0 3 * * * Europe/Paris maintenance 2026-01-02T02:00:00Z 2026-01-01T02:00:00Z pushed"
        );
        assert_eq!(lines[2], "ping acme every 60 s email paused -");
    }
}
