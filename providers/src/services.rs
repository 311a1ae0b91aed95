//! The catalogue of the services: what each needs to be real, and what is lost while it is down. Start-up messages, the
//! status, the environment checker and docs/configuration.md are all made of it.

use base64::{Engine as _, engine::general_purpose};
use url::Url;

use crate::email::{SMALLEST_PER_HOUR, sender_mailbox};

/// How bad it is when a service is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Critical.
    P0,
    /// High.
    P1,
    /// Moderate.
    P2,
}

impl Risk {
    /// `P0`, `P1` or `P2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
        }
    }
}

/// A service.
#[derive(Debug)]
pub struct Entry {
    /// `ai`, `images`, …
    pub name: &'static str,
    /// How bad it is when it is away.
    pub risk: Risk,
    /// What is lost while it is down, in plain English.
    pub lost: &'static str,
    /// Its own switch, `MOCK_MODE_AI`; `None`: it has no mock and is always real.
    pub switch: Option<&'static str>,
    /// Whether a real provider exists; else it stays mock whatever the mode says.
    pub built: bool,
    /// What it reads, whichever account is used.
    pub variables: &'static [Variable],
    /// The accounts it can be reached with.
    pub accounts: Accounts,
}

/// The accounts that a service can be reached with.
#[derive(Debug)]
pub enum Accounts {
    /// It has no others than its variables.
    None,
    /// It works without them; one that is begun must be complete.
    Besides(&'static [Account]),
    /// Any one of them that is complete will do.
    AnyOf(&'static [Account]),
    /// The one that this variable names.
    Chosen {
        /// The variable.
        by: &'static str,
        /// What it says when it is not set.
        default: &'static str,
        /// The choice.
        of: &'static [Account],
    },
}

/// One account of a service.
#[derive(Debug)]
pub struct Account {
    /// `shopify`, …
    pub name: &'static str,
    /// What it reads.
    pub variables: &'static [Variable],
}

/// What several services use and none of them needs: they belong to no row of the catalogue.
pub const GENERAL: &[Variable] =
    &[Variable::optional("PUBLIC_URL", http_url), Variable::optional("EMAIL_RETENTION_DAYS", days)];

/// The variables of [`GENERAL`] whose values cannot be right.
#[must_use]
pub fn general_faults(environment: &Environment<'_>) -> Vec<Malformed> {
    examine(GENERAL, environment).malformed
}

/// A variable of the environment.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Another name that is read when it is not set.
    pub also: Option<&'static str>,
    /// Whether the service works without it.
    pub need: Need,
    /// Whether its value must never be shown.
    pub secret: bool,
    check: Check,
}

/// Whether a service works without a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Never.
    Required,
    /// In development, where it has a default.
    InProduction,
    /// Unless this other variable is set.
    With(&'static str),
    /// Always.
    Optional,
}

/// Why a value is wrong: what completes "`NAME` …". Never quotes the value of a secret.
type Check = fn(&str, &Environment<'_>) -> Option<String>;

/// The variables, and where they are meant for.
pub struct Environment<'a> {
    /// Whether it is `APP_ENV=production`.
    pub production: bool,
    var: &'a dyn Fn(&str) -> Option<String>,
}

/// How a service is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The variables that are set, good or not.
    pub present: Vec<&'static str>,
    /// The variables that it needs and has not.
    pub missing: Vec<&'static str>,
    /// The variables whose values cannot be right.
    pub malformed: Vec<Malformed>,
    /// Whether everything is there that it needs to be real.
    pub configured: bool,
}

/// A variable whose value cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Its name.
    pub variable: &'static str,
    /// What is wrong with it; completes "`NAME` …".
    pub reason: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.variable, self.reason)
    }
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Environment").field("production", &self.production).finish_non_exhaustive()
    }
}

impl<'a> Environment<'a> {
    /// The variables as `var` gives them.
    pub fn new(production: bool, var: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { production, var }
    }

    /// The value of a variable, trimmed; an empty one counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        (self.var)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl Variable {
    const fn required(name: &'static str, check: Check) -> Self {
        Self { name, also: None, need: Need::Required, secret: false, check }
    }

