//! What a job says of a product, and what came of it.

use std::collections::BTreeMap;

use api::Timestamp;
use providers::{
    content::Price,
    publication::{
        Action, Change, Field, ProductOption, Publication as Published, PublicationStatus, Shop, Status, Texts, Variant,
    },
};
use queue::Job;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Brings one product into one store, or changes what it shows there. A field that is not there stays as it is in the shop; `null` empties it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The tenant's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// What the shop knows the product by.
    #[schema(min_length = 1, max_length = 64, example = "VELO-042-BLUE")]
    pub sku: String,
    /// Where it goes: a store of the tenant, or `default` for the one of the environment, which it is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 40, pattern = "^[a-z0-9_-]+$", example = "main")]
    pub store: Option<String>,
    /// Which of the environment's stores is meant, where it has several: beside another `store` than `default` it cannot be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop: Option<Shop>,
    /// What to do.
    #[serde(default, skip_serializing_if = "is_publish")]
    pub action: Action,
    /// For `delete`: also a product that was not made here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Fields stay as they are that somebody changed in the shop since they were written, and a product that is not there is not made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_edits: bool,
    /// The content job whose texts these are: when a real text takes the place of a stand-in's, it is published again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 36, format = Uuid)]
    pub content_id: Option<String>,
    /// Which of the texts are that job's, as `title` or `seo.description`: all that are there if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 10)]
    pub content_fields: Option<Vec<String>>,
    /// Plain text; needed to create.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 250)]
    pub title: Field<String>,
    /// HTML; what the shop does not keep is left out.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 65_000)]
    pub description_html: Field<String>,
    /// HTML.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 20_000)]
    pub short_description_html: Field<String>,
    /// For search engines.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Seo>)]
    pub seo: Field<Seo>,
    /// Selling price when it is not reduced; needed to create.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Price>)]
    pub price: Field<Price>,
    /// Selling price while it is reduced.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Price>)]
    pub sale_price: Field<Price>,
    /// How many can be sold; `null`: it is not counted.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1_000_000_000)]
    pub stock: Field<i64>,
    /// Its pictures, the first being its face.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Vec<ProductImage>>, max_items = 50)]
    pub images: Field<Vec<ProductImage>>,
    /// One picture, as `images` with its address alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2_000)]
    pub image_url: Option<String>,
    /// What its variants differ by.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Vec<ProductOption>>, max_items = 3)]
    pub options: Field<Vec<ProductOption>>,
    /// All of its variants: others leave.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Vec<Variant>>, max_items = 250)]
    pub variants: Field<Vec<Variant>>,
    /// All of its categories, by name.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    pub categories: Field<Vec<String>>,
    /// All of its tags, by name.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Vec<String>>, max_items = 250)]
    pub tags: Field<Vec<String>>,
    /// Who makes it.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub brand: Field<String>,
    /// GTIN, EAN or UPC.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, pattern = "^[0-9]{8}([0-9]{4,6})?$", example = "4006381333931")]
    pub gtin: Field<String>,
    /// In grams.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<u32>, maximum = 10_000_000)]
    pub weight_g: Field<u32>,
    /// Whether customers see it. A new product is `active` unless this says otherwise.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<Status>)]
    pub status: Field<Status>,
    /// Texts in the store's further languages, by language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub translations: BTreeMap<String, Texts>,
}

/// What search engines show of a product.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Seo {
    /// Plain text.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 250)]
    pub title: Field<String>,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 1_000)]
    pub description: Field<String>,
    /// The last part of the product's address.
    #[serde(default, skip_serializing_if = "Field::is_kept")]
    #[schema(value_type = Option<String>, max_length = 128, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", example = "city-bicycle")]
    pub slug: Field<String>,
}

/// A picture of a product: one of the two tells which.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductImage {
    /// Where it is: http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2_000)]
    pub url: Option<String>,
    /// One that an image job made: `images[].id` of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 60, example = "0199a1b2-0000-7000-8000-000000000000-0")]
    pub image_id: Option<String>,
    /// What it shows, for those who do not see it; of `image_id`, what its job says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub alt: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PublicationResult {
    /// What the shop knows the product by.
    pub sku: String,
    /// The store.
    pub store: String,
    /// The software that it runs on; `null` in mock mode when only the store was named.
    pub shop: Option<Shop>,
    /// What was asked for.
    pub action: Action,
    /// What was done; `mock` when nothing left the system. Of a dry run, what would be done.
    pub status: PublicationStatus,
    /// The product's id in the shop; begins with `mock-` when no shop has it, and `null` when it is not there any more.
    pub external_id: Option<String>,
    /// Where customers find it, if they can.
    pub url: Option<String>,
    /// Whether customers see it.
    pub published: bool,
    /// What was changed, or of a dry run, what would be; of `verify`, what differs from what was written last.
    pub changes: Vec<Change>,
    /// When the shop was last seen to have it so; `null` in mock mode.
    pub verified_at: Option<Timestamp>,
}

impl PublicationResult {
    /// What was done for a job; `shop` and `store` are where.
    pub(super) fn of(
        sku: String,
        (action, shop): (Action, Option<Shop>),
        store: String,
        done: Published,
        verified_at: Option<Timestamp>,
    ) -> Self {
        let Published { status, external_id, url, published, changes } = done;
        Self { sku, store, shop, action, status, external_id, url, published, changes, verified_at }
    }
}

impl Job for Publication {
    const KIND: &'static str = "publication";
    const MAX_ATTEMPTS: u32 = 6;
    const TIMEOUT_S: u64 = 120;
    const CONCURRENCY: usize = 8;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_publish(action: &Action) -> bool {
    *action == Action::Publish
}
