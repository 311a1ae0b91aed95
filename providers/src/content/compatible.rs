//! A second end point that speaks `OpenAI`'s protocol, another vendor's or one of our own: chat completions, which all of them
//! understand, with the answer's form as a JSON schema, or in whatever way it knows ([`Dialect`]).

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use super::answer::{BadAnswer, Written, count, text_of};
use super::author::{Author, Models, Reply, Wire};
use super::dialect::{Dialect, Form, Length};
use super::end_point::{EndPoint, Failure};
use super::exchange::Pause;
use super::routes::Routes;
use super::task::{self, Task};
use super::text::Tokens;
use crate::ProviderError;

const END_POINT: EndPoint = EndPoint {
    service: "openai-second",
    key: "OPENAI_FALLBACK_API_KEY",
    base_url: "OPENAI_FALLBACK_BASE_URL",
    model: "OPENAI_FALLBACK_MODEL",
    is_its_vendor: false,
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
    settings: &services::OpenAi,
    timeout: Duration,
    routes: Arc<Routes>,
) -> Result<Author<Chat>, ProviderError> {
    let key = END_POINT.sendable_key(settings)?;
    let model =
        settings.model.clone().ok_or_else(|| END_POINT.misconfigured(format!("{} is not set", END_POINT.model)))?;
    let pause = Arc::new(Pause::default());
    let wire = Chat {
        http: END_POINT.client(timeout)?,
        url: format!("{}/chat/completions", settings.base_url.trim_end_matches('/')),
        authorization: (!key.is_empty()).then(|| format!("Bearer {key}")),
        pause: Arc::clone(&pause),
    };
    Ok(Author::new(END_POINT, wire, Models::One(model), routes, pause))
}

impl Wire for Chat {
    const DIALECT: Dialect = Dialect::CHAT;

    fn ask<'a>(
        &'a self,
        model: &'a str,
        task: &'a dyn Task,
        complaint: Option<&'a str>,
        dialect: Dialect,
    ) -> BoxFuture<'a, Result<Reply, Failure>> {
        async move {
            let mut post = self.http.post(&self.url).header(CONTENT_TYPE, "application/json");
            if let Some(authorization) = &self.authorization {
                post = post.header(AUTHORIZATION, authorization);
            }
            let post = post.body(body(model, task, complaint, dialect).to_string()).build();
            let post = post.map_err(|_| END_POINT.misconfigured(format!("check {}", END_POINT.base_url)))?;
            let answer = END_POINT.exchange(&self.http, post, &self.pause).await?;
            Ok(read(answer)?)
        }
        .boxed()
    }
}

/// Only what every vendor knows: no effort, no tier, nothing about storing.
fn body(model: &str, task: &dyn Task, complaint: Option<&str>, dialect: Dialect) -> Value {
    // Some take a schema and pass it over: after a bad answer it is said in words, too.
    let in_words = dialect.form != Form::Schema || complaint.is_some();
    let mut body = json!({
        "model": model,
        "messages": [
            { "role": "system", "content": task::instructions(task, complaint, in_words) },
            { "role": "user", "content": task.input() },
        ],
    });
    match dialect.length {
        Length::Current => body["max_completion_tokens"] = json!(task.most_output()),
        Length::Former => body["max_tokens"] = json!(task.most_output()),
        Length::Unlimited => {}
    }
    match dialect.form {
        Form::Schema => {
            body["response_format"] = json!({ "type": "json_schema", "json_schema": {
                "name": task.form_name(), "strict": true, "schema": task.schema(),
            } });
        }
        Form::Json => body["response_format"] = json!({ "type": "json_object" }),
        Form::Words => {}
    }
    body
}

/// Sorts an answer with status 200, which is not yet success. Everything but what matters may have any form, or be missing.
fn read(answer: Vec<Value>) -> Result<Reply, ProviderError> {
    let answer = whole(answer);
    let choice = &answer["choices"][0];
    if !choice.is_object() {
        return Err(END_POINT.transient("the answer holds no choice".to_owned()));
    }
    let usage = &answer["usage"];
    let tokens = count(&usage["prompt_tokens"]).zip(count(&usage["completion_tokens"])).map(|(input, output)| Tokens {
        input,
        output,
        total: count(&usage["total_tokens"]).unwrap_or(input + output),
    });
    Ok(Reply { written: written(choice), model: answer["model"].as_str().map(str::to_owned), tokens })
}

