//! What fal's answers say. It has two forms of errors: of the queue itself (`{"detail": "…", "error_type": "…"}`), and of a model
//! (`{"detail": [{"loc": […], "msg": "…", "type": "…"}]}`); the same headers go with both.

use chrono::Utc;
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Original, Pictures, Pixels, Run, RunState};
use crate::{ProviderError, wait};

pub(super) const NAME: &str = "fal";
/// So much of what it says is quoted, in characters.
const QUOTED: usize = 300;

/// An answer, good or bad.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    /// Null when it is no JSON.
    pub(super) body: Value,
    text: String,
}

impl Answered {
    pub(super) fn new(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).chars().take(QUOTED).collect();
        Self { status, headers, body: serde_json::from_slice(body).unwrap_or(Value::Null), text }
    }

    /// Its first words.
    pub(super) fn said(&self) -> &str {
        self.text.trim()
    }

    pub(super) fn says(&self, word: &str) -> bool {
        self.text.contains(word)
    }

    /// What a refused submit means.
    pub(super) fn refusal_of_submit(&self, model: &str) -> ProviderError {
        let message = || format!("{}: {}", self.status, self.reason());
        match self.status.as_u16() {
            404 => {
                let message = format!("{}: there is no model {model:?} (FAL_MODEL): {}", self.status, self.reason());
                ProviderError::Misconfigured { service: NAME, message }
            }
            // Of a gateway, behind which the run may have begun. Those of fal say why.
            500.. if self.body["detail"].is_null() => ProviderError::UnknownOutcome {
                service: NAME,
                message: format!("the submit was answered {}", message()),
            },
            _ => self.refusal(),
        }
    }

    /// What a refused call means.
    pub(super) fn refusal(&self) -> ProviderError {
        let message = format!("{}: {}", self.status, self.reason());
        let retry_after = wait::retry_after(&self.headers, Utc::now());
        match self.status.as_u16() {
            401..=403 => ProviderError::Misconfigured { service: NAME, message },
            429 => ProviderError::RateLimited { service: NAME, message, retry_after },
            504 if self.header("x-fal-request-timeout-type") == "user" => {
                ProviderError::Unable { service: NAME, message }
            }
            408 | 409 | 425 | 500.. => ProviderError::Transient { service: NAME, message, retry_after },
            400..=499 => ProviderError::Rejected { service: NAME, message },
            _ => ProviderError::Transient { service: NAME, message, retry_after },
        }
    }

    /// The state of a run that the queue says it does not know; `None` when it does not say so.
    pub(super) fn state_of_lost(&self, run: &Run) -> Option<RunState> {
        let is_lost = self.status == StatusCode::NOT_FOUND && !self.body["detail"].is_null();
        is_lost.then(|| failed(run, &format!("it is not known any more: {}", self.reason()), true))
    }

    /// The state of a run whose result is refused; `None` when only the call failed.
    pub(super) fn state_of_failed(&self, run: &Run) -> Option<RunState> {
        if self.body["detail"].is_null() || matches!(self.status.as_u16(), 401..=403 | 408 | 409 | 425 | 429) {
            return None;
        }
        if self.header("x-fal-request-timeout-type") == "user" {
            let message = format!("run {} did not start in time: {}", run.request_id, self.reason());
            return Some(RunState::Failed(ProviderError::Unable { service: NAME, message }));
        }
        let is_cancelled = self.body["error_type"].as_str().is_some_and(was_cancelled);
        let again = self.status.is_server_error() || self.status == StatusCode::NOT_FOUND || is_cancelled;
        Some(failed(run, &format!("{}: {}", self.status, self.reason()), again))
    }

    /// The state of a run that is complete and says why it failed.
    pub(super) fn failure_in_status(&self, run: &Run) -> Option<RunState> {
        let error = self.body["error"].as_str()?;
        let kind = self.body["error_type"].as_str().unwrap_or_default();
        Some(failed(run, &format!("{error} {kind}"), may_come_again(kind)))
    }

    fn header(&self, name: &str) -> &str {
        wait::header(&self.headers, name).unwrap_or_default()
    }

    fn reason(&self) -> String {
        reason(&self.body).unwrap_or_else(|| self.said().to_owned())
    }
}

