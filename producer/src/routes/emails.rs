//! E-mails: those that were sent or would have been, how one would look, and the way out of reminders.

use api::{EmailLinks, EmailPreview};
use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jobs::{JobError, PayloadError, email};
use minijinja::context;
use providers::content::Language;
use queue::{Job, JobId};
use serde::Deserialize;
use store::{EmailQuery, Store, StoredEmail};
use url::form_urlencoded;

use super::page::Page;
use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    request::{self, Parameters, PathPart},
    state::App,
};

/// An e-mail that was sent, or would have been.
pub(crate) type Email = api::Email<email::EmailResult>;
/// A page of e-mails.
pub(crate) type EmailPage = api::EmailPage<email::EmailResult>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    tenant: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Lists e-mails that were sent, or that the mock kept.
#[utoipa::path(
    get, path = "/api/emails", tag = "emails",
    params(
        ("tenant" = Option<String>, Query, description = "Only of this tenant; others than the token's own need `admin`, who sees all if absent"),
        ("to" = Option<String>, Query, description = "Only to this address, as it was given"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; the filters must be the same"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50 if absent"),
    ),
    responses((status = 200, description = "A page", body = EmailPage))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<EmailPage>, Problem> {
    caller.require(Scope::JobsRead)?;
    let limit = request::page_size(query.limit)?;
    let tenant = caller.tenants_of(query.tenant)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    let query = EmailQuery { tenant, to: query.to, after };
    let page = app.open_store()?.emails(&query, limit).await.map_err(Problem::store_away)?;
    Ok(Json(EmailPage {
        items: page.emails.into_iter().map(answer).collect::<Result<_, _>>()?,
        next_cursor: page.next.map(|after| URL_SAFE_NO_PAD.encode(after)),
    }))
}

/// Shows an e-mail; its id is that of its job. The text is there if it was not sent.
#[utoipa::path(
    get, path = "/api/emails/{id}", tag = "emails",
    params(("id" = String, Path, description = "The job")),
    responses((status = 200, description = "The e-mail", body = Email))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<Email>, Problem> {
    caller.require(Scope::JobsRead)?;
    let email = find(app.open_store()?, &id).await?.filter(|email| caller.may_see(&email.tenant));
    Ok(Json(answer(email.ok_or_else(|| no_such_email(&id))?)?))
}

/// Shows how an e-mail would look; takes the payload of an e-mail job, and sends nothing.
#[utoipa::path(
    post, path = "/api/emails/preview", tag = "emails", request_body = email::Email,
    responses((status = 200, description = "How it would look", body = EmailPreview))
)]
pub(crate) async fn preview(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<EmailPreview>, Problem> {
    caller.require(Scope::JobsRead)?;
    let preview = request::json(&headers, body, move |payload| {
        match app.intake.checks().check(email::Email::KIND, payload) {
            Ok(_) => {}
            Err(PayloadError::Invalid(errors)) => return Err(Problem::invalid(errors)),
            Err(error) => return Err(Problem::new(Type::Internal, error.to_string())),
        }
        let payload = email::Email::deserialize(&**payload);
        let payload = payload.map_err(|error| Problem::new(Type::Malformed, error.to_string()))?;
        let sender = app.services.smtp.as_ref().map(|smtp| smtp.sender.as_str());
        let preview = payload.preview(sender, &app.services.links);
        preview.map_err(|error: JobError| Problem::new(Type::InvalidPayload, error.to_string()))
    });
    let preview = preview.await?;
    Ok(Json(EmailPreview {
        subject: preview.subject,
        text: preview.text,
        html: preview.html,
        headers: preview.headers.into_iter().collect(),
    }))
}

/// The page behind the link in a reminder. It only asks: programs that look at links must not unsubscribe anybody.
#[utoipa::path(
    get, path = "/api/emails/{id}/unsubscribe", tag = "emails", security(()),
    params(
        ("id" = String, Path, description = "The job that sent the reminder"),
        ("sig" = String, Query, description = "As in the link of the reminder"),
    ),
    responses(
        (status = 200, description = "A page with a button", body = String, content_type = "text/html"),
        (status = 403, description = "`forbidden`: the link is not one that we wrote"),
    )
)]
pub(crate) async fn ask_to_unsubscribe(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (_, reminder) = reminder(&app, &id, query.as_deref()).await?;
    Ok(if reminder.is_french() {
        page(Language::Fr, "Ne plus recevoir de rappels", Some("Ne plus recevoir de rappels à cette adresse"))
    } else {
        page(Language::En, "No more reminders", Some("Send no more reminders to this address"))
    })
}

