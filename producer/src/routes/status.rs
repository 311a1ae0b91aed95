//! How each service stands: configured or not, mock or real, whether it answers, what is lost while it does not.
//!
//! Whether a service answers is asked in the background: an answer shows the last probe and never waits for one. Probes are made
//! only when somebody looks, are free of charge, and none is made of a service that is mock.

use std::time::{Duration, Instant};

use api::{Probe, ServiceStatus, StatusReport, Timestamp};
use axum::{Json, extract::State};
use fleet::{BreakerState, Health, Mode};
use futures::future::join_all;
use providers::services::{Entry, SERVICES};
use queue::Clock;
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
/// What Redis and MongoDB know of a service is left out when they do not say it within this time.
const LOOK_UP: Duration = Duration::from_millis(500);

/// All services.
#[utoipa::path(
    get, path = "/api/status", tag = "status", operation_id = "status_all",
    responses((status = 200, description = "How each service stands", body = StatusReport))
)]
pub(crate) async fn all(State(app): State<App>, caller: Caller) -> Result<Json<StatusReport>, Problem> {
    caller.require(Scope::JobsRead)?;
    refresh(&app, &SERVICES);
    let services = join_all(SERVICES.iter().map(|entry| status(&app, entry, &caller))).await;
    let mut modes: Vec<_> = SERVICES.iter().filter(|entry| entry.switch.is_some()).map(|e| mode(&app, e)).collect();
    modes.dedup();
    let mode = if let [mode] = modes[..] { mode } else { "mixed" };
    Ok(Json(StatusReport { mode: mode.into(), services }))
}

/// One service.
#[utoipa::path(
    get, path = "/api/status/{service}", tag = "status", operation_id = "status_one",
    params(("service" = String, Path, description = "ai, images, payments, publication, email, scraping, mongodb, redis, backup, \
        monitoring or security")),
    responses((status = 200, description = "How it stands", body = ServiceStatus))
)]
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    PathPart(service): PathPart,
) -> Result<Json<ServiceStatus>, Problem> {
    caller.require(Scope::JobsRead)?;
    let entry = Entry::named(&service).ok_or_else(|| {
        let names: Vec<_> = SERVICES.iter().map(|entry| entry.name).collect();
        Problem::new(Type::NotFound, format!("no service is named {service:?}; there are {}", names.join(", ")))
    })?;
    refresh(&app, std::slice::from_ref(entry));
    Ok(Json(status(&app, entry, &caller).await))
}

/// Has every service probed in the background whose last probe is too old. Must be called inside a tokio runtime.
pub(crate) fn refresh(app: &App, entries: &'static [Entry]) {
    for entry in entries.iter().filter(|entry| mode(app, entry) == "real") {
        let cached = if entry.name == "email" { MAIL_CACHED } else { CACHED };
        if app.board.claim(entry.name, cached, Instant::now()) {
            let (app, closing) = (app.clone(), app.closing.clone());
            tokio::spawn(closing.run_until_cancelled_owned(async move {
                if let Some(probe) = probe(&app, entry).await {
                    app.board.put(entry.name, probe);
                }
            }));
        }
    }
}

async fn probe(app: &App, entry: &Entry) -> Option<Probe> {
    let result = match entry.name {
        "redis" => asked(app.client.ping_with_a_write()).await,
        "mongodb" => match app.store() {
            Some(store) => asked(store.ping()).await,
            None => Err(NO_ADDRESS.to_owned()),
        },
        "security" => app.auth.self_test(),
        service => providers::probe(&app.services, service, false).await?,
    };
    let (latency_ms, error) = match result {
        Ok(latency) => (Some((latency.as_secs_f64() * 1e6).round() / 1e3), None),
        Err(error) => (None, Some(app.services.secrets.redact(error))),
    };
    Some(Probe { ok: error.is_none(), latency_ms, at: Timestamp::from_ms(Clock::default().now_ms()), error })
}

fn mode(app: &App, entry: &Entry) -> &'static str {
    let switched = entry.switch.and_then(|_| app.fleet.mode(entry.name));
    let real = switched.map_or_else(|| app.services.is_real(entry.name), |mode| mode == Mode::Real);
    if real { "real" } else { "mock" }
}

async fn status(app: &App, entry: &'static Entry, caller: &Caller) -> ServiceStatus {
    let (health, degraded_waiting) = tokio::join!(health(app, entry), degraded(app, entry.name));
    let malformed = app.services.malformed(entry.name);
    let mode = mode(app, entry);
    let breaker = health.as_ref().map(|health| &health.breaker);
    ServiceStatus {
        service: entry.name.into(),
        mode: mode.into(),
        configured: app.services.is_configured(entry.name),
        missing: app.services.missing(entry.name).iter().copied().map(Into::into).collect(),
        malformed: malformed.iter().map(|malformed| malformed.variable.into()).collect(),
        hints: malformed.iter().map(ToString::to_string).collect(),
        risk: entry.risk.name().into(),
        risk_text: entry.lost.into(),
        probe: app.board.last(entry.name).filter(|_| mode == "real"),
        breaker: breaker.map(|breaker| breaker_name(breaker).into()),
        breaker_reason: breaker.and_then(|breaker| breaker_reason(breaker, caller.is_admin())),
        success_rate_1h: health.as_ref().and_then(success_rate),
        calls_1h: health.map(|health| health.calls_1h),
        degraded_waiting,
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
async fn health(app: &App, entry: &Entry) -> Option<Health> {
    entry.switch?;
    timeout(LOOK_UP, app.fleet.health(entry.name)).await.ok()?.ok()
}

async fn degraded(app: &App, service: &str) -> Option<u64> {
    let (_, collections) = jobs::healable().into_iter().find(|(name, _)| *name == service)?;
    let store = app.store()?;
    let counts = join_all(collections.into_iter().map(|collection| store.n_degraded(collection)));
    timeout(LOOK_UP, counts).await.ok()?.into_iter().sum::<Result<u64, _>>().ok()
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
