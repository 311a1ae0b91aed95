//! Many products at once: under an idempotency key, and of clients that hang up.

use std::{io, task::Poll};

use axum::body::Bytes;
use futures::stream;

use super::*;

const PRODUCTS: &str = "/api/stores/main/products";

fn product(n: u32) -> String {
    format!("{{\"product_id\":\"{n}\",\"sku\":\"S-{n}\",\"stock\":7}}")
}

fn lines(skus: impl IntoIterator<Item = u32>) -> String {
    skus.into_iter().map(|n| product(n) + "\n").collect()
}

impl World {
    async fn with_main() -> Self {
        let world = Self::real().await;
        assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
        world
    }

    /// The batches that jobs go through.
    async fn batches_of_jobs(&self) -> BTreeSet<String> {
        let jobs = self.get("/api/jobs?kind=publication-batch&limit=200").await.body;
        let jobs = jobs["items"].as_array().unwrap();
        jobs.iter().map(|job| job["payload"]["batch"].as_str().unwrap().to_owned()).collect()
    }

    /// How many parts are kept, of whatever batch.
    fn n_parts(&self) -> usize {
        let dump = servers::mongo_dump(servers::mongo(), &self.database);
        let each = b"expires_at";
        dump.get("batches").map_or(0, |bytes| bytes.windows(each.len()).filter(|window| window == each).count())
    }
}

#[tokio::test]
async fn the_same_key_and_products_give_the_same_job() {
    let world = World::with_main().await;
    let body = lines(0..150) + "no json\n";
    let first = world.post(PRODUCTS, Some("k"), NDJSON, body.clone()).await;
    assert_eq!((first.status, first.is_replayed, &first.body["accepted"]), (202, false, &json!(150)), "{}", first.body);
    let again = world.post(PRODUCTS, Some("k"), NDJSON, body).await;
    assert_eq!((again.status, again.is_replayed), (200, true), "{}", again.body);
    assert_eq!(again.body, first.body, "what was refused is told again, too");
    // However the products are written.
    let other_order = |n: u32| format!("{{\"stock\": 7, \"sku\": \"S-{n}\", \"product_id\": \"{n}\"}}");
    let products: Vec<String> = (0..150).map(other_order).collect();
    let world_of = |products: &[String]| format!("{{\"products\": [{}]}}", products.join(","));
    let first = world.post(PRODUCTS, Some("j"), NDJSON, lines(0..150)).await;
    let as_json = world.post(PRODUCTS, Some("j"), JSON, world_of(&products)).await;
    assert_eq!((as_json.status, as_json.is_replayed), (200, true), "{}", as_json.body);
    assert_eq!(as_json.body["job"]["id"], first.body["job"]["id"]);

    world.post(PRODUCTS, Some("k"), NDJSON, lines(0..149)).await.refused(422, "idempotency-mismatch");
    assert_eq!(world.put("other", &presta("https://other.example")).await.status, 201);
    let elsewhere = world.post("/api/stores/other/products", Some("j"), NDJSON, lines(0..150)).await;
    elsewhere.refused(422, "idempotency-mismatch");
    let alone = json!({ "kind": "publication", "payload": { "product_id": "0", "sku": "S-0", "stock": 7 } });
    world.post("/api/jobs", Some("j"), JSON, alone.to_string()).await.refused(422, "idempotency-mismatch");
    assert_eq!((world.batches_of_jobs().await.len(), world.n_parts()), (2, 4), "nothing more was kept");

    // It is answered also when its store is gone.
    assert_eq!(world.delete("main").await.status, 204);
    let again = world.post(PRODUCTS, Some("j"), NDJSON, lines(0..150)).await;
    assert_eq!((again.status, &again.body["job"]["id"]), (200, &first.body["job"]["id"]), "{}", again.body);
}

#[tokio::test]
async fn while_the_first_request_with_a_key_is_under_way_the_second_is_told_so() {
    let world = World::with_main().await;
    let body = lines(0..3);
    let said = (0..3).map(|n| crate::request::parse(product(n).as_bytes()).unwrap().to_string());
    let fingerprint = crate::push::fingerprint("products\nmain\n", body.as_bytes(), said);
    let begun = crate::keyed::begin(&world.app, "acme", "k", &fingerprint, "publication-batch").await.unwrap();
    let crate::keyed::Begun::Ours(keyed) = begun else { panic!("it is new") };
    world.post(PRODUCTS, Some("k"), NDJSON, body.clone()).await.refused(409, "idempotency-in-progress");
    assert_eq!((world.batches_of_jobs().await.len(), world.n_parts()), (0, 0));
    // Its process dies, and the request comes again.
    keyed.give_back(&crate::answer::Problem::store_away("it died")).await;
    let taken = world.post(PRODUCTS, Some("k"), NDJSON, body).await;
    assert_eq!(taken.status, 202, "{}", taken.body);
    assert_eq!((world.batches_of_jobs().await.len(), world.n_parts()), (1, 1));
}

#[tokio::test]
async fn of_ten_requests_with_one_key_one_leaves_a_job_and_products() {
    let world = World::with_main().await;
    let body = lines(0..250);
    let answers = (0..10).map(|_| world.post(PRODUCTS, Some("k"), NDJSON, body.clone()));
    let answers = futures::future::join_all(answers).await;
    let n_taken = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(n_taken, 1);
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert!(answer.is_replayed || answer.status == 409, "{} {}", answer.status, answer.body);
    }
    assert_eq!((world.batches_of_jobs().await.len(), world.n_parts()), (1, 3));
}

#[tokio::test]
async fn a_refused_upload_lets_its_key_go() {
    let world = World::real().await;
    world.post(PRODUCTS, Some("k"), NDJSON, lines(0..3)).await.refused(422, "unknown-store");
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    let nothing = world.post(PRODUCTS, Some("k"), NDJSON, "no json").await;
    assert_eq!((nothing.status, &nothing.body["job"]), (200, &Value::Null));
    let taken = world.post(PRODUCTS, Some("k"), NDJSON, lines(0..4)).await;
    assert_eq!((taken.status, &taken.body["accepted"]), (202, &json!(4)), "{}", taken.body);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_all_of_its_products_and_their_job_or_nothing() {
    let world = World::with_main().await;
    // In the middle of its body.
    for key in [None, Some("cut off")] {
        let pieces = [Ok(Bytes::from(lines(0..300))), Err(io::Error::other("hung up"))];
        let cut_off = world.post(PRODUCTS, key, NDJSON, Body::from_stream(stream::iter(pieces))).await;
        cut_off.refused(400, "malformed");
        assert_eq!((world.batches_of_jobs().await.len(), world.n_parts()), (0, 0));
    }
    // At any moment after it.
    let mut n_polls = 0;
    loop {
        let mut request = Box::pin(world.post(PRODUCTS, None, NDJSON, lines(0..250)));
        let mut left = n_polls;
        let answered = std::future::poll_fn(|context| match request.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer.status)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        });
        if answered.await == Some(202) {
            break;
        }
        n_polls += 1;
    }
    assert!(n_polls > 0, "no client hung up");
    // What was begun goes on.
    let key = Some("the last");
    assert_eq!(world.post(PRODUCTS, key, NDJSON, lines(0..250)).await.status, 202);
    servers::wait_until("each batch has its job", Duration::from_secs(20), async || {
        world.batches_of_jobs().await.len() * 3 == world.n_parts()
    })
    .await;
}