/// Why, in its words, with the fields that it names.
fn reason(body: &Value) -> Option<String> {
    let text = match &body["detail"] {
        Value::String(text) => text.clone(),
        Value::Array(details) => {
            let detail = |detail: &Value| {
                let path = detail["loc"].as_array().into_iter().flatten();
                let path: Vec<String> = path.filter(|part| *part != "body").map(plain).collect();
                let (path, message) = (path.join("."), plain(&detail["msg"]));
                let kind = detail["type"].as_str().map(|kind| format!(" ({kind})")).unwrap_or_default();
                if path.is_empty() { format!("{message}{kind}") } else { format!("{path}: {message}{kind}") }
            };
            details.iter().map(detail).collect::<Vec<_>>().join("; ")
        }
        _ => return None,
    };
    let kind = body["error_type"].as_str().map(|kind| format!(" ({kind})")).unwrap_or_default();
    Some(text.chars().take(QUOTED).collect::<String>() + &kind)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A run that ended without pictures.
fn failed(run: &Run, why: &str, again: bool) -> RunState {
    let message = format!("run {} failed: {}", run.request_id, why.trim());
    RunState::Failed(if again {
        ProviderError::Transient { service: NAME, message, retry_after: None }
    } else {
        ProviderError::Rejected { service: NAME, message }
    })
}

/// Whether a failure of this type is one of the machines, and not of what was asked for. The list may be longer than what is documented.
fn may_come_again(kind: &str) -> bool {
    kind.starts_with("runner_")
        || kind.ends_with("_timeout")
        || was_cancelled(kind)
        || matches!(kind, "" | "internal_server_error" | "internal_error")
}

/// Somebody wanted no more of that run. A job that asks for it was made ready again meanwhile, and wants another one.
fn was_cancelled(kind: &str) -> bool {
    kind.contains("cancel")
}

/// What a model puts out.
#[derive(Deserialize)]
struct Output {
    images: Vec<Image>,
    #[serde(default)]
    has_nsfw_concepts: Option<Vec<Option<bool>>>,
    #[serde(default)]
    seed: Option<Value>,
}

#[derive(Deserialize)]
struct Image {
    url: String,
}

/// The pictures of a run that is complete.
pub(super) fn made(run: &Run, output: &Value) -> RunState {
    let again = |why: &str| failed(run, why, true);
    let Ok(Output { images, has_nsfw_concepts, seed }) = Output::deserialize(output) else {
        return again("its result names no pictures");
    };
    let marks = has_nsfw_concepts.unwrap_or_default();
    let seed = seed.and_then(|seed| seed.as_u64()).unwrap_or_default();
    let (mut pictures, mut flagged) = (Vec::new(), Vec::new());
    for (place, Image { url }) in (0..run.count).zip(images) {
        if marks.get(place as usize).copied().flatten() == Some(true) {
            flagged.push(place);
            continue;
        }
        let Ok(address) = Url::parse(&url) else { return again("its result names a picture without an address") };
        pictures.push(Original { place, seed, pixels: Pixels::At(address) });
    }
    match (pictures.is_empty(), flagged.is_empty()) {
        (true, true) => again("it made no pictures"),
        (true, false) => failed(run, "all that it made was flagged as unfit to be shown; change the prompt", false),
        (false, _) => {
            let (model, cost) = (run.model.clone(), run.cost.clone());
            RunState::Made(Pictures { model, cost, mock: false, pictures, flagged })
        }
    }
}

/// What a webhook tells of a run; `None` when it is of another one, or its payload did not come along.
pub(super) fn of_webhook(run: &Run, body: &Value) -> Option<RunState> {
    if body["request_id"].as_str() != Some(&run.request_id) {
        return None;
    }
    let payload = &body["payload"];
    match body["status"].as_str()? {
        "OK" if payload.is_object() => Some(made(run, payload)),
        "ERROR" => {
            let error = body["error"].as_str().unwrap_or_default();
            let kinds = payload["detail"].as_array().into_iter().flatten().any(|detail| detail["type"].is_string());
            let why = reason(payload).unwrap_or_default();
            let kind = payload["error_type"].as_str().unwrap_or_default();
            Some(failed(run, &format!("{error} {why}"), !kinds && may_come_again(kind)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Run {
        let (request_id, model) = ("r-1".to_owned(), "flux".to_owned());
        Run { request_id, model, addresses: None, begun_ms: 0, deadline_s: 600, count: 2, cost: None }
    }

    #[test]
    fn a_webhook_tells_the_pictures_or_why_there_are_none() {
        let of = |body: Value| of_webhook(&run(), &body);
        let output = json!({ "images": [{ "url": "https://v3.fal.media/0.jpeg" }, { "url": "https://v3.fal.media/1.jpeg" }], "seed": 7 });
        let state = of(json!({ "request_id": "r-1", "status": "OK", "payload": output }));
        let Some(RunState::Made(pictures)) = state else { panic!("{state:?}") };
        assert_eq!((pictures.pictures.len(), pictures.pictures[1].seed, pictures.pictures[1].place), (2, 7, 1));
        assert_eq!(of(json!({ "request_id": "r-2", "status": "OK", "payload": output })), None);
        assert_eq!(
            of(json!({ "request_id": "r-1", "status": "OK", "payload": null, "payload_error": "too large" })),
            None
        );
        let detail =
            json!({ "detail": [{ "loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation" }] });
        let state = of(json!({ "request_id": "r-1", "status": "ERROR", "error": "Unprocessable", "payload": detail }));
        assert!(matches!(&state, Some(RunState::Failed(ProviderError::Rejected { .. }))), "{state:?}");
        let lost = json!({ "request_id": "r-1", "status": "ERROR", "error": "Runner disconnected", "payload": { "detail": "x", "error_type": "runner_disconnected" } });
        assert!(matches!(of(lost), Some(RunState::Failed(ProviderError::Transient { .. }))));
    }

    #[test]
    fn nonsense_is_no_picture() {
        for output in [
            json!({}),
            json!([]),
            json!({ "images": [] }),
            json!({ "images": [{ "url": "no address" }] }),
            json!({ "images": [{}] }),
        ] {
            let state = made(&run(), &output);
            assert!(matches!(state, RunState::Failed(ProviderError::Transient { .. })), "{output}");
        }
    }
}