    const fn optional(name: &'static str, check: Check) -> Self {
        Self { need: Need::Optional, ..Self::required(name, check) }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn needed(self, need: Need) -> Self {
        Self { need, ..self }
    }

    const fn or(self, also: &'static str) -> Self {
        Self { also: Some(also), ..self }
    }

    /// Its value, under either name.
    #[must_use]
    pub fn value(&self, environment: &Environment<'_>) -> Option<String> {
        environment.get(self.name).or_else(|| environment.get(self.also?))
    }

    fn is_needed(&self, environment: &Environment<'_>) -> bool {
        match self.need {
            Need::Required => true,
            Need::InProduction => environment.production,
            Need::With(other) => environment.has(other),
            Need::Optional => false,
        }
    }
}

impl Entry {
    /// The service of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SERVICES.iter().find(|service| service.name == name)
    }

    /// All variables that it may read, its switch not among them.
    pub fn all_variables(&self) -> impl Iterator<Item = &'static Variable> {
        let accounts = match &self.accounts {
            Accounts::None => &[][..],
            Accounts::Besides(accounts) | Accounts::AnyOf(accounts) | Accounts::Chosen { of: accounts, .. } => accounts,
        };
        self.variables.iter().chain(accounts.iter().flat_map(|account| account.variables))
    }

    /// How it is configured in this environment.
    #[must_use]
    pub fn state(&self, environment: &Environment<'_>) -> State {
        let mut state = examine(self.variables, environment);
        state.configured = state.is_complete();
        match &self.accounts {
            Accounts::None => {}
            Accounts::Besides(accounts) | Accounts::AnyOf(accounts) => {
                let states: Vec<_> = accounts.iter().map(|account| examine(account.variables, environment)).collect();
                let needs_one = matches!(self.accounts, Accounts::AnyOf(_));
                let untouched = states.iter().all(|state| state.present.is_empty());
                let one_works = states.iter().any(|state| !state.present.is_empty() && state.is_complete());
                state.configured &= one_works || !needs_one;
                // Of accounts that nobody began to set up, none is missed while another is there.
                let all = needs_one && untouched;
                states.into_iter().filter(|other| all || !other.present.is_empty()).for_each(|other| state.add(other));
            }
            Accounts::Chosen { by, default, of } => {
                let choice = environment.get(by).unwrap_or_else(|| (*default).to_owned());
                for account in *of {
                    let chosen = account.name == choice;
                    let mut other = examine(account.variables, environment);
                    if !chosen {
                        other.missing.clear();
                        other.malformed.clear();
                    }
                    state.configured &= other.is_complete();
                    state.add(other);
                }
            }
        }
        state
    }
}

impl State {
    fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.malformed.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.present.extend(other.present);
        self.missing.extend(other.missing);
        self.malformed.extend(other.malformed);
    }
}

fn examine(variables: &'static [Variable], environment: &Environment<'_>) -> State {
    let mut state = State::default();
    for variable in variables {
        match variable.value(environment) {
            Some(value) => {
                state.present.push(variable.name);
                if let Some(reason) = (variable.check)(&value, environment) {
                    state.malformed.push(Malformed { variable: variable.name, reason });
                }
            }
            None if variable.is_needed(environment) => state.missing.push(variable.name),
            None => {}
        }
    }
    state
}