fn written(choice: &Value) -> Result<Written, BadAnswer> {
    let message = &choice["message"];
    if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
        return Err(BadAnswer::Refused(refusal.to_owned()));
    }
    // Some vendors leave it out.
    let ended =
        choice["finish_reason"].as_str().filter(|reason| !matches!(reason.to_lowercase().as_str(), "" | "stop"));
    if ended.is_some_and(|reason| reason.eq_ignore_ascii_case("content_filter")) {
        return Err(BadAnswer::cut_off(ended));
    }
    // A server that takes all for thoughts has nothing but these.
    let thoughts = [&message["reasoning_content"], &message["reasoning"], &message["thinking"]];
    let places = [&message["content"], &message["tool_calls"][0]["function"]["arguments"], &choice["text"]];
    let texts = places.into_iter().chain(thoughts).map(text_of).filter(|text| !text.trim().is_empty());
    Ok(Written { texts: texts.collect(), ended: ended.map(str::to_owned) })
}

/// The answer as one value: the one that came whole, or what the pieces of a stream add up to.
fn whole(mut pieces: Vec<Value>) -> Value {
    let is_piece = |piece: &Value| piece["choices"][0]["delta"].is_object();
    if !pieces.iter().any(is_piece) {
        let last = pieces.iter().rposition(|piece| piece["choices"][0].is_object()).unwrap_or(0);
        return if pieces.is_empty() { Value::Null } else { pieces.swap_remove(last) };
    }
    let text_at =
        |pointer: &str| -> String { pieces.iter().filter_map(|piece| piece.pointer(pointer)).map(text_of).collect() };
    let last_at = |pointer: &str| {
        let values = pieces.iter().rev().filter_map(|piece| piece.pointer(pointer));
        values.into_iter().find(|value| !value.is_null()).cloned().unwrap_or_default()
    };
    let thoughts = ["reasoning_content", "reasoning"].map(|name| text_at(&format!("/choices/0/delta/{name}")));
    json!({
        "model": last_at("/model"),
        "usage": last_at("/usage"),
        "choices": [{
            "finish_reason": last_at("/choices/0/finish_reason"),
            "message": {
                "content": text_at("/choices/0/delta/content"),
                "refusal": text_at("/choices/0/delta/refusal"),
                "reasoning_content": thoughts.concat(),
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::request::tests::request;

    fn reply(message: &Value, finish_reason: Option<&str>) -> Result<Written, BadAnswer> {
        let answer = json!({
            "id": "x", "model": "m-2026", "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 4 },
        });
        let reply = read(vec![answer]).unwrap();
        let tokens = Some(Tokens { input: 3, output: 4, total: 7 });
        assert_eq!((reply.model.as_deref(), reply.tokens), (Some("m-2026"), tokens));
        reply.written
    }

    fn texts(texts: &[&str]) -> Result<Written, BadAnswer> {
        Ok(Written { texts: texts.iter().map(|&text| text.to_owned()).collect(), ended: None })
    }

    #[test]
    fn the_text_is_wherever_the_vendor_puts_it() {
        let message = json!({ "role": "assistant", "content": "{}", "refusal": null });
        for finish_reason in [Some("stop"), Some("STOP"), Some(""), None] {
            assert_eq!(reply(&message, finish_reason), texts(&["{}"]));
        }
        assert_eq!(reply(&json!({ "content": null, "reasoning_content": "{}" }), Some("stop")), texts(&["{}"]));
        assert_eq!(reply(&json!({ "content": "", "reasoning": "{}" }), Some("stop")), texts(&["{}"]));
        assert_eq!(reply(&json!({ "content": "a", "reasoning_content": "b" }), Some("stop")), texts(&["a", "b"]));
        let parts = json!([{ "type": "thinking", "thinking": [] }, { "type": "text", "text": "{}" }]);
        assert_eq!(reply(&json!({ "content": parts, "refusal": "" }), Some("stop")), texts(&["{}"]));
        let call = json!([{ "function": { "name": "f", "arguments": "{}" } }]);
        let called = reply(&json!({ "content": null, "tool_calls": call }), Some("tool_calls")).unwrap();
        assert_eq!((called.texts, called.ended.as_deref()), (vec!["{}".to_owned()], Some("tool_calls")));
        assert_eq!(reply(&json!({ "content": null }), Some("stop")), texts(&[]));
    }

    #[test]
    fn what_is_refused_is_no_text() {
        let text = json!({ "content": "{" });
        assert!(matches!(reply(&text, Some("content_filter")), Err(BadAnswer::Refused(_))));
        let refusal = json!({ "content": null, "refusal": "no" });
        assert_eq!(reply(&refusal, Some("stop")), Err(BadAnswer::Refused("no".to_owned())));
    }

    #[test]
    fn usage_that_is_not_told_is_not_known() {
        for usage in [json!(null), json!({}), json!({ "prompt_tokens": null, "completion_tokens": null }), json!("?")] {
            let answer = json!({ "choices": [{ "message": { "content": "a" } }], "usage": usage });
            assert_eq!(read(vec![answer]).unwrap().tokens, None, "{usage}");
        }
    }

    #[test]
    fn the_pieces_of_a_stream_make_one_answer() {
        let piece = |delta: Value, reason: Value, usage: Value| {
            json!({ "object": "chat.completion.chunk", "model": "m", "usage": usage,
                "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] })
        };
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9 });
        let pieces = vec![
            piece(json!({ "role": "assistant", "content": "" }), json!(null), json!(null)),
            piece(json!({ "reasoning_content": "hm" }), json!(null), json!(null)),
            piece(json!({ "content": "{" }), json!(null), json!(null)),
            piece(json!({ "content": "}" }), json!("length"), json!(null)),
            json!({ "model": "m", "choices": [], "usage": usage }),
        ];
        let reply = read(pieces).unwrap();
        let written = Written { texts: vec!["{}".to_owned(), "hm".to_owned()], ended: Some("length".to_owned()) };
        assert_eq!((reply.written, reply.model.as_deref()), (Ok(written), Some("m")));
        assert_eq!(reply.tokens, Some(Tokens { input: 3, output: 4, total: 9 }));
        let at_once = json!({ "choices": [{ "message": { "content": "a" } }] });
        assert_eq!(read(vec![at_once, json!([])]).unwrap().written, texts(&["a"]));
    }

    #[test]
    fn an_answer_of_another_form_is_transient() {
        for answer in [json!({ "choices": [] }), json!({ "choices": "x" }), json!([])] {
            let code = read(vec![answer.clone()]).err().map(|error| error.code());
            assert_eq!(code, Some("provider_unavailable"), "{answer}");
        }
    }

    #[test]
    fn what_an_end_point_does_not_know_is_said_in_words_or_left_out() {
        let of = |form, length| body("m", &request(), None, Dialect { form, length, effort: false });
        let instructions = |body: &Value| body["messages"][0]["content"].as_str().unwrap().to_owned();
        let today = of(Form::Schema, Length::Current);
        assert!(today["max_completion_tokens"].is_u64() && today["max_tokens"].is_null());
        assert!(!instructions(&today).contains("additionalProperties"));
        let older = of(Form::Json, Length::Former);
        assert!(older["max_tokens"].is_u64() && older["max_completion_tokens"].is_null());
        assert_eq!(older["response_format"], json!({ "type": "json_object" }));
        assert!(instructions(&older).contains("JSON") && instructions(&older).contains("additionalProperties"));
        let least = of(Form::Words, Length::Unlimited);
        assert_eq!(least.as_object().unwrap().keys().collect::<Vec<_>>(), ["messages", "model"]);
        assert!(instructions(&least).contains("additionalProperties"));
    }

    #[test]
    fn product_data_is_no_instruction_and_the_form_is_a_strict_schema() {
        let request = request();
        let body = body("m", &request, Some("too long"), Dialect::CHAT);
        let messages = body["messages"].as_array().unwrap();
        assert_eq!((&messages[0]["role"], &messages[1]["role"]), (&json!("system"), &json!("user")));
        let instructions = messages[0]["content"].as_str().unwrap();
        assert!(!instructions.contains(&request.name) && instructions.contains("too long"));
        // Some take a schema and pass it over.
        assert!(instructions.contains("additionalProperties"));
        assert!(messages[1]["content"].as_str().unwrap().contains(&request.name));
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    }
}
