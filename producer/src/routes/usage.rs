//! What tenants have used of language models.

use api::{Usage, UsageCost, UsageItem, UsageSum, UsageTokens};
use axum::{Json, extract::State};
use chrono::{Days, NaiveDate, Utc};
use serde::Deserialize;
use store::DayUsage;

use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    request::{self, Parameters},
    state::App,
};

/// Without `from`, so many days are told.
const DAYS: u64 = 30;
const DAYS_AT_MOST: i64 = 366;
const ITEMS_AT_MOST: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    from: Option<String>,
    to: Option<String>,
    tenant: Option<String>,
}

/// Tells what was used of language models.
///
/// A call counts on the day of its answer, some seconds after it. Kept answers and those of stand-ins take nothing.
#[utoipa::path(
    get, path = "/api/usage", tag = "usage",
    params(
        ("from" = Option<NaiveDate>, Query, description = "The first day, UTC; 29 days before `to` if absent"),
        ("to" = Option<NaiveDate>, Query, description = "The last day, UTC; today if absent"),
        ("tenant" = Option<String>, Query, description = "Only of this tenant; others than the token's own need `admin`, who sees all if absent"),
    ),
    responses((status = 200, description = "The usage", body = Usage))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    caller.require(Scope::JobsRead)?;
    let to = day("to", query.to)?.unwrap_or_else(|| Utc::now().date_naive());
    let from = day("from", query.from)?.or_else(|| to.checked_sub_days(Days::new(DAYS - 1))).unwrap_or(to);
    if from > to {
        return Err(request::bad_parameter("from", "must not be after to"));
    }
    if (to - from).num_days() >= DAYS_AT_MOST {
        return Err(request::bad_parameter("from", "must be at most a year before to"));
    }
    let tenant = caller.tenants_of(query.tenant)?;
    let (first, last) = (from.to_string(), to.to_string());
    let found = app.open_store()?.usage(tenant.as_deref(), &first, &last, ITEMS_AT_MOST + 1).await;
    Ok(Json(answer(from, to, found.map_err(Problem::store_away)?)))
}

fn day(name: &str, text: Option<String>) -> Result<Option<NaiveDate>, Problem> {
    let parse =
        |text: String| text.parse().map_err(|_| request::bad_parameter(name, "must be a day such as 2026-11-22"));
    text.map(parse).transpose()
}

fn answer(from: NaiveDate, to: NaiveDate, mut days: Vec<DayUsage>) -> Usage {
    let complete = days.len() <= ITEMS_AT_MOST;
    days.truncate(ITEMS_AT_MOST);
    let total = sum(&days);
    let items = days.into_iter().map(|day| {
        let sum = sum(std::slice::from_ref(&day));
        UsageItem { day: day.day, tenant: day.tenant, service: day.service, model: day.model, sum }
    });
    Usage { from, to, items: items.collect(), total, complete }
}

fn sum(days: &[DayUsage]) -> UsageSum {
    let all = |of: fn(&DayUsage) -> u64| days.iter().map(of).fold(0, u64::saturating_add);
    let (input, output) = (all(|day| day.tokens_in), all(|day| day.tokens_out));
    UsageSum {
        calls: all(|day| day.calls),
        calls_without_price: all(|day| day.unpriced_calls),
        tokens: UsageTokens { input, output, total: input + output },
        cost: UsageCost { amount: decimal(all(|day| day.cost_nano_usd)), currency: "USD".into() },
    }
}

/// Billionths as a decimal number without needless digits.
fn decimal(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(day: &str, model: &str, cost_nano_usd: u64) -> DayUsage {
        DayUsage {
            day: day.to_owned(),
            tenant: "acme".to_owned(),
            service: "openai".to_owned(),
            model: model.to_owned(),
            calls: 3,
            unpriced_calls: 1,
            tokens_in: 40,
            tokens_out: 60,
            cost_nano_usd,
        }
    }

    #[test]
    fn amounts_are_plain_decimals() {
        let amounts =
            [(0, "0"), (1, "0.000000001"), (340_000, "0.00034"), (2_500_000_000, "2.5"), (30_000_000_000, "30")];
        for (nano, expected) in amounts {
            assert_eq!(decimal(nano), expected);
        }
    }

    #[test]
    fn items_add_up() {
        let day = |text: &str| text.parse().unwrap();
        let days = vec![used("2026-11-22", "a", 340_000), used("2026-11-21", "b", 1_000_000_000)];
        let answer = serde_json::to_value(answer(day("2026-11-01"), day("2026-11-22"), days)).unwrap();
        assert_eq!((&answer["from"], &answer["complete"]), (&json!("2026-11-01"), &json!(true)));
        let expected = json!({ "day": "2026-11-22", "tenant": "acme", "service": "openai", "model": "a", "calls": 3,
            "calls_without_price": 1, "tokens": { "input": 40, "output": 60, "total": 100 },
            "cost": { "amount": "0.00034", "currency": "USD" } });
        assert_eq!(answer["items"][0], expected);
        assert_eq!((&answer["total"]["calls"], &answer["total"]["cost"]["amount"]), (&json!(6), &json!("1.00034")));
    }
}