/// All services, in the order in which they are listed everywhere.
pub static SERVICES: [Entry; 11] = [
    Entry {
        name: "ai",
        risk: Risk::P0,
        lost: "templates instead of written texts",
        switch: Some("MOCK_MODE_AI"),
        built: true,
        variables: &[
            Variable::required("OPENAI_API_KEY", openai_key).secret(),
            Variable::optional("OPENAI_BASE_URL", http_url),
            Variable::optional("OPENAI_MODEL", word),
            Variable::optional("CONTENT_ROUTES", anything),
        ],
        accounts: Accounts::Besides(&[Account {
            name: "fallback",
            variables: &[
                Variable::required("OPENAI_FALLBACK_BASE_URL", http_url),
                Variable::required("OPENAI_FALLBACK_API_KEY", word).secret(),
                Variable::required("OPENAI_FALLBACK_MODEL", word),
            ],
        }]),
    },
    Entry {
        name: "images",
        risk: Risk::P1,
        lost: "placeholders",
        switch: Some("MOCK_MODE_IMAGES"),
        built: false,
        variables: &[Variable::required("FAL_KEY", fal_key).secret(), Variable::optional("FAL_BASE_URL", http_url)],
        accounts: Accounts::None,
    },
    Entry {
        name: "payments",
        risk: Risk::P0,
        lost: "subscriptions and payments impossible",
        switch: Some("MOCK_MODE_PAYMENTS"),
        built: false,
        variables: &[
            Variable::required("STRIPE_API_KEY", stripe_key).secret(),
            Variable::required("STRIPE_WEBHOOK_SECRET", |value, _| prefix(value, "whsec_")).secret(),
            Variable::required("STRIPE_PRICE_ID_PRO", |value, _| prefix(value, "price_")),
            Variable::required("STRIPE_PRICE_ID_PREMIUM", |value, _| prefix(value, "price_")),
            Variable::required("STRIPE_PUBLISHABLE_KEY", stripe_publishable_key).or("REACT_APP_STRIPE_PUBLISHABLE_KEY"),
            Variable::optional("STRIPE_BASE_URL", http_url),
        ],
        accounts: Accounts::None,
    },
    Entry {
        name: "publication",
        risk: Risk::P1,
        lost: "nothing reaches the shops",
        switch: Some("MOCK_MODE_PUBLICATION"),
        built: false,
        variables: &[],
        accounts: Accounts::AnyOf(&[
            Account {
                name: "shopify",
                variables: &[
                    Variable::required("SHOPIFY_STORE_URL", shopify_url),
                    Variable::required("SHOPIFY_ACCESS_TOKEN", |value, _| prefix(value, "shpat_")).secret(),
                ],
            },
            Account {
                name: "woocommerce",
                variables: &[
                    Variable::required("WOO_STORE_URL", http_url),
                    Variable::required("WOO_CONSUMER_KEY", |value, _| prefix(value, "ck_")).secret(),
                    Variable::required("WOO_CONSUMER_SECRET", |value, _| prefix(value, "cs_")).secret(),
                ],
            },
            Account {
                name: "prestashop",
                variables: &[
                    Variable::required("PRESTA_STORE_URL", http_url),
                    Variable::required("PRESTA_API_KEY", presta_key).secret(),
                ],
            },
        ]),
    },
    Entry {
        name: "email",
        risk: Risk::P1,
        lost: "notifications are late",
        switch: Some("MOCK_MODE_EMAIL"),
        built: true,
        variables: &[
            Variable::required("SMTP_SERVER", host),
            Variable::required("SMTP_PORT", port),
            Variable::required("SENDER_EMAIL", sender),
            Variable::optional("SMTP_USERNAME", anything).needed(Need::With("SMTP_PASSWORD")),
            Variable::optional("SMTP_PASSWORD", anything).secret().needed(Need::With("SMTP_USERNAME")),
            Variable::optional("SMTP_USE_SSL", boolean),
            Variable::optional("SMTP_ALLOW_PLAIN", boolean),
            Variable::optional("SMTP_CA_FILE", anything),
            Variable::optional("SMTP_HELO", word),
            Variable::optional("SMTP_PER_HOUR", per_hour),
        ],
        accounts: Accounts::None,
    },
    Entry {
        name: "scraping",
        risk: Risk::P2,
        lost: "prices get old",
        switch: Some("MOCK_MODE_SCRAPING"),
        built: true,
        variables: &[
            Variable::optional("PROXY_PROVIDER", proxy_provider),
            Variable::optional("SCRAPE_ALLOW_HOSTS", anything),
        ],
        accounts: Accounts::Chosen {
            by: "PROXY_PROVIDER",
            default: "direct",
            of: &[
                Account { name: "direct", variables: &[] },
                Account {
                    name: "scraperapi",
                    variables: &[
                        Variable::required("SCRAPERAPI_KEY", word).secret(),
                        Variable::optional("SCRAPERAPI_BASE_URL", http_url),
                    ],
                },
                Account {
                    name: "brightdata",
                    variables: &[
                        Variable::required("BRIGHT_DATA_KEY", word).secret(),
                        Variable::required("BRIGHT_DATA_ZONE", word),
                        Variable::optional("BRIGHT_DATA_BASE_URL", http_url),
                    ],
                },
            ],
        },
    },
    Entry {
        name: "mongodb",
        risk: Risk::P0,
        lost: "results cannot be stored",
        switch: None,
        built: true,
        variables: &[
            Variable::required("MONGO_URL", mongo_url).secret().needed(Need::InProduction),
            Variable::optional("DB_NAME", database_name),
        ],
        accounts: Accounts::None,
    },
    Entry {
        name: "redis",
        risk: Risk::P2,
        lost: "no job is accepted or run",
        switch: None,
        built: true,
        variables: &[
            Variable::required("REDIS_URL", redis_url).secret().needed(Need::InProduction),
            Variable::optional("REDIS_PREFIX", anything),
        ],
        accounts: Accounts::None,
    },
    Entry {
        name: "backup",
        risk: Risk::P2,
        lost: "no copy elsewhere",
        switch: Some("MOCK_MODE_BACKUP"),
        built: false,
        variables: &[
            Variable::required("BACKUP_S3_BUCKET", bucket),
            Variable::required("AWS_ACCESS_KEY_ID", aws_key_id),
            Variable::required("AWS_SECRET_ACCESS_KEY", aws_secret).secret(),
            Variable::required("AWS_REGION", word),
            Variable::optional("AWS_ENDPOINT_URL", http_url),
        ],
        accounts: Accounts::None,
    },
    Entry {
        name: "monitoring",
        risk: Risk::P2,
        lost: "nobody is told",
        switch: Some("MOCK_MODE_MONITORING"),
        built: false,
        variables: &[],
        accounts: Accounts::AnyOf(&[
            Account { name: "heartbeat", variables: &[Variable::required("MONITORING_ENDPOINT", http_url).secret()] },
            Account { name: "sentry", variables: &[Variable::required("SENTRY_DSN", sentry_dsn).secret()] },
            Account {
                name: "datadog",
                variables: &[Variable::required("DATADOG_API_KEY", word).secret(), Variable::optional("DD_SITE", host)],
            },
        ]),
    },
    Entry {
        name: "security",
        risk: Risk::P0,
        lost: "the API cannot tell who calls",
        switch: None,
        built: true,
        variables: &[
            Variable::required("JWT_SECRET", jwt_secret).secret().needed(Need::InProduction),
            Variable::required("ENCRYPTION_KEY", encryption_key).secret().needed(Need::InProduction),
        ],
        accounts: Accounts::None,
    },
];

