//! What fal's answers say. It has two forms of errors: of the queue itself (`{"detail": "…", "error_type": "…"}`), and of a model
//! (`{"detail": [{"loc": […], "msg": "…", "type": "…"}]}`); the same headers go with both.

use chrono::Utc;
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Original, Pictures, Pixels, Run, RunFailure, RunState};
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
            // Of a gateway that waited in vain for what may have been begun behind it. Fal's own says why; all others are not billed.
            504 if self.body["detail"].is_null() => ProviderError::UnknownOutcome {
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
        is_lost.then(|| {
            let error = failure(run, &format!("it is not known any more: {}", self.reason()), Then::Again);
            RunState::Failed(RunFailure { error, is_billed: false, is_certain: false })
        })
    }

    /// The state of a run whose result is refused; `None` when only the call failed.
    pub(super) fn state_of_failed(&self, run: &Run) -> Option<RunState> {
        if self.body["detail"].is_null() || matches!(self.status.as_u16(), 401..=403 | 408 | 409 | 425 | 429) {
            return None;
        }
        let why = format!("{}: {}", self.status, self.reason());
        let kind = self.body["error_type"].as_str().unwrap_or_default();
        let then = if self.header("x-fal-request-timeout-type") == "user" {
            Then::Never
        } else if self.status.is_server_error() || self.status == StatusCode::NOT_FOUND || kind.contains("cancel") {
            Then::Again
        } else {
            Then::NeverOfThis
        };
        // The same status may come from the way to a result that is there.
        let is_certain = then == Then::Never || !self.status.is_server_error() && self.status != StatusCode::NOT_FOUND;
        Some(RunState::Failed(RunFailure { error: failure(run, &why, then), is_billed: false, is_certain }))
    }

    /// The state of a run that is complete and says why it failed.
    pub(super) fn failure_in_status(&self, run: &Run) -> Option<RunState> {
        let error = self.body["error"].as_str()?;
        let kind = self.body["error_type"].as_str().unwrap_or_default();
        Some(failed(run, &format!("{error} {kind}"), Then::after(kind)))
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

/// What may be done after a run that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Another one may be made.
    Again,
    /// A stand-in may draw.
    Never,
    /// No other would do better: it is what was asked for.
    NeverOfThis,
}

impl Then {
    /// After a failure of this type. The list of types may be longer than what is documented.
    fn after(kind: &str) -> Self {
        const REFUSALS: [&str; 3] = ["content_policy_violation", "no_media_generated", "value_error"];
        if may_come_again(kind) {
            Self::Again
        } else if REFUSALS.contains(&kind) || kind.starts_with("image_") {
            Self::NeverOfThis
        } else {
            Self::Never
        }
    }
}

/// Whether a failure of this type is one of the machines, or of who wanted no more of that run, and not of what was asked for.
fn may_come_again(kind: &str) -> bool {
    kind.starts_with("runner_")
        || kind.ends_with("_timeout")
        || kind.contains("cancel")
        || matches!(kind, "" | "internal_server_error" | "internal_error")
}

fn failure(run: &Run, why: &str, then: Then) -> ProviderError {
    let message = format!("run {} failed: {}", run.request_id, why.trim());
    match then {
        Then::Again => ProviderError::Transient { service: NAME, message, retry_after: None },
        Then::Never => ProviderError::Unable { service: NAME, message },
        Then::NeverOfThis => ProviderError::Rejected { service: NAME, message },
    }
}

/// A run that ended without pictures, for which nothing is billed.
fn failed(run: &Run, why: &str, then: Then) -> RunState {
    RunState::Failed(RunFailure { error: failure(run, why, then), is_billed: false, is_certain: true })
}

/// A run that is complete and billed, with nothing that could be shown.
fn useless(run: &Run, why: &str, then: Then) -> RunState {
    RunState::Failed(RunFailure { error: failure(run, why, then), is_billed: true, is_certain: true })
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
    let nothing = |why: &str| useless(run, why, Then::Never);
    let Ok(Output { images, has_nsfw_concepts, seed }) = Output::deserialize(output) else {
        return nothing("its result names no pictures");
    };
    let marks = has_nsfw_concepts.unwrap_or_default();
    let seed = seed.and_then(|seed| seed.as_u64()).unwrap_or_default();
    let (mut pictures, mut flagged) = (Vec::new(), Vec::new());
    for (place, Image { url }) in (0..run.count).zip(images) {
        if marks.get(place as usize).copied().flatten() == Some(true) {
            flagged.push(place);
            continue;
        }
        let Ok(address) = Url::parse(&url) else { return nothing("its result names a picture without an address") };
        pictures.push(Original { place, seed, pixels: Pixels::At(address) });
    }
    match (pictures.is_empty(), flagged.is_empty()) {
        (true, true) => nothing("it made no pictures"),
        (true, false) => {
            useless(run, "all that it made was flagged as unfit to be shown; change the prompt", Then::NeverOfThis)
        }
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
            let why = reason(payload).unwrap_or_default();
            let details = payload["detail"].as_array().into_iter().flatten();
            let mut thens = details.map(|detail| {
                let then = Then::after(detail["type"].as_str().unwrap_or_default());
                // What a model says of a field is said of what was asked for.
                let is_of_field = detail["loc"].as_array().is_some_and(|path| path.len() > 1);
                if then == Then::Never && is_of_field { Then::NeverOfThis } else { then }
            });
            let kind = payload["error_type"].as_str().unwrap_or_default();
            let then = thens.next().unwrap_or_else(|| Then::after(kind));
            Some(failed(run, &format!("{error} {why}"), then))
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
        Run { request_id, model, addresses: None, begun_ms: 0, deadline_s: 600, count: 2, cost: None, spent: None }
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
        assert_eq!(code(state), ("provider_rejected", false));
        let error = |payload: Value| {
            code(of(json!({ "request_id": "r-1", "status": "ERROR", "error": "x", "payload": payload })))
        };
        let machine =
            json!({ "detail": [{ "loc": ["body"], "msg": "Internal server error", "type": "internal_server_error" }] });
        assert_eq!(error(machine), ("provider_unavailable", false));
        assert_eq!(
            error(json!({ "detail": "gone", "error_type": "runner_disconnected" })),
            ("provider_unavailable", false)
        );
        assert_eq!(error(json!({ "detail": "x", "error_type": "something_new" })), ("provider_unable", false));
        assert_eq!(error(Value::Null), ("provider_unavailable", false));
    }

    /// The error's code, and whether it is billed.
    fn code(state: Option<RunState>) -> (&'static str, bool) {
        match state {
            Some(RunState::Failed(failed)) => (failed.error.code(), failed.is_billed),
            state => panic!("{state:?}"),
        }
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
            // It was complete, so nobody pays for another one by himself.
            assert_eq!(code(Some(made(&run(), &output))), ("provider_unable", true), "{output}");
        }
        let flagged = json!({ "images": [{ "url": "https://v3.fal.media/0.jpeg" }], "has_nsfw_concepts": [true] });
        assert_eq!(code(Some(made(&run(), &flagged))), ("provider_rejected", true));
    }
}
