//! A product from nothing to a store: makes the texts and pictures that are missing, then publishes them.
//!
//! Texts, pictures and the publication are jobs of their own, with their own retries and stand-ins. While they are under way this job is put off,
//! holding no slot.

use std::time::Duration;

use api::FieldError;
use providers::{
    content::ContentRequest,
    publication::{Action, Field},
};
use queue::{Job, JobId, NewJob, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use services::Name;
use utoipa::ToSchema;

use super::{
    content::Content,
    image::Image,
    publication::{ProductImage, Publication, PublicationResult, Seo, made_of::text_for},
};
use crate::handler::{Context, Done, Handler, JobError, NamedStore};

/// Between two looks at what is being made.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// MongoDB or Redis being away is no fault of the job.
const AWAY: Duration = Duration::from_secs(5);

/// Publishes a product, and makes before that what is missing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The tenant's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// What to publish. Where it has no title, description or pictures, those that were made last for this product are taken.
    pub publication: Publication,
    /// What texts are made from when there are none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentRequest>,
    /// What pictures are made from when there are none yet; of the title if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProductResult {
    /// The tenant's own id of the product.
    pub product_id: String,
    /// The job that published it.
    pub job_id: String,
    /// That job's result.
    #[schema(value_type = PublicationResult)]
    pub publication: Value,
}

impl Job for Product {
    const KIND: &'static str = "product";
    const MAX_ATTEMPTS: u32 = 6;
    const TIMEOUT_S: u64 = 120;
    const CONCURRENCY: usize = 8;
}

impl Handler for Product {
    type Output = ProductResult;
    const COLLECTION: &'static str = "product_jobs";
    const SERVICE: Option<Name> = Some(Name::Publication);
    const ONE_ACCOUNT: bool = false;

    fn product_id(&self) -> Option<&str> {
        Some(&self.publication.product_id)
    }

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let inner = [
            ("/publication", Some(&self.publication.product_id)),
            ("/content", self.content.as_ref().map(|content| &content.product_id)),
            ("/image", self.image.as_ref().map(|image| &image.product_id)),
        ];
        for (part, id) in inner {
            if id.is_some_and(|id| *id != self.product_id) {
                errors.push(FieldError::new(format!("{part}/product_id"), "must be that of the product"));
            }
        }
        if self.publication.action != Action::Publish {
            errors.push(FieldError::new("/publication/action", "must be publish"));
        }
        let mut of = |part: &str, found: Vec<FieldError>| {
            errors.extend(
                found.into_iter().map(|error| FieldError::new(format!("{part}{}", error.pointer), error.message)),
            );
        };
        // It may say nothing of its own.
        let said = self.publication.check();
        of("/publication", said.into_iter().filter(|error| !error.pointer.is_empty()).collect());
        if let Some(content) = &self.content {
            of("/content", Content(content.clone()).check());
        }
        if let Some(image) = &self.image {
            of("/image", image.check());
        }
        errors
    }

    fn store(&self) -> Option<NamedStore> {
        self.publication.store().map(|named| NamedStore { pointer: "/publication/store", ..named })
    }

    async fn run(self, context: &Context) -> Result<Done<ProductResult>, JobError> {
        let texts = if self.publication.title.is_kept() || self.publication.description_html.is_kept() {
            context.progress.set(2, "looking for texts");
            Some(self.texts(context).await?)
        } else {
            None
        };
        let mut publication = self.publication.clone();
        if let Some((content_id, texts)) = texts {
            let fields = add_texts(&mut publication, &texts);
            if publication.content_id.is_none() {
                publication.content_id = Some(content_id);
                publication.content_fields = Some(fields);
            }
        }
        if publication.images.is_kept() && publication.image_url.is_none() {
            context.progress.set(4, "looking for pictures");
            publication.images = Field::Set(self.pictures(context, &publication).await?);
        }
        context.progress.set(60, "publishing");
        let (job_id, publication) = made(context, &publication, "publication").await?;
        let provider = match publication["status"].as_str() {
            Some("mock") => Some("mock"),
            _ => None,
        };
        let result = ProductResult { product_id: self.product_id, job_id, publication };
        Ok(Done { result, provider, degraded_reason: None })
    }
}

impl Product {
    /// Those that were made last, or are made now.
    async fn texts(&self, context: &Context) -> Result<(String, Value), JobError> {
        if let Some(texts) = newest(context, Content::COLLECTION, &self.product_id).await? {
            return Ok(texts);
        }
        let Some(content) = &self.content else {
            let message = format!(
                "product {:?} has no texts yet, and `content` does not say what to make them from",
                self.product_id
            );
            return Err(JobError::Fatal { code: "texts_missing", message });
        };
        made(context, &Content(content.clone()), "content").await
    }

    /// Those that were made last, or are made now.
    async fn pictures(&self, context: &Context, publication: &Publication) -> Result<Vec<ProductImage>, JobError> {
        let result = match newest(context, Image::COLLECTION, &self.product_id).await? {
            Some((_, result)) => result,
            None => {
                let name = publication.title.set().map(|title| title.chars().take(200).collect::<String>());
                let of_title = || json!({ "product_id": self.product_id, "name": name.unwrap_or_default() });
                let image = self.image.clone().map_or_else(|| serde_json::from_value(of_title()), Ok);
                let image: Image = image.map_err(|error| fatal("invalid_payload", error.to_string()))?;
                made(context, &image, "image").await?.1
            }
        };
        let ids = result["images"].as_array().into_iter().flatten().filter_map(|image| image["id"].as_str());
        Ok(ids.map(|id| ProductImage { image_id: Some(id.to_owned()), ..ProductImage::default() }).collect())
    }
}

