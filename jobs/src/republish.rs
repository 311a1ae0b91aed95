//! When a real text or picture took the place of a stand-in's, the products that were made of it are published again, unless somebody changed
//! them in the shop since.

use queue::{Client, JobId, NewJob};
use serde_json::{Value, json};
use store::{FoundListing, Store};

use crate::{
    handler::Handler,
    kinds::{
        content::Content,
        image::Image,
        publication::{
            Publication,
            made_of::{MadeOf, TEXTS, text_for},
        },
    },
};

/// Pushes a job for each product that was made of this one's result. Repeated, it pushes jobs that find nothing to change.
///
/// # Errors
/// Why not all were pushed, in words.
pub(crate) async fn republish(
    store: &Store,
    client: &Client,
    collection: &str,
    (job_id, tenant): (JobId, &str),
    result: &Value,
) -> Result<usize, String> {
    if ![Content::COLLECTION, Image::COLLECTION].contains(&collection) {
        return Ok(0);
    }
    let found = store.listings_made_of(&job_id.to_string(), tenant).await.map_err(|error| error.to_string())?;
    let mut n = 0;
    for listing in found {
        let Some(payload) = payload(&listing, collection, &job_id.to_string(), result) else { continue };
        let name = format!("republish/{job_id}/{}", listing.key.key);
        let id = client.fixed_id(<Publication as queue::Job>::KIND, &name, client.now_ms()).await;
        let id = id.map_err(|error| error.to_string())?;
        let job = NewJob {
            tenant: listing.key.tenant,
            ..NewJob::new(<Publication as queue::Job>::KIND, payload.to_string())
        };
        for pushed in client.push_fixed(vec![(id, job)]).await {
            pushed.map_err(|error| error.to_string())?;
        }
        n += 1;
    }
    Ok(n)
}

/// What brings one product up to date; `None` when nothing of it is of that result.
fn payload(found: &FoundListing, collection: &str, job_id: &str, result: &Value) -> Option<Value> {
    let made_of = MadeOf::read(&found.listing["made_of"]);
    let mut payload = json!({ "product_id": found.key.product_id, "sku": made_of.sku, "keep_edits": true });
    for (name, value) in [("store", &made_of.store), ("shop", &made_of.shop)] {
        if !value.is_null() {
            payload[name] = value.clone();
        }
    }
    if collection == Image::COLLECTION {
        payload["images"] = json!(made_of.images);
        return Some(payload);
    }
    // Only what is of that job.
    let is_its = |field: &str| made_of.texts.get(field).is_some_and(|of| of == job_id);
    let mut has_any = false;
    for (field, _) in TEXTS {
        let Some(text) = text_for(field, result).filter(|_| is_its(field)) else { continue };
        match field.split_once('.') {
            Some((outer, inner)) => payload[outer][inner] = json!(text),
            None => payload[field] = json!(text),
        }
        has_any = true;
    }
    payload["content_id"] = json!(job_id);
    has_any.then_some(payload)
}

#[cfg(test)]
mod tests {
    use store::{ListingKey, Moment};

    use super::*;

    #[test]
    fn only_what_is_of_that_text_is_written_again() {
        let key =
            ListingKey { key: "woocommerce/t/main/S".to_owned(), tenant: "t".to_owned(), product_id: "P".to_owned() };
        let listing = json!({ "made_of": { "sku": "S", "store": "main", "images": [{ "image_id": "i-0" }],
            "texts": { "title": "c", "seo.description": "c", "description_html": "other" } } });
        let found = FoundListing { key, at: Moment::from_ms(0), listing };
        let result = json!({ "title": "Real", "long_description": "<p>Real.</p>", "seo_title": "Real", "meta_description": "Real." });
        assert_eq!(
            payload(&found, "contents", "c", &result),
            Some(json!({ "product_id": "P", "sku": "S", "store": "main", "keep_edits": true, "content_id": "c",
                "title": "Real", "seo": { "description": "Real." } }))
        );
        assert_eq!(
            payload(&found, "images", "i", &json!({})),
            Some(
                json!({ "product_id": "P", "sku": "S", "store": "main", "keep_edits": true, "images": [{ "image_id": "i-0" }] })
            )
        );
    }
}
