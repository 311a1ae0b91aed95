//! `ecomctl usage`: what tenants have used of models that write and draw.

use std::process::ExitCode;

use anyhow::Result;
use api::{UsageItem, UsageSum};
use clap::Args;
use serde::Serialize;

use crate::{
    client::Api,
    table::{Align, Table, output_width},
};

/// Which usage is shown.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Usage {
    /// The first day (UTC), such as 2026-11-01; 30 days if absent
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The last day (UTC); today if absent
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Only of this tenant; needs the scope admin
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
}

pub(crate) async fn run(api: &Api, usage: &Usage, json: bool) -> Result<ExitCode> {
    let answer = api.usage(usage).await?;
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let answer: api::Usage = api.understand(answer)?;
    print!("{}", shown(&answer, output_width()));
    if !answer.complete {
        println!("there is more than can be shown at once: ask for fewer days with --from and --to");
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(answer: &api::Usage, width: usize) -> String {
    if answer.items.is_empty() {
        return format!("no use of models is counted from {} to {}\n", answer.from, answer.to);
    }
    table(answer).render(width)
}

fn table(answer: &api::Usage) -> Table {
    let texts = ["day", "tenant", "service", "model"].map(|name| (name, Align::Left));
    let numbers = ["calls", "tokens in", "tokens out", "cost"].map(|name| (name, Align::Right));
    let mut header = [texts, numbers].concat();
    header.push(("", Align::Left));
    let mut table = Table::new(&header);
    for UsageItem { day, tenant, service, model, sum } in &answer.items {
        table.row([day, tenant, service, model].into_iter().cloned().chain(cells(sum)));
    }
    let blank = || std::iter::repeat_n(String::new(), 3);
    table.row(std::iter::once("total".to_owned()).chain(blank()).chain(cells(&answer.total)));
    table
}

fn cells(sum: &UsageSum) -> [String; 5] {
    let note = match sum.calls_without_price {
        0 => String::new(),
        n => format!("without {n} calls whose price is not known"),
    };
    let UsageSum { calls, tokens, cost, .. } = sum;
    let cost = format!("{} {}", cost.amount, cost.currency);
    [calls.to_string(), tokens.input.to_string(), tokens.output.to_string(), cost, note]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_listed_in_columns_with_its_total() {
        let sum = |calls: u64, unpriced: u64, amount: &str| {
            json!({ "calls": calls, "calls_without_price": unpriced, "tokens": { "input": 400, "output": 600, "total": 1000 },
                "cost": { "amount": amount, "currency": "USD" } })
        };
        let mut item = sum(1, 0, "0.00034");
        for (name, value) in [("day", "2026-11-22"), ("tenant", "acme"), ("service", "openai"), ("model", "gpt-6-luna")]
        {
            item[name] = json!(value);
        }
        let answer = json!({ "from": "2026-11-01", "to": "2026-11-22", "items": [item], "total": sum(2, 1, "0.00034"),
            "complete": true });
        let text = shown(&serde_json::from_value(answer).unwrap(), 140);
        let expected = "day         tenant  service  model       calls  tokens in  tokens out         cost\n\
            2026-11-22  acme    openai   gpt-6-luna      1        400         600  0.00034 USD\n\
            total                                        2        400         600  0.00034 USD  without 1 calls whose price is not known\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_any_usage_it_is_not_said_of_one_kind_of_model() {
        let nothing = json!({ "calls": 0, "calls_without_price": 0, "tokens": { "input": 0, "output": 0, "total": 0 },
            "cost": { "amount": "0", "currency": "USD" } });
        let answer =
            json!({ "from": "2026-11-01", "to": "2026-11-22", "items": [], "total": nothing, "complete": true });
        let text = shown(&serde_json::from_value(answer).unwrap(), 140);
        assert_eq!(text, "no use of models is counted from 2026-11-01 to 2026-11-22\n");
    }
}
