//! Products to stores.

pub mod batch;
pub(crate) mod made_of;
mod notes;
mod payload;
mod pictures;
mod would_be;

use api::{FieldError, Timestamp};
use chrono::Utc;
use providers::{
    ProviderError, Providers,
    content::{Language, Price},
    publication::{
        Action, Change, Desk, Field, Key, Listing, Order, Patch, ProductOption, Publication as Published,
        PublicationStatus, PublishError, Shop, Status, Store, Texts, Variant, carry_out,
    },
};
use queue::Job;
use serde::{Deserialize, Serialize};
use services::Name;
use utoipa::ToSchema;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    handler::{Context, Done, Handler, JobError},
    kinds::stores,
};

/// MongoDB being away is no fault of the job.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

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
    /// Where it goes: a store of the tenant, or `default` for the one of the environment. `default` if neither it nor `shop` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 40, pattern = "^[a-z0-9_-]+$", example = "main")]
    pub store: Option<String>,
    /// The environment's store of this shop.
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

impl Job for Publication {
    const KIND: &'static str = "publication";
    const MAX_ATTEMPTS: u32 = 6;
    const TIMEOUT_S: u64 = 120;
    const CONCURRENCY: usize = 8;
}

impl Handler for Publication {
    type Output = PublicationResult;
    const COLLECTION: &'static str = "publications";
    const SERVICE: Option<Name> = Some(Name::Publication);
    const ONE_ACCOUNT: bool = false;
    const OF_PRODUCT: bool = true;

    fn check(&self) -> Vec<FieldError> {
        payload::check(self)
    }

    fn concurrency_key(&self, providers: &Providers) -> Option<String> {
        // In mock mode nothing is there that two could spoil.
        providers.publication.is_real().then(|| {
            let store = self.shop.map_or_else(|| self.store.clone().unwrap_or_default(), |shop| format!("/{shop}"));
            // No shop tells more SKUs apart than this does.
            format!("publication/{store}/{}", self.sku.trim().to_lowercase())
        })
    }

    async fn run(self, context: &Context) -> Result<Done<PublicationResult>, JobError> {
        if !context.providers.publication.is_real() {
            return would_be::run(self, context).await;
        }
        let store = stores::open(context, self.store.as_deref(), self.shop).await?;
        let shop = store.shop();
        context.progress.set(10, format!("asking {}", store.name));
        let done = match self.at(&store, context).await {
            Ok(done) => done,
            Err(error) => return Err(failed(&error, context, &store, &self.sku).await),
        };
        context.progress.set(90, format!("seen at {}", store.name));
        let result = self.result(Some(shop), &store.name, done, Some(Timestamp::from(Utc::now())));
        Ok(Done { result, provider: Some(shop.name()), degraded_reason: None })
    }
}

impl Publication {
    async fn at(&self, store: &Store, context: &Context) -> Result<Published, PublishError> {
        let Prepared { notes, listing, patch } = self.prepared(store, context).await?;
        let api = context.providers.publication.open(store, context.policy())?;
        let job = context.job_id.to_string();
        carry_out(&*api, self.order(&job, &patch), &mut Desk::new(listing, &notes)).await
    }

    /// What is remembered of the product, and what this job says of it.
    async fn prepared(&self, store: &Store, context: &Context) -> Result<Prepared, PublishError> {
        let key = Key { sku: &self.sku, product_id: &self.product_id };
        let (notes, mut listing) = notes::open(context, store, key).await?;
        let job_of = self.still_wanted(&listing.made_of);
        let patch = match self.action {
            Action::Publish | Action::DryRun => job_of.patch(pictures::of(&job_of, store, context).await?),
            Action::Unpublish | Action::Delete | Action::Verify => Patch::default(),
        };
        if self.action == Action::Publish {
            job_of.remember(&mut listing.made_of);
        }
        Ok(Prepared { notes, listing, patch })
    }

