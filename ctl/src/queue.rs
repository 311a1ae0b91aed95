//! `ecomctl queue`: queues and their dead letters.

use std::process::ExitCode;

use anyhow::Result;
use api::{Queue, Timestamp};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::{Api, Job},
    table::{Align, Table, output_width},
    tell::last_error,
};

/// The API gives no larger pages.
const LARGEST_PAGE: u64 = 200;

/// What can be done with queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show all queues and how full they are
    List,
    /// Show the dead jobs of a queue, newest first
    Dead {
        /// The queue, named like its kind
        queue: String,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
    },
    /// Run dead jobs again: those named, or all
    Replay {
        /// The queue, named like its kind
        queue: String,
        /// Ids of dead jobs
        ids: Vec<String>,
    },
    /// Delete dead jobs for good: those named, or all with --all
    DeleteDead {
        /// The queue, named like its kind
        queue: String,
        /// Ids of dead jobs
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All dead jobs of the queue
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Stop claiming from a queue in all replicas; jobs that run go on
    Pause {
        /// The queue, named like its kind
        queue: String,
    },
    /// Let a paused queue go on
    Resume {
        /// The queue, named like its kind
        queue: String,
    },
}

/// What an operator has to know beside the numbers.
fn note(queue: &Queue) -> String {
    match &queue.error {
        Some(error) => format!("DAMAGED: {error}"),
        None if queue.paused => "paused".to_owned(),
        None => String::new(),
    }
}

