//! Many products to one store in one request: one line a product, one job for all.

use std::collections::BTreeMap;

use api::{BatchLine, FieldError};
use axum::{
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jobs::{
    Checks, PayloadError,
    publication::batch::{PART, PublicationBatch},
};
use providers::publication::folded;
use queue::{Fingerprint, Job as _, NewJob};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use store::BatchItem;
use utoipa::ToSchema;

use crate::{
    answer::{self, Json, Problem, Type},
    auth::{Caller, Scope},
    entitled,
    keyed::{self, Begun, Keyed},
    known,
    push::{self, REPLAYED},
    request::{self, BATCH_LIMIT, Format, Memory, PathPart},
    state::App,
};

const PRODUCTS_AT_MOST: usize = 10_000;
/// Of a part that is kept in one document, in bytes.
const PART_BYTES: usize = 4 << 20;
/// So many refused lines are told; all are counted.
const REFUSED_AT_MOST: usize = 1_000;

/// Products for one store.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatalogueRequest {
    /// Each a payload of the kind `publication` without `store` and `shop`.
    #[schema(value_type = Vec<Object>, min_items = 1)]
    products: Vec<Box<RawValue>>,
}

/// What was taken of a batch of products.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogueAnswer {
    /// Products that the job goes through.
    accepted: usize,
    /// Lines that were refused.
    rejected: usize,
    /// The first thousand of these, each with its problem.
    #[schema(value_type = Vec<BatchLine>)]
    results: Vec<BatchLine<Problem>>,
    /// The job; `null` when every line was refused.
    #[schema(value_type = Option<api::Job>)]
    job: Option<Box<RawValue>>,
}

/// Brings up to 10,000 products into a store as one job, which tells its progress and goes on after a kill where it was.
///
/// A product is a payload of the kind `publication` without `store` and `shop`: one a line as NDJSON, or all in one JSON document. A bad one is
/// reported, the others go in. A body that did not come whole leaves nothing.
#[utoipa::path(
    post, path = "/api/stores/{name}/products", tag = "stores", operation_id = "stores_products",
    request_body(content((CatalogueRequest = "application/json"), (Object = "application/x-ndjson"))),
    params(
        ("name" = String, Path, description = "The store"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and products again give the same job, for 24 h"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; kept with the job"),
    ),
    responses(
        (status = 202, description = "Taken", body = CatalogueAnswer, headers(("Location" = String, description = "The job"))),
        (status = 200, description = "Every line was refused; or taken before: the job is the one that the first request with this Idempotency-Key made",
         body = CatalogueAnswer, headers(("Location" = String, description = "The job"), ("Idempotency-Replayed" = bool, description = "true"))),
        (status = 402, description = "`plan-required`: the tenant's plan has no publication"),
        (status = 429, description = "`over-quota`: the plan's jobs of this UTC day are used up"),
        (status = 409, description = "`idempotency-in-progress`: the first request with this key is still under way"),
        (status = 422, description = "`unknown-store`: there is no such store; `invalid-payload`; `idempotency-mismatch`: the key came with other products"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    memory: Option<Extension<Memory>>,
    caller: Caller,
    PathPart(name): PathPart,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsWrite)?;
    let Some(format) = request::format(&headers) else {
        return Err(request::unsupported("application/x-ndjson or application/json"));
    };
    let key = request::idempotency_key(&headers)?;
    let body = request::read(&headers, body, BATCH_LIMIT).await?;
    let (checks, at, has_key) = (app.intake.clone(), name.clone(), key.is_some());
    let read = request::aside(body.len(), move || read(&body, format, &at, checks.checks(), has_key));
    let (Lines { items, refused, rejected }, fingerprint) = read.await?;
    let answer = CatalogueAnswer { accepted: items.len(), rejected, results: refused, job: None };
    if items.is_empty() {
        return Ok(Json(answer).into_response());
    }
    let upload = Upload { caller, store: name, items, traceparent: request::traceparent(&headers), app };
    keyed::whole(async move {
        // As long as there is something of the body.
        let _memory = memory;
        let keyed = match key.zip(fingerprint) {
            None => None,
            Some((key, fingerprint)) => {
                let kind = PublicationBatch::KIND;
                match keyed::begin(&upload.app, &upload.caller.tenant, &key, &fingerprint, kind).await? {
                    Begun::There(job) => {
                        return answered(StatusCode::OK, answer, job);
                    }
                    Begun::Ours(keyed) => Some(keyed),
                }
            }
        };
        let (status, job) = upload.push(keyed).await?;
        answered(status, answer, job)
    })
    .await
}