/// What a word of the environment says, if it is one of those for yes and no.
#[must_use]
pub fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Whether `host` is this machine, so that clear text does not leave it.
pub(crate) fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}

// ---- formats

fn must(good: bool, what: &str) -> Option<String> {
    (!good).then(|| what.to_owned())
}

fn anything(_: &str, _: &Environment<'_>) -> Option<String> {
    None
}

fn word(value: &str, _: &Environment<'_>) -> Option<String> {
    must(is_word(value), "must be one word of ASCII letters, digits and signs")
}

/// What fits into a header.
fn is_word(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}

fn prefix(value: &str, prefix: &str) -> Option<String> {
    let rest = value.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && is_word(rest));
    must(rest, &format!("must begin with {prefix} and be one word"))
}

fn boolean(value: &str, _: &Environment<'_>) -> Option<String> {
    must(truth(value).is_some(), "must be true or false")
}

fn http_url(value: &str, _: &Environment<'_>) -> Option<String> {
    must(web_url(value).is_some(), "must be an http:// or https:// URL")
}

pub(crate) fn web_url(value: &str) -> Option<Url> {
    Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn host(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = url::Host::parse(value).is_ok() || value.parse::<std::net::IpAddr>().is_ok();
    must(good, "must be the name or address of a host, without scheme and port")
}

fn port(value: &str, environment: &Environment<'_>) -> Option<String> {
    let Some(port) = value.parse::<u16>().ok().filter(|port| *port > 0) else {
        return Some("must be a port, 1 to 65535".to_owned());
    };
    let use_ssl = environment.get("SMTP_USE_SSL").and_then(|value| truth(&value)).unwrap_or(false);
    match (port, use_ssl) {
        // Each would wait for the other to speak first.
        (465, false) => Some("is 465, where TLS begins at once: set SMTP_USE_SSL=true, or use 587".to_owned()),
        (587 | 2525 | 25, true) => {
            Some(format!("is {port}, where TLS begins later: set SMTP_USE_SSL=false, or use 465"))
        }
        _ => None,
    }
}

fn per_hour(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = value.parse::<u32>().is_ok_and(|limit| limit >= SMALLEST_PER_HOUR);
    must(good, &format!("must be a whole number of at least {SMALLEST_PER_HOUR}"))
}

fn days(value: &str, _: &Environment<'_>) -> Option<String> {
    must(retention_days(value).is_some(), "must be a whole number of days, 1 to 3650")
}

pub(crate) fn retention_days(value: &str) -> Option<u32> {
    value.parse().ok().filter(|days| (1..=3650).contains(days))
}

fn sender(value: &str, _: &Environment<'_>) -> Option<String> {
    let problem = sender_mailbox(value).err()?;
    Some(format!("must be an e-mail address: it {problem}"))
}

/// Another end point may have keys of another form.
fn openai_key(value: &str, environment: &Environment<'_>) -> Option<String> {
    let base = environment.get("OPENAI_BASE_URL").and_then(|url| web_url(&url));
    let elsewhere = base.is_some_and(|url| url.host_str() != Some("api.openai.com"));
    if elsewhere { word(value, environment) } else { prefix(value, "sk-") }
}

fn fal_key(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = value.split_once(':').is_some_and(|(id, secret)| !id.is_empty() && !secret.is_empty());
    must(good && is_word(value), "must be of the form id:secret")
}

fn stripe_key(value: &str, environment: &Environment<'_>) -> Option<String> {
    stripe(value, &["sk_", "rk_"], environment)
}

fn stripe_publishable_key(value: &str, environment: &Environment<'_>) -> Option<String> {
    stripe(value, &["pk_"], environment)
}

fn stripe(value: &str, kinds: &[&str], environment: &Environment<'_>) -> Option<String> {
    let rest = kinds.iter().find_map(|kind| value.strip_prefix(kind));
    let mode = rest.and_then(|rest| rest.split_once('_')).filter(|(_, id)| !id.is_empty() && is_word(id));
    match (mode.map(|(mode, _)| mode), environment.production) {
        (Some("live"), true) | (Some("test"), false) => None,
        (Some("test"), true) => Some("is a test key, which takes no money: production needs a live key".to_owned()),
        (Some("live"), false) => Some("is a live key, which moves money: outside production use a test key".to_owned()),
        _ => {
            let forms: Vec<_> =
                kinds.iter().flat_map(|kind| [format!("{kind}live_"), format!("{kind}test_")]).collect();
            Some(format!("must begin with {}", forms.join(", ")))
        }
    }
}

fn shopify_url(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = web_url(value).is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        is_loopback(host) || (url.scheme() == "https" && host.ends_with(".myshopify.com"))
    });
    must(good, "must be the shop's permanent address, https://NAME.myshopify.com")
}

