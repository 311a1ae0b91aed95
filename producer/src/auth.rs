//! Who calls: JSON Web Tokens (HS256).

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind};
use queue::DEFAULT_TENANT;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    answer::{Problem, Type},
    jwt,
    request::{self, Twice},
};

/// Issuer and audience of every token.
const ISSUER: &str = "ecomsimply";
/// Clocks of two machines may differ by so much.
const LEEWAY_S: u64 = 5;
const TENANT_AT_MOST: usize = 64;
const TENANT_RULE: &str = "1 to 64 letters, digits, _, . and -";

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Enqueue, cancel, retry.
    JobsWrite,
    /// Look at jobs and queues.
    JobsRead,
    /// Replay and delete dead jobs.
    QueuesAdmin,
    /// Change recurring jobs.
    SchedulesWrite,
    /// Switch between mock and real.
    ModeWrite,
    /// Change and test stores.
    StoresWrite,
    /// Look at subscriptions and invoices.
    PaymentsRead,
    /// Subscribe, change and cancel.
    PaymentsWrite,
    /// Everything, for every tenant.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::JobsWrite,
        Self::JobsRead,
        Self::QueuesAdmin,
        Self::SchedulesWrite,
        Self::ModeWrite,
        Self::StoresWrite,
        Self::PaymentsRead,
        Self::PaymentsWrite,
        Self::Admin,
    ];

    /// Its name in the claim `scope`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JobsWrite => "jobs:write",
            Self::JobsRead => "jobs:read",
            Self::QueuesAdmin => "queues:admin",
            Self::SchedulesWrite => "schedules:write",
            Self::ModeWrite => "mode:write",
            Self::StoresWrite => "stores:write",
            Self::PaymentsRead => "payments:read",
            Self::PaymentsWrite => "payments:write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text that names no [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no scope is named {0:?}; known: jobs:write, jobs:read, queues:admin, schedules:write, mode:write, stores:write, payments:read, \
     payments:write, admin"
)]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == name).ok_or_else(|| UnknownScope(name.to_owned()))
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the token: {0}")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: i64,
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    scope: String,
}

/// Makes a token for `subject` that is good for `lifetime`. Without a tenant it is `default`.
///
/// # Errors
/// [`SignError`] when the cryptography library refuses.
pub fn sign(
    secret: &SecretString,
    subject: &str,
    tenant: Option<&str>,
    scopes: &[Scope],
    lifetime: Duration,
) -> Result<String, SignError> {
    let lifetime_s = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires_at = Utc::now().timestamp().saturating_add(lifetime_s);
    sign_until(secret, subject, tenant, scopes, expires_at)
}

/// Like [`sign`], until `expires_at` (Unix seconds).
pub(crate) fn sign_until(
    secret: &SecretString,
    subject: &str,
    tenant: Option<&str>,
    scopes: &[Scope],
    expires_at: i64,
) -> Result<String, SignError> {
    let scope = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
    jwt::provide();
    let claims = Claims { sub: subject, exp: expires_at, iss: ISSUER, aud: ISSUER, tenant, scope };
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.expose_secret().as_bytes()))?)
}

/// Checks tokens.
pub(crate) struct Auth {
    key: DecodingKey,
    validation: Validation,
    secret: SecretString,
}

