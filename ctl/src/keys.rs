//! `ecomctl keys`: the keys under which the credentials of stores are kept.

use std::process::ExitCode;

use anyhow::Result;
use api::{KeyUse, KeysReport};
use clap::Subcommand;
use serde_json::Value;

use crate::{
    client::{Api, Job},
    table::{Align, Table, output_width},
    tell::{last_error, succeeded},
};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the keys of `ENCRYPTION_KEY` by name, and how many stores are sealed with each
    List,
    /// Seal anew, in the background, what is not sealed with the newest key; every worker must have that key
    Rotate {
        /// Wait until it is done; exits with 1 if anything is left
        #[arg(long)]
        wait: bool,
    },
}

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    match verb {
        Verb::List => list(api, json).await,
        Verb::Rotate { wait } => rotate(api, *wait, json).await,
    }
}

async fn list(api: &Api, json: bool) -> Result<ExitCode> {
    let answer = api.keys().await?;
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let report: KeysReport = api.understand(answer)?;
    if report.keys.is_empty() {
        println!("ENCRYPTION_KEY of the API is not set, and no store is kept");
    } else {
        print!("{}", table(&report).render(output_width()));
    }
    if report.left > 0 {
        println!("not sealed with the newest key: {}; seal them anew with: ecomctl keys rotate", report.left);
    }
    Ok(ExitCode::SUCCESS)
}

async fn rotate(api: &Api, wait: bool, json: bool) -> Result<ExitCode> {
    let answer = api.rotate_keys().await?;
    let job: Job = api.understand(answer.clone())?;
    if !wait {
        if json {
            println!("{answer:#}");
        } else {
            println!("it is under way as job {}; how far: ecomctl keys list", job.id);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let job = api.finished_job(&job.id.to_string()).await?;
    let rotated = job.result.as_ref().map(|result| &result["rotated"]);
    let count = |name: &str| rotated.and_then(|rotated| rotated[name].as_u64()).unwrap_or_default();
    let all = succeeded(&job) && count("left") == 0 && count("failed") == 0;
    if json {
        println!("{:#}", rotated.cloned().unwrap_or(Value::Null));
    } else if succeeded(&job) {
        let key = rotated.and_then(|rotated| rotated["key"].as_str()).unwrap_or_default();
        println!("sealed anew with {key}: {}; left: {}; failed: {}", count("done"), count("left"), count("failed"));
        if count("failed") > 0 {
            println!("those that failed cannot be opened: their key is gone, and they need their credentials again");
        }
    } else {
        println!("it did not succeed: {}", last_error(&job).unwrap_or_default());
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(report: &KeysReport) -> Table {
    let mut table = Table::new(&[("key", Align::Left), ("stores", Align::Right), ("", Align::Left)]);
    for KeyUse { key, known, stores } in &report.keys {
        let note = match (report.newest.as_ref() == Some(key), known) {
            (true, _) => "newest",
            (false, true) => "",
            (false, false) => "NOT in ENCRYPTION_KEY: these stores cannot be opened",
        };
        table.row([key.clone(), stores.to_string(), note.to_owned()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_with_what_is_sealed_with_them() {
        let key = |key: &str, known, stores| KeyUse { key: key.to_owned(), known, stores };
        let keys = vec![key("k2", true, 3), key("k1", true, 0), key("k0", false, 12)];
        let text = table(&KeysReport { newest: Some("k2".to_owned()), keys, left: 12 }).render(120);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "key  stores",
                "k2        3  newest",
                "k1        0",
                "k0       12  NOT in ENCRYPTION_KEY: these stores cannot be opened",
            ]
        );
    }
}