fn presta_key(value: &str, _: &Environment<'_>) -> Option<String> {
    must(is_word(value) && value.len() == 32, "must have exactly 32 characters")
}

fn proxy_provider(value: &str, _: &Environment<'_>) -> Option<String> {
    must(matches!(value, "direct" | "scraperapi" | "brightdata"), "must be direct, scraperapi or brightdata")
}

fn mongo_url(value: &str, _: &Environment<'_>) -> Option<String> {
    let rest = ["mongodb://", "mongodb+srv://"].iter().find_map(|scheme| value.strip_prefix(scheme));
    must(rest.is_some_and(|rest| !rest.is_empty()), "must be a mongodb:// or mongodb+srv:// URL")
}

fn database_name(value: &str, _: &Environment<'_>) -> Option<String> {
    let bad = |character: char| character.is_whitespace() || "/\\.\"$*<>:|?".contains(character);
    must(value.len() <= 63 && !value.contains(bad), "must have at most 63 bytes, without blanks and /\\.\"$*<>:|?")
}

fn redis_url(value: &str, _: &Environment<'_>) -> Option<String> {
    let schemes = ["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys"];
    let good = Url::parse(value).is_ok_and(|url| schemes.contains(&url.scheme()));
    must(good, "must be a redis:// or rediss:// URL")
}

