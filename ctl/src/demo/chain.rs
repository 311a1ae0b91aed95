//! The way of one product: content → image → scrape → email → publication, each made from the results before it.

use std::{fmt::Write as _, sync::Arc};

use providers::content::ContentRequest;
use serde_json::{Value, json};

use super::report::{Board, End, pages, price};
use crate::{client::Api, options::Options};

/// A page with JSON-LD, one with microdata, and one without a price.
const PAGES: [&str; 3] = ["jsonld.html", "microdata.html", "noprice.html"];
/// The API takes no longer ones, in characters.
const SUBJECT_AT_MOST: usize = 200;
/// Where the mock publishes to.
const SHOP: &str = "shopify";

/// The first product, and what its jobs need.
pub(crate) struct Chain {
    pub(crate) api: Api,
    pub(crate) board: Arc<Board>,
    pub(crate) product: ContentRequest,
    pub(crate) shops: String,
    pub(crate) to: String,
}

/// Something that a result should have, but has not.
type Payload = Result<Value, String>;

impl Chain {
    /// Runs until the last job is done or one failed.
    pub(crate) async fn run(self) {
        let _ = self.steps().await;
    }

    async fn steps(&self) -> Option<()> {
        let (_, id) = self.board.pending().into_iter().find(|(row, _)| *row == 0)?;
        let content = self.board.end(0, End::of(self.api.finished_job(&id).await))?;
        self.step("image", image(&self.product, &content)).await?;
        let scrape = self.step("scrape", Ok(scrape(&self.product, &self.shops))).await?;
        self.step("email", email(&self.to, &content, &scrape)).await?;
        self.step("publication", publication(&self.product, &content)).await?;
        Some(())
    }

    /// Runs one job; its result when it succeeded.
    async fn step(&self, kind: &'static str, payload: Payload) -> Option<Value> {
        let row = self.board.row_of(kind)?;
        let payload = match payload {
            Ok(payload) => payload,
            Err(reason) => return self.board.end(row, End::Failed(reason)),
        };
        let id = match self.api.push_patiently(&Options::default().request(kind, payload.into())).await {
            Ok(job) => job.id.to_string(),
            Err(error) => return self.board.end(row, End::of(Err(error))),
        };
        self.board.begin(row, &id);
        self.board.end(row, End::of(self.api.finished_job(&id).await))
    }
}

fn image(product: &ContentRequest, content: &Value) -> Payload {
    let title = text(content, "content", "title")?;
    Ok(json!({
        "product_id": product.product_id,
        "name": product.name,
        "prompt": format!("{title}, {}, on a plain background", product.category),
    }))
}

fn scrape(product: &ContentRequest, shops: &str) -> Value {
    let urls = PAGES.map(|page| format!("{}/{page}", shops.trim_end_matches('/')));
    json!({ "product_id": product.product_id, "urls": urls })
}

fn email(to: &str, content: &Value, scrape: &Value) -> Payload {
    let title = text(content, "content", "title")?;
    let mut body = format!("{title}\n\n{}\n\nCompetitors:\n", text(content, "content", "meta_description")?);
    for page in pages(scrape)? {
        let _ = writeln!(body, "- {}: {}", page["url"].as_str().unwrap_or("?"), price(page));
    }
    let subject: String = format!("Ready to publish: {title}").chars().take(SUBJECT_AT_MOST).collect();
    Ok(json!({ "to": to, "subject": subject, "text": body }))
}

fn publication(product: &ContentRequest, content: &Value) -> Payload {
    let Some(price) = &product.price else {
        return Err(format!(
            "product {} has no price, and a shop needs one; give it one in the catalogue",
            product.product_id
        ));
    };
    Ok(json!({
        "product_id": product.product_id,
        "sku": product.product_id,
        "shop": SHOP,
        "title": text(content, "content", "title")?,
        "description_html": text(content, "content", "long_description")?,
        "price": { "amount": price.amount, "currency": price.currency },
    }))
}

fn text<'a>(result: &'a Value, kind: &str, field: &str) -> Result<&'a str, String> {
    result[field].as_str().ok_or_else(|| format!("the result of the {kind} job has no {field}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn products() -> Vec<ContentRequest> {
        let csv = "product_id,name,category,features,language,price,currency\n\
                   A-1,Käse,Food,ripe|round,en,4.50,EUR\nA-2,Lampe,Luminaires,,fr,,\n";
        providers::content::from_csv(csv.as_bytes()).unwrap()
    }

    fn content() -> Value {
        json!({ "title": "Reifer Käse", "meta_description": "Rund.", "long_description": "<p>Sehr rund.</p>" })
    }

    #[test]
    fn the_title_of_the_content_goes_into_every_later_job_but_the_scrape() {
        let product = &products()[0];
        let pages = json!({ "pages": [
            { "url": "http://s/jsonld.html", "price": { "amount": "5.20", "currency": "EUR" } },
            { "url": "http://s/noprice.html", "price": null },
            { "url": "http://s/gone.html", "price": null, "error": "scraping: 404" }] });
        assert!(image(product, &content()).unwrap()["prompt"].as_str().unwrap().starts_with("Reifer Käse, Food"));
        let email = email("a@example.com", &content(), &pages).unwrap();
        assert_eq!(email["subject"], "Ready to publish: Reifer Käse");
        let text = "Reifer Käse\n\nRund.\n\nCompetitors:\n- http://s/jsonld.html: 5.20 EUR\n- http://s/noprice.html: no price\n\
                    - http://s/gone.html: not fetched\n";
        assert_eq!(email["text"], text);
        let publication = publication(product, &content()).unwrap();
        assert_eq!(
            (&publication["title"], &publication["description_html"]),
            (&json!("Reifer Käse"), &json!("<p>Sehr rund.</p>"))
        );
        assert_eq!(publication["price"], json!({ "amount": "4.50", "currency": "EUR" }));
    }

    #[test]
    fn one_scrape_has_three_pages() {
        let scrape = scrape(&products()[0], "http://127.0.0.1:4000/");
        let urls =
            ["jsonld.html", "microdata.html", "noprice.html"].map(|page| format!("http://127.0.0.1:4000/{page}"));
        assert_eq!(scrape["urls"], json!(urls));
    }

    #[test]
    fn what_is_missing_is_named() {
        let products = products();
        assert_eq!(image(&products[0], &json!({})).unwrap_err(), "the result of the content job has no title");
        assert!(publication(&products[1], &content()).unwrap_err().starts_with("product A-2 has no price"));
        assert_eq!(
            email("a@example.com", &content(), &json!(null)).unwrap_err(),
            "the result of the scrape job has no pages"
        );
    }
}
