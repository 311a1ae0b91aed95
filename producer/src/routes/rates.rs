//! Exchange rates.

use api::{FieldError, Rates, RatesRequest, Timestamp};
use axum::{Json, body::Body, extract::State, http::HeaderMap};
use chrono::{NaiveDate, Utc};
use jobs::{
    Shape,
    scrape::{last_day_of_rates, stored_rates},
};
use serde::Deserialize;
use store::StoredRates;

use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    request::{self, Parameters},
    state::App,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RatesQuery {
    date: Option<String>,
}

/// The exchange rates by which prices are compared: the newest.
#[utoipa::path(
    get, path = "/api/rates", tag = "rates", operation_id = "rates_show",
    params(("date" = Option<NaiveDate>, Query, description = "The newest that are of this day or an earlier one")),
    responses(
        (status = 200, description = "The rates", body = Rates),
        (status = 404, description = "`not-found`: there are none"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<RatesQuery>,
) -> Result<Json<Rates>, Problem> {
    caller.require(Scope::JobsRead)?;
    let until = query.date.map(|date| {
        let date = date.parse::<NaiveDate>();
        date.map_err(|_| request::bad_parameter("date", "must be a day such as 2026-11-27"))
    });
    let until = until.transpose()?.map(|date| date.to_string());
    let found = app.open_store()?.rates(until.as_deref()).await.map_err(Problem::store_away)?;
    let none = || {
        let detail =
            "no exchange rates are known: PUT /api/rates sets some, and with RATES_URL they are read each working day";
        Problem::new(Type::NotFound, detail)
    };
    answer(found.ok_or_else(none)?).map(Json)
}

/// Sets the exchange rates of a day, in the place of those that are there. A file that is read later leaves them as they are.
#[utoipa::path(
    put, path = "/api/rates", tag = "rates", operation_id = "rates_put",
    request_body = RatesRequest,
    responses((status = 200, description = "The rates as they are stored", body = Rates))
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Rates>, Problem> {
    caller.require(Scope::Admin)?;
    let read = |asked: &queue::Json| {
        let asked = Shape::<RatesRequest>::new().read(asked).map_err(Problem::invalid)?;
        rates_of(&asked, last_day_of_rates(Utc::now())).map_err(Problem::invalid)
    };
    let rates = request::json(&headers, body, read).await?;
    let stored = stored_rates(&rates, true, &caller.subject, app.client.now_ms());
    app.open_store()?.put_rates(&stored).await.map_err(Problem::store_away)?;
    tracing::info!(by = caller.subject, date = stored.date, n_rates = stored.rates.len(), "exchange rates were set");
    answer(stored).map(Json)
}

fn rates_of(asked: &RatesRequest, last_day: NaiveDate) -> Result<prices::Rates, Vec<FieldError>> {
    let RatesRequest { date, rates, .. } = asked;
    let each = rates.iter().filter_map(|(currency, rate)| {
        let error = prices::Rates::read(*date, [(currency.as_str(), rate.as_str())]).err()?;
        Some(FieldError::new(format!("/rates/{currency}"), error.to_string()))
    });
    let mut errors: Vec<FieldError> = each.collect();
    if *date > last_day {
        errors.push(FieldError::new("/date", format!("must not be after {last_day}")));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let all = rates.iter().map(|(currency, rate)| (currency.as_str(), rate.as_str()));
    prices::Rates::read(*date, all).map_err(|error| vec![FieldError::new("/rates", error.to_string())])
}

fn answer(stored: StoredRates) -> Result<Rates, Problem> {
    let date = stored.date.parse().map_err(|_| {
        tracing::error!(date = stored.date, "stored exchange rates are of no day");
        Problem::new(Type::Internal, "what was stored of the exchange rates cannot be read; the log has the reason")
    })?;
    let StoredRates { base, rates, by, at, .. } = stored;
    Ok(Rates { base, date, rates, by, stored_at: Timestamp::from_ms(at.ms()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_rate_is_named() {
        let ask = |date: &str, rates: &[(&str, &str)]| RatesRequest {
            base: "EUR".to_owned(),
            date: date.parse().unwrap(),
            rates: rates.iter().map(|(currency, rate)| ((*currency).to_owned(), (*rate).to_owned())).collect(),
        };
        let last = "2026-11-29".parse().unwrap();
        let pointers = |asked: &RatesRequest| match rates_of(asked, last) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.pointer).collect(),
        };
        assert_eq!(pointers(&ask("2026-11-29", &[("USD", "1.0712"), ("JPY", "160")])), [] as [String; 0]);
        let bad = ask("2026-11-30", &[("USD", "0"), ("usd", "1"), ("EUR", "1"), ("CHF", "0.94")]);
        assert_eq!(pointers(&bad), ["/rates/EUR", "/rates/USD", "/rates/usd", "/date"]);
        assert_eq!(pointers(&ask("2026-11-28", &[])), ["/rates"]);
    }
}
