//! Which services are mock and which are real, and switching them.

use axum::{Json, body::Body, extract::State, http::HeaderMap};
use fleet::{Mode, Switch};
use jobs::Shape;
use queue::{FieldError, Timestamp};
use serde::{Deserialize, Serialize};
use services::{Name, Risk, SERVICES};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{
    app::App,
    auth::{Caller, Scope},
    problem::Problem,
    request,
};

/// So many of the last switches are shown.
const CHANGES_SHOWN: usize = 20;

/// A switch between mock and real.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeRequest {
    mode: ModeName,
    /// The service; all that can be switched if absent.
    service: Option<Switchable>,
    /// Why, for those who look later.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: String,
    /// Switches to real although variables are missing.
    #[serde(default)]
    force: bool,
}

/// Whether a service is asked for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeName {
    /// A stand-in answers; nothing leaves the system.
    Mock,
    /// The service itself answers.
    Real,
}

/// A service that has a mock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switchable(Name);

impl<'de> Deserialize<'de> for Switchable {
    fn deserialize<D: serde::Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let text = String::deserialize(text)?;
        let name = Name::switchable().find(|service| service.as_str() == text);
        name.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no service that has a mock")))
    }
}

impl PartialSchema for Switchable {
    fn schema() -> RefOr<Schema> {
        let names = Name::switchable().map(Name::as_str);
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        schema.description(Some("A service that has a mock.")).into()
    }
}

impl ToSchema for Switchable {}

/// What is in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModeReport {
    /// `mock`, `real`, or `mixed`; of the services that can be switched.
    #[schema(value_type = String)]
    mode: &'static str,
    services: Vec<ServiceMode>,
    /// The last switches, newest first.
    changes: Vec<Change>,
}

/// What is in force for one service.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceMode {
    #[schema(value_type = String)]
    service: &'static str,
    mode: ModeName,
    /// What decided it: a `switch`, the `variables`, or it is `fixed`, because the service has no mock.
    #[schema(value_type = String)]
    decided_by: &'static str,
    /// When it was switched; null when it was not.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// The subject of the token that switched it.
    by: Option<String>,
    reason: Option<String>,
    /// Variables that it needs to be real and has not.
    #[schema(value_type = Vec<String>)]
    missing: Vec<&'static str>,
    /// Whether everything is there that it needs to be real.
    configured: bool,
}

/// One switch.
#[derive(Serialize, ToSchema)]
pub(crate) struct Change {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Null: all services.
    service: Option<String>,
    mode: ModeName,
    /// The subject of the token.
    by: String,
    reason: String,
}

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
    let service = ask.service.map(|Switchable(service)| service);
    if ask.mode == ModeName::Real && !ask.force {
        refuse_unready(&app.services, service)?;
    }
    app.fleet.switch(service.map(Name::as_str), ask.mode.into(), &caller.subject, &ask.reason).await?;
    report(&app).await.map(Json)
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
    let n_real = switchable().filter(|service| service.mode == ModeName::Real).count();
    let mode = match n_real {
        0 => "mock",
        n if n == switchable().count() => "real",
        _ => "mixed",
    };
    let changes = app.fleet.changes().await?.into_iter().take(CHANGES_SHOWN).map(Change::from).collect();
    Ok(ModeReport { mode, services, changes })
}

fn service_mode(service: Name, switches: &[Switch], config: &services::Config) -> ServiceMode {
    let has_mock = service.entry().switch.is_some();
    let of = |service: Option<&str>| switches.iter().find(|switch| switch.service.as_deref() == service);
    let switch = of(Some(service.as_str())).or_else(|| of(None)).filter(|_| has_mock);
    let mode = switch.map_or_else(
        || if config.is_real(service) { ModeName::Real } else { ModeName::Mock },
        |switch| switch.mode.into(),
    );
    ServiceMode {
        service: service.as_str(),
        mode,
        decided_by: match switch {
            Some(_) => "switch",
            None if has_mock => "variables",
            None => "fixed",
        },
        since: switch.map(|switch| Timestamp::from_ms(switch.since_ms)),
        by: switch.map(|switch| switch.by.clone()),
        reason: switch.map(|switch| switch.reason.clone()),
        missing: config.missing(service).to_vec(),
        configured: config.is_configured(service),
    }
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Mock => Self::Mock,
            ModeName::Real => Self::Real,
        }
    }
}

impl From<Mode> for ModeName {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Mock => Self::Mock,
            Mode::Real => Self::Real,
        }
    }
}

impl From<Switch> for Change {
    fn from(switch: Switch) -> Self {
        let Switch { service, mode, since_ms, by, reason } = switch;
        Self { at: Timestamp::from_ms(since_ms), service, mode: mode.into(), by, reason }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_service_that_has_a_switch_can_be_named() {
        for service in SERVICES {
            let named = serde_json::from_value::<Switchable>(json!(service.as_str()));
            let expected = service.entry().switch.map(|_| *service);
            assert_eq!(named.ok().map(|Switchable(name)| name), expected, "{service}");
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
