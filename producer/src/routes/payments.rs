//! What a tenant does with its subscription.

use api::{
    CancelRequest, ChangeAnswer, ChangePreview, ChangeRequest, Checkout, CheckoutRequest, Invoice, InvoicePage, Money,
    PaymentsConfig, PlanOffer, Portal, PortalRequest, PreviewLine, Subscription, Timestamp,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jobs::Shape;
use providers::payments;
use queue::Fingerprint;
use serde::de::DeserializeOwned;
use store::Moment;
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

use super::versions::{ListQuery, TenantQuery};
use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    keyed,
    payments::{Ask, Cancel, Changed, Offer, Preview, in_time, key},
    push::fingerprint,
    request::{self, Parameters},
    state::App,
};

/// Prices may be kept so long by whoever asks for them, and not longer: the mode may be switched.
const CONFIG_KEPT: &str = "public, max-age=60";
/// Without a body, as one without fields.
const NO_FIELDS: &[u8] = b"{}";

/// Why nothing was changed.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum NotChanged {
    /// `not-found`: the tenant has never subscribed
    #[response(status = 404)]
    NotFound,
    /// `conflict`: the subscription's state does not allow it, as `detail` says; `idempotency-in-progress`: the first request is still under way
    #[response(status = 409)]
    Conflict,
    /// `vendor-unavailable`: Stripe does not answer; `store-unavailable`: MongoDB does not, and nothing was done
    #[response(status = 503)]
    Away,
}

/// What is sent with a call that changes something.
struct Asked<T> {
    tenant: String,
    /// The client's.
    key: Option<String>,
    /// Towards Stripe: of the client's, or else of this request.
    stripe_key: String,
    fingerprint: Fingerprint,
    body: T,
}

impl<T: ToSchema + DeserializeOwned + Send + 'static> Asked<T> {
    async fn read(
        call: &'static str,
        caller: &Caller,
        query: TenantQuery,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, Problem> {
        caller.require(Scope::PaymentsWrite)?;
        let tenant = caller.tenant_of(query.tenant)?;
        let key = request::idempotency_key(headers)?;
        let mut bytes = request::read(headers, body, request::JOB_LIMIT).await?;
        if bytes.is_empty() {
            bytes = NO_FIELDS.into();
        } else {
            request::require_json(headers)?;
        }
        let said = request::parse(&bytes)?;
        let body = Shape::<T>::new().read(&said).map_err(Problem::invalid)?;
        let fingerprint = fingerprint(&format!("{call}\n{tenant}\n"), &bytes, [said.to_string()]);
        let request = key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        // What the body says, too: after a refusal the client's key may come with another body.
        let stripe_key = self::key(&[call, &tenant, &request, &fingerprint.meaning]);
        Ok(Self { tenant, key, stripe_key, fingerprint, body })
    }
}

/// Opens a page of Stripe's where the tenant subscribes, and where payment methods are asked for; or finds the one that is open for the same plan,
/// trial and addresses. One for something else is closed. A tenant has one trial.
#[utoipa::path(
    post, path = "/api/payments/checkout", tag = "payments", request_body = CheckoutRequest,
    params(TenantQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same answer, for 24 h")),
    responses(
        (status = 200, description = "The page that is open already", body = Checkout),
        (status = 201, description = "A new page", body = Checkout),
        (status = 409, description = "`conflict`: the tenant has a subscription already; `idempotency-in-progress`: the first request is still under way"),
        (status = 422, description = "`invalid-payload`: a field is bad, or the tenant has had its trial; `idempotency-mismatch`: the key came with another request"),
        (status = 503, description = "`vendor-unavailable`: Stripe does not answer; `store-unavailable`: MongoDB does not"),
    )
)]
pub(crate) async fn checkout(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = Asked::<CheckoutRequest>::read("checkout", &caller, query, &headers, body).await?;
    let (desk_of, tenant, body) = (app.clone(), asked.tenant.clone(), asked.body);
    keyed::once(app, asked.tenant, asked.key, asked.fingerprint, move |_| async move {
        let ask = Ask {
            tenant: &tenant,
            plan: &body.plan,
            trial_days: body.trial_days,
            without_card: body.without_card,
            success_url: body.success_url,
            cancel_url: body.cancel_url,
        };
        let desk = desk_of.desk()?;
        let opened = in_time(desk.checkout(&ask)).await?;
        let status = if opened.is_new { StatusCode::CREATED } else { StatusCode::OK };
        let checkout = Checkout {
            url: opened.session.url.unwrap_or_default(),
            id: opened.session.id,
            plan: body.plan,
            expires_at: opened.session.expires_at.map(Timestamp::from),
            mock: !desk.is_real(),
        };
        Ok((status, checkout))
    })
    .await
}

