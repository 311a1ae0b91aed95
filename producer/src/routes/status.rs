//! How each service stands: configured or not, mock or real, whether it answers, what is lost while it does not.
//!
//! Whether a service answers is asked in the background: an answer shows the last probe and never waits for one. Probes are made
//! only when somebody looks, are free of charge, and none is made of a service that is mock.

use std::time::{Duration, Instant};

use api::{Probe, ServiceStatus, StatusReport, StoresOf, Timestamp};
use axum::{Json, extract::State};
use fleet::{BreakerState, Health};
use futures::future::join_all;
use queue::Clock;
use services::{Name, SERVICES};
use tokio::time::timeout;

use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    ping::{NO_ADDRESS, asked},
    request::PathPart,
    state::App,
};

/// A probe is not repeated before; mail servers are asked less often, because many connections look like abuse to them.
const CACHED: Duration = Duration::from_secs(30);
const MAIL_CACHED: Duration = Duration::from_secs(5 * 60);
/// The account names a host, and the vendor's words may name what was asked for: both may be another tenant's.
const REASON_FOR_OTHERS: &str = "it failed too often, or refuses the account; the reason is shown with the scope admin";
/// So many parked stores are named.
const MOST_PARKED: usize = 100;
/// What Redis and MongoDB know of a service is left out when they do not say it within this time.
const LOOK_UP: Duration = Duration::from_millis(500);

/// All services.
#[utoipa::path(
    get, path = "/api/status", tag = "status", operation_id = "status_all",
    responses((status = 200, description = "How each service stands", body = StatusReport))
)]
pub(crate) async fn all(State(app): State<App>, caller: Caller) -> Result<Json<StatusReport>, Problem> {
    caller.require(Scope::JobsRead)?;
    refresh(&app, SERVICES);
    let services = join_all(SERVICES.iter().map(|service| status(&app, *service, &caller))).await;
    let mut modes: Vec<_> = Name::switchable().map(|service| mode(&app, service)).collect();
    modes.dedup();
    let mode = if let [mode] = modes[..] { mode } else { "mixed" };
    Ok(Json(StatusReport { mode: mode.into(), services }))
}

/// One service.
#[utoipa::path(
    get, path = "/api/status/{service}", tag = "status", operation_id = "status_one",
    params(("service" = String, Path, description = Name::all_in_words())),
    responses((status = 200, description = "How it stands", body = ServiceStatus))
)]
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    PathPart(service): PathPart,
) -> Result<Json<ServiceStatus>, Problem> {
    caller.require(Scope::JobsRead)?;
    let service = Name::named(&service).ok_or_else(|| {
        let names: Vec<_> = SERVICES.iter().map(|service| service.as_str()).collect();
        Problem::new(Type::NotFound, format!("no service is named {service:?}; there are {}", names.join(", ")))
    })?;
    refresh(&app, &[service]);
    Ok(Json(status(&app, service, &caller).await))
}

/// Has every service probed in the background whose last probe is too old. Must be called inside a tokio runtime.
pub(crate) fn refresh(app: &App, services: &[Name]) {
    for service in services.iter().copied().filter(|service| mode(app, *service) == "real") {
        let cached = if service == Name::Email { MAIL_CACHED } else { CACHED };
        if app.board.claim(service, cached, Instant::now()) {
            let (app, closing) = (app.clone(), app.closing.clone());
            tokio::spawn(closing.run_until_cancelled_owned(async move {
                if let Some(probe) = probe(&app, service).await {
                    app.board.put(service, probe);
                }
            }));
        }
    }
}

async fn probe(app: &App, service: Name) -> Option<Probe> {
    let result = match service {
        Name::Redis => asked(app.client.ping_with_a_write()).await,
        Name::Mongodb => match app.store() {
            Some(store) => asked(store.ping()).await,
            None => Err(NO_ADDRESS.to_owned()),
        },
        Name::Security => app.auth.self_test(),
        service => providers::probe(&app.services, service, false).await?,
    };
    let (latency_ms, error) = match result {
        Ok(latency) => (Some((latency.as_secs_f64() * 1e6).round() / 1e3), None),
        Err(error) => (None, Some(app.services.secrets.redact(error))),
    };
    Some(Probe { ok: error.is_none(), latency_ms, at: Timestamp::from_ms(Clock::default().now_ms()), error })
}

fn mode(app: &App, service: Name) -> &'static str {
    if app.is_real(service) { "real" } else { "mock" }
}

