//! Products to stores.

pub mod batch;
mod healed;
pub(crate) mod made_of;
mod missing;
mod notes;
mod order;
mod payload;
mod pictures;
mod would_be;

use api::{FieldError, Timestamp};
use chrono::Utc;
use providers::{
    Policy, ProviderError,
    content::Language,
    publication::{
        Action, Desk, Key, Listing, Order, Patch, Publication as Published, PublishError, Store, carry_out, folded,
    },
};
use queue::ConcurrencyKey;
use services::Name;
use tokio::time::Instant;

use std::time::Duration;

use healed::StandIns;

pub use order::{ProductImage, Publication, PublicationResult, Seo};

use crate::{
    handler::{Context, Done, Handler, JobError, NamedStore},
    kinds::stores,
};

/// When a job is tried again that a shop told to wait, and not for how long.
const THROTTLED: Duration = Duration::from_secs(10);
/// For so long after it was made a job that a shop tells to wait uses no attempt: a shop that never stops ends it one day.
const PATIENT_FOR: Duration = Duration::from_secs(24 * 3600);

impl Handler for Publication {
    type Output = PublicationResult;
    const COLLECTION: &'static str = "publications";
    const SERVICE: Option<Name> = Some(Name::Publication);
    const ONE_ACCOUNT: bool = false;

    fn product_id(&self) -> Option<&str> {
        Some(&self.product_id)
    }

    fn check(&self) -> Vec<FieldError> {
        payload::check(self)
    }

    fn store(&self) -> Option<NamedStore> {
        stores::named("/store", self.store.as_deref())
    }

    async fn concurrency_key(&self, context: &Context) -> Result<Option<ConcurrencyKey>, JobError> {
        // In mock mode nothing is there that two could spoil.
        if !context.providers.publication.is_real() {
            return Ok(None);
        }
        let store = stores::open(context, self.store.as_deref(), self.shop).await?;
        Ok(Some(key_of(&store, &self.sku)))
    }

    async fn run(self, context: &Context) -> Result<Done<PublicationResult>, JobError> {
        if !context.providers.publication.is_real() {
            return would_be::run(self, context).await;
        }
        let store = stores::open(context, self.store.as_deref(), self.shop).await?;
        let (shop, began) = (store.shop(), Instant::now());
        context.progress.set(10, format!("asking {}", store.name));
        let done = match self.at(&store, context, began).await {
            Ok(done) => done,
            Err(error) => return Err(self.failed(error, context, &store).await),
        };
        context.progress.set(90, format!("seen at {}", store.name));
        let verified_at = Some(Timestamp::from(Utc::now()));
        let result = PublicationResult::of(self.sku, (self.action, Some(shop)), store.name.clone(), done, verified_at);
        Ok(Done { result, provider: Some(shop.name()), degraded_reason: None })
    }
}

impl Publication {
    async fn at(&self, store: &Store, context: &Context, began: Instant) -> Result<Published, PublishError> {
        let prepared = self.prepared(store, context).await?;
        let api = context.providers.publication.open(store, left(context, began))?;
        let job = context.job_id.to_string();
        let mut desk = prepared.desk();
        let done = carry_out(&*api, self.order(&job, &prepared.patch), &mut desk).await?;
        self.again_if_healed(done, &prepared, store, context, began).await
    }

    /// Publishes again what was healed while it was published: whoever healed it may have looked before the product was noted to be made of
    /// it.
    async fn again_if_healed(
        &self,
        done: Published,
        prepared: &Prepared,
        store: &Store,
        context: &Context,
        began: Instant,
    ) -> Result<Published, PublishError> {
        if self.action != Action::Publish || !prepared.stand_ins.is_any_replaced(context).await? {
            return Ok(done);
        }
        // It ends, because each is healed once.
        Ok(done.then(Box::pin(self.at(store, context, began)).await?))
    }

    /// What is remembered of the product, and what this job says of it.
    async fn prepared(&self, store: &Store, context: &Context) -> Result<Prepared, PublishError> {
        let key = Key { sku: &self.sku, product_id: &self.product_id };
        let (notes, mut listing) = notes::open(context, store, key).await?;
        if !matches!(self.action, Action::Publish | Action::DryRun) {
            let (patch, stand_ins, originals) = (Patch::default(), StandIns::default(), None);
            return Ok(Prepared { notes, listing, patch, stand_ins, originals });
        }
        let (job, stand_ins) = self.with_real_texts(context).await?;
        let job = job.still_wanted(&listing.made_of);
        let (pictures, originals) = pictures::of(&job, store, context).await?;
        let patch = job.patch(pictures);
        if self.action == Action::Publish {
            job.remember(&context.job_id.to_string(), &mut listing);
        }
        Ok(Prepared { notes, listing, patch, stand_ins, originals: Some(originals) })
    }

    /// What follows from an error; a product that is not there yet may be made by another job.
    async fn failed(&self, error: PublishError, context: &Context, store: &Store) -> JobError {
        let is_missing = self.action == Action::Publish && missing::is_it(&error);
        let failed = failed(error, context, store, &self.sku).await;
        let wait = |words: &str| missing::wait(words, context.so_far.as_ref(), now_ms());
        let waits = if is_missing { wait(&failed.to_string()) } else { None };
        waits.unwrap_or_else(|| failed.keeping(context.so_far.as_ref()))
    }

