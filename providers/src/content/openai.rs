//! `OpenAI`'s Responses API with structured output. The client's own retries are off, because the queue counts attempts.

use std::{sync::Arc, time::Duration};

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError, middleware::HttpRequestFactory};
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tower::BoxError;

use super::answer::{BadAnswer, Written, count, text_of};
use super::author::{Author, Models, Reply, Wire};
use super::dialect::{Dialect, Form, Length};
use super::end_point::{EndPoint, Failure, quote};
use super::exchange::Pause;
use super::routes::Routes;
use super::task::{self, Task};
use super::text::Tokens;
use crate::ProviderError;

const END_POINT: EndPoint = EndPoint {
    service: "openai",
    key: "OPENAI_API_KEY",
    base_url: "OPENAI_BASE_URL",
    model: "OPENAI_MODEL",
    is_its_vendor: true,
};

/// The protocol.
pub(super) struct Responses {
    client: Client<OpenAIConfig>,
}

/// The author behind these settings; `OPENAI_MODEL` is already part of `routes`.
pub(super) fn author(
    settings: &services::OpenAi,
    timeout: Duration,
    routes: Arc<Routes>,
) -> Result<Author<Responses>, ProviderError> {
    let key = END_POINT.sendable_key(settings)?;
    let http = END_POINT.client(timeout)?;
    let config = OpenAIConfig::new().with_api_base(&settings.base_url).with_api_key(key);
    let pause = Arc::new(Pause::default());
    let of_client = Arc::clone(&pause);
    let service = tower::service_fn(move |factory| send(http.clone(), Arc::clone(&of_client), factory));
    let wire = Responses { client: Client::with_config(config).with_http_service(service) };
    Ok(Author::new(END_POINT, wire, Models::Routed, routes, pause))
}

impl Wire for Responses {
    const DIALECT: Dialect = Dialect::RESPONSES;

    fn ask<'a>(
        &'a self,
        model: &'a str,
        task: &'a dyn Task,
        complaint: Option<&'a str>,
        dialect: Dialect,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        async move {
            let body = body(model, task, complaint, dialect);
            let answer: Value = self.client.responses().create_byot(body).await.map_err(failure)?;
            Ok(read(&answer)?)
        }
        .boxed()
    }
}

fn body(model: &str, task: &dyn Task, complaint: Option<&str>, dialect: Dialect) -> Value {
    let mut body = json!({
        "model": model,
        "instructions": task::instructions(task, complaint, dialect.form != Form::Schema),
        "input": task.input(),
        "store": false,
    });
    if dialect.length != Length::Unlimited {
        body["max_output_tokens"] = json!(task.most_output());
    }
    if dialect.effort {
        body["reasoning"] = json!({ "effort": "low" });
    }
    match dialect.form {
        Form::Schema => {
            body["text"] = json!({ "format": {
                "type": "json_schema", "name": task.form_name(), "strict": true, "schema": task.schema(),
            } });
        }
        Form::Json => body["text"] = json!({ "format": { "type": "json_object" } }),
        Form::Words => {}
    }
    body
}

/// Goes the common way instead of the client's own, which would drop the headers and log bodies.
async fn send(
    http: reqwest::Client,
    pause: Arc<Pause>,
    factory: HttpRequestFactory,
) -> Result<reqwest::Response, BoxError> {
    let request = factory.build().await?;
    let answer = whole(END_POINT.exchange(&http, request, &pause).await?);
    Ok(http::Response::new(answer.to_string()).into())
}

/// The answer as one value: the one that came whole, or the last state that a stream tells.
fn whole(mut pieces: Vec<Value>) -> Value {
    match pieces.iter().rposition(|piece| piece["response"].is_object()) {
        Some(last) => pieces.swap_remove(last)["response"].take(),
        None => pieces.into_iter().next().unwrap_or_default(),
    }
}

fn failure(error: OpenAIError) -> Failure {
    let unsent = |error: String| END_POINT.transient(format!("the request could not be sent: {error}")).into();
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(error) => unsent(error.to_string()),
        },
        // Nothing else passes `send`; the text of a decoding error would hold the body.
        OpenAIError::JSONDeserialize(..) => END_POINT.transient("the answer is not JSON".to_owned()).into(),
        error => unsent(error.to_string()),
    }
}

