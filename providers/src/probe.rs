//! Whether the outside services answer, asked in a way that costs nothing and changes nothing.

use std::time::{Duration, Instant};

use async_recursion::async_recursion as boxed;
use fleet::Fleet;
use futures::future::join_all;
use reqwest::redirect::Policy;
use secrecy::ExposeSecret;
use services::{Config, Name, OpenAi};

use crate::{
    content, email,
    error::{Hold, ProviderError},
    http, payments,
    publication::Shops,
};

/// Longer than a healthy service takes.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The mail server's greeting may be held back to scare off spammers.
const MAIL_TIMEOUT: Duration = Duration::from_secs(10);
/// A shop looks at several rights, one after the other.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks a configured service whether it answers, whatever the mode: how long that took, or why it does not. `None` for one that is
/// not configured, and for one that cannot be asked for free. With `login` the mail server is asked to take our password, which it
/// may not like to be asked often.
#[boxed]
pub async fn probe(config: &Config, service: Name, login: bool) -> Option<Result<Duration, String>> {
    let started = Instant::now();
    let result = match service {
        Name::Ai => within(TIMEOUT, openai(config.openai.as_ref()?, &content::usual_model(config))).await,
        Name::Email => within(MAIL_TIMEOUT, email::probe(config.smtp.as_ref()?, login)).await,
        Name::Payments if config.is_configured(service) => within(TIMEOUT, payments::probe(config)).await,
        // Their own limits count what they are asked.
        Name::Publication if login => stores(config).await?,
        _ => return None,
    };
    Some(result.map(|()| started.elapsed()).map_err(|error| config.secrets.redact(error)))
}

/// Whether the environment's stores take their credentials, all of them; `None` when nobody can ask.
async fn stores(config: &Config) -> Option<Result<(), String>> {
    let mut config = config.clone();
    config.real.push(Name::Publication);
    let shops = match Shops::new(&config, &Fleet::alone()) {
        Ok(shops) => shops,
        Err(error) => return Some(Err(error.to_string())),
    };
    let tested = shops.stores().iter().map(|store| shops.test(store, STORE_TIMEOUT));
    let tested = join_all(tested).await;
    let cannot_ask = |error: &ProviderError| matches!(error, ProviderError::Held { hold: Hold::NotConfigured, .. });
    if tested.iter().all(|tested| tested.as_ref().is_err_and(cannot_ask)) {
        return None;
    }
    let errors: Vec<String> = tested.into_iter().filter_map(|tested| Some(tested.err()?.to_string())).collect();
    Some(if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) })
}

async fn within(time: Duration, asked: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {} s", time.as_secs()));
    tokio::time::timeout(time, asked).await.unwrap_or_else(late)
}

/// Looks up the model that writes most texts, for which nothing is billed.
async fn openai(settings: &OpenAi, model: &str) -> Result<(), String> {
    let client = http::client().redirect(Policy::none()).build();
    let client = client.map_err(|error| format!("no HTTP client can be built: {error}"))?;
    let url = format!("{}/models/{}", settings.base_url, model);
    let request = client.get(url).bearer_auth(settings.api_key.expose_secret());
    let answer = request.send().await.map_err(|error| innermost(&error))?;
    match answer.status().as_u16() {
        200..=299 => Ok(()),
        401 | 403 => Err(format!("{}: OPENAI_API_KEY is refused", answer.status())),
        404 => Err(format!("{}: there is no model {model:?} (OPENAI_MODEL, CONTENT_ROUTES)", answer.status())),
        _ => Err(format!("it answers {}", answer.status())),
    }
}

/// The cause without the address, which is known.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("cannot be reached: {cause}")
}