async fn status(app: &App, service: Name, caller: &Caller) -> ServiceStatus {
    let (health, degraded_waiting, stores, refused) = tokio::join!(
        health(app, service),
        degraded(app, service),
        stores(app, service, caller),
        refused_events(app, service)
    );
    let malformed = app.services.malformed(service);
    let mode = mode(app, service);
    let breaker = health.as_ref().map(|health| &health.breaker);
    ServiceStatus {
        service: service.as_str().into(),
        mode: mode.into(),
        configured: app.services.is_configured(service),
        missing: app.services.missing(service).iter().copied().map(Into::into).collect(),
        malformed: malformed.iter().map(|malformed| malformed.variable.into()).collect(),
        hints: malformed
            .iter()
            .map(ToString::to_string)
            .chain(app.services.note(service).map(str::to_owned))
            .chain(unusable(app, service))
            .chain(refused)
            .collect(),
        risk: service.entry().risk.name().into(),
        risk_text: service.entry().lost.into(),
        probe: app.board.last(service).filter(|_| mode == "real"),
        breaker: breaker.map(|breaker| breaker_name(breaker).into()),
        breaker_reason: breaker.and_then(|breaker| breaker_reason(breaker, caller.is_admin())),
        success_rate_1h: health.as_ref().and_then(success_rate),
        calls_1h: health.map(|health| health.calls_1h),
        degraded_waiting,
        stores,
    }
}

fn breaker_name(state: &BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

fn breaker_reason(state: &BreakerState, is_admin: bool) -> Option<String> {
    match state {
        BreakerState::Open { reason, .. } if is_admin => Some(reason.clone()),
        BreakerState::Open { .. } => Some(REASON_FOR_OTHERS.to_owned()),
        BreakerState::Closed | BreakerState::HalfOpen => None,
    }
}

/// Rounded to thousandths, but never up to 1: one failure shall show.
#[expect(clippy::cast_precision_loss, reason = "calls of an hour are far fewer than an f64 can count")]
fn success_rate(health: &Health) -> Option<f64> {
    let rate = |succeeded: u64| (succeeded as f64 / health.calls_1h as f64 * 1e3).floor() / 1e3;
    (health.calls_1h > 0).then(|| rate(health.succeeded_1h))
}

/// Only services that can be switched are called through a breaker.
async fn health(app: &App, service: Name) -> Option<Health> {
    service.entry().switch?;
    timeout(LOOK_UP, app.fleet.health(service.as_str())).await.ok()?.ok()
}

async fn degraded(app: &App, service: Name) -> Option<u64> {
    let (_, collections) = jobs::healable().into_iter().find(|(name, _)| *name == service)?;
    let store = app.store()?;
    let counts = join_all(collections.into_iter().map(|collection| store.n_degraded(collection)));
    timeout(LOOK_UP, counts).await.ok()?.into_iter().sum::<Result<u64, _>>().ok()
}

/// Payments whose table of plans cannot be read, say.
fn unusable(app: &App, service: Name) -> Option<String> {
    let fault = app.desk_fault().filter(|_| service == Name::Payments)?;
    let fault = app.services.secrets.redact(fault.to_owned());
    Some(format!("{fault}: nobody can subscribe, and while payments are real, no job of a tenant is taken"))
}

/// Webhooks of the other mode than the key's, which only somebody at Stripe's dashboard can set right.
async fn refused_events(app: &App, service: Name) -> Option<String> {
    let store = app.store().filter(|_| service == Name::Payments)?;
    let counts = timeout(LOOK_UP, store.stripe_event_counts()).await.ok()?.ok()?;
    (counts.refused > 0).then(|| {
        format!(
            "{} events of Stripe were refused in the last 90 days: they are of the other mode (test, live) than STRIPE_API_KEY; \
             see the end points of webhooks in Stripe's dashboard",
            counts.refused
        )
    })
}

async fn stores(app: &App, service: Name, caller: &Caller) -> Option<StoresOf> {
    let store = app.store().filter(|_| service == Name::Publication)?;
    let tenant = (!caller.is_admin()).then_some(caller.tenant.as_str());
    let (total, mut parked) = timeout(LOOK_UP, store.parked_stores(tenant, MOST_PARKED)).await.ok()?.ok()?;
    if let Some(tenant) = tenant {
        parked = parked.iter().filter_map(|id| id.strip_prefix(tenant)?.strip_prefix('/')).map(str::to_owned).collect();
    }
    Some(StoresOf { total, parked })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_service_is_not_asked_is_for_operators() {
        let reason = "direct/shop.example: 503 for another tenant".to_owned();
        let open = BreakerState::Open { until: 1, reason: reason.clone() };
        assert_eq!(breaker_reason(&open, true), Some(reason));
        assert_eq!(breaker_reason(&open, false).as_deref(), Some(REASON_FOR_OTHERS));
        assert_eq!(breaker_reason(&BreakerState::HalfOpen, false), None);
    }

    #[test]
    fn one_failure_among_many_calls_shows() {
        let rate =
            |succeeded_1h, calls_1h| success_rate(&Health { breaker: BreakerState::Closed, calls_1h, succeeded_1h });
        assert_eq!(rate(0, 0), None);
        assert_eq!(rate(3, 3), Some(1.0));
        assert_eq!(rate(9_999, 10_000), Some(0.999));
        assert_eq!(rate(2, 3), Some(0.666));
    }
}