/// Sends the recipient of a reminder no more of them: the button of the page, and what mail clients call (RFC 8058).
#[utoipa::path(
    post, path = "/api/emails/{id}/unsubscribe", tag = "emails", security(()),
    params(
        ("id" = String, Path, description = "The job that sent the reminder"),
        ("sig" = String, Query, description = "As in the link of the reminder"),
    ),
    responses(
        (status = 200, description = "Done", body = String, content_type = "text/html"),
        (status = 403, description = "`forbidden`: the link is not one that we wrote"),
    )
)]
pub(crate) async fn unsubscribe(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (email, reminder) = reminder(&app, &id, query.as_deref()).await?;
    app.open_store()?.unsubscribe(&email.tenant, &reminder.to).await.map_err(Problem::store_away)?;
    Ok(if reminder.is_french() {
        page(Language::Fr, "C’est noté : vous ne recevrez plus de rappels.", None)
    } else {
        page(Language::En, "Done: you will get no more reminders.", None)
    })
}

/// The reminder whose link this is. Ids can be guessed, so nothing is told and nothing done without the signature. Mail programs and
/// those that follow clicks add parameters of their own, which do not matter.
async fn reminder(app: &App, id: &str, query: Option<&str>) -> Result<(StoredEmail, email::EmailResult), Problem> {
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let sig = parameters.find(|(name, _)| name == "sig").map(|(_, sig)| sig);
    if !sig.is_some_and(|sig| app.services.links.is_unsubscribe(id, &sig)) {
        let detail = "this link is not complete or no longer good: take the one in your newest reminder";
        return Err(Problem::new(Type::Forbidden, detail));
    }
    let email = find(app.open_store()?, id).await?.ok_or_else(|| no_such_email(id))?;
    let result = read(&email)?;
    if result.is_reminder() { Ok((email, result)) } else { Err(no_such_email(id)) }
}

async fn find(store: &Store, id: &str) -> Result<Option<StoredEmail>, Problem> {
    let id: JobId = id.parse().map_err(|_| no_such_email(id))?;
    store.email(&id.to_string()).await.map_err(Problem::store_away)
}

fn no_such_email(id: &str) -> Problem {
    Problem::new(
        Type::NotFound,
        format!("there is no e-mail {id:?}; its id is that of its job, once that has succeeded"),
    )
}

fn read(email: &StoredEmail) -> Result<email::EmailResult, Problem> {
    serde_json::from_value(email.result.clone()).map_err(|error| {
        tracing::error!(job.id = email.job_id, %error, "the result of an e-mail cannot be read");
        Problem::new(Type::Internal, "what was stored of the e-mail cannot be read; the log has the reason")
    })
}

fn answer(email: StoredEmail) -> Result<Email, Problem> {
    let result = read(&email)?;
    let links =
        EmailLinks { itself: format!("/api/emails/{}", email.job_id), job: format!("/api/jobs/{}", email.job_id) };
    Ok(Email {
        id: email.job_id,
        tenant: email.tenant,
        provider: email.provider,
        created_at: api::Timestamp::from_ms(email.created_at.ms()),
        email: result,
        links,
    })
}

/// What stands in a cursor is the id that the page before ended with.
fn read_cursor(text: &str) -> Result<String, Problem> {
    let id = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let id = id.and_then(|id| id.parse::<JobId>().ok());
    let bad = || request::bad_parameter("cursor", "must be a next_cursor of this list, with the same filters");
    id.map(|id| id.to_string()).ok_or_else(bad)
}

fn page(language: Language, title: &str, button: Option<&str>) -> Response {
    let page = Page { template: "unsubscribe.html", language, status: StatusCode::OK, forms_to: &[] };
    page.answer(context! { title => title, button => button })
}
