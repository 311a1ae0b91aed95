//! Texts of a stand-in that are healed before, while and after they are published.

use std::time::Duration;

use serde_json::{Value, json};
use servers::wait_until;
use store::{Moment, NewResult, Replacement, StandIn};

use super::{Desk, job_id, price};

const CONTENTS: &str = "contents";
/// The job whose text it is.
const CONTENT: u32 = 1;

fn text(of: &str) -> Value {
    json!({ "title": format!("{of} title"), "long_description": format!("<p>{of} text.</p>"), "short_description": "",
        "seo_title": format!("{of} seo"), "meta_description": "" })
}

/// A publication of the stand-in's texts, with a price of its own.
fn of_the_stand_in() -> Value {
    json!({ "title": "Stand-in title", "description_html": "<p>Stand-in text.</p>", "price": price("9.00"), "content_id": job_id(CONTENT) })
}

/// One picture, of which all files are the same.
fn picture(of: &str) -> Value {
    json!({ "images": [{ "alt": of, "files": vec![hash(of); 20] }] })
}

fn hash(of: &str) -> String {
    of.bytes().map(|byte| format!("{byte:02x}")).collect()
}

impl Desk {
    /// A stand-in has made the text.
    async fn with_a_stand_ins_text() -> Self {
        let desk = Self::start().await;
        desk.stand_in_makes(CONTENTS, text("Stand-in")).await;
        desk
    }

    async fn stand_in_makes(&self, collection: &str, result: Value) {
        let made = NewResult {
            job_id: job_id(CONTENT),
            tenant: "default".to_owned(),
            kind: collection.trim_end_matches('s').to_owned(),
            product_id: Some("CUP".to_owned()),
            provider: Some("mock".to_owned()),
            degraded: true,
            degraded_reason: Some("openai: 500".to_owned()),
            payload: Some(json!({})),
            result,
        };
        self.store.put_result(collection, &made).await.unwrap();
    }

    async fn heal(&self) {
        self.real_one_comes(CONTENTS, text("Real")).await;
    }

    /// A real one takes its place; nothing is published again by itself.
    async fn real_one_comes(&self, collection: &str, result: Value) {
        // In the year 2100.
        let later = Moment::from_ms(4_102_444_800_000);
        let taken = self.store.take_degraded(collection, later, Duration::from_secs(60)).await.unwrap().unwrap();
        let real = Replacement { provider: None, result };
        assert!(self.store.replace_degraded(collection, &taken, &real).await.unwrap());
        let known = self.store.stand_in(collection, &job_id(CONTENT), "default").await.unwrap();
        assert_eq!(known, Some(StandIn::Replaced(real.result)));
    }

    fn assert_shows(&self, of: &str) {
        let product = self.product();
        let shown = (&product["name"], &product["description"]);
        assert_eq!(shown, (&json!(format!("{of} title")), &json!(format!("<p>{of} text.</p>"))), "{product}");
    }
}

#[tokio::test]
async fn a_text_that_was_healed_before_it_is_published_is_published_as_it_is_then() {
    let desk = Desk::with_a_stand_ins_text().await;
    desk.heal().await;
    desk.run(2, &of_the_stand_in()).await.unwrap();
    desk.assert_shows("Real");
}

#[tokio::test]
async fn a_text_that_is_healed_while_it_is_published_is_published_again_by_the_same_job() {
    let desk = Desk::with_a_stand_ins_text().await;
    desk.shop.hold();
    let payload = of_the_stand_in();
    let (done, ()) = tokio::join!(desk.run(2, &payload), async {
        wait_until("the product is being made", Duration::from_secs(20), async || desk.shop.n_waiting() > 0).await;
        desk.heal().await;
        // Whoever healed it looks now for what was made of it; that the job has noted it by then is not certain.
        desk.shop.release();
    });
    desk.assert_shows("Real");
    let result = done.unwrap().result;
    let title = result.changes.iter().find(|change| change.field == "title").unwrap();
    assert_eq!((&title.was, &title.becomes), (&Value::Null, &json!("Real title")), "one job, one list of changes");
}

#[tokio::test]
async fn an_earlier_job_that_is_tried_again_does_not_bring_the_stand_ins_text_back() {
    let desk = Desk::with_a_stand_ins_text().await;
    desk.run(2, &of_the_stand_in()).await.unwrap();
    desk.assert_shows("Stand-in");
    desk.heal().await;
    let published_again = json!({ "title": "Real title", "description_html": "<p>Real text.</p>", "content_id": job_id(CONTENT),
        "keep_edits": true });
    desk.run(3, &published_again).await.unwrap();
    desk.assert_shows("Real");
    // Its worker died before it was told.
    desk.run(2, &of_the_stand_in()).await.unwrap();
    desk.assert_shows("Real");
}

#[tokio::test]
async fn only_the_texts_of_that_job_are_healed() {
    let desk = Desk::with_a_stand_ins_text().await;
    desk.heal().await;
    let mut payload = of_the_stand_in();
    payload["title"] = json!("By hand");
    payload["content_fields"] = json!(["description_html"]);
    desk.run(2, &payload).await.unwrap();
    let product = desk.product();
    assert_eq!((&product["name"], &product["description"]), (&json!("By hand"), &json!("<p>Real text.</p>")));
}

#[tokio::test]
async fn a_placeholder_that_is_healed_while_it_is_published_gives_way_to_the_picture() {
    let desk = Desk::start().await;
    desk.stand_in_makes("images", picture("placeholder")).await;
    let payload =
        json!({ "title": "Cup", "price": price("9.00"), "images": [{ "image_id": format!("{}-0", job_id(CONTENT)) }] });
    desk.shop.hold();
    let (done, ()) = tokio::join!(desk.run(2, &payload), async {
        wait_until("the product is being made", Duration::from_secs(20), async || desk.shop.n_waiting() > 0).await;
        desk.real_one_comes("images", picture("real")).await;
        desk.shop.release();
    });
    done.unwrap();
    let images = desk.product()["images"].clone();
    let alts: Vec<&str> = images.as_array().unwrap().iter().filter_map(|image| image["alt"].as_str()).collect();
    assert_eq!(alts, ["real"], "{images}");
}