    fn order<'a>(&'a self, job: &'a str, patch: &'a Patch) -> Order<'a> {
        let key = Key { sku: &self.sku, product_id: &self.product_id };
        let now_ms = u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0);
        Order { job, key, action: self.action, patch, force: self.force, keep_edits: self.keep_edits, now_ms }
    }

    fn result(
        &self,
        shop: Option<Shop>,
        store: &str,
        done: Published,
        verified_at: Option<Timestamp>,
    ) -> PublicationResult {
        let Published { status, external_id, url, published, changes } = done;
        let (sku, store) = (self.sku.clone(), store.to_owned());
        PublicationResult {
            sku,
            store,
            shop,
            action: self.action,
            status,
            external_id,
            url,
            published,
            changes,
            verified_at,
        }
    }
}

/// What an order is made of.
struct Prepared {
    notes: notes::InStore,
    listing: Listing,
    patch: Patch,
}

/// What follows from an error for the job.
pub(super) async fn failed(error: PublishError, context: &Context, store: &Store, sku: &str) -> JobError {
    match error {
        PublishError::Provider(error) => of_provider(error, context, store).await,
        PublishError::Refused(faults) => {
            let language = match store.languages.first().map(String::as_str) {
                Some("fr") => Language::Fr,
                _ => Language::En,
            };
            let words: Vec<String> = faults.iter().map(|fault| fault.words(language)).collect();
            let message = format!("{sku} at {}: {}", store.name, words.join("; "));
            JobError::Fatal { code: "refused_by_store", message }
        }
        error @ PublishError::Notes(_) => {
            JobError::Snooze { code: "store_unavailable", message: error.to_string(), after: STORE_AGAIN_AFTER }
        }
        error => JobError::Snooze { code: "overtaken", message: error.to_string(), after: Duration::from_secs(1) },
    }
}