/// What was taken, with the job as text: 200 if another request has pushed it.
fn answered(status: StatusCode, answer: CatalogueAnswer, job: String) -> Result<Response, Problem> {
    let location = keyed::location_of(&job)?;
    let job = RawValue::from_string(job).map_err(|error| Problem::new(Type::Internal, error.to_string()))?;
    let answer = Json(CatalogueAnswer { job: Some(job), ..answer });
    let mut response = (status, [(header::LOCATION, location)], answer).into_response();
    if status == StatusCode::OK {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The lines of a body, and what tells it from another, if that is asked for.
fn read(
    body: &[u8],
    format: Format,
    store: &str,
    checks: &Checks,
    has_key: bool,
) -> Result<(Lines, Option<Fingerprint>), Problem> {
    let fingerprint = |said: &mut dyn Iterator<Item = String>| {
        has_key.then(|| push::fingerprint(&format!("products\n{store}\n"), body, said.take(PRODUCTS_AT_MOST)))
    };
    match format {
        Format::NdJson => {
            let lines = body.split(|byte| *byte == b'\n');
            let mut said = lines.clone().filter(|line| !line.trim_ascii().is_empty()).map(said);
            Ok((Lines::read(lines, store, checks), fingerprint(&mut said)))
        }
        Format::Json => {
            let asked: CatalogueRequest = serde_json::from_slice(request::without_bom(body)).map_err(|error| {
                let is_json = error.classify() == serde_json::error::Category::Data;
                let kind = if is_json { Type::InvalidPayload } else { Type::Malformed };
                Problem::new(kind, format!("the body must be {{\"products\": [{{…}}, …]}}: {error}"))
            })?;
            let products = asked.products.iter().map(|product| product.get().as_bytes());
            Ok((Lines::read(products.clone(), store, checks), fingerprint(&mut products.map(said))))
        }
    }
}

/// The same JSON is the same product, in whatever order its members are.
fn said(text: &[u8]) -> String {
    request::parse(text).map_or_else(|_| String::from_utf8_lossy(text).into_owned(), |parsed| parsed.to_string())
}

/// Products that are kept before the job is pushed that goes through them: all of them with their job, or none.
struct Upload {
    app: App,
    caller: Caller,
    store: String,
    items: Vec<BatchItem>,
    traceparent: Option<String>,
}

impl Upload {
    /// The job, as text.
    async fn push(self, keyed: Option<Keyed>) -> Result<(StatusCode, String), Problem> {
        let batch = uuid::Uuid::new_v4().to_string();
        let n = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let payload = json!(PublicationBatch { store: self.store.clone(), batch: batch.clone(), n }).to_string();
        let mut job = NewJob { tenant: self.caller.tenant.clone(), ..NewJob::new(PublicationBatch::KIND, payload) };
        job.traceparent.clone_from(&self.traceparent);
        let ready = match entitled::let_in(&self.app, &self.caller, &job).await {
            Ok(ticket) => match self.keep(&batch).await {
                Ok(()) => Ok(ticket),
                Err(problem) => {
                    if let Some(ticket) = ticket {
                        ticket.pushed(0).await;
                    }
                    Err(problem)
                }
            },
            Err(problem) => Err(problem),
        };
        let ticket = match ready {
            Ok(ticket) => ticket,
            Err(problem) => {
                if let Some(keyed) = keyed {
                    keyed.give_back(&problem).await;
                }
                return Err(problem);
            }
        };
        let pushed = match keyed {
            Some(keyed) => keyed.push(job).await,
            None => push::push(&self.app, job, None).await.map(|(status, job)| {
                let text = answer::text(&job);
                (status, job, text)
            }),
        };
        let is_used = match &pushed {
            // Another request with the same key may have been first, with a batch of its own.
            Ok((_, job, _)) => job.payload.get("batch").and_then(Value::as_str) == Some(batch.as_str()),
            // What came of the push may be unknown.
            Err(problem) => !problem.is_refusal(),
        };
        if !is_used {
            self.drop_batch(&batch).await;
        }
        if let Some(ticket) = ticket {
            let is_new = matches!(&pushed, Ok((StatusCode::ACCEPTED, ..)));
            ticket.pushed(u64::from(is_new)).await;
        }
        pushed.map(|(status, _, text)| (status, text))
    }

    async fn keep(&self, batch: &str) -> Result<(), Problem> {
        known::require_of_path(&self.app, &self.caller.tenant, &self.store).await?;
        let store = self.app.open_store()?;
        for (part, items) in parts(&self.items).enumerate() {
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            if let Err(error) = store.keep_part(batch, &self.caller.tenant, part, items).await {
                if part > 0 {
                    self.drop_batch(batch).await;
                }
                return Err(Problem::store_away(error));
            }
        }
        Ok(())
    }

    async fn drop_batch(&self, batch: &str) {
        let Some(store) = self.app.store() else { return };
        if let Err(error) = store.drop_batch(batch, &self.caller.tenant).await {
            tracing::debug!(%error, "products without a job stay until they expire");
        }
    }
}

/// What the lines of a body say.
struct Lines {
    items: Vec<BatchItem>,
    refused: Vec<BatchLine<Problem>>,
    rejected: usize,
}

impl Lines {
    fn read<'a>(texts: impl Iterator<Item = &'a [u8]>, store: &str, checks: &Checks) -> Self {
        let mut lines = Self { items: Vec::new(), refused: Vec::new(), rejected: 0 };
        let mut skus = BTreeMap::new();
        let texts = texts.enumerate().filter(|(_, text)| !text.trim_ascii().is_empty());
        for (n, (line, text)) in texts.enumerate() {
            let read = if n < PRODUCTS_AT_MOST {
                product(text, store, checks)
            } else {
                let detail = format!("more than {PRODUCTS_AT_MOST} products at once; send the rest by themselves");
                Err(Problem::new(Type::TooLarge, detail))
            };
            let read = read.and_then(|(sku, text)| match skus.insert(sku, line) {
                None => Ok(text),
                Some(before) => {
                    let message = format!("is that of line {before}; a product can be there once");
                    Err(Problem::invalid(vec![FieldError::new("/sku", message)]))
                }
            });
            match read {
                Ok(text) => {
                    let line = u32::try_from(line).unwrap_or(u32::MAX);
                    lines.items.push(BatchItem { line, text, outcome: None });
                }
                Err(problem) => {
                    lines.rejected += 1;
                    if lines.refused.len() < REFUSED_AT_MOST {
                        let problem = Some(problem.in_short());
                        lines.refused.push(BatchLine { index: line, id: None, created: None, problem });
                    }
                }
            }
        }
        lines
    }
}

/// The SKU and the payload of one line.
fn product(text: &[u8], store: &str, checks: &Checks) -> Result<(String, String), Problem> {
    if text.len() > request::JOB_LIMIT {
        return Err(request::too_large(request::JOB_LIMIT));
    }
    let mut payload: Value = serde_json::from_slice(request::without_bom(text))
        .map_err(|error| Problem::new(Type::Malformed, format!("this is no JSON: {error}")))?;
    let Some(fields) = payload.as_object_mut() else {
        return Err(Problem::new(Type::Malformed, "a line is one JSON object, a product"));
    };
    for field in ["store", "shop"] {
        if fields.contains_key(field) {
            let message = "the path names the store";
            return Err(Problem::invalid(vec![FieldError::new(format!("/{field}"), message)]));
        }
    }
    fields.insert("store".to_owned(), json!(store));
    match checks.check("publication", &payload) {
        Ok(_) => Ok((folded(payload["sku"].as_str().unwrap_or_default()), payload.to_string())),
        Err(PayloadError::Invalid(errors)) => Err(Problem::invalid(errors)),
        Err(error) => Err(Problem::new(Type::UnknownKind, error.to_string())),
    }
}

/// As they are kept: not too many in a document, and not too much.
fn parts(items: &[BatchItem]) -> impl Iterator<Item = &[BatchItem]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |item: &BatchItem| {
            bytes += item.text.len();
            bytes <= PART_BYTES
        };
        let n = rest.iter().take(PART).map(fits).take_while(|fits| *fits).count().max(1).min(rest.len());
        let (part, left) = rest.split_at(n);
        rest = left;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Lines {
        Lines::read(body.as_bytes().split(|byte| *byte == b'\n'), "main", &Checks::all())
    }

    #[test]
    fn a_bad_line_is_told_and_the_others_go_in() {
        let good = |sku: &str| format!("{{\"product_id\":\"P\",\"sku\":\"{sku}\",\"title\":\"Cup\"}}\n");
        let body = format!(
            "{}not json\n\n{}{}[]\n{{\"product_id\":\"P\",\"sku\":\"C\",\"title\":\"Cup\",\"store\":\"x\"}}\n{{\"product_id\":\"P\"}}",
            good("A"),
            good(" a"),
            good("B")
        );
        let lines = read(&body);
        assert_eq!(lines.items.iter().map(|item| item.line).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(
            (lines.rejected, lines.refused.iter().map(|line| line.index).collect::<Vec<_>>()),
            (5, vec![1, 3, 5, 6, 7])
        );
        let payload: Value = serde_json::from_str(&lines.items[0].text).unwrap();
        assert_eq!(payload["store"], "main");
    }

    #[test]
    fn parts_have_at_most_a_hundred_products_and_four_mebibytes() {
        let item = |length: usize| BatchItem { line: 0, text: "x".repeat(length), outcome: None };
        let sizes = |items: &[BatchItem]| parts(items).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&vec![item(1); 250]), [100, 100, 50]);
        assert_eq!(sizes(&vec![item(1 << 20); 9]), [4, 4, 1]);
        assert_eq!(sizes(&[item(5 << 20), item(1)]), [1, 1]);
        assert_eq!(sizes(&[]), [0; 0]);
    }
}
