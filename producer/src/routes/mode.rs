//! Which services are mock and which are real, and switching them.

use api::{Change, FieldError, Mode, ModeReport, ModeRequest, ServiceMode, Timestamp};
use axum::{Json, body::Body, extract::State, http::HeaderMap};
use fleet::Switch;
use jobs::Shape;
use services::{Name, Risk, SERVICES};

use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    request,
    state::App,
};

/// So many of the last switches are shown.
const CHANGES_SHOWN: usize = 20;

/// Which services are mock and which are real, and who switched them last.
#[utoipa::path(
    get, path = "/api/mode", tag = "mode", operation_id = "mode_show",
    responses((status = 200, description = "What is in force for each service, and the last switches", body = ModeReport))
)]
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<ModeReport>, Problem> {
    caller.require(Scope::JobsRead)?;
    report(&app).await.map(Json)
}

/// Switches a service, or all of them, between mock and real: in every replica within 2 s, without a restart. What is running
/// goes on. A switch to real is refused (409) while variables are missing that it needs, unless it is forced; for all services those
/// of the critical ones count.
#[utoipa::path(
    put, path = "/api/mode", tag = "mode", operation_id = "mode_switch",
    request_body = ModeRequest,
    responses(
        (status = 200, description = "What is in force now", body = ModeReport),
        (status = 409, description = "`not-configured`: variables are missing or malformed"),
    )
)]
pub(crate) async fn switch(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ModeReport>, Problem> {
    caller.require(Scope::ModeWrite)?;
    let read = |asked: &queue::Json| Shape::<ModeRequest>::new().read(asked).map_err(Problem::invalid);
    let ask = request::json(&headers, body, read).await?;
    let service = ask.service.as_deref().map(named).transpose()?;
    if ask.mode == Mode::Real && !ask.force {
        refuse_unready(&app.services, service)?;
    }
    app.fleet.switch(service.map(Name::as_str), switched(ask.mode), &caller.subject, &ask.reason).await?;
    report(&app).await.map(Json)
}

/// The schema lets only such through; no other may count as "all".
fn named(service: &str) -> Result<Name, Problem> {
    let unknown = || FieldError::new("/service", format!("{service:?} is no service that has a mock"));
    Name::switchable().find(|name| name.as_str() == service).ok_or_else(|| Problem::invalid(vec![unknown()]))
}

/// Refuses to make real what cannot be.
fn refuse_unready(config: &services::Config, service: Option<Name>) -> Result<(), Problem> {
    // Of all services only the critical ones hold up the switch: without the others the system works as far as it goes.
    let is_meant = |name: &Name| match service {
        Some(service) => *name == service,
        None => {
            let entry = name.entry();
            entry.switch.is_some() && entry.built && entry.risk == Risk::P0
        }
    };
    let (mut missing, mut errors) = (Vec::new(), Vec::new());
    for service in SERVICES.iter().copied().filter(is_meant) {
        let mut complain = |what: String| errors.push(FieldError::new("/mode", format!("{service} {what}")));
        if !service.entry().built {
            complain("has no real provider yet and would stay mock".to_owned());
        }
        if config.is_configured(service) {
            continue;
        }
        for name in config.missing(service) {
            missing.push(*name);
            complain(format!("needs {name}, which is not set"));
        }
        for malformed in config.malformed(service) {
            complain(format!("cannot use {malformed}"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::not_configured(missing, errors)) }
}

async fn report(app: &App) -> Result<ModeReport, Problem> {
    let switches = app.fleet.switches().await?;
    let services: Vec<ServiceMode> =
        SERVICES.iter().map(|service| service_mode(*service, &switches, &app.services)).collect();
    let switchable = || services.iter().filter(|service| service.decided_by != "fixed");
    let n_real = switchable().filter(|service| service.mode == Mode::Real).count();
    let mode = match n_real {
        0 => "mock",
        n if n == switchable().count() => "real",
        _ => "mixed",
    };
    let changes = app.fleet.changes().await?.into_iter().take(CHANGES_SHOWN).map(change).collect();
    Ok(ModeReport { mode: mode.into(), services, changes })
}

fn service_mode(service: Name, switches: &[Switch], config: &services::Config) -> ServiceMode {
    let has_mock = service.entry().switch.is_some();
    let of = |service: Option<&str>| switches.iter().find(|switch| switch.service.as_deref() == service);
    let switch = of(Some(service.as_str())).or_else(|| of(None)).filter(|_| has_mock);
    let now = switch
        .map_or_else(|| if config.is_real(service) { Mode::Real } else { Mode::Mock }, |switch| mode(switch.mode));
    ServiceMode {
        service: service.as_str().into(),
        mode: now,
        decided_by: match switch {
            Some(_) => "switch".into(),
            None if has_mock => "variables".into(),
            None => "fixed".into(),
        },
        since: switch.map(|switch| Timestamp::from_ms(switch.since_ms)),
        by: switch.map(|switch| switch.by.clone()),
        reason: switch.map(|switch| switch.reason.clone()),
        missing: config.missing(service).iter().copied().map(Into::into).collect(),
        configured: config.is_configured(service),
    }
}

fn switched(mode: Mode) -> fleet::Mode {
    match mode {
        Mode::Mock => fleet::Mode::Mock,
        Mode::Real => fleet::Mode::Real,
    }
}

fn mode(mode: fleet::Mode) -> Mode {
    match mode {
        fleet::Mode::Mock => Mode::Mock,
        fleet::Mode::Real => Mode::Real,
    }
}

fn change(switch: Switch) -> Change {
    let Switch { service, mode: to, since_ms, by, reason } = switch;
    Change { at: Timestamp::from_ms(since_ms), service, mode: mode(to), by, reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_service_that_has_a_switch_can_be_named() {
        for service in SERVICES {
            let named = serde_json::from_value::<api::Switchable>(json!(service.as_str()));
            assert_eq!(named.is_ok(), service.entry().switch.is_some(), "{service}");
        }
    }

    #[test]
    fn a_bad_field_is_named_with_what_is_allowed() {
        let shape = Shape::<ModeRequest>::new();
        let errors = shape.read(&json!({ "mode": "live", "service": "redis", "reason": 1, "why": "" })).unwrap_err();
        let message = |pointer: &str| errors.iter().find(|error| error.pointer == pointer).unwrap().message.clone();
        assert!(message("/mode").contains("mock") && message("/service").contains("email"), "{errors:?}");
        assert!(message("/why").contains("not a known field") && message("/reason").contains("string"), "{errors:?}");
        shape.read(&json!({ "mode": "real", "service": null })).unwrap();
        assert_eq!(shape.read(&json!({})).unwrap_err()[0].pointer, "/mode");
    }

    fn refused(vars: &[(&str, &str)], service: Option<Name>) -> Option<Vec<&'static str>> {
        let var = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        let problem = refuse_unready(&services::Config::from_vars(var), service).err()?;
        Some(problem.missing().to_vec())
    }

    #[test]
    fn what_lacks_a_variable_is_not_made_real() {
        assert_eq!(refused(&[], Some(Name::Email)), Some(vec!["SMTP_SERVER", "SMTP_PORT", "SENDER_EMAIL"]));
        let smtp = [("SMTP_SERVER", "localhost"), ("SMTP_PORT", "1025"), ("SENDER_EMAIL", "shop@example.org")];
        assert_eq!(refused(&smtp, Some(Name::Email)), None);
        let bad_port = [smtp[0], ("SMTP_PORT", "no"), smtp[2]];
        assert_eq!(refused(&bad_port, Some(Name::Email)), Some(vec![]), "not missing, but malformed");
        assert_eq!(refused(&[], Some(Name::Scraping)), None, "it needs no variable");
    }

    #[test]
    fn all_services_are_held_up_by_the_critical_ones_only() {
        assert!(refused(&[], None).unwrap().contains(&"OPENAI_API_KEY"));
        let stripe = [
            ("STRIPE_API_KEY", "sk_test_1"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_1"),
            ("STRIPE_PRICE_ID_PRO", "price_1"),
            ("STRIPE_PRICE_ID_PREMIUM", "price_2"),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_1"),
        ];
        let vars: Vec<_> = [("OPENAI_API_KEY", "sk-1")].into_iter().chain(stripe).collect();
        assert_eq!(refused(&vars, None), None);
    }
}