async fn of_provider(error: ProviderError, context: &Context, store: &Store) -> JobError {
    match stores::failed(context, store, error).await {
        JobError::Snooze { code, message, after } => {
            JobError::Snooze { code, message: format!("store {}: {message}", store.name), after }
        }
        other => other,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_publish(action: &Action) -> bool {
    *action == Action::Publish
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{complaints, context, mocks, refused, stored};

    fn payload() -> Value {
        json!({ "product_id": "L-1", "sku": "L-1-OAK", "shop": "woocommerce", "title": "Lampe", "description_html": "<p>Oak.</p>",
            "price": { "amount": "59.90", "currency": "EUR" }, "image_url": "https://cdn.example/l-1.png" })
    }

    /// The payload with these fields in place of its own.
    fn with(changes: &Value) -> Value {
        let mut payload = payload();
        for (name, value) in changes.as_object().unwrap() {
            payload[name] = value.clone();
        }
        payload
    }

    async fn run(payload: Value) -> Value {
        let job: Publication = stored(payload);
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Publication>(mocks())).await.unwrap();
        assert_eq!((done.provider, &done.degraded_reason), (Some("mock"), &None));
        serde_json::to_value(&done.result).unwrap()
    }

    #[tokio::test]
    async fn a_mock_publication_never_counts_as_published() {
        let result = run(payload()).await;
        assert_eq!((&result["status"], &result["published"]), (&json!("mock"), &json!(false)));
        assert_eq!((&result["sku"], &result["shop"]), (&json!("L-1-OAK"), &json!("woocommerce")));
        assert_eq!(
            (&result["store"], &result["url"], &result["verified_at"]),
            (&json!("default"), &Value::Null, &Value::Null)
        );
        assert!(result["external_id"].as_str().unwrap().starts_with("mock-"));
        let changes = result["changes"].as_array().unwrap();
        let price = changes.iter().find(|change| change["field"] == "price").unwrap();
        assert_eq!(price, &json!({ "field": "price", "was": null, "becomes": "59.9" }));
    }

    #[tokio::test]
    async fn the_id_of_a_mock_is_the_same_again_and_another_in_another_store() {
        let id = async |payload| run(payload).await["external_id"].clone();
        let first = id(payload()).await;
        assert_eq!(first, id(payload()).await);
        assert_ne!(first, id(with(&json!({ "shop": "prestashop" }))).await);
        assert_ne!(first, id(with(&json!({ "sku": "L-1-ASH" }))).await);
    }

    #[test]
    fn a_payload_of_an_older_release_is_read() {
        let old: Publication = stored(payload());
        assert_eq!((old.action, &old.store, old.shop), (Action::Publish, &None, Some(Shop::Woocommerce)));
        assert_eq!(old.title, Field::Set("Lampe".to_owned()));
        let names: Vec<String> = old.patch(pictures::named(&old)).names().into_iter().collect();
        assert_eq!(names, ["description_html", "images", "price", "title"]);
    }

    #[test]
    fn null_clears_and_what_is_absent_stays() {
        let job: Publication =
            stored(json!({ "product_id": "L-1", "sku": "L", "brand": null, "seo": { "title": null }, "images": null,
                "translations": { "fr": { "title": null } } }));
        assert_eq!(job.check(), []);
        assert_eq!((&job.brand, &job.gtin), (&Field::Clear, &Field::Keep));
        let names: Vec<String> = job.patch(pictures::named(&job)).names().into_iter().collect();
        assert_eq!(names, ["brand", "images", "seo.title", "translations.fr.title"]);
        let written = serde_json::to_value(&job).unwrap();
        assert_eq!((&written["brand"], written.get("gtin")), (&Value::Null, None));
        assert!(written.as_object().unwrap().contains_key("brand"), "what is emptied is still said so in the queue");
    }

    #[test]
    fn what_the_schema_cannot_express_is_named_by_field() {
        let bad = with(&json!({ "sku": " ", "title": "two\nlines", "price": { "amount": "0.00", "currency": "EUR" },
            "image_url": "file:///etc/passwd" }));
        assert_eq!(complaints::<Publication>(bad), ["/sku", "/title", "/price/amount", "/image_url"]);
        let bad = with(
            &json!({ "store": "main", "images": [{}, { "url": "ftp://x/y" }, { "url": "https://x/y", "image_id": "a-0" }],
            "sale_price": { "amount": "60", "currency": "EUR" }, "tags": [""], "force": true, "translations": { "french!": {} } }),
        );
        assert_eq!(
            complaints::<Publication>(bad),
            [
                "/shop",
                "/sale_price/amount",
                "/image_url",
                "/images/0",
                "/images/1/url",
                "/images/2",
                "/tags/0",
                "/translations/french!",
                "/force"
            ]
        );
        let variants = json!([{ "sku": "A", "options": { "Size": "S" } }, { "sku": "a", "options": { "Size": "S" } },
            { "sku": "B", "options": { "Size": "XL" }, "stock": -1 }, { "sku": "C", "options": {}, "image": 7 }]);
        let bad = with(
            &json!({ "options": [{ "name": "Size", "values": ["S", "M"] }], "variants": variants, "images": [], "image_url": null }),
        );
        assert_eq!(
            complaints::<Publication>(bad),
            [
                "/variants/1/sku",
                "/variants/1/options",
                "/variants/2/options",
                "/variants/2/stock",
                "/variants/3/options",
                "/variants/3/image"
            ]
        );
        let without = json!({ "product_id": "L-1", "sku": "L" });
        assert_eq!(complaints::<Publication>(without.clone()), [""]);
        for action in ["delete", "unpublish", "verify"] {
            let mut job = without.clone();
            job["action"] = json!(action);
            assert_eq!(complaints::<Publication>(job.clone()), [""; 0], "{action}");
            job["title"] = json!("Lamp");
            assert_eq!(complaints::<Publication>(job), ["/action"], "{action}");
        }
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let mut bad = with(
            &json!({ "shop": "amazon", "price": { "amount": 59.9, "currency": "eur" }, "sku": "x".repeat(65),
            "gtin": "123", "action": "burn", "status": "hidden", "store": "Main!", "stock": -1, "seo": { "slug": "Été" } }),
        );
        bad["variants"] = json!([{ "sku": "A" }]);
        assert_eq!(
            refused::<Publication>(&bad),
            [
                "/action",
                "/gtin",
                "/price/amount",
                "/price/currency",
                "/seo/slug",
                "/shop",
                "/sku",
                "/status",
                "/stock",
                "/store",
                "/variants/0/options"
            ]
        );
    }
}