impl Auth {
    pub(crate) fn new(secret: &SecretString) -> Self {
        jwt::provide();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["sub", "exp", "iss", "aud"]);
        Self { key: DecodingKey::from_secret(secret.expose_secret().as_bytes()), validation, secret: secret.clone() }
    }

    /// Signs a token and checks it: how long that took, or what does not work.
    pub(crate) fn self_test(&self) -> Result<Duration, String> {
        let started = Instant::now();
        let token = sign(&self.secret, "self-test", None, &[], Duration::from_secs(1)).map_err(|e| e.to_string())?;
        self.caller(&token).map_err(|_| "a token that was just signed is refused".to_owned())?;
        Ok(started.elapsed())
    }

    fn caller(&self, token: &str) -> Result<Caller, Problem> {
        // Read by hand, so that a claim of another type can be named.
        let token =
            decode::<Map<String, Value>>(token, &self.key, &self.validation).map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => {
                    Problem::new(Type::TokenExpired, "the token has expired; ask for a new one")
                }
                ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
                    unauthorized(&breaks_at(token))
                }
                reason => unauthorized(&reason_in_words(reason)),
            })?;
        // What it names must be understood, says RFC 7515, and nothing of it is.
        if token.header.crit.is_some() {
            return Err(unauthorized("it has the header crit, none of whose extensions is known"));
        }
        let subject = claim(&token.claims, "sub")?.ok_or_else(|| unauthorized("the claim sub is missing"))?;
        let tenant = claim(&token.claims, "tenant")?.unwrap_or(DEFAULT_TENANT);
        if !is_tenant(tenant) {
            return Err(unauthorized(&format!("the claim tenant must be {TENANT_RULE}")));
        }
        // Scopes of a later release mean nothing here.
        let scope = claim(&token.claims, "scope")?.unwrap_or_default();
        let scopes = scope.split_whitespace().filter_map(|name| name.parse().ok()).collect();
        Ok(Caller { subject: subject.to_owned(), tenant: tenant.to_owned(), scopes })
    }
}

/// A claim that is text, or null, or absent.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Problem> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(unauthorized(&format!("the claim {name} must be a string"))),
    }
}

fn unauthorized(reason: &str) -> Problem {
    Problem::new(Type::Unauthorized, format!("the token is not good: {reason}"))
}

/// What is wrong with a token, and what is allowed.
fn reason_in_words(reason: &ErrorKind) -> String {
    match reason {
        // One of another type counts as missing.
        ErrorKind::MissingRequiredClaim(name) if name == "exp" => {
            "the claim exp is missing, or is not a number of seconds since 1970".to_owned()
        }
        ErrorKind::MissingRequiredClaim(name) => format!("the claim {name} is missing, or is no string"),
        ErrorKind::InvalidClaimFormat(name) => format!("the claim {name} has the wrong type"),
        ErrorKind::InvalidIssuer => format!("the claim iss must be {ISSUER}"),
        ErrorKind::InvalidAudience => format!("the claim aud must be {ISSUER}"),
        ErrorKind::ImmatureSignature => "the claim nbf is in the future".to_owned(),
        ErrorKind::InvalidSignature => "it is signed with another secret, or was changed".to_owned(),
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm must be HS256".to_owned()
        }
        other => format!("{other:?}"),
    }
}

/// Where a token cannot be read. Of one whose signature nobody has looked at, nothing is told but what it says itself.
fn breaks_at(token: &str) -> String {
    let json = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let parts: Vec<&str> = token.split('.').collect();
    let no_token = |what: &str| format!("it is no JSON Web Token: {what}");
    let [header, claims, signature] = parts[..] else {
        return no_token("three parts in base64, with points between them");
    };
    let (Some(header), claims) = (json(header), json(claims)) else {
        return no_token("its first part is no JSON in base64");
    };
    if header["alg"] != "HS256" {
        let alg = header["alg"].as_str().unwrap_or("something else");
        return format!("its algorithm must be HS256, not {alg:.20}");
    }
    match claims {
        None => no_token("its second part is no JSON in base64"),
        Some(Value::Object(claims)) => match ["exp", "nbf"].into_iter().find(|name| is_no_number(&claims, name)) {
            Some(name) => format!("the claim {name} must be a number of seconds since 1970"),
            None if URL_SAFE_NO_PAD.decode(signature).is_err() => no_token("its third part is no base64"),
            None => "a claim has the wrong type: exp and nbf are numbers, iss, aud and sub strings".to_owned(),
        },
        Some(_) => "its claims must be a JSON object".to_owned(),
    }
}

fn is_no_number(claims: &Map<String, Value>, name: &str) -> bool {
    claims.get(name).is_some_and(|claim| !claim.is_number())
}

/// Whether it can be the name of a tenant: it becomes part of Redis keys.
fn is_tenant(name: &str) -> bool {
    (1..=TENANT_AT_MOST).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Who sent the request. As an argument of a handler it refuses a request without a good token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) subject: String,
    pub(crate) tenant: String,
    scopes: Vec<Scope>,
}