/// Sorts an answer with status 200, which is not yet success. Everything but what matters may have any form, or be missing. One that
/// failed does not come here.
fn read(answer: &Value) -> Result<Reply, ProviderError> {
    let usage = &answer["usage"];
    let tokens = count(&usage["input_tokens"]).zip(count(&usage["output_tokens"])).map(|(input, output)| Tokens {
        input,
        output,
        total: count(&usage["total_tokens"]).unwrap_or(input + output),
    });
    let incomplete = &answer["incomplete_details"]["reason"];
    let ended = match answer["status"].as_str() {
        Some("completed") => None,
        Some("incomplete") => Some(incomplete.as_str().unwrap_or("no reason given")),
        None if answer["output"].is_array() => None,
        status => {
            let status = quote(status.unwrap_or("without a status"));
            return Err(END_POINT.transient(format!("the answer is {status}")));
        }
    };
    let written = if ended == Some("content_filter") { Err(BadAnswer::cut_off(ended)) } else { written(answer, ended) };
    Ok(Reply { written, model: answer["model"].as_str().map(str::to_owned), tokens })
}

/// The text of all messages, unless one is a refusal.
fn written(answer: &Value, ended: Option<&str>) -> Result<Written, BadAnswer> {
    let items = answer["output"].as_array().into_iter().flatten();
    let (mut text, mut thoughts) = (String::new(), String::new());
    for content in items.map(|item| &item["content"]) {
        text.push_str(&text_of(content));
        for part in content.as_array().into_iter().flatten() {
            match part["type"].as_str() {
                Some("refusal") => {
                    return Err(BadAnswer::Refused(part["refusal"].as_str().unwrap_or_default().to_owned()));
                }
                Some("reasoning_text") => thoughts.push_str(part["text"].as_str().unwrap_or_default()),
                _ => {}
            }
        }
    }
    let texts = [text, thoughts].into_iter().filter(|text| !text.trim().is_empty()).collect();
    Ok(Written { texts, ended: ended.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::request::tests::request;

    #[test]
    fn a_key_that_no_header_can_hold_is_refused_at_start_and_not_shown() {
        let settings = services::OpenAi {
            api_key: "sk-secret\n".to_owned().into(),
            base_url: "http://127.0.0.1:1/v1".to_owned(),
            model: None,
        };
        let error = author(&settings, Duration::from_secs(1), Routes::open(None, None)).unwrap_err();
        assert_eq!(error.code(), "provider_misconfigured");
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn the_text_is_read_from_a_stream_and_from_what_leaves_out_the_rest() {
        let output = json!([{ "type": "reasoning", "content": [{ "type": "reasoning_text", "text": "hm" }] },
            { "type": "message", "content": [{ "type": "output_text", "text": "{}" }] }]);
        let written = Ok(Written { texts: vec!["{}".to_owned(), "hm".to_owned()], ended: None });
        let event =
            |kind: &str, status: &str| json!({ "type": kind, "response": { "status": status, "output": output } });
        let streamed = whole(vec![event("response.created", "in_progress"), event("response.completed", "completed")]);
        for answer in [streamed, json!({ "output": output, "usage": null, "model": 1 })] {
            let reply = read(&answer).unwrap();
            assert_eq!((&reply.written, reply.tokens, reply.model), (&written, None, None), "{answer}");
        }
        for answer in [json!({ "status": "queued" }), json!({}), json!([])] {
            assert_eq!(read(&answer).err().map(|error| error.code()), Some("provider_unavailable"), "{answer}");
        }
    }

    #[test]
    fn what_is_refused_is_no_text_and_what_is_whole_is_one_however_it_ended() {
        let answer = |part: Value, reason: &str| {
            json!({ "status": "incomplete", "incomplete_details": { "reason": reason },
                "output": [{ "type": "message", "content": [part] }] })
        };
        let text = || json!({ "type": "output_text", "text": "{}" });
        let read = |answer: Value| read(&answer).unwrap().written;
        let whole = Written { texts: vec!["{}".to_owned()], ended: Some("max_output_tokens".to_owned()) };
        assert_eq!(read(answer(text(), "max_output_tokens")), Ok(whole));
        assert!(matches!(read(answer(text(), "content_filter")), Err(BadAnswer::Refused(_))));
        let refusal = json!({ "type": "refusal", "refusal": "I will not" });
        assert_eq!(read(answer(refusal, "x")), Err(BadAnswer::Refused("I will not".to_owned())));
    }

    #[test]
    fn the_form_is_said_in_words_where_no_schema_is_taken() {
        let of = |form| body("m", &request(), None, Dialect { form, ..Dialect::RESPONSES });
        for (form, format, in_words) in [
            (Form::Schema, json!("json_schema"), false),
            (Form::Json, json!("json_object"), true),
            (Form::Words, json!(null), true),
        ] {
            let body = of(form);
            assert_eq!(body["text"]["format"]["type"], format);
            assert_eq!(body["instructions"].as_str().unwrap().contains("additionalProperties"), in_words, "{form:?}");
        }
    }
}
