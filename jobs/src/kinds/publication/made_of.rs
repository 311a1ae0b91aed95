//! What a product at a store was made of, so that it is published again when that gets better: the texts of a content job, the pictures of image
//! jobs. Kept in [`providers::publication::Listing::made_of`].

use providers::publication::Field;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::{ProductImage, Publication};

/// As it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MadeOf {
    /// As a payload says it.
    pub(crate) sku: String,
    /// As a payload names the store.
    pub(crate) store: Value,
    /// As a payload names the shop.
    pub(crate) shop: Value,
    /// The job whose texts the product has.
    pub(crate) content_id: Option<String>,
    /// Its pictures, as a payload says them.
    pub(crate) images: Vec<ProductImage>,
}

impl MadeOf {
    pub(crate) fn read(kept: &Value) -> Self {
        serde_json::from_value(kept.clone()).unwrap_or_default()
    }
}

/// The jobs whose results the product was made of.
pub(super) fn sources(made_of: &Value) -> Vec<String> {
    let MadeOf { content_id, images, .. } = MadeOf::read(made_of);
    let of_image = |image: ProductImage| Some(image.image_id?.rsplit_once('-')?.0.to_owned());
    let mut sources: Vec<String> = content_id.into_iter().chain(images.into_iter().filter_map(of_image)).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

impl Publication {
    /// The same without what only was to be brought up to date, and has been made of something else since.
    pub(super) fn still_wanted(&self, made_of: &Value) -> Self {
        let mut job = self.clone();
        if !job.keep_edits {
            return job;
        }
        let made_of = MadeOf::read(made_of);
        if job.content_id.is_some() && job.content_id != made_of.content_id {
            job.title = Field::Keep;
            job.description_html = Field::Keep;
            job.short_description_html = Field::Keep;
            job.seo = Field::Keep;
        }
        let are_ours = job.images.set().is_some_and(|images| images.iter().any(|image| image.image_id.is_some()));
        if are_ours && job.images.set() != Some(&made_of.images) {
            job.images = Field::Keep;
        }
        job
    }

    /// Notes what the product is made of from now on.
    pub(super) fn remember(&self, kept: &mut Value) {
        let mut made_of = MadeOf::read(kept);
        made_of.sku.clone_from(&self.sku);
        made_of.store = json!(self.store);
        made_of.shop = json!(self.shop);
        let has_texts =
            !(self.title.is_kept() && self.description_html.is_kept() && self.short_description_html.is_kept());
        if has_texts {
            made_of.content_id.clone_from(&self.content_id);
        }
        match (&self.images, &self.image_url) {
            (Field::Keep, None) => {}
            (images, _) => made_of.images = images.set().cloned().unwrap_or_default(),
        }
        *kept = json!(made_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(fields: &Value) -> Publication {
        let mut payload = json!({ "product_id": "P", "sku": "S" });
        payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(payload).unwrap()
    }

    #[test]
    fn what_a_job_carries_is_what_the_product_is_made_of() {
        let mut kept = Value::Null;
        job(&json!({ "title": "Cup", "content_id": "t-1", "images": [{ "image_id": "i-1-0" }, { "image_id": "i-1-1" }, { "url": "https://x/y.jpg" }] }))
            .remember(&mut kept);
        assert_eq!(sources(&kept), ["i-1", "t-1"]);
        job(&json!({ "price": { "amount": "1", "currency": "EUR" } })).remember(&mut kept);
        assert_eq!(sources(&kept), ["i-1", "t-1"], "a price says nothing of texts and pictures");
        job(&json!({ "title": "Mug" })).remember(&mut kept);
        assert_eq!(sources(&kept), ["i-1"]);
        job(&json!({ "image_url": "https://x/y.jpg" })).remember(&mut kept);
        assert_eq!(sources(&kept), [""; 0]);
    }

    #[test]
    fn what_was_replaced_since_is_not_brought_up_to_date() {
        let mut kept = Value::Null;
        let first = json!({ "title": "Cup", "content_id": "t-1", "images": [{ "image_id": "i-1-0" }] });
        job(&first).remember(&mut kept);
        let mut again = first.clone();
        again["keep_edits"] = json!(true);
        assert_eq!(job(&again).still_wanted(&kept), job(&again));
        job(&json!({ "title": "Mug", "images": [] })).remember(&mut kept);
        let left = job(&again).still_wanted(&kept);
        assert!(left.title.is_kept() && left.images.is_kept());
        assert_eq!(job(&first).still_wanted(&kept), job(&first), "a job of its own says what it says");
    }
}
