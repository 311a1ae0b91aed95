//! What the variables say of the outside services.

use std::{collections::HashMap, fmt, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    catalogue::{Name, OpenAi, SERVICES, Smtp},
    entry::{Accounts, State},
    formats::{truth, web_url, without_slash},
    general::{general_faults, retention_days},
    links::Links,
    pace::Pace,
    ring::Ring,
    secrets::Secrets,
    variable::{Environment, Malformed, Variable},
};

/// How the services are reached, and which are asked to be real.
#[derive(Debug, Clone)]
pub struct Config {
    /// Product texts; `None` = not configured.
    pub openai: Option<OpenAi>,
    /// Another end point of the same protocol, which stands in before the templates; `None` = there is none.
    pub openai_second: Option<OpenAi>,
    /// `CONTENT_ROUTES`: the file with the table of models; `None` = the built-in one.
    pub content_routes: Option<PathBuf>,
    /// E-mail; `None` = not configured.
    pub smtp: Option<Smtp>,
    /// `PUBLIC_URL` without a slash at its end: where the API is reached from outside.
    pub public_url: Option<String>,
    /// Whether it is `APP_ENV=production`.
    pub production: bool,
    /// Signed addresses under it; `None` of them without `JWT_SECRET`.
    pub links: Links,
    /// `EMAIL_RETENTION_DAYS`: how long e-mails are kept.
    pub email_retention_days: u32,
    /// Limits and spending.
    pub pace: Pace,
    /// Services with a mock that the variables ask to be real.
    pub real: Vec<Name>,
    /// Every service of the catalogue, in its order.
    pub services: Vec<ServiceState>,
    /// `ENCRYPTION_KEY`: under which the credentials of stores are kept; `None` without it.
    pub ring: Option<Ring>,
    /// What no text may show.
    pub secrets: Secrets,
    /// What is asked for but cannot be, with the variable that is missing or malformed; told at start.
    pub complaints: Vec<String>,
}

/// What the variables say of a service.
#[derive(Debug, Clone)]
pub struct ServiceState {
    /// Which one.
    pub service: Name,
    /// What is there and what is not.
    pub state: State,
    values: Values,
}