/// Opens a page of Stripe's where the tenant manages payment methods, invoices and its subscription.
#[utoipa::path(
    post, path = "/api/payments/portal", tag = "payments", request_body = PortalRequest,
    params(TenantQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same answer, for 24 h; the page is good for minutes")),
    responses((status = 200, description = "The page", body = Portal), NotChanged)
)]
pub(crate) async fn portal(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = Asked::<PortalRequest>::read("portal", &caller, query, &headers, body).await?;
    let (desk_of, tenant, body, key) = (app.clone(), asked.tenant.clone(), asked.body, asked.stripe_key);
    keyed::once(app, asked.tenant, asked.key, asked.fingerprint, move |_| async move {
        let portal = in_time(desk_of.desk()?.portal(&tenant, &body.return_url, &key)).await?;
        Ok((StatusCode::OK, Portal { url: portal.url }))
    })
    .await
}

/// Changes the plan, or with `preview` only tells what that would cost. A dearer plan is paid for at once, in parts of the period; when the
/// payment is declined, nothing is changed. A cheaper one holds at once, too, and what was paid too much is taken off the next invoice. In a
/// trial nothing is paid.
#[utoipa::path(
    post, path = "/api/payments/change", tag = "payments", request_body = ChangeRequest,
    params(TenantQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same answer, for 24 h")),
    responses(
        (status = 200, description = "What it costs, or the subscription", body = ChangeAnswer),
        (status = 402, description = "`payment-failed`: the difference was not paid, and nothing was changed"),
        NotChanged,
    )
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = Asked::<ChangeRequest>::read("change", &caller, query, &headers, body).await?;
    if asked.body.preview {
        let preview = in_time(app.desk()?.preview(&asked.tenant, &asked.body.plan)).await?;
        return Ok(Json(ChangeAnswer::Preview(previewed(preview, asked.body.plan))).into_response());
    }
    let (desk_of, tenant, body, key) = (app.clone(), asked.tenant.clone(), asked.body, asked.stripe_key);
    keyed::once(app, asked.tenant, asked.key, asked.fingerprint, move |is_again| async move {
        let changed = in_time(desk_of.desk()?.change(&tenant, &body.plan, &key, is_again)).await?;
        Ok((StatusCode::OK, ChangeAnswer::Changed(shown(changed))))
    })
    .await
}

/// Cancels the subscription: with the end of the period that is paid, or now. Nothing is given back.
#[utoipa::path(
    post, path = "/api/payments/cancel", tag = "payments", request_body = Option<CancelRequest>,
    params(TenantQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same answer, for 24 h")),
    responses((status = 200, description = "The subscription", body = Subscription), NotChanged)
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = Asked::<CancelRequest>::read("cancel", &caller, query, &headers, body).await?;
    let (desk_of, tenant, body, key) = (app.clone(), asked.tenant.clone(), asked.body, asked.stripe_key);
    keyed::once(app, asked.tenant, asked.key, asked.fingerprint, move |is_again| async move {
        let cancel = Cancel { at_period_end: body.at_period_end, reason: body.reason.as_deref() };
        let cancelled = in_time(desk_of.desk()?.cancel(&tenant, &cancel, &key, is_again)).await?;
        Ok((StatusCode::OK, shown(cancelled)))
    })
    .await
}

