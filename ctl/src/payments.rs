//! `ecomctl payments`: what is kept of subscriptions, and what Stripe has.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

use crate::{
    client::{Api, Job},
    table::{Align, Table, output_width, printable},
    tell::{last_error, succeeded},
};

/// What can be done with payments.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Compare what is kept of all subscriptions with Stripe, and have read again what differs
    Reconcile {
        /// Only tell what differs
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    let Verb::Reconcile { dry_run } = verb;
    let job: Job = api.understand(api.reconcile_payments(*dry_run).await?)?;
    let job = api.finished_job(&job.id.to_string()).await?;
    let reconciled = job.result.as_ref().map(|result| &result["reconciled"]);
    let Some(reconciled) = reconciled.filter(|_| succeeded(&job)) else {
        println!("it did not succeed: {}", last_error(&job).unwrap_or_default());
        return Ok(ExitCode::FAILURE);
    };
    if json {
        println!("{reconciled:#}");
    } else {
        println!("{}", told(reconciled));
        if let Some(table) = table(reconciled) {
            print!("{}", table.render(output_width()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(reconciled: &Value) -> String {
    let count = |name: &str| reconciled[name].as_u64().unwrap_or_default();
    let what = match (count("differing"), reconciled["dry_run"] == true) {
        (0, _) => "nothing differs".to_owned(),
        (n, true) => format!("differing: {n}"),
        (n, false) => format!("read again: {n}"),
    };
    format!("compared: {}; of no tenant: {}; {what}", count("compared"), count("unowned"))
}

fn table(reconciled: &Value) -> Option<Table> {
    let differences = reconciled["differences"].as_array().filter(|all| !all.is_empty())?;
    let columns = ["tenant", "subscription", "field", "ours", "Stripe's"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for difference in differences {
        let shown = |name: &str| match &difference[name] {
            Value::Null => "-".to_owned(),
            Value::String(text) => printable(text),
            other => printable(&other.to_string()),
        };
        table.row(["tenant", "subscription", "field", "ours", "stripes"].map(shown));
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_field_by_field() {
        let difference = json!({ "tenant": "acme", "customer": "cus_1", "subscription": "sub_1", "field": "state",
            "ours": "active", "stripes": null });
        let reconciled =
            json!({ "dry_run": true, "compared": 3, "unowned": 1, "differing": 1, "differences": [difference] });
        assert_eq!(told(&reconciled), "compared: 3; of no tenant: 1; differing: 1");
        let text = table(&reconciled).unwrap().render(120);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["tenant  subscription  field  ours    Stripe's", "acme    sub_1         state  active  -"]);
        let same = json!({ "compared": 3, "unowned": 0, "differing": 0, "differences": [] });
        assert_eq!(told(&same), "compared: 3; of no tenant: 0; nothing differs");
        assert!(table(&same).is_none());
    }
}