/// Values of variables by name, of which none is shown.
#[derive(Clone, Default)]
struct Values(HashMap<&'static str, SecretString>);

impl Values {
    /// Those of a service that are set or have a default, and can be right.
    fn of(service: Name, environment: &Environment<'_>) -> Self {
        let value = |variable: &Variable| {
            let value = variable.value(environment).or_else(|| variable.default.map(str::to_owned))?;
            variable.fault(&value, environment).is_none().then(|| (variable.name, value.into()))
        };
        Self(service.entry().all_variables().filter_map(value).collect())
    }

    fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Config {
    /// Everything mocked, as on a fresh checkout.
    #[must_use]
    pub fn mock() -> Self {
        Self::from_vars(|_| None)
    }

    /// Reads the variables through `var`, so that tests need not touch the process's own.
    ///
    /// A service's settings are there whenever its variables are there and good, whatever the mode says, because the mode can
    /// be switched at run time. One that is asked to be real but half configured is named in [`Config::complaints`].
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let production = var("APP_ENV").is_some_and(|value| value.trim() == "production");
        let environment = Environment::new(production, &var);
        let mut complaints = Vec::new();
        let mut flag = |name: &str, default: bool| match environment.get(name) {
            None => default,
            Some(value) => truth(&value).unwrap_or_else(|| {
                complaints.push(format!("{name}={value:?} is neither true nor false; {default} is used"));
                default
            }),
        };
        let mock_all = flag("MOCK_MODE", true);
        let real: Vec<_> =
            Name::switchable().filter(|service| !flag(service.entry().switch.unwrap_or_default(), mock_all)).collect();
        let state = |service: &Name| ServiceState {
            service: *service,
            state: service.entry().state(&environment),
            values: Values::of(*service, &environment),
        };
        let services: Vec<_> = SERVICES.iter().map(state).collect();
        for ServiceState { service, state, .. } in &services {
            if service.entry().switch.is_none() || real.contains(service) {
                complaints.extend(complaint(*service, state));
            }
        }
        let of = |service: Name| services.iter().find(|state| state.service == service);
        let configured = |service| of(service).filter(|state| state.state.configured).map(|_| &environment);
        let ring = environment.get("ENCRYPTION_KEY").and_then(|keys| Ring::parse(&keys).ok());
        if real.contains(&Name::Publication) {
            let told = no_store(of(Name::Publication).map(|state| &state.state), ring.is_some());
            complaints.extend(told.map(|told| format!("publication: {told}")));
        }
        complaints.extend(general_faults(&environment).iter().map(Malformed::to_string));
        let pace = Pace::from_vars(|name| environment.get(name), &mut complaints);
        let public_url = environment.get("PUBLIC_URL").filter(|url| web_url(url).is_some());
        let public_url = public_url.map(|url| without_slash(&url));
        let secret = environment.get("JWT_SECRET").map(SecretString::from);
        if public_url.is_some() && secret.is_none() {
            complaints.push("PUBLIC_URL without JWT_SECRET: reminders have no link to unsubscribe".to_owned());
        }
        Self {
            openai: configured(Name::Ai).and_then(OpenAi::first),
            openai_second: OpenAi::second(&environment)
                .filter(|_| !of(Name::Ai).is_some_and(ServiceState::names_fallback)),
            content_routes: environment.get("CONTENT_ROUTES").map(PathBuf::from),
            smtp: configured(Name::Email).and_then(Smtp::read),
            links: Links::new(public_url.clone(), secret),
            public_url,
            production,
            email_retention_days: environment
                .get("EMAIL_RETENTION_DAYS")
                .and_then(|days| retention_days(&days))
                .unwrap_or(EMAIL_RETENTION_DAYS),
            pace,
            ring,
            secrets: Secrets::of(&environment),
            real,
            services,
            complaints,
        }
    }

    /// What `MOCK_MODE` and the service's own `MOCK_MODE_…` ask for, of which the latter wins. Services without a mock are
    /// always real.
    #[must_use]
    pub fn is_real(&self, service: Name) -> bool {
        self.real.contains(&service) || service.entry().switch.is_none()
    }

    /// Whether everything is there that the service needs to be real.
    #[must_use]
    pub fn is_configured(&self, service: Name) -> bool {
        self.service(service).is_some_and(|state| state.state.configured)
    }

    /// The value of a variable of the service, or its default. `None` for one that cannot be right.
    #[must_use]
    pub fn value(&self, service: Name, variable: &str) -> Option<&str> {
        self.service(service)?.values.get(variable)
    }

    /// The variables that the service needs and has not.
    #[must_use]
    pub fn missing(&self, service: Name) -> &[&'static str] {
        self.service(service).map_or(&[], |state| &state.state.missing)
    }

    /// The variables of the service whose values cannot be right.
    #[must_use]
    pub fn malformed(&self, service: Name) -> &[Malformed] {
        self.service(service).map_or(&[], |state| &state.state.malformed)
    }

    /// What is to be known of a service that is configured: where nothing of it is set, what works all the same.
    #[must_use]
    pub fn note(&self, service: Name) -> Option<&'static str> {
        let state = self.service(service).filter(|_| service == Name::Publication);
        no_store(Some(&state?.state), self.ring.is_some())
    }

    fn service(&self, service: Name) -> Option<&ServiceState> {
        self.services.iter().find(|state| state.service == service)
    }
}

impl ServiceState {
    /// Whether something is wrong with the second end point.
    fn names_fallback(&self) -> bool {
        self.state.malformed.iter().any(|malformed| malformed.variable.contains("_FALLBACK_"))
    }
}

