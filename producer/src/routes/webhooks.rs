//! What outside services call us with. No token, but their signature.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use providers::image::{Signed, WebhookError};
use queue::JobId;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    answer::{Problem, Type},
    request::{self, Twice},
    state::App,
};

/// The store keeps so much of a delivery.
const KEPT_AT_MOST: usize = 256 << 10;

/// Takes what fal delivers when pictures that a job asked for are made, and wakes the job. Fal repeats what is not answered with 200.
#[utoipa::path(
    post, path = "/api/webhooks/fal", tag = "webhooks", security(()),
    request_body(content = Object, description = "As fal sends it: `request_id`, `status`, `payload`, `error`"),
    params(
        ("job" = String, Query, description = "The job, as in the address that fal was given"),
        ("sig" = String, Query, description = "Ours: that address was made for this job"),
        ("X-Fal-Webhook-Request-Id" = String, Header, description = "As in the body"),
        ("X-Fal-Webhook-User-Id" = String, Header, description = "Signed together with the body"),
        ("X-Fal-Webhook-Timestamp" = String, Header, description = "In seconds since 1970, at most 300 s off"),
        ("X-Fal-Webhook-Signature" = String, Header, description = "Ed25519, in hexadecimal, by a key of `FAL_JWKS_URL`"),
    ),
    responses(
        (status = 200, description = "Kept, or kept before"),
        (status = 400, description = "`bad-signature`: the address is not one that we made, or fal has not signed this, or not now; `malformed`: this is no delivery"),
        (status = 503, description = "`vendor-unavailable`: fal's keys cannot be read; `store-unavailable`: it cannot be kept"),
    )
)]
pub(crate) async fn fal(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let job = addressed(&app, query.as_deref().unwrap_or_default())?;
    let signed = signed(&headers)?;
    let body = request::read(&headers, body, request::JOB_LIMIT).await?;
    app.fal.check(signed, &body, app.client.now_ms() / 1000).await.map_err(refused)?;
    let kept = kept(&body, signed.request_id)?;
    let store = app.open_store()?;
    let is_new = store.put_fal_delivery(signed.request_id, &job.to_string(), &kept).await;
    let is_new = is_new.map_err(|error| match error {
        store::Error::Refused { .. } => Problem::new(Type::Malformed, error.to_string()),
        error => Problem::store_away(error),
    })?;
    if is_new {
        wake(&app, job, signed.request_id).await;
    }
    Ok(StatusCode::OK)
}

/// The job whose address this is. Nothing is looked at before: anybody can call.
fn addressed(app: &App, query: &str) -> Result<JobId, Problem> {
    let parameter = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    let signed = parameter("job").zip(parameter("sig"));
    let job = signed.filter(|(job, sig)| app.services.links.is_fal_webhook(job, sig));
    job.and_then(|(job, _)| job.parse().ok()).ok_or_else(|| {
        let detail = "this address is not one that we gave to fal: its parameters job and sig do not belong together";
        Problem::new(Type::BadSignature, detail)
    })
}

fn signed(headers: &HeaderMap) -> Result<Signed<'_>, Problem> {
    let text = |name: &'static str| match request::only(headers, name) {
        Ok(value) => Ok(value.and_then(|value| value.to_str().ok()).unwrap_or_default()),
        Err(Twice) => {
            Err(Problem::new(Type::BadSignature, format!("the header {name} was given twice, with different values")))
        }
    };
    Ok(Signed {
        request_id: text("x-fal-webhook-request-id")?,
        user_id: text("x-fal-webhook-user-id")?,
        timestamp: text("x-fal-webhook-timestamp")?,
        signature: text("x-fal-webhook-signature")?,
    })
}

fn refused(error: WebhookError) -> Problem {
    match error {
        WebhookError::Bad(detail) => Problem::new(Type::BadSignature, detail),
        error @ WebhookError::KeysAway { .. } => {
            // A job that waits looks for itself, only later.
            tracing::warn!(%error, "a delivery of fal cannot be checked; fal is to repeat it");
            Problem::new(Type::VendorUnavailable, error.to_string())
        }
    }
}

/// What is kept of a delivery: as it came, or, if it is long, without the payload, which the job can ask for.
fn kept(body: &[u8], request_id: &str) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Delivery {
        request_id: String,
    }
    let delivery: Delivery = serde_json::from_slice(body).map_err(|error| request::malformed(&error))?;
    if delivery.request_id != request_id {
        let detail = "request_id is not the one of the header X-Fal-Webhook-Request-Id";
        return Err(Problem::new(Type::Malformed, detail));
    }
    if body.len() > KEPT_AT_MOST {
        let mut short: Value = serde_json::from_slice(body).map_err(|error| request::malformed(&error))?;
        short["payload"] = Value::Null;
        short["payload_error"] = format!("it had {} bytes, so it was not kept", body.len()).into();
        return Ok(short.to_string());
    }
    // JSON that was read is UTF-8.
    Ok(String::from_utf8_lossy(body).into_owned())
}

/// Has a job that waits look at once. One that runs looks by itself, and one that has ended needs nothing; when it is healed it finds
/// what was delivered. So whatever comes of it, the delivery is taken.
async fn wake(app: &App, job: JobId, request_id: &str) {
    match app.client.run_now(job).await {
        Ok(_) => tracing::info!(job.id = %job, fal.request_id = request_id, "fal is done; the job looks at once"),
        Err(error @ (queue::Error::Conflict(_) | queue::Error::NotFound)) => {
            tracing::info!(job.id = %job, fal.request_id = request_id, %error, "fal is done with what no waiting job asked for");
        }
        Err(error) => {
            tracing::warn!(job.id = %job, fal.request_id = request_id, %error, "fal is done, but the job cannot be woken; it looks when its time comes");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_is_what_came_but_for_a_long_payload() {
        let body = r#"{ "request_id": "r-1", "status": "OK", "payload": {"seed": 18446744073709551616} }"#;
        assert_eq!(kept(body.as_bytes(), "r-1").unwrap(), body);
        let long = json!({ "request_id": "r-1", "status": "OK", "payload": "x".repeat(KEPT_AT_MOST) }).to_string();
        let short: Value = serde_json::from_str(&kept(long.as_bytes(), "r-1").unwrap()).unwrap();
        assert_eq!(
            (&short["request_id"], &short["status"], &short["payload"]),
            (&json!("r-1"), &json!("OK"), &Value::Null)
        );
        assert!(short["payload_error"].as_str().unwrap().contains("262"), "{short}");
        for bad in ["", "{}", "[]", r#"{"request_id":7}"#, r#"{"request_id":"r-2"}"#] {
            let problem = serde_json::to_value(kept(bad.as_bytes(), "r-1").unwrap_err()).unwrap();
            assert_eq!(problem["status"], 400, "{bad}: {problem}");
        }
    }
}