/// What a publication does not say itself; which fields that are.
fn add_texts(publication: &mut Publication, texts: &Value) -> Vec<String> {
    if publication.seo.is_kept() {
        publication.seo = Field::Set(Seo::default());
    }
    let mut filled = Vec::new();
    for (name, field) in publication.texts() {
        if let (true, Some(text)) = (field.is_kept(), text_for(name, texts)) {
            *field = Field::Set(text.to_owned());
            filled.push(name.to_owned());
        }
    }
    filled
}

/// The newest result of a kind for the product.
async fn newest(
    context: &Context,
    collection: &'static str,
    product_id: &str,
) -> Result<Option<(String, Value)>, JobError> {
    let Some(store) = &context.store else { return Ok(None) };
    let found = store.newest_result(collection, &context.tenant, product_id).await;
    let found = found.map_err(|error| away("store_unavailable", error.to_string()))?;
    Ok(found.map(|found| (found.job_id, found.result)))
}

/// A job of ours and its result. The job is pushed if it is not there, and waited for without a slot.
async fn made<J: Handler>(context: &Context, payload: &J, part: &str) -> Result<(String, Value), JobError> {
    let (Some(client), Some(store)) = (&context.client, &context.store) else {
        return Err(away("queue_unavailable", "there is no queue".to_owned()));
    };
    let queue_away = |error: queue::Error| away("queue_unavailable", error.to_string());
    let name = format!("product/{}/{part}", context.job_id);
    let id: JobId = client.fixed_id(J::KIND, &name, context.job_id.created_ms()).await.map_err(queue_away)?;
    if let Some(job) = client.find(id).await.map_err(queue_away)? {
        return match job.state {
            State::Succeeded => {
                let result = store.result(J::COLLECTION, &id.to_string()).await;
                let result = result.map_err(|error| away("store_unavailable", error.to_string()))?;
                let missing = || away("store_unavailable", format!("the result of job {id} is not there yet"));
                Ok((id.to_string(), result.ok_or_else(missing)?))
            }
            State::Dead | State::Cancelled | State::Expired => {
                let message = format!(
                    "{part} job {id}, on which this one waits, has ended as {}; retry it, then this one",
                    job.state.name()
                );
                Err(fatal("part_failed", message))
            }
            _ => Err(waiting(part, id)),
        };
    }
    let payload = serde_json::to_vec(payload).map_err(|error| fatal("invalid_payload", error.to_string()))?;
    let job = NewJob { tenant: context.tenant.clone(), ..NewJob::new(J::KIND, payload) };
    let pushed = client.push_fixed(vec![(id, job)]).await;
    pushed.into_iter().collect::<Result<Vec<_>, _>>().map_err(queue_away)?;
    Err(waiting(part, id))
}

fn waiting(part: &str, id: JobId) -> JobError {
    JobError::Snooze { code: "waiting_for_part", message: format!("{part} job {id} is under way"), after: LOOK_AGAIN }
}

fn away(code: &'static str, message: String) -> JobError {
    JobError::Snooze { code, message, after: AWAY }
}

fn fatal(code: &'static str, message: String) -> JobError {
    JobError::Fatal { code, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{complaints, refused, stored};

    fn payload() -> Value {
        json!({ "product_id": "L-1", "publication": { "product_id": "L-1", "sku": "L-1-OAK", "shop": "woocommerce",
            "price": { "amount": "59.90", "currency": "EUR" } } })
    }

    #[test]
    fn what_the_job_says_itself_wins_over_what_was_made() {
        let mut job: Product = stored(payload());
        job.publication.title = Field::Set("Lampe".to_owned());
        let texts =
            json!({ "title": "Made", "long_description": "<p>Made.</p>", "short_description": "", "seo_title": "Seo" });
        add_texts(&mut job.publication, &texts);
        let publication = &job.publication;
        assert_eq!(publication.title, Field::Set("Lampe".to_owned()));
        assert_eq!(publication.description_html, Field::Set("<p>Made.</p>".to_owned()));
        assert_eq!(publication.short_description_html, Field::Keep);
        assert_eq!(publication.seo.set().unwrap().title, Field::Set("Seo".to_owned()));
    }

    #[test]
    fn what_is_wrong_in_a_part_is_named_there() {
        assert_eq!(complaints::<Product>(payload()), [""; 0]);
        let mut bad = payload();
        bad["publication"]["product_id"] = json!("L-2");
        bad["publication"]["action"] = json!("delete");
        bad["publication"]["price"]["amount"] = json!("0");
        bad["image"] = json!({ "product_id": "L-1", "name": " " });
        let found = complaints::<Product>(bad);
        for pointer in ["/publication/product_id", "/publication/action", "/publication/price/amount", "/image/name"] {
            assert!(found.iter().any(|found| found == pointer), "{pointer} in {found:?}");
        }
        let mut bad = payload();
        bad["publication"]["shop"] = json!("amazon");
        bad["content"] = json!({ "product_id": "L-1" });
        let found = refused::<Product>(&bad);
        assert!(found.contains(&"/publication/shop".to_owned()), "{found:?}");
        assert!(found.iter().any(|pointer| pointer.starts_with("/content")), "{found:?}");
    }
}
