//! Why a call failed, and whether the same call may succeed later.

use std::time::Duration;

use api::Problem;

/// How long to wait before a call is repeated, when the API does not say.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Why a call failed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{base} cannot be reached: {reason}\nis the producer running (`./dev`)? is ECOM_URL right?")]
    Unreachable { base: String, reason: String },
    #[error("the API refused ({status}): {problem}{}", hint(*.status, problem))]
    Refused { status: u16, problem: Box<Problem<'static>>, retry_after: Option<Duration> },
    #[error("{url} answered {status}, but not as the API would: {body:?}\nis ECOM_URL right?")]
    Unexpected { url: String, status: u16, body: String },
}

/// What to do about it, on a line of its own.
fn hint(status: u16, problem: &Problem<'_>) -> String {
    let mut hint = match status {
        401 => "\nmake a token with the secret of the server and set it: \
                ECOM_TOKEN=$(JWT_SECRET=… ecomctl token --scope admin); after `./dev` one is in .dev/token"
            .to_owned(),
        403 => "\nthe token lacks the scope; make one with `ecomctl token --scope …`".to_owned(),
        409 if problem.kind.ends_with("/not-configured") => "\n--force switches all the same".to_owned(),
        429 | 503 => "\ntry again in a moment".to_owned(),
        _ => String::new(),
    };
    if let Some(id) = problem.request_id.as_ref().filter(|_| status >= 500) {
        hint.push_str(&format!("\nrequest id {id}"));
    }
    hint
}

impl CallError {
    /// How long to wait before the same call may succeed; `None` when it would fail again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } | Self::Unexpected { status: 502..=504, .. } => Some(PAUSE),
            Self::Refused { status: 429 | 502..=504, retry_after, .. } => Some(retry_after.unwrap_or(PAUSE)),
            // The answer to our own first try was lost, and that try is still under way.
            Self::Refused { problem, .. } if problem.kind.ends_with("/idempotency-in-progress") => Some(PAUSE),
            Self::Refused { .. } | Self::Unexpected { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(status: u16, problem: Value) -> CallError {
        let problem = Box::new(serde_json::from_value(problem).unwrap());
        CallError::Refused { status, problem, retry_after: None }
    }

    #[test]
    fn a_problem_shows_its_title_its_detail_and_each_bad_field() {
        let error = refused(
            422,
            json!({
                "type": "https://ecomsimply.example/problems/invalid-payload", "title": "invalid payload", "status": 422,
                "detail": "2 fields are bad", "request_id": "r-1",
                "errors": [{ "pointer": "/payload/language", "message": "one of fr, en" },
                           { "pointer": "/payload/name", "message": "is missing" }]
            }),
        );
        let expected = "the API refused (422): invalid payload: 2 fields are bad\n  \
                        /payload/language: one of fr, en\n  /payload/name: is missing";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.retry_after(), None);
    }

    #[test]
    fn without_a_token_it_says_how_to_get_one() {
        let text = refused(401, json!({ "title": "no token" })).to_string();
        assert!(text.starts_with("the API refused (401): no token\n"), "{text}");
        assert!(text.contains("ecomctl token --scope admin") && text.contains(".dev/token"), "{text}");
    }
}
