//! Products to shops.

use api::FieldError;
use providers::{
    content::Price,
    publication::{Product, PublicationStatus, Shop},
};
use queue::Job;
use serde::{Deserialize, Serialize};
use services::Name;
use url::Url;
use utoipa::ToSchema;

use crate::handler::{Context, Done, Handler, JobError};

/// Puts one product into one shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The shop's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// What the shop knows the product by.
    #[schema(min_length = 1, max_length = 64, example = "VELO-042-BLUE")]
    pub sku: String,
    /// Where it goes.
    pub shop: Shop,
    /// Plain text.
    #[schema(min_length = 1, max_length = 250)]
    pub title: String,
    /// HTML.
    #[schema(max_length = 65_000)]
    pub description_html: String,
    /// Selling price.
    pub price: Price,
    /// Where the shop fetches the picture from: http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2_000)]
    pub image_url: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PublicationResult {
    /// What the shop knows the product by.
    pub sku: String,
    /// Where it went.
    pub shop: Shop,
    /// `mock` when nothing left the system.
    pub status: PublicationStatus,
    /// The product's id in the shop; begins with `mock-` when no shop has it.
    pub external_id: String,
    /// Whether the shop shows it.
    pub published: bool,
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
    const OF_PRODUCT: bool = true;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (pointer, text) in [("/sku", &self.sku), ("/title", &self.title)] {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                errors.push(FieldError::new(pointer, "must be one line of text"));
            }
        }
        if !self.price.amount.contains(|digit: char| ('1'..='9').contains(&digit)) {
            errors.push(FieldError::new("/price/amount", "must be a decimal number over 0, such as 49.90"));
        }
        let is_web = |url: &String| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !self.image_url.as_ref().is_none_or(is_web) {
            errors.push(FieldError::new("/image_url", "must be an http or https URL"));
        }
        errors
    }

    async fn run(self, context: &Context) -> Result<Done<PublicationResult>, JobError> {
        let Self { sku, shop, title, description_html, price, image_url, .. } = self;
        context.progress.set(10, "publishing");
        let product = Product { sku, shop, title, description_html, price, image_url };
        let answer = context.providers.publication.call(context.policy(), &product).await?;
        context.progress.set(90, format!("taken by {}", answer.provider));
        let done = Done::from(answer);
        let publication = done.result;
        let result = PublicationResult {
            sku: product.sku,
            shop,
            status: publication.status,
            external_id: publication.external_id,
            published: publication.status == PublicationStatus::Published,
        };
        Ok(Done { result, provider: done.provider, degraded_reason: done.degraded_reason })
    }
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

    #[tokio::test]
    async fn a_mock_publication_never_counts_as_published() {
        let job: Publication = stored(payload());
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Publication>(mocks())).await.unwrap();
        let result = serde_json::to_value(&done.result).unwrap();
        assert_eq!((&result["status"], &result["published"]), (&json!("mock"), &json!(false)));
        assert_eq!((&result["sku"], &result["shop"]), (&json!("L-1-OAK"), &json!("woocommerce")));
        assert!(done.result.external_id.starts_with("mock-"));
    }

    #[test]
    fn what_the_schema_cannot_express_is_named_by_field() {
        let mut bad = payload();
        bad["sku"] = json!(" ");
        bad["title"] = json!("two\nlines");
        bad["price"]["amount"] = json!("0.00");
        bad["image_url"] = json!("file:///etc/passwd");
        assert_eq!(complaints::<Publication>(bad), ["/sku", "/title", "/price/amount", "/image_url"]);
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let mut bad = payload();
        bad["shop"] = json!("amazon");
        bad["price"] = json!({ "amount": 59.9, "currency": "eur" });
        bad["sku"] = json!("x".repeat(65));
        assert_eq!(refused::<Publication>(&bad), ["/price/amount", "/price/currency", "/shop", "/sku"]);
    }
}
