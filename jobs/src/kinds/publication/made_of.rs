//! What a product at a store was made of, so that it is published again when that gets better: the texts of a content job, the pictures of image
//! jobs. Kept in [`providers::publication::Listing::made_of`].

use std::collections::BTreeMap;

use providers::publication::{Field, Listing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::{ProductImage, Publication};

/// The text of a content job's result for each field of a publication.
pub(crate) const TEXTS: [(&str, &str); 5] = [
    ("title", "title"),
    ("description_html", "long_description"),
    ("short_description_html", "short_description"),
    ("seo.title", "seo_title"),
    ("seo.description", "meta_description"),
];

/// What a content job wrote for a field of a publication, if it wrote anything.
pub(crate) fn text_for<'r>(field: &str, result: &'r Value) -> Option<&'r str> {
    let (_, name) = TEXTS.iter().find(|(known, _)| *known == field)?;
    result[name].as_str().filter(|text| !text.is_empty())
}

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
    /// The job whose text a field has, by the field.
    pub(crate) texts: BTreeMap<String, String>,
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
    let MadeOf { texts, images, .. } = MadeOf::read(made_of);
    let of_image = |image: ProductImage| Some(image.image_id?.rsplit_once('-')?.0.to_owned());
    let mut sources: Vec<String> = texts.into_values().chain(images.into_iter().filter_map(of_image)).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

impl Publication {
    /// The fields that have texts which a content job may have made: [`TEXTS`].
    pub(crate) fn texts(&mut self) -> Vec<(&'static str, &mut Field<String>)> {
        let mut texts = vec![
            ("title", &mut self.title),
            ("description_html", &mut self.description_html),
            ("short_description_html", &mut self.short_description_html),
        ];
        if let Field::Set(seo) = &mut self.seo {
            texts.extend([("seo.title", &mut seo.title), ("seo.description", &mut seo.description)]);
        }
        texts
    }

    /// The fields that have texts of its content job.
    pub(super) fn texts_made(&mut self) -> Vec<(&'static str, &mut Field<String>)> {
        if self.content_id.is_none() {
            return Vec::new();
        }
        let fields = self.content_fields.clone();
        let is_its = |name: &str| fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == name));
        let mut texts = self.texts();
        texts.retain(|(name, field)| field.set().is_some() && is_its(name));
        texts
    }

    /// The same without what only was to be brought up to date, and has been made of something else since.
    pub(super) fn still_wanted(&self, made_of: &Value) -> Self {
        let mut job = self.clone();
        if !job.keep_edits {
            return job;
        }
        let made_of = MadeOf::read(made_of);
        if let Some(content_id) = job.content_id.clone() {
            for (name, field) in job.texts() {
                if made_of.texts.get(name) != Some(&content_id) {
                    *field = Field::Keep;
                }
            }
        }
        let are_ours = job.images.set().is_some_and(|images| images.iter().any(|image| image.image_id.is_some()));
        if are_ours && job.images.set() != Some(&made_of.images) {
            job.images = Field::Keep;
        }
        job
    }

    /// Notes what the product is made of from now on, as far as no later job has said so.
    pub(super) fn remember(&self, job_id: &str, listing: &mut Listing) {
        let mut made_of = MadeOf::read(&listing.made_of);
        made_of.sku.clone_from(&self.sku);
        made_of.store = json!(self.store);
        made_of.shop = json!(self.shop);
        let mut job = self.clone();
        for (name, field) in job.texts() {
            if field.is_kept() || listing.is_superseded(name, job_id) {
                continue;
            }
            let is_its = self.content_fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field == name));
            match self.content_id.clone().filter(|_| is_its) {
                Some(content_id) => made_of.texts.insert(name.to_owned(), content_id),
                None => made_of.texts.remove(name),
            };
        }
        let says_images = !self.images.is_kept() || self.image_url.is_some();
        if says_images && !listing.is_superseded("images", job_id) {
            made_of.images = self.images.set().cloned().unwrap_or_default();
        }
        listing.made_of = json!(made_of);
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

    fn remembered(jobs: &[(&str, Value)]) -> Listing {
        let mut listing = Listing::default();
        for (id, fields) in jobs {
            job(fields).remember(id, &mut listing);
        }
        listing
    }

    #[test]
    fn what_a_job_carries_is_what_the_product_is_made_of() {
        let images = json!([{ "image_id": "i-1-0" }, { "image_id": "i-1-1" }, { "url": "https://x/y.jpg" }]);
        let first = ("1", json!({ "title": "Cup", "content_id": "t-1", "images": images }));
        let of = |jobs: &[(&str, Value)]| sources(&remembered(jobs).made_of);
        assert_eq!(of(std::slice::from_ref(&first)), ["i-1", "t-1"]);
        let price = ("2", json!({ "price": { "amount": "1", "currency": "EUR" } }));
        assert_eq!(of(&[first.clone(), price]), ["i-1", "t-1"], "a price says nothing of texts and pictures");
        let title = ("2", json!({ "title": "Mug" }));
        assert_eq!(of(&[first.clone(), title]), ["i-1"]);
        assert_eq!(of(&[first, ("2", json!({ "image_url": "https://x/y.jpg" }))]), ["t-1"]);
        let own_title = json!({ "title": "Mine", "description_html": "<p>Made.</p>", "content_id": "t-1",
            "content_fields": ["description_html"] });
        let listing = remembered(&[("1", own_title)]);
        let texts = MadeOf::read(&listing.made_of).texts;
        assert_eq!(texts.into_iter().collect::<Vec<_>>(), [("description_html".to_owned(), "t-1".to_owned())]);
    }

    #[test]
    fn what_a_later_job_has_said_is_not_forgotten_for_an_earlier_one() {
        let mut listing = remembered(&[("2", json!({ "title": "Mug", "content_id": "t-2" }))]);
        listing.by.insert("title".to_owned(), "2".to_owned());
        job(&json!({ "title": "Cup", "content_id": "t-1" })).remember("1", &mut listing);
        assert_eq!(sources(&listing.made_of), ["t-2"]);
    }

    #[test]
    fn what_was_replaced_since_is_not_brought_up_to_date() {
        let first = json!({ "title": "Cup", "content_id": "t-1", "images": [{ "image_id": "i-1-0" }] });
        let listing = remembered(&[("1", first.clone())]);
        let mut again = first.clone();
        again["keep_edits"] = json!(true);
        assert_eq!(job(&again).still_wanted(&listing.made_of), job(&again));
        let later = remembered(&[("1", first.clone()), ("2", json!({ "title": "Mug", "images": [] }))]);
        let left = job(&again).still_wanted(&later.made_of);
        assert!(left.title.is_kept() && left.images.is_kept());
        assert_eq!(job(&first).still_wanted(&later.made_of), job(&first), "a job of its own says what it says");
    }
}