impl Caller {
    pub(crate) fn is_admin(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// Refuses a token without `scope`.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.is_admin() || self.scopes.contains(&scope) {
            return Ok(());
        }
        let has: Vec<_> = self.scopes.iter().map(|scope| scope.name()).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(" ") };
        Err(Problem::new(Type::Forbidden, format!("the token needs the scope {scope}; it has {has}")))
    }

    /// Whether it may see what belongs to `tenant`.
    pub(crate) fn may_see(&self, tenant: &str) -> bool {
        self.is_admin() || self.tenant == tenant
    }

    /// The tenant that a request means: the one that it `asked` for, which only `admin` may if it is another, or the caller's own.
    pub(crate) fn tenant_of(&self, asked: Option<String>) -> Result<String, Problem> {
        let Some(tenant) = asked else { return Ok(self.tenant.clone()) };
        if !self.may_see(&tenant) {
            let detail = "the token needs the scope admin for what belongs to another tenant";
            return Err(Problem::new(Type::Forbidden, detail));
        }
        if is_tenant(&tenant) {
            return Ok(tenant);
        }
        Err(request::bad_parameter("tenant", &format!("must be {TENANT_RULE}")))
    }

    /// The same of a list: `None` is every tenant, which `admin` means when it asks for none.
    pub(crate) fn tenants_of(&self, asked: Option<String>) -> Result<Option<String>, Problem> {
        if asked.is_none() && self.is_admin() { Ok(None) } else { self.tenant_of(asked).map(Some) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |detail: &str| Problem::new(Type::Unauthorized, detail);
        let header = request::only(&parts.headers, header::AUTHORIZATION)
            .map_err(|Twice| refused("the header Authorization must be given once"))?;
        let bearer = header.and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
        match bearer {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Arc::from_ref(state).caller(token.trim()),
            Some((scheme, _)) => Err(Problem::new(
                Type::Unauthorized,
                format!("the header Authorization must be Bearer <token>, not {scheme:.40}"),
            )),
            None if header.is_some_and(|value| !value.is_empty()) => {
                Err(refused("the header Authorization must be Bearer <token>, with a space between them"))
            }
            None => Err(refused("the header Authorization: Bearer <token> is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse};

    use super::*;

    #[test]
    fn a_tenant_sees_its_own_and_only_an_admin_names_another_of_a_name_that_can_be() {
        let caller =
            |scopes: &[Scope]| Caller { subject: "u".to_owned(), tenant: "acme".to_owned(), scopes: scopes.to_vec() };
        let (own, admin) = (caller(&[Scope::JobsRead]), caller(&[Scope::Admin]));
        let asked = |name: &str| Some(name.to_owned());
        let status = |refused: Problem| refused.into_response().status();
        for caller in [&own, &admin] {
            assert_eq!(caller.tenant_of(None).unwrap(), "acme");
            assert_eq!(caller.tenant_of(asked("acme")).unwrap(), "acme");
            assert_eq!(caller.tenants_of(asked("acme")).unwrap(), asked("acme"));
        }
        assert_eq!(own.tenants_of(None).unwrap(), asked("acme"));
        assert_eq!(admin.tenants_of(None).unwrap(), None, "all");
        assert_eq!(admin.tenant_of(asked("bolt-2.x_y")).unwrap(), "bolt-2.x_y");
        let too_long = "x".repeat(TENANT_AT_MOST + 1);
        for name in ["bolt", "", "a b", "a{b}", too_long.as_str()] {
            assert_eq!(status(own.tenant_of(asked(name)).unwrap_err()), StatusCode::FORBIDDEN, "{name:?}");
            assert_eq!(status(own.tenants_of(asked(name)).unwrap_err()), StatusCode::FORBIDDEN, "{name:?}");
            if name != "bolt" {
                let refused = status(admin.tenant_of(asked(name)).unwrap_err());
                assert_eq!(refused, StatusCode::UNPROCESSABLE_ENTITY, "{name:?}");
            }
        }
    }
}