/// E-mails name their recipients, so they are not kept for longer than they are looked at.
const EMAIL_RETENTION_DAYS: u32 = 90;

/// What publication is without a store of the environment, where none was begun to be set up.
fn no_store(state: Option<&State>, has_ring: bool) -> Option<&'static str> {
    let mut of_stores = Name::Publication.entry().accounts.all().iter().flat_map(|account| account.variables);
    if of_stores.any(|variable| state.is_some_and(|state| state.present.contains(&variable.name))) {
        return None;
    }
    Some(match has_ring {
        true => "the environment has no store; those of tenants are asked all the same",
        false => "the environment has no store, and without ENCRYPTION_KEY tenants have none",
    })
}

/// What is wrong with a service that is asked to be real.
fn complaint(name: Name, state: &State) -> Option<String> {
    let entry = name.entry();
    let unset = (!state.missing.is_empty()).then(|| match entry.accounts {
        Accounts::AnyOf(_) if !state.configured && state.present.is_empty() => {
            format!("none of its accounts is set ({})", state.missing.join(", "))
        }
        _ if state.missing.len() == 1 => format!("{} is not set", state.missing[0]),
        _ => format!("{} are not set", state.missing.join(", ")),
    });
    let faults: Vec<String> = unset.into_iter().chain(state.malformed.iter().map(Malformed::to_string)).collect();
    match (entry.switch, faults.is_empty()) {
        (Some(_), _) if !entry.built => Some(format!("{name} stays mock: the real service is not built yet")),
        (_, true) => None,
        // Stores are asked whatever the variables say.
        (Some(_), false) if !state.configured && name != Name::Publication => {
            Some(format!("{name} stays mock: {}", faults.join("; ")))
        }
        _ => Some(format!("{name}: {}", faults.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::SmtpTls;

    fn config(vars: &[(&str, &str)]) -> Config {
        Config::from_vars(|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    const MAIL: [(&str, &str); 3] =
        [("SMTP_SERVER", "smtp.example"), ("SMTP_PORT", "587"), ("SENDER_EMAIL", "shop@example.org")];

    #[test]
    fn settings_are_there_whatever_the_mode_says() {
        let config = config(&[&[("OPENAI_API_KEY", "sk-1")], &MAIL[..]].concat());
        assert!(config.openai.is_some() && config.smtp.is_some() && config.is_configured(Name::Scraping));
        assert_eq!(config.value(Name::Ai, "OPENAI_API_KEY"), Some("sk-1"));
        assert_eq!(config.value(Name::Scraping, "PROXY_PROVIDER"), Some("direct"), "the default");
        assert_eq!(config.value(Name::Scraping, "SCRAPE_ALLOW_HOSTS"), None);
        assert!(!config.is_real(Name::Ai) && !config.is_real(Name::Email) && !config.is_real(Name::Scraping));
        assert!(config.is_real(Name::Mongodb) && config.is_real(Name::Redis) && config.is_real(Name::Security));
        assert!(config.complaints.is_empty(), "{:?}", config.complaints);
    }

    #[test]
    fn a_service_own_switch_wins() {
        let config = config(&[("MOCK_MODE", "false"), ("MOCK_MODE_AI", "Yes"), ("MOCK_MODE_EMAIL", "maybe")]);
        assert!(!config.is_real(Name::Ai) && config.is_real(Name::Email) && config.is_real(Name::Scraping));
        assert_eq!(config.complaints[0], "MOCK_MODE_EMAIL=\"maybe\" is neither true nor false; false is used");
    }

    #[test]
    fn half_configured_services_are_named_once_each() {
        let config = config(&[
            ("MOCK_MODE", "false"),
            ("OPENAI_API_KEY", "hush"),
            ("SMTP_SERVER", "smtp.example"),
            ("PROXY_PROVIDER", "scraperapi"),
            ("SCRAPE_ROUTE", "scraperapi, brightdata"),
            ("SCRAPERAPI_KEY", "hush"),
            ("JWT_SECRET", "hush"),
        ]);
        assert!(config.openai.is_none() && config.smtp.is_none());
        assert_eq!(config.value(Name::Ai, "OPENAI_API_KEY"), None, "it cannot be right");
        assert_eq!(config.value(Name::Scraping, "SCRAPERAPI_KEY"), Some("hush"));
        let expected = [
            "ai stays mock: OPENAI_API_KEY must begin with sk- and be one word",
            "images stays mock: FAL_KEY is not set",
            "payments stays mock: STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_PRICE_ID_PRO, STRIPE_PRICE_ID_PREMIUM, \
             STRIPE_PUBLISHABLE_KEY are not set",
            "email stays mock: SMTP_PORT, SENDER_EMAIL are not set",
            "scraping stays mock: BRIGHT_DATA_KEY, BRIGHT_DATA_ZONE are not set",
            "security: JWT_SECRET has 4 bytes and must have at least 32; make one with: openssl rand -base64 48",
            "publication: the environment has no store, and without ENCRYPTION_KEY tenants have none",
        ];
        let (not_built, others): (Vec<_>, Vec<_>) = config
            .complaints
            .iter()
            .partition(|complaint| complaint.ends_with(" stays mock: the real service is not built yet"));
        assert_eq!(others, expected);
        assert_eq!(not_built.len(), Name::switchable().filter(|service| !service.entry().built).count());
        assert_eq!(config.missing(Name::Email), ["SMTP_PORT", "SENDER_EMAIL"]);
        assert_eq!(config.malformed(Name::Ai)[0].variable, "OPENAI_API_KEY");
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    }

    #[test]
    fn publication_is_real_for_tenants_stores_where_the_environment_has_none() {
        let real = ("MOCK_MODE_PUBLICATION", "false");
        let key = ("ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let complaints = |vars: &[(&str, &str)]| config(vars).complaints;
        let told = "the environment has no store; those of tenants are asked all the same";
        assert_eq!(complaints(&[real, key]), [format!("publication: {told}")]);
        assert_eq!(complaints(&[key]), [""; 0], "it is mock");
        let without = config(&[real, key]);
        assert!(without.is_configured(Name::Publication) && without.is_real(Name::Publication));
        assert_eq!((without.note(Name::Publication), without.note(Name::Ai)), (Some(told), None));
        let limits = [("WOO_IN_FLIGHT", "8"), ("PRESTA_IN_FLIGHT", "0")];
        let limited = complaints(&[&[real, key], &limits[..]].concat());
        assert_eq!(limited[0], "publication: PRESTA_IN_FLIGHT must be a whole number from 1 to 1000");
        assert_eq!(limited[1], format!("publication: {told}"), "a limit is no store");
        let half = config(&[real, key, ("WOO_STORE_URL", "https://shop.example"), ("WOO_CONSUMER_KEY", "ck_1")]);
        assert_eq!(half.complaints, ["publication: WOO_CONSUMER_SECRET is not set"]);
        assert_eq!(half.note(Name::Publication), None);
    }

    #[test]
    fn a_second_end_point_needs_address_key_and_model() {
        let first = ("OPENAI_API_KEY", "sk-1");
        let second = [("OPENAI_FALLBACK_BASE_URL", "http://127.0.0.1:9/v1/"), ("OPENAI_FALLBACK_API_KEY", "k")];
        let half = config(&[&[first], &second[..]].concat());
        assert_eq!(half.missing(Name::Ai), ["OPENAI_FALLBACK_MODEL"]);
        let whole =
            config(&[&[first, ("OPENAI_FALLBACK_MODEL", "m"), ("CONTENT_ROUTES", "r.toml")], &second[..]].concat());
        let settings = whole.openai_second.unwrap();
        assert_eq!((settings.base_url.as_str(), settings.model.as_deref()), ("http://127.0.0.1:9/v1", Some("m")));
        assert_eq!(whole.content_routes.unwrap().to_str(), Some("r.toml"));
    }

    #[test]
    fn mail_is_in_clear_text_only_within_the_machine_or_when_allowed() {
        let tls = |changes: &[(&str, &str)]| config(&[changes, &MAIL[..]].concat()).smtp.unwrap().tls;
        assert_eq!(tls(&[]), SmtpTls::StartTls);
        assert_eq!(tls(&[("SMTP_SERVER", "localhost")]), SmtpTls::Plain);
        assert_eq!(tls(&[("SMTP_ALLOW_PLAIN", "true")]), SmtpTls::Plain);
        assert_eq!(tls(&[("SMTP_USE_SSL", "yes"), ("SMTP_PORT", "465")]), SmtpTls::Implicit);
        let authority = ("SMTP_CA_FILE", "/etc/ssl/ca.pem");
        assert_eq!(tls(&[("SMTP_SERVER", "localhost"), ("SMTP_PORT", "1025"), authority]), SmtpTls::StartTls);
    }

    #[test]
    fn a_port_that_does_not_fit_its_tls_and_a_limit_that_cannot_be_kept_are_refused() {
        for (variable, value, told) in [
            ("SMTP_USE_SSL", "true", "SMTP_PORT is 587, where TLS begins later: set SMTP_USE_SSL=false, or use 465"),
            ("SMTP_PORT", "465", "set SMTP_USE_SSL=true"),
            ("SMTP_PER_HOUR", "99", "SMTP_PER_HOUR must be a whole number of at least 100"),
            ("SMTP_HELO", "my host", "SMTP_HELO must be one word"),
        ] {
            let config = config(&[&[("MOCK_MODE_EMAIL", "false"), (variable, value)], &MAIL[..]].concat());
            assert!(config.smtp.is_none(), "{variable}={value}");
            let complaint = config.complaints.first().unwrap();
            assert!(complaint.starts_with("email stays mock: ") && complaint.contains(told), "{complaint}");
        }
        let good = config(&[&[("PUBLIC_URL", "https://jobs.example/")], &MAIL[..]].concat());
        assert_eq!(good.public_url.as_deref(), Some("https://jobs.example"));
        let bad = config(&[("PUBLIC_URL", "jobs.example")]);
        assert_eq!(bad.public_url, None);
        assert!(bad.complaints[0].starts_with("PUBLIC_URL must be"), "{:?}", bad.complaints);
    }

    #[test]
    fn mails_are_kept_for_90_days_or_as_long_as_the_variable_says() {
        assert_eq!(config(&[]).email_retention_days, 90);
        assert_eq!(config(&[("EMAIL_RETENTION_DAYS", "30")]).email_retention_days, 30);
        for bad in ["0", "3651", "-1", "a week"] {
            let config = config(&[&[("EMAIL_RETENTION_DAYS", bad)], &MAIL[..]].concat());
            assert_eq!((config.email_retention_days, config.smtp.is_some()), (90, true), "{bad}");
            assert!(config.complaints[0].contains("EMAIL_RETENTION_DAYS must be a whole number"), "{bad}");
        }
    }

    #[test]
    fn links_are_made_of_the_address_and_the_secret_and_one_without_the_other_is_told() {
        let address = ("PUBLIC_URL", "https://jobs.example/");
        let bare = config(&[address]);
        assert_eq!(bare.links.unsubscribe("x"), None);
        assert!(bare.complaints.iter().any(|complaint| complaint.starts_with("PUBLIC_URL without JWT_SECRET")));
        let whole = config(&[address, ("JWT_SECRET", "0123456789abcdef0123456789abcdef")]);
        assert!(
            whole.links.unsubscribe("x").unwrap().starts_with("https://jobs.example/api/emails/x/unsubscribe?sig=")
        );
        assert!(whole.complaints.is_empty(), "{:?}", whole.complaints);
    }
}
