//! How each service stands: configured or not, mock or real, whether it answers, what is lost while it does not.
//!
//! Whether a service answers is asked in the background: an answer shows the last probe and never waits for one. Probes are made
//! only when somebody looks, are free of charge, and none is made of a service that is mock.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use fleet::{BreakerState, Health, Mode};
use futures::future::join_all;
use queue::{Clock, Timestamp};
use serde::Serialize;
use services::{Name, SERVICES};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Scope},
    problem::{Problem, Type},
    request::PathPart,
};

/// A probe is not repeated before; mail servers are asked less often, because many connections look like abuse to them.
const CACHED: Duration = Duration::from_secs(30);
const MAIL_CACHED: Duration = Duration::from_secs(5 * 60);
/// For our own servers; those of vendors have their own.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The account names a host, and the vendor's words may name what was asked for: both may be another tenant's.
const REASON_FOR_OTHERS: &str = "it failed too often, or refuses the account; the reason is shown with the scope admin";
/// What Redis and MongoDB know of a service is left out when they do not say it within this time.
const LOOK_UP: Duration = Duration::from_millis(500);

/// How all services stand.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusReport {
    /// `mock`, `real`, or `mixed`; of the services that can be switched.
    #[schema(value_type = String, example = "mixed")]
    mode: &'static str,
    services: Vec<ServiceStatus>,
}

/// How a service stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceStatus {
    #[schema(value_type = String, example = "email")]
    service: &'static str,
    /// `mock` or `real`. Services without a mock are always real.
    #[schema(value_type = String, example = "real")]
    mode: &'static str,
    /// Whether everything is there that it needs to be real.
    configured: bool,
    /// Variables that it needs and has not.
    #[schema(value_type = Vec<String>)]
    missing: Vec<&'static str>,
    /// Variables whose values cannot be right.
    #[schema(value_type = Vec<String>)]
    malformed: Vec<&'static str>,
    /// What is wrong with the malformed ones, a sentence each.
    hints: Vec<String>,
    /// How bad it is when it is away, from `P0` (critical) to `P2`.
    #[schema(value_type = String, example = "P1")]
    risk: &'static str,
    /// What is lost while it is down.
    #[schema(value_type = String, example = "notifications are late")]
    risk_text: &'static str,
    /// The last one; null when there is none: not real, not configured, not asked yet, or it cannot be asked for free.
    probe: Option<Probe>,
    /// `closed`, `open` or `half_open`; null for a service that is not called through one, and while Redis is away.
    #[schema(value_type = Option<String>, example = "closed")]
    breaker: Option<&'static str>,
    /// Why calls are held back; null while they go through. Details only with the scope `admin`.
    breaker_reason: Option<String>,
    /// Of the calls of the last hour, those that were answered, 0 to 1; null when there were none.
    success_rate_1h: Option<f64>,
    calls_1h: Option<u64>,
    /// Results of stand-ins that wait to be replaced; null for a service without one, and while MongoDB is away.
    degraded_waiting: Option<u64>,
}

/// Whether a service answered.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Probe {
    ok: bool,
    /// Null if it did not answer.
    latency_ms: Option<f64>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Why it did not answer.
    error: Option<String>,
}

/// The last probe of each service.
#[derive(Default)]
pub(crate) struct Board(Mutex<HashMap<Name, Slot>>);

struct Slot {
    asked: Instant,
    probe: Option<Probe>,
}

impl Board {
    /// Whether it is time for a probe; if so, it counts as asked from now on.
    fn claim(&self, service: Name, cached: Duration, now: Instant) -> bool {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get_mut(&service) {
            Some(slot) if now.saturating_duration_since(slot.asked) < cached => false,
            Some(slot) => {
                slot.asked = now;
                true
            }
            None => {
                slots.insert(service, Slot { asked: now, probe: None });
                true
            }
        }
    }

    fn put(&self, service: Name, probe: Probe) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(&service) {
            slot.probe = Some(probe);
        }
    }

    fn last(&self, service: Name) -> Option<Probe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&service)?.probe.clone()
    }
}

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
    Ok(Json(StatusReport { mode, services }))
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
        if app.status.claim(service, cached, Instant::now()) {
            let (app, closing) = (app.clone(), app.closing.clone());
            tokio::spawn(closing.run_until_cancelled_owned(async move {
                if let Some(probe) = probe(&app, service).await {
                    app.status.put(service, probe);
                }
            }));
        }
    }
}

async fn probe(app: &App, service: Name) -> Option<Probe> {
    let result = match service {
        Name::Redis => own(app.client.ping_with_a_write()).await,
        Name::Mongodb => match app.store() {
            Some(store) => own(store.ping()).await,
            None => Err("its address cannot be looked up".to_owned()),
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

async fn own<E: Display>(ping: impl Future<Output = Result<Duration, E>>) -> Result<Duration, String> {
    match timeout(PROBE_TIMEOUT, ping).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    }
}

fn mode(app: &App, service: Name) -> &'static str {
    let switched = service.entry().switch.and_then(|_| app.fleet.mode(service.as_str()));
    let real = switched.map_or_else(|| app.services.is_real(service), |mode| mode == Mode::Real);
    if real { "real" } else { "mock" }
}

async fn status(app: &App, service: Name, caller: &Caller) -> ServiceStatus {
    let (health, degraded_waiting) = tokio::join!(health(app, service), degraded(app, service));
    let malformed = app.services.malformed(service);
    let mode = mode(app, service);
    let breaker = health.as_ref().map(|health| &health.breaker);
    ServiceStatus {
        service: service.as_str(),
        mode,
        configured: app.services.is_configured(service),
        missing: app.services.missing(service).to_vec(),
        malformed: malformed.iter().map(|malformed| malformed.variable).collect(),
        hints: malformed.iter().map(ToString::to_string).collect(),
        risk: service.entry().risk.name(),
        risk_text: service.entry().lost,
        probe: app.status.last(service).filter(|_| mode == "real"),
        breaker: breaker.map(breaker_name),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_asked_for_once_in_its_time() {
        let (board, now) = (Board::default(), Instant::now());
        assert!(board.claim(Name::Ai, CACHED, now));
        assert!(!board.claim(Name::Ai, CACHED, now + Duration::from_secs(29)), "it is under way or fresh");
        assert!(board.claim(Name::Redis, CACHED, now), "each service by itself");
        assert_eq!(board.last(Name::Ai), None);
        let probe = Probe { ok: true, latency_ms: Some(1.0), at: Timestamp::from_ms(1), error: None };
        board.put(Name::Ai, probe.clone());
        assert!(board.claim(Name::Ai, CACHED, now + CACHED));
        assert_eq!(board.last(Name::Ai), Some(probe), "the last one is shown until the next is there");
    }

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
