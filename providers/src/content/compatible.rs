//! A second end point that speaks `OpenAI`'s protocol, another vendor's or one of our own: chat completions, which all of them
//! understand, with the answer's form as a JSON schema.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::author::{Author, BadAnswer, Models, Reply, Wire};
use super::exchange::{Account, Failure, Pause, quote};
use super::routes::Routes;
use super::{ContentRequest, Tokens, prompt};
use crate::ProviderError;

const ACCOUNT: Account = Account {
    service: "openai-second",
    key: "OPENAI_FALLBACK_API_KEY",
    base_url: "OPENAI_FALLBACK_BASE_URL",
    model: "OPENAI_FALLBACK_MODEL",
};

/// The protocol.
pub(super) struct Chat {
    http: reqwest::Client,
    url: String,
    /// The header's value; `None` for an end point that wants no key.
    authorization: Option<String>,
    pause: Arc<Pause>,
}

/// The author behind these settings.
pub(super) fn author(
    settings: &crate::OpenAi,
    timeout: Duration,
    routes: Arc<Routes>,
) -> Result<Author<Chat>, ProviderError> {
    let key = ACCOUNT.sendable_key(settings)?;
    let model = settings.model.clone().ok_or_else(|| ACCOUNT.misconfigured(format!("{} is not set", ACCOUNT.model)))?;
    let pause = Arc::new(Pause::default());
    let wire = Chat {
        http: ACCOUNT.client(timeout)?,
        url: format!("{}/chat/completions", settings.base_url.trim_end_matches('/')),
        authorization: (!key.is_empty()).then(|| format!("Bearer {key}")),
        pause: Arc::clone(&pause),
    };
    Ok(Author::new(ACCOUNT, wire, Models::One(model), routes, pause))
}

impl Wire for Chat {
    fn ask<'a>(
        &'a self,
        model: &'a str,
        request: &'a ContentRequest,
        complaint: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        async move {
            let mut post = self.http.post(&self.url).header(CONTENT_TYPE, "application/json");
            if let Some(authorization) = &self.authorization {
                post = post.header(AUTHORIZATION, authorization);
            }
            let post = post.body(body(model, request, complaint).to_string()).build();
            let post = post.map_err(|_| ACCOUNT.misconfigured(format!("check {}", ACCOUNT.base_url)))?;
            let answer = ACCOUNT.exchange(&self.http, post, &self.pause).await?;
            Ok(read(&answer)?)
        }
        .boxed()
    }
}

/// Only what every vendor knows: no effort, no tier, nothing about storing.
fn body(model: &str, request: &ContentRequest, complaint: Option<&str>) -> Value {
    json!({
        "model": model,
        "messages": [
            { "role": "system", "content": prompt::instructions(request, complaint) },
            { "role": "user", "content": prompt::product_data(request).to_string() },
        ],
        "max_completion_tokens": prompt::most_output(request),
        "response_format": { "type": "json_schema", "json_schema": {
            "name": prompt::SCHEMA_NAME, "strict": true, "schema": prompt::schema(request.language),
        } },
    })
}

/// The parts of a reply that matter; everything else may change without harm.
#[derive(Deserialize)]
struct WireReply {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<WireChoice>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireChoice {
    #[serde(default)]
    message: WireMessage,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct WireMessage {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    total_tokens: Option<u64>,
}

/// Sorts an answer with status 200, which is not yet success.
fn read(answer: &[u8]) -> Result<Reply, ProviderError> {
    let wire: WireReply = serde_json::from_slice(answer)
        .map_err(|error| ACCOUNT.transient(format!("the answer has another form: {}", quote(&error.to_string()))))?;
    let tokens = wire.usage.map_or_else(Tokens::default, |usage| Tokens {
        input: usage.prompt_tokens,
        output: usage.completion_tokens,
        total: usage.total_tokens.unwrap_or(usage.prompt_tokens + usage.completion_tokens),
    });
    let Some(choice) = wire.choices.into_iter().next() else {
        return Err(ACCOUNT.transient("the answer holds no choice".to_owned()));
    };
    Ok(Reply { text: text_of(choice), model: wire.model, tokens })
}

fn text_of(choice: WireChoice) -> Result<String, BadAnswer> {
    let WireMessage { content, refusal } = choice.message;
    if let Some(refusal) = refusal.filter(|refusal| !refusal.is_empty()) {
        return Err(BadAnswer::Refused(refusal));
    }
    match choice.finish_reason.as_deref() {
        // Some vendors leave it out.
        Some("stop") | None => {}
        reason => return Err(BadAnswer::cut_off(reason)),
    }
    let content = content.filter(|content| !content.is_empty());
    content.ok_or_else(|| BadAnswer::Broken("the answer holds no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::tests::request;

    fn reply(message: &Value, finish_reason: Option<&str>) -> Result<String, BadAnswer> {
        let answer = json!({
            "id": "x", "model": "m-2026", "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 4 },
        });
        let reply = read(answer.to_string().as_bytes()).unwrap();
        assert_eq!((reply.model.as_deref(), reply.tokens), (Some("m-2026"), Tokens { input: 3, output: 4, total: 7 }));
        reply.text
    }

    #[test]
    fn a_finished_message_is_the_text() {
        let message = json!({ "role": "assistant", "content": "{}", "refusal": null });
        assert_eq!(reply(&message, Some("stop")), Ok("{}".to_owned()));
        assert_eq!(reply(&message, None), Ok("{}".to_owned()));
    }

    #[test]
    fn what_is_refused_cut_off_or_empty_is_no_text() {
        let text = json!({ "content": "{" });
        let broken = |message: &Value, reason| match reply(message, reason).unwrap_err() {
            BadAnswer::Broken(why) => why,
            BadAnswer::Refused(why) => panic!("refused: {why}"),
        };
        assert!(broken(&text, Some("length")).contains("too long"));
        assert!(broken(&text, Some("tool_calls")).contains("tool_calls"));
        assert!(broken(&json!({ "content": null }), Some("stop")).contains("no text"));
        assert!(matches!(reply(&text, Some("content_filter")), Err(BadAnswer::Refused(_))));
        let refusal = json!({ "content": null, "refusal": "no" });
        assert_eq!(reply(&refusal, Some("stop")), Err(BadAnswer::Refused("no".to_owned())));
    }

    #[test]
    fn an_answer_of_another_form_is_transient() {
        for answer in [r#"{"choices":[]}"#, r#"{"choices":"x"}"#, "[]"] {
            assert_eq!(
                read(answer.as_bytes()).err().map(|error| error.code()),
                Some("provider_unavailable"),
                "{answer}"
            );
        }
    }

    #[test]
    fn product_data_is_no_instruction_and_the_form_is_a_strict_schema() {
        let request = request();
        let body = body("m", &request, Some("too long"));
        let messages = body["messages"].as_array().unwrap();
        assert_eq!((&messages[0]["role"], &messages[1]["role"]), (&json!("system"), &json!("user")));
        let instructions = messages[0]["content"].as_str().unwrap();
        assert!(!instructions.contains(&request.name) && instructions.contains("too long"));
        assert!(messages[1]["content"].as_str().unwrap().contains(&request.name));
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    }
}