fn bucket(value: &str, _: &Environment<'_>) -> Option<String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let good = (3..=63).contains(&value.len()) && value.bytes().all(inner);
    must(good, "must be the name of a bucket: 3 to 63 small letters, digits, dots and hyphens")
}

/// Another end point that speaks S3 may have keys of another form.
fn aws_key_id(value: &str, environment: &Environment<'_>) -> Option<String> {
    let good =
        (16..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if environment.has("AWS_ENDPOINT_URL") { None } else { must(good, "must have 16 to 128 letters and digits") }
}

fn aws_secret(value: &str, environment: &Environment<'_>) -> Option<String> {
    let good = environment.has("AWS_ENDPOINT_URL") || value.len() == 40;
    must(good && is_word(value), "must have exactly 40 characters")
}

fn sentry_dsn(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = web_url(value).is_some_and(|url| {
        let project = url.path().rsplit('/').next().unwrap_or_default();
        !url.username().is_empty() && !project.is_empty() && project.bytes().all(|byte| byte.is_ascii_digit())
    });
    must(good, "must be of the form https://KEY@HOST/PROJECT, where PROJECT is a number")
}

fn jwt_secret(value: &str, _: &Environment<'_>) -> Option<String> {
    let length = value.len();
    (length < 32)
        .then(|| format!("has {length} bytes and must have at least 32; make one with: openssl rand -base64 48"))
}

/// One key, or a ring of named keys, the newest first.
fn encryption_key(value: &str, _: &Environment<'_>) -> Option<String> {
    let is_name = |name: &str| {
        (1..=8).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let good = value.split(',').map(str::trim).all(|entry| match entry.split_once(':') {
        Some((name, key)) => is_name(name) && is_key(key),
        None => is_key(entry),
    });
    must(
        good,
        "must be 32 bytes in base64, or several as in k2:BASE64,k1:BASE64; make one with: openssl rand -base64 32",
    )
}

fn is_key(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let bytes =
        general_purpose::STANDARD_NO_PAD.decode(text).or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(text));
    bytes.is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A good value of every variable, for production.
    const GOOD: &[(&str, &str)] = &[
        ("OPENAI_API_KEY", "sk-proj-1"),
        ("FAL_KEY", "id:secret"),
        ("STRIPE_API_KEY", "sk_live_1"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_1"),
        ("STRIPE_PRICE_ID_PRO", "price_1"),
        ("STRIPE_PRICE_ID_PREMIUM", "price_2"),
        ("REACT_APP_STRIPE_PUBLISHABLE_KEY", "pk_live_1"),
        ("WOO_STORE_URL", "https://shop.example"),
        ("WOO_CONSUMER_KEY", "ck_1"),
        ("WOO_CONSUMER_SECRET", "cs_1"),
        ("SMTP_SERVER", "smtp.example"),
        ("SMTP_PORT", "587"),
        ("SENDER_EMAIL", "Shop <shop@example.org>"),
        ("MONGO_URL", "mongodb://a:b@db1,db2/?replicaSet=rs0"),
        ("REDIS_URL", "rediss://:pass@redis.example:6380/1"),
        ("BACKUP_S3_BUCKET", "shop-backups"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("AWS_REGION", "eu-west-3"),
        ("SENTRY_DSN", "https://key@sentry.example/42"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        (
            "ENCRYPTION_KEY",
            "k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ),
    ];

    /// The good values with these changes; an empty one is taken away.
    fn state_of(service: &str, production: bool, changes: &[(&str, &str)]) -> State {
        let vars: HashMap<_, _> = GOOD.iter().chain(changes).copied().collect();
        let var = |name: &str| vars.get(name).map(|value| (*value).to_owned());
        Entry::named(service).unwrap().state(&Environment::new(production, &var))
    }

    fn reason(service: &str, production: bool, name: &str, value: &str) -> Option<String> {
        let state = state_of(service, production, &[(name, value)]);
        state.malformed.into_iter().find(|malformed| malformed.variable == name).map(|malformed| malformed.reason)
    }

    #[test]
    fn a_full_environment_configures_every_service() {
        for service in &SERVICES {
            let state = state_of(service.name, true, &[]);
            assert!(
                state.configured && state.missing.is_empty() && state.malformed.is_empty(),
                "{}: {state:?}",
                service.name
            );
        }
    }

    #[test]
    fn an_empty_environment_misses_what_has_no_default() {
        let none = |_: &str| None;
        let configured = |production| {
            let environment = Environment::new(production, &none);
            let services = SERVICES.iter().filter(|service| service.state(&environment).configured);
            services.map(|service| service.name).collect::<Vec<_>>()
        };
        assert_eq!(configured(false), ["scraping", "mongodb", "redis", "security"]);
        assert_eq!(configured(true), ["scraping"]);
    }

    #[test]
    fn names_are_unique_and_switches_are_named_like_their_service() {
        let mut names: Vec<_> = SERVICES.iter().flat_map(Entry::all_variables).map(|variable| variable.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for service in &SERVICES {
            let switch = service.switch.unwrap_or_default();
            assert!(switch.is_empty() || switch == format!("MOCK_MODE_{}", service.name.to_uppercase()), "{switch}");
        }
    }

    #[test]
    fn one_complete_shop_is_enough_and_a_half_one_is_named() {
        let woo_gone = [("WOO_STORE_URL", ""), ("WOO_CONSUMER_KEY", ""), ("WOO_CONSUMER_SECRET", "")];
        let none = state_of("publication", true, &woo_gone);
        assert!(!none.configured);
        assert_eq!(none.missing.len(), 7, "every shop is missed: {:?}", none.missing);
        let half = state_of("publication", true, &[("PRESTA_STORE_URL", "https://p.example")]);
        assert!(half.configured, "WooCommerce works");
        assert_eq!(half.missing, ["PRESTA_API_KEY"]);
    }

    #[test]
    fn the_proxy_decides_which_key_scraping_needs() {
        assert!(state_of("scraping", true, &[("PROXY_PROVIDER", "direct")]).configured);
        let bright = state_of("scraping", true, &[("PROXY_PROVIDER", "brightdata"), ("SCRAPERAPI_KEY", "k")]);
        assert!(!bright.configured);
        assert_eq!(bright.missing, ["BRIGHT_DATA_KEY", "BRIGHT_DATA_ZONE"]);
        assert!(state_of("scraping", true, &[("PROXY_PROVIDER", "scraperapi"), ("SCRAPERAPI_KEY", "k")]).configured);
        let unknown = state_of("scraping", true, &[("PROXY_PROVIDER", "tor")]);
        assert!(!unknown.configured && unknown.missing.is_empty());
    }

    #[test]
    fn a_mail_account_needs_both_name_and_password() {
        assert_eq!(state_of("email", true, &[("SMTP_USERNAME", "u")]).missing, ["SMTP_PASSWORD"]);
        assert_eq!(state_of("email", true, &[("SMTP_PASSWORD", "p")]).missing, ["SMTP_USERNAME"]);
        assert!(reason("email", true, "SMTP_PORT", "465").unwrap().contains("SMTP_USE_SSL=true"));
        let ssl = [("SMTP_PORT", "465"), ("SMTP_USE_SSL", "true")];
        assert!(state_of("email", true, &ssl).configured);
    }

    #[test]
    fn test_keys_are_refused_in_production_and_live_keys_elsewhere() {
        for (name, test, live) in [
            ("STRIPE_API_KEY", "sk_test_1", "sk_live_1"),
            ("STRIPE_API_KEY", "rk_test_1", "rk_live_1"),
            ("STRIPE_PUBLISHABLE_KEY", "pk_test_1", "pk_live_1"),
        ] {
            assert!(reason("payments", true, name, test).unwrap().contains("test key"), "{test}");
            assert!(reason("payments", false, name, live).unwrap().contains("live key"), "{live}");
            assert_eq!(reason("payments", true, name, live), None);
            assert_eq!(reason("payments", false, name, test), None);
        }
    }

    #[test]
    fn wrong_formats_are_found_and_never_quoted() {
        let wrong = [
            ("ai", "OPENAI_API_KEY", "pk-hushhush"),
            ("ai", "OPENAI_API_KEY", "sk-hush hush"),
            ("ai", "OPENAI_BASE_URL", "api.openai.com/hushhush"),
            ("images", "FAL_KEY", "hushhush"),
            ("payments", "STRIPE_API_KEY", "pk_live_hushhush"),
            ("payments", "STRIPE_API_KEY", "sk_live_"),
            ("payments", "STRIPE_WEBHOOK_SECRET", "hushhush"),
            ("payments", "STRIPE_PRICE_ID_PRO", "prod_hushhush"),
            ("publication", "SHOPIFY_STORE_URL", "https://hushhush.example"),
            ("publication", "SHOPIFY_ACCESS_TOKEN", "hushhush"),
            ("publication", "WOO_CONSUMER_KEY", "cs_hushhush"),
            ("publication", "PRESTA_API_KEY", "hushhush"),
            ("email", "SMTP_SERVER", "smtp://hushhush:25"),
            ("email", "SMTP_PORT", "0"),
            ("email", "SMTP_PORT", "66000"),
            ("email", "SENDER_EMAIL", "hushhush"),
            ("email", "SMTP_USE_SSL", "hushhush"),
            ("mongodb", "MONGO_URL", "http://hushhush"),
            ("redis", "REDIS_URL", "hushhush:6379"),
            ("backup", "BACKUP_S3_BUCKET", "Hushhush"),
            ("backup", "AWS_ACCESS_KEY_ID", "hushhush"),
            ("backup", "AWS_SECRET_ACCESS_KEY", "hushhush"),
            ("monitoring", "SENTRY_DSN", "https://sentry.example/hushhush"),
            ("monitoring", "MONITORING_ENDPOINT", "hushhush"),
            ("security", "JWT_SECRET", "hushhush"),
            ("security", "ENCRYPTION_KEY", "hushhush"),
            ("security", "ENCRYPTION_KEY", "TOOLONG99:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ];
        for (service, name, value) in wrong {
            let reason = reason(service, true, name, value).unwrap_or_else(|| panic!("{name}={value} is taken"));
            assert!(!reason.contains("hushhush"), "{reason}");
        }
    }

    #[test]
    fn half_a_second_end_point_is_named_and_harms_nothing() {
        assert_eq!(state_of("ai", true, &[]).missing, [""; 0]);
        let half = state_of("ai", true, &[("OPENAI_FALLBACK_API_KEY", "k")]);
        assert!(half.configured);
        assert_eq!(half.missing, ["OPENAI_FALLBACK_BASE_URL", "OPENAI_FALLBACK_MODEL"]);
    }

    #[test]
    fn another_end_point_may_have_other_keys() {
        let elsewhere = [("OPENAI_API_KEY", "any"), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")];
        assert!(state_of("ai", true, &elsewhere).configured);
        let minio = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("AWS_ACCESS_KEY_ID", "minio"),
            ("AWS_SECRET_ACCESS_KEY", "minio123"),
        ];
        assert!(state_of("backup", true, &minio).configured);
    }
}