    fn order<'a>(&'a self, job: &'a str, patch: &'a Patch) -> Order<'a> {
        let key = Key { sku: &self.sku, product_id: &self.product_id };
        let (force, keep_edits, now_ms) = (self.force, self.keep_edits, now_ms());
        Order { job, key, action: self.action, patch, force, keep_edits, now_ms }
    }
}

/// What only one job at a time may write: a SKU at a shop, whatever name the store has there, and whosever it is.
fn key_of(store: &Store, sku: &str) -> ConcurrencyKey {
    ConcurrencyKey::of_all(format!("publication/{}/{}/{}", store.shop(), store.place(), folded(sku)))
}

fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0)
}

/// What an attempt that began then still allows.
fn left(context: &Context, began: Instant) -> Policy<'_> {
    let policy = context.policy();
    Policy { time: policy.time.saturating_sub(began.elapsed()), ..policy }
}

/// What an order is made of.
struct Prepared {
    notes: notes::InStore,
    listing: Listing,
    patch: Patch,
    stand_ins: StandIns,
    originals: Option<pictures::InOrigin>,
}

impl Prepared {
    fn desk(&self) -> Desk<'_> {
        let desk = Desk::new(self.listing.clone(), &self.notes);
        match &self.originals {
            Some(originals) => desk.with_originals(originals),
            None => desk,
        }
    }
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
            // A shop may quote what it was sent.
            let message = store.redacted_text(format!("{sku} at {}: {}", store.name, words.join("; ")));
            JobError::Fatal { code: "refused_by_store", message }
        }
        error @ PublishError::Damaged(_) => JobError::Fatal { code: "notes_damaged", message: error.to_string() },
        error @ PublishError::Notes(_) => {
            JobError::Snooze { code: "store_unavailable", message: error.to_string(), after: notes::STORE_AGAIN_AFTER }
        }
        error => JobError::Snooze { code: "overtaken", message: error.to_string(), after: Duration::from_secs(1) },
    }
}

async fn of_provider(error: ProviderError, context: &Context, store: &Store) -> JobError {
    let is_throttled = matches!(error, ProviderError::RateLimited { .. });
    match stores::failed(context, store, error).await {
        // Nothing was carried out, and nothing is wrong with the job.
        JobError::Retry { code, message, after } if is_throttled && is_young(context) => JobError::Snooze {
            code,
            message: format!("store {}: {message}", store.name),
            after: after.unwrap_or(THROTTLED),
        },
        JobError::Snooze { code, message, after } => {
            JobError::Snooze { code, message: format!("store {}: {message}", store.name), after }
        }
        other => other,
    }
}

fn is_young(context: &Context) -> bool {
    let made_ms = i64::try_from(context.job_id.created_ms()).unwrap_or(i64::MAX);
    let age_ms = Utc::now().timestamp_millis().saturating_sub(made_ms);
    u128::try_from(age_ms).is_ok_and(|age_ms| age_ms < PATIENT_FOR.as_millis()) || age_ms < 0
}

#[cfg(test)]
mod tests {
    use providers::{
        Providers,
        publication::{Field, Shop},
    };
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

    #[tokio::test]
    async fn a_job_that_a_shop_tells_to_wait_uses_no_attempt_for_a_day() {
        let var = |name: &str| match name {
            "PRESTA_STORE_URL" => Some("http://presta.example".to_owned()),
            "PRESTA_API_KEY" => Some("0123456789abcdef0123456789abcdef".to_owned()),
            _ => None,
        };
        let providers = Providers::from_config(&services::Config::from_vars(var), &fleet::Fleet::alone()).unwrap();
        let store = &providers.publication.stores()[0];
        let now_ms = u64::try_from(Utc::now().timestamp_millis()).unwrap();
        let what_follows = async |age: Duration, retry_after| {
            let made_ms = now_ms - u64::try_from(age.as_millis()).unwrap();
            let id = format!("{:08x}-{:04x}-7000-8000-000000000000", made_ms >> 16, made_ms & 0xffff);
            let context = Context { job_id: id.parse().unwrap(), ..context::<Publication>(mocks()) };
            let message = "429".to_owned();
            let error = ProviderError::RateLimited { service: "woocommerce", message, retry_after };
            failed(error.into(), &context, store, "L-1-OAK").await
        };
        let (hour, wait) = (Duration::from_secs(3600), Duration::from_secs(7));
        for (age, retry_after, after) in [(Duration::ZERO, Some(wait), wait), (hour * 23, None, THROTTLED)] {
            match what_follows(age, retry_after).await {
                JobError::Snooze { code: "rate_limited", after: found, .. } => assert_eq!(found, after),
                other => panic!("{other:?}"),
            }
        }
        let old = what_follows(hour * 25, Some(wait)).await;
        assert!(
            matches!(old, JobError::Retry { code: "rate_limited", after: Some(after), .. } if after == wait),
            "{old:?}"
        );
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
    fn a_shop_beside_a_store_says_which_of_the_environments_it_is() {
        assert_eq!(complaints::<Publication>(with(&json!({ "store": "default" }))), [""; 0]);
        assert_eq!(complaints::<Publication>(with(&json!({ "store": "main" }))), ["/shop"]);
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
