//! What tenants have used of language models.

use axum::{Json, extract::State};
use chrono::{Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use store::DayUsage;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Scope},
    problem::{Problem, Type},
    request::{self, Parameters},
};

/// Without `from`, so many days are told.
const DAYS: u64 = 30;
const DAYS_AT_MOST: i64 = 366;
const ITEMS_AT_MOST: usize = 10_000;

/// Usage of language models.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageAnswer {
    /// The first day, UTC.
    from: NaiveDate,
    /// The last day, UTC.
    to: NaiveDate,
    /// By day (the newest first), tenant, service and model; at most 10,000.
    items: Vec<UsageItem>,
    /// Of all items.
    total: UsageSum,
    /// False when there are more items than are told: ask for fewer days.
    complete: bool,
}

/// What a tenant used of a model on a day.
#[derive(Serialize, ToSchema)]
struct UsageItem {
    /// UTC.
    day: String,
    /// Who pays.
    tenant: String,
    /// Whose model.
    service: String,
    /// Which model.
    model: String,
    #[serde(flatten)]
    sum: UsageSum,
}

/// Calls, tokens and money.
#[derive(Default, Serialize, ToSchema)]
struct UsageSum {
    /// Answers that came, good or bad.
    calls: u64,
    /// Those of them whose price was not known: `cost` is without them.
    calls_without_price: u64,
    /// What the calls took.
    tokens: UsageTokens,
    /// What the calls with a price cost.
    cost: UsageCost,
    #[serde(skip)]
    nano_usd: u64,
}

/// Units in which a language model is billed.
#[derive(Default, Serialize, ToSchema)]
struct UsageTokens {
    /// Read.
    input: u64,
    /// Written, thinking included.
    output: u64,
    /// Both.
    total: u64,
}

/// An amount of money.
#[derive(Serialize, ToSchema)]
struct UsageCost {
    /// Decimal number.
    #[schema(example = "0.0012")]
    amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    currency: &'static str,
}

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
    responses((status = 200, description = "The usage", body = UsageAnswer))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<UsageQuery>,
) -> Result<Json<UsageAnswer>, Problem> {
    caller.require(Scope::JobsRead)?;
    let to = day("to", query.to)?.unwrap_or_else(|| Utc::now().date_naive());
    let from = day("from", query.from)?.or_else(|| to.checked_sub_days(Days::new(DAYS - 1))).unwrap_or(to);
    if from > to {
        return Err(request::bad_parameter("from", "must not be after to"));
    }
    if (to - from).num_days() >= DAYS_AT_MOST {
        return Err(request::bad_parameter("from", "must be at most a year before to"));
    }
    let tenant = query.tenant.or_else(|| (!caller.is_admin()).then(|| caller.tenant.clone()));
    if tenant.as_ref().is_some_and(|tenant| !caller.may_see(tenant)) {
        return Err(Problem::new(Type::Forbidden, "the token needs the scope admin to see the usage of other tenants"));
    }
    let (first, last) = (from.to_string(), to.to_string());
    let found = app.open_store()?.usage(tenant.as_deref(), &first, &last, ITEMS_AT_MOST + 1).await;
    Ok(Json(answer(from, to, found.map_err(Problem::store_away)?)))
}

fn day(name: &str, text: Option<String>) -> Result<Option<NaiveDate>, Problem> {
    let parse =
        |text: String| text.parse().map_err(|_| request::bad_parameter(name, "must be a day such as 2026-11-22"));
    text.map(parse).transpose()
}

fn answer(from: NaiveDate, to: NaiveDate, mut days: Vec<DayUsage>) -> UsageAnswer {
    let complete = days.len() <= ITEMS_AT_MOST;
    days.truncate(ITEMS_AT_MOST);
    let mut total = UsageSum::default();
    days.iter().for_each(|day| total.add(day));
    let items = days.into_iter().map(|day| {
        let mut sum = UsageSum::default();
        sum.add(&day);
        UsageItem { day: day.day, tenant: day.tenant, service: day.service, model: day.model, sum }
    });
    UsageAnswer { from, to, items: items.collect(), total, complete }
}

impl UsageSum {
    fn add(&mut self, day: &DayUsage) {
        self.calls += day.calls;
        self.calls_without_price += day.unpriced_calls;
        self.tokens.input += day.tokens_in;
        self.tokens.output += day.tokens_out;
        self.tokens.total += day.tokens_in + day.tokens_out;
        self.nano_usd = self.nano_usd.saturating_add(day.cost_nano_usd);
        self.cost.amount = decimal(self.nano_usd);
    }
}

impl Default for UsageCost {
    fn default() -> Self {
        Self { amount: decimal(0), currency: "USD" }
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