/// A page of dead jobs, which may be shown as they are.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Value>,
    next_cursor: Option<String>,
}

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    match verb {
        Verb::List => {
            let answer = api.queues().await?;
            if json {
                println!("{answer:#}");
            } else {
                print!("{}", list(&api.understand::<Vec<Queue>>(answer)?).render(output_width()));
            }
        }
        Verb::Dead { queue, limit } => {
            let jobs = dead_jobs(api, queue, *limit).await?;
            if json {
                println!("{:#}", Value::Array(jobs));
            } else if jobs.is_empty() {
                println!("no dead jobs in {queue}");
            } else {
                print!("{}", dead(&api.understand::<Vec<Job>>(Value::Array(jobs))?).render(output_width()));
            }
        }
        Verb::Replay { queue, ids } => {
            let answer = api.replay(queue, ids).await?;
            match answer["count"].as_u64() {
                Some(n_replayed) if !json => println!("{n_replayed} jobs of {queue} run again"),
                _ => println!("{answer:#}"),
            }
        }
        Verb::DeleteDead { queue, ids, .. } => {
            let answer = api.delete_dead(queue, ids).await?;
            match answer["count"].as_u64() {
                Some(n_deleted) if !json => println!("{n_deleted} dead jobs of {queue} are deleted"),
                _ => println!("{answer:#}"),
            }
        }
        Verb::Pause { queue } => tell(&api.switch_queue(queue, "pause").await?, queue, "paused", json),
        Verb::Resume { queue } => tell(&api.switch_queue(queue, "resume").await?, queue, "not paused", json),
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(answer: &Value, queue: &str, state: &str, json: bool) {
    match answer["changed"].as_bool() {
        Some(true) if !json => println!("{queue} is now {state}"),
        Some(false) if !json => println!("{queue} was {state} already"),
        _ => println!("{answer:#}"),
    }
}

async fn dead_jobs(api: &Api, queue: &str, limit: u64) -> Result<Vec<Value>> {
    let limit = usize::try_from(limit)?;
    let mut jobs = Vec::new();
    let mut cursor: Option<String> = None;
    while jobs.len() < limit {
        let wanted = u64::try_from(limit - jobs.len())?.min(LARGEST_PAGE);
        let page: Page = api.understand(api.dead(queue, cursor.as_deref(), wanted).await?)?;
        jobs.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    jobs.truncate(limit);
    Ok(jobs)
}

fn list(queues: &[Queue]) -> Table {
    const NUMBERS: [&str; 9] =
        ["ready", "scheduled", "running", "retrying", "dead", "oldest", "out/s", "empty in", "workers"];
    let mut header = vec![("queue", Align::Left)];
    header.extend(NUMBERS.map(|name| (name, Align::Right)));
    header.push(("", Align::Left));
    let mut table = Table::new(&header);
    for queue in queues {
        let depth = &queue.depth;
        let counts = [depth.ready, depth.scheduled, depth.running, depth.retrying, depth.dead];
        let mut cells = vec![queue.name.clone()];
        cells.extend(counts.map(|n_jobs| n_jobs.to_string()));
        cells.extend([
            seconds(queue.oldest_ready_age_s),
            format!("{:.1}", queue.out_per_s),
            seconds(queue.time_to_empty_s),
            queue.workers.to_string(),
            note(queue),
        ]);
        table.row(cells);
    }
    table
}

fn dead(jobs: &[Job]) -> Table {
    let columns = [("id", Align::Left), ("died", Align::Left), ("attempts", Align::Right), ("error", Align::Left)];
    let mut table = Table::new(&columns);
    for job in jobs {
        let died = job.finished_at.map(short_time).unwrap_or_default();
        let error = last_error(job).unwrap_or_default();
        table.row([job.id.to_string(), died, format!("{}/{}", job.attempt, job.max_attempts), error]);
    }
    table
}

fn short_time(time: Timestamp) -> String {
    time.time().format("%Y-%m-%d %H:%M:%S").to_string()
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tell::tests::{attempt, job};

    #[test]
    fn queues_are_listed_in_columns() {
        let queues: Vec<Queue> = serde_json::from_value(json!([
            { "name": "content", "paused": false, "oldest_ready_age_s": 0.4, "in_per_s": 2.1, "out_per_s": 2.0,
              "time_to_empty_s": 1.5, "workers": 2,
              "depth": { "ready": 3, "scheduled": 0, "running": 12, "retrying": 1, "waiting": 0, "dead": 0 } },
            { "name": "email", "paused": true, "oldest_ready_age_s": null, "in_per_s": 0.0, "out_per_s": 0.0,
              "time_to_empty_s": null, "workers": 0,
              "depth": { "ready": 0, "scheduled": 0, "running": 0, "retrying": 0, "waiting": 0, "dead": 7 } }
        ]))
        .unwrap();
        let text = list(&queues).render(120);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "queue    ready  scheduled  running  retrying  dead  oldest  out/s  empty in  workers");
        assert_eq!(lines[1], "content      3          0       12         1     0   0.4 s    2.0     1.5 s        2");
        assert_eq!(
            lines[2],
            "email        0          0        0         0     7       -    0.0         -        0  paused"
        );
    }

    #[test]
    fn a_queue_that_cannot_be_looked_at_says_why() {
        let queue = json!({ "name": "email", "paused": false, "oldest_ready_age_s": null, "in_per_s": 0.0,
            "out_per_s": 0.0, "time_to_empty_s": null, "workers": 1, "error": "redis refused: WRONGTYPE",
            "depth": { "ready": 0, "scheduled": 0, "running": 0, "retrying": 0, "waiting": 0, "dead": 0 } });
        let text = list(&[serde_json::from_value(queue).unwrap()]).render(120);
        assert!(text.ends_with("1  DAMAGED: redis refused: WRONGTYPE\n"), "{text}");
    }

    #[test]
    fn dead_jobs_show_when_and_why_they_died() {
        let job = job(&json!({
            "state": "dead", "finished_at": "2026-01-02T03:04:06.250Z", "attempt": 8, "max_attempts": 8,
            "attempts": [attempt(8, "dead", Some(("a", "b\nc")))]
        }));
        let text = dead(&[job]).render(120);
        assert!(
            text.ends_with("0199a1b2-0000-7000-8000-000000000001  2026-01-02 03:04:06       8/8  a: b c\n"),
            "{text}"
        );
    }
}
