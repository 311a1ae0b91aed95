//! `OpenAI`'s Responses API with structured output. The client's own retries are off, because the queue counts attempts.

use std::{sync::Arc, time::Duration};

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError, middleware::HttpRequestFactory};
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::BoxError;

use super::author::{Author, BadAnswer, Models, Reply, Wire};
use super::exchange::{Account, Failure, Pause, WireError, quote};
use super::routes::Routes;
use super::{ContentRequest, Tokens, prompt};
use crate::ProviderError;

const ACCOUNT: Account =
    Account { service: "openai", key: "OPENAI_API_KEY", base_url: "OPENAI_BASE_URL", model: "OPENAI_MODEL" };

/// The protocol.
pub(super) struct Responses {
    client: Client<OpenAIConfig>,
}

/// The author behind these settings; `OPENAI_MODEL` is already part of `routes`.
pub(super) fn author(
    settings: &crate::OpenAi,
    timeout: Duration,
    routes: Arc<Routes>,
) -> Result<Author<Responses>, ProviderError> {
    let key = ACCOUNT.sendable_key(settings)?;
    let http = ACCOUNT.client(timeout)?;
    let config = OpenAIConfig::new().with_api_base(&settings.base_url).with_api_key(key);
    let pause = Arc::new(Pause::default());
    let of_client = Arc::clone(&pause);
    let service = tower::service_fn(move |factory| send(http.clone(), Arc::clone(&of_client), factory));
    let wire = Responses { client: Client::with_config(config).with_http_service(service) };
    Ok(Author::new(ACCOUNT, wire, Models::Routed, routes, pause))
}

impl Wire for Responses {
    fn ask<'a>(
        &'a self,
        model: &'a str,
        request: &'a ContentRequest,
        complaint: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        async move {
            let body = body(model, request, complaint);
            let answer: Value = self.client.responses().create_byot(body).await.map_err(failure)?;
            Ok(read(answer)?)
        }
        .boxed()
    }
}

fn body(model: &str, request: &ContentRequest, complaint: Option<&str>) -> Value {
    json!({
        "model": model,
        "instructions": prompt::instructions(request, complaint),
        "input": prompt::product_data(request).to_string(),
        "max_output_tokens": prompt::most_output(request),
        "reasoning": { "effort": "low" },
        "store": false,
        "text": { "format": {
            "type": "json_schema", "name": prompt::SCHEMA_NAME, "strict": true, "schema": prompt::schema(request.language),
        } },
    })
}

/// Goes the common way instead of the client's own, which would drop the headers and log bodies.
async fn send(
    http: reqwest::Client,
    pause: Arc<Pause>,
    factory: HttpRequestFactory,
) -> Result<reqwest::Response, BoxError> {
    let request = factory.build().await?;
    let body = ACCOUNT.exchange(&http, request, &pause).await?;
    Ok(http::Response::new(body).into())
}

fn failure(error: OpenAIError) -> Failure {
    let unsent = |error: String| ACCOUNT.transient(format!("the request could not be sent: {error}")).into();
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(error) => unsent(error.to_string()),
        },
        // Nothing else passes `send`; the text of a decoding error would hold the body.
        OpenAIError::JSONDeserialize(..) => ACCOUNT.transient("the answer is not JSON".to_owned()).into(),
        error => unsent(error.to_string()),
    }
}

/// The parts of a reply that matter; everything else may change without harm.
#[derive(Deserialize)]
struct WireReply {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<WireError>,
    #[serde(default)]
    incomplete_details: Option<WireIncomplete>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    output: Vec<WireItem>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireIncomplete {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireItem {
    #[serde(default)]
    content: Option<Vec<WirePart>>,
}

#[derive(Deserialize)]
struct WirePart {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    total_tokens: u64,
}

/// Sorts an answer with status 200, which is not yet success.
fn read(answer: Value) -> Result<Reply, ProviderError> {
    let wire: WireReply = serde_json::from_value(answer)
        .map_err(|error| ACCOUNT.transient(format!("the answer has another form: {}", quote(&error.to_string()))))?;
    let tokens = wire.usage.map_or_else(Tokens::default, |usage| Tokens {
        input: usage.input_tokens,
        output: usage.output_tokens,
        total: usage.total_tokens,
    });
    let text = match wire.status.as_deref() {
        Some("completed") => text_of(wire.output),
        Some("incomplete") => {
            let reason = wire.incomplete_details.and_then(|details| details.reason);
            Err(BadAnswer::cut_off(reason.as_deref()))
        }
        status => return Err(unfinished(status, wire.error)),
    };
    Ok(Reply { text, model: wire.model, tokens })
}

/// The text of all messages, unless one is a refusal.
fn text_of(output: Vec<WireItem>) -> Result<String, BadAnswer> {
    let mut text = String::new();
    for part in output.into_iter().filter_map(|item| item.content).flatten() {
        match part.r#type.as_str() {
            "refusal" => return Err(BadAnswer::Refused(part.refusal.unwrap_or_default())),
            "output_text" => text.push_str(&part.text.unwrap_or_default()),
            _ => {}
        }
    }
    if text.is_empty() { Err(BadAnswer::Broken("the answer holds no text".to_owned())) } else { Ok(text) }
}

fn unfinished(status: Option<&str>, error: Option<WireError>) -> ProviderError {
    let error = error.unwrap_or_default();
    let code = error.code();
    let message = format!(
        "the answer is {}: {} {}",
        quote(status.unwrap_or("without a status")),
        quote(&code),
        quote(&error.message.unwrap_or_default())
    );
    if code == "rate_limit_exceeded" {
        return ProviderError::RateLimited { service: ACCOUNT.service, message, retry_after: None };
    }
    ACCOUNT.transient(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_header_can_hold_is_refused_at_start_and_not_shown() {
        let settings = crate::OpenAi {
            api_key: "sk-secret\n".to_owned().into(),
            base_url: "http://127.0.0.1:1/v1".to_owned(),
            model: None,
        };
        let error = author(&settings, Duration::from_secs(1), Routes::open(None, None)).unwrap_err();
        assert_eq!(error.code(), "provider_misconfigured");
        assert!(!error.to_string().contains("secret"));
    }
}
