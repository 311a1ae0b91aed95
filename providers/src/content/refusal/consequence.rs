//! What follows from a refusal.

use chrono::Utc;
use reqwest::header::HeaderMap;

use super::said::Said;
use crate::{
    ProviderError,
    content::end_point::{EndPoint, Failure, quote},
    wait,
};

/// What follows from a refusal with this status; 200 for one that came as an answer.
pub(in crate::content) fn sort(end_point: EndPoint, status: u16, headers: &HeaderMap, said: &Said) -> Failure {
    let EndPoint { service, key, base_url, model, .. } = end_point;
    let code = quote(&said.code);
    let code = if code == status.to_string() { "" } else { &code };
    let request = wait::header(headers, "x-request-id").map(|id| format!(" (request {})", quote(id)));
    let parts = [status.to_string(), code.to_owned(), said.shown()];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let message = format!("{}{}", parts.join(" "), request.unwrap_or_default());
    let retry_after = wait::retry_after(headers, Utc::now());

    let no_money = || end_point.misconfigured(format!("{message}: the account is out of quota or money"));
    let no_entry = || end_point.misconfigured(format!("{message}: {key} is refused"));
    let unfit = || Failure::Unfit {
        said: said.text.clone(),
        error: ProviderError::Unable { service, message: message.clone() },
    };
    let error = match status {
        402 => no_money(),
        400 | 403 | 422 | 451 if said.is_moderation() => ProviderError::Rejected { service, message },
        400.. if status != 404 && said.is_money(status) => no_money(),
        401 => no_entry(),
        400 | 403 | 404 | 422 if said.is_model() => return Failure::ModelGone(message),
        403 if said.is_account() => no_entry(),
        400 | 422 if said.text.to_lowercase().contains("api key") => no_entry(),
        404 | 500 if said.is_capability() => return unfit(),
        404 => end_point.misconfigured(format!("{message}: check {model} and {base_url}")),
        429 => ProviderError::RateLimited { service, message, retry_after },
        400 | 422 if end_point.is_its_vendor && !said.is_capability() => ProviderError::Rejected { service, message },
        400 | 415 | 422 | 501 => return unfit(),
        408 | 409 | 425 | 500.. => ProviderError::Transient { service, message, retry_after },
        200 => return of_an_answer(end_point, headers, said, message),
        ..400 => end_point.misconfigured(format!("{message}: check {base_url}")),
        // Of this text only, as far as anyone can tell; an end point that refuses all of them is left alone by its breaker.
        _ => ProviderError::Unable { service, message },
    };
    error.into()
}

/// Some put the status into the body, and others nowhere.
fn of_an_answer(end_point: EndPoint, headers: &HeaderMap, said: &Said, message: String) -> Failure {
    let service = end_point.service;
    match said.code.parse::<u16>() {
        Ok(status @ 400..=599) => sort(end_point, status, headers, said),
        _ if said.is_moderation() => ProviderError::Rejected { service, message }.into(),
        _ if said.is_money(200) => sort(end_point, 402, headers, said),
        _ if said.is_model() => Failure::ModelGone(message),
        _ if said.is_rate() => ProviderError::RateLimited { service, message, retry_after: None }.into(),
        _ if said.is_capability() => sort(end_point, 400, headers, said),
        _ => end_point.transient(message).into(),
    }
}