/// Takes back that the subscription ends, with its period or at a date, or lets one that is paused go on, with a new period that is paid now.
#[utoipa::path(
    post, path = "/api/payments/resume", tag = "payments", request_body = Option<ResumeRequest>,
    params(TenantQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key again gives the same answer, for 24 h")),
    responses(
        (status = 200, description = "The subscription", body = Subscription),
        (status = 402, description = "`payment-failed`: it is still paused, because the new period was not paid"),
        NotChanged,
    )
)]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = Asked::<ResumeRequest>::read("resume", &caller, query, &headers, body).await?;
    let (desk_of, tenant, key) = (app.clone(), asked.tenant.clone(), asked.stripe_key);
    keyed::once(app, asked.tenant, asked.key, asked.fingerprint, move |is_again| async move {
        let resumed = in_time(desk_of.desk()?.resume(&tenant, &key, is_again)).await?;
        Ok((StatusCode::OK, shown(resumed)))
    })
    .await
}

/// What a front end needs to know: the mode, Stripe's key for browsers, and the plans with their prices, which are read from Stripe and
/// at most five minutes old, or older while Stripe is away.
#[utoipa::path(
    get, path = "/api/payments/config", tag = "payments", security(()),
    responses(
        (status = 200, description = "What is offered", body = PaymentsConfig, headers(("Cache-Control" = String, description = "For a minute"))),
        (status = 503, description = "`vendor-unavailable`: the prices could not be read yet"),
    )
)]
pub(crate) async fn config(State(app): State<App>) -> Result<Response, Problem> {
    let desk = app.desk()?;
    let plans = in_time(desk.offers()).await?.into_iter().map(offered).collect();
    let is_real = desk.is_real();
    let mode = match (is_real, desk.payments().livemode) {
        (false, _) => "mock",
        (true, Some(true)) => "live",
        (true, _) => "test",
    };
    let config = PaymentsConfig {
        mode: mode.to_owned(),
        publishable_key: desk.payments().publishable_key.clone().filter(|_| is_real),
        plans,
        trial_days: desk.trial_days,
    };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static(CONFIG_KEPT))], Json(config)).into_response())
}

/// The tenant's invoices, as Stripe has them now, newest first.
#[utoipa::path(
    get, path = "/api/payments/invoices", tag = "payments",
    params(
        ("tenant" = Option<String>, Query, description = "Whose; another tenant than the token's own needs `admin`"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50 if absent"),
    ),
    responses((status = 200, description = "A page", body = InvoicePage), (status = 503, description = "`vendor-unavailable`: Stripe does not answer"))
)]
pub(crate) async fn invoices(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<InvoicePage>, Problem> {
    caller.require(Scope::PaymentsRead)?;
    let limit = request::page_size(query.limit)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    let mut found = in_time(app.desk()?.invoices(&tenant, after.as_deref(), limit + 1)).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| has_more).map(|last| URL_SAFE_NO_PAD.encode(&last.id));
    Ok(Json(InvoicePage { items: found.into_iter().map(invoice).collect(), next_cursor }))
}

/// A pause or an end that is taken back. There is nothing to be said of it.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeRequest {}

/// What stands in a cursor is the id that the page before ended with.
fn read_cursor(text: &str) -> Result<String, Problem> {
    let id = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_id =
        |id: &String| id.starts_with("in_") && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    id.filter(is_id).ok_or_else(|| request::bad_parameter("cursor", "must be a next_cursor of this list"))
}

fn money(money: &payments::Money) -> Money {
    Money { amount: money.amount.to_string(), currency: money.currency.clone() }
}

fn offered(Offer { plan, price }: Offer) -> PlanOffer {
    PlanOffer {
        plan,
        name: price.product_name,
        amount: price.unit_amount.map(|money| money.amount.to_string()),
        currency: price.currency,
        interval: price.interval,
        interval_count: price.interval_count,
    }
}

fn previewed(preview: Preview, plan: String) -> ChangePreview {
    let line = |line: payments::PreviewLine| PreviewLine {
        money: money(&line.amount),
        description: line.description,
        proration: line.is_proration,
    };
    ChangePreview {
        preview: true,
        from: preview.from,
        plan,
        due_now: money(&preview.due_now),
        total: money(&preview.invoice.total),
        lines: preview.invoice.lines.into_iter().map(line).collect(),
    }
}

fn shown(Changed { record, recorded }: Changed) -> Subscription {
    let time = |moment: Option<Moment>| moment.map(|moment| Timestamp::from_ms(moment.ms()));
    Subscription {
        plan: record.plan,
        state: record.state.as_str().to_owned(),
        trial_end: time(record.trial_end),
        period_end: time(record.period_end),
        cancel_at_period_end: record.cancel_at_period_end,
        cancel_at: time(record.cancel_at),
        ended_at: time(record.ended_at),
        paused: record.paused,
        recorded,
        mock: record.mock,
    }
}

fn invoice(invoice: payments::Invoice) -> Invoice {
    let pdf = invoice.invoice_pdf.filter(|_| !payments::is_mock(&invoice.id));
    Invoice {
        money: money(&invoice.amount_due),
        id: invoice.id,
        number: invoice.number,
        state: invoice.status.as_str().to_owned(),
        created: invoice.created.into(),
        hosted_url: invoice.hosted_invoice_url,
        // The mock's has a page, and no file behind its address.
        pdf,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_fields_of_a_checkout_are_named() {
        let shape = Shape::<CheckoutRequest>::new();
        let good = json!({ "plan": "pro", "success_url": "https://a.example/", "cancel_url": "https://a.example/" });
        assert!(!shape.read(&good).unwrap().without_card);
        let bad = json!({ "plan": "", "trial_days": 0, "without_card": "yes", "success_url": 7, "customer": "cus_1" });
        let mut pointers: Vec<_> = shape.read(&bad).unwrap_err().into_iter().map(|error| error.pointer).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/cancel_url", "/customer", "/plan", "/success_url", "/trial_days", "/without_card"]);
    }

    #[test]
    fn whoever_says_nothing_cancels_with_the_period() {
        let shape = Shape::<CancelRequest>::new();
        assert_eq!(shape.read(&json!({})).unwrap(), CancelRequest::default());
        let long = json!({ "reason": "x".repeat(501), "now": true });
        let pointers: Vec<_> = shape.read(&long).unwrap_err().into_iter().map(|error| error.pointer).collect();
        assert!(pointers.contains(&"/reason".to_owned()) && pointers.contains(&"/now".to_owned()), "{pointers:?}");
        assert!(Shape::<ResumeRequest>::new().read(&json!({ "x": 1 })).is_err());
        assert!(Shape::<PortalRequest>::new().read(&json!({})).is_err());
        assert!(!Shape::<ChangeRequest>::new().read(&json!({ "plan": "premium" })).unwrap().preview);
    }

    #[test]
    fn a_cursor_is_the_id_of_an_invoice() {
        assert_eq!(read_cursor(&URL_SAFE_NO_PAD.encode("in_1")).unwrap(), "in_1");
        for bad in ["", "in_1", "!", &URL_SAFE_NO_PAD.encode("cus_1"), &URL_SAFE_NO_PAD.encode("in_1&x=2")] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        let shown = |units: i64, currency: &str| money(&payments::Money::of_units(units, currency)).amount;
        assert_eq!(
            (shown(2_900, "eur"), shown(-5, "eur"), shown(500, "jpy")),
            ("29.00".into(), "-0.05".into(), "500".into())
        );
    }
}
