//! Product pictures in the whole system: made, stored once, and given to whoever has their address.

use chrono::Utc;
use mongodb::{
    Client, Database,
    bson::{DateTime, Document, doc},
};
use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};
use services::Links;
use sha2::{Digest, Sha256};
use tests::{Answer, Options, System};

const SIZES: [&str; 4] = ["master", "1200", "600", "150"];

async fn database(system: &System) -> Database {
    Client::with_uri_str(&system.mongo_url).await.unwrap().database(&system.name)
}

/// Without a token.
async fn fetch(system: &System, method: Method, address: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = system.client().request(method, format!("{}{address}", system.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn problem(system: &System, address: &str) -> Answer {
    Answer::to(system.client().get(format!("{}{address}", system.url()))).await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn address<'a>(image: &'a Value, size: &str, extension: &str) -> &'a str {
    image["sizes"][size][extension].as_str().unwrap()
}

async fn result(system: &System, payload: Value) -> Value {
    let id = system.post_job("image", payload).await;
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], &job["degraded"]), (&json!("succeeded"), &json!(false)), "{job}");
    job["result"].clone()
}

fn lamp() -> Value {
    json!({ "product_id": "LAMP-1", "name": "Lampe de bureau « Étoile »", "width": 1600, "height": 900 })
}

#[tokio::test]
async fn every_size_is_given_in_both_formats_to_whoever_has_its_address() {
    let system = System::start(Options::default().workers(1)).await;
    let mut asked = lamp();
    asked["count"] = json!(4);
    let result = result(&system, asked).await;
    assert_eq!(
        (&result["product_id"], &result["mock"], &result["cost"]),
        (&json!("LAMP-1"), &json!(true), &Value::Null)
    );
    let images = result["images"].as_array().unwrap();
    assert_eq!(images.len(), 4);
    for image in images {
        assert_eq!((&image["width"], &image["height"]), (&json!(1600), &json!(900)));
        assert_eq!(image["url"], address(image, "master", "jpg"));
        for (place, size) in SIZES.iter().enumerate() {
            for (n, (extension, media_type)) in [("jpg", "image/jpeg"), ("webp", "image/webp")].into_iter().enumerate()
            {
                let response = fetch(&system, Method::GET, address(image, size, extension), &[]).await;
                let headers = response.headers().clone();
                assert_eq!((response.status().as_u16(), header(&headers, "content-type")), (200, media_type));
                assert_eq!(
                    (header(&headers, "cache-control"), header(&headers, "accept-ranges")),
                    ("no-cache", "bytes")
                );
                let bytes = response.bytes().await.unwrap();
                let hash = sha256(&bytes);
                assert_eq!(
                    (&image["files"][place * 2 + n], header(&headers, "etag")),
                    (&json!(hash), format!("\"{hash}\"").as_str())
                );
                let begins = if extension == "jpg" { &b"\xff\xd8\xff"[..] } else { b"RIFF" };
                assert!(bytes.starts_with(begins) && header(&headers, "content-length") == bytes.len().to_string());
            }
        }
        assert_eq!(image["sha256"], image["files"][0]);
        assert_eq!((&image["sizes"]["150"]["width"], &image["sizes"]["150"]["height"]), (&json!(150), &json!(84)));
    }
    // In a list as well.
    let listed = system.get("/api/jobs?kind=image&state=succeeded").await.body["items"].clone();
    let listed = listed[0]["result"]["images"][3]["url"].as_str().map(str::to_owned);
    if let Some(listed) = listed {
        assert_eq!(fetch(&system, Method::GET, &listed, &[]).await.status().as_u16(), 200);
    }
}

#[tokio::test]
async fn parts_tags_and_heads_are_answered_as_http_has_them() {
    let system = System::start(Options::default().workers(1)).await;
    let image = result(&system, lamp()).await["images"][0].clone();
    let address = address(&image, "600", "jpg");
    let whole = fetch(&system, Method::GET, address, &[]).await;
    let tag = header(whole.headers(), "etag").to_owned();
    let whole = whole.bytes().await.unwrap();
    let last = whole.len() - 1;

    let head = fetch(&system, Method::HEAD, address, &[]).await;
    assert_eq!(
        (head.status().as_u16(), header(head.headers(), "content-length")),
        (200, whole.len().to_string().as_str())
    );
    assert_eq!(header(head.headers(), "etag"), tag);
    assert!(head.bytes().await.unwrap().is_empty());

    let same = fetch(&system, Method::GET, address, &[("if-none-match", &tag)]).await;
    assert_eq!((same.status().as_u16(), header(same.headers(), "etag")), (304, tag.as_str()));
    assert!(same.bytes().await.unwrap().is_empty());
    assert_eq!(fetch(&system, Method::GET, address, &[("if-none-match", "\"another\"")]).await.status().as_u16(), 200);

    for (range, from, to) in [("bytes=0-99", 0, 99), ("bytes=100-", 100, last), ("bytes=-50", last - 49, last)] {
        let part = fetch(&system, Method::GET, address, &[("range", range)]).await;
        let expected = format!("bytes {from}-{to}/{}", whole.len());
        assert_eq!((part.status().as_u16(), header(part.headers(), "content-range")), (206, expected.as_str()));
        assert_eq!(part.bytes().await.unwrap(), whole.slice(from..=to));
    }
    let past = format!("bytes={}-", whole.len());
    let past = fetch(&system, Method::GET, address, &[("range", &past)]).await;
    assert_eq!(
        (past.status().as_u16(), header(past.headers(), "content-range")),
        (416, format!("bytes */{}", whole.len()).as_str())
    );
    let other = fetch(&system, Method::GET, address, &[("range", "bytes=0-9"), ("if-range", "\"another\"")]).await;
    assert_eq!((other.status().as_u16(), other.bytes().await.unwrap()), (200, whole));
}

#[tokio::test]
async fn an_address_that_we_did_not_sign_or_that_has_expired_is_refused() {
    let system = System::start(Options::default().workers(1)).await;
    let image = result(&system, lamp()).await["images"][0].clone();
    let (id, url) = (image["id"].as_str().unwrap(), image["url"].as_str().unwrap());
    let (path, query) = url.split_once('?').unwrap();
    let links = Links::new(None, Some(system.secret().into()));
    let now = u64::try_from(Utc::now().timestamp()).unwrap();
    let expired = links.behind_image(id, now - 40 * 24 * 3600).unwrap();
    let other = links.behind_image(&id.replace("-0", "-1"), now).unwrap();
    for bad in ["", "?sig=x", "?exp=9999999999", &format!("?{}", query.replace("exp=", "exp=9")), &expired, &other] {
        problem(&system, &format!("{path}{bad}")).await.assert_problem(403, "forbidden");
    }
    // What somebody adds on its way does not matter, and one signature is good for all sizes.
    let small = path.replace("master.jpg", "150.webp");
    assert_eq!(fetch(&system, Method::GET, &format!("{small}?utm_source=x&{query}"), &[]).await.status().as_u16(), 200);
    // Signed, and not there.
    problem(&system, &format!("{}?{query}", path.replace("master.jpg", "1024.jpg")))
        .await
        .assert_problem(404, "not-found");
    for nobody in [
        "0199a1b2-0000-7000-8000-000000000000-0",
        "0199a1b2-0000-7000-8000-000000000000",
        "x-y",
        &id.replace("-0", "-9"),
    ] {
        let behind = links.behind_image(nobody, now).unwrap();
        problem(&system, &format!("/api/images/{nobody}/master.jpg{behind}")).await.assert_problem(404, "not-found");
    }
}

#[tokio::test]
async fn another_picture_takes_its_place_at_the_same_address_with_another_tag() {
    let system = System::start(Options::default().env("PUBLIC_URL", "https://jobs.example/").workers(1)).await;
    let image = result(&system, lamp()).await["images"][0].clone();
    let address = image["url"].as_str().unwrap().strip_prefix("https://jobs.example").expect("it is whole");
    let before = fetch(&system, Method::GET, address, &[]).await;
    let tag = header(before.headers(), "etag").to_owned();
    // As healing does: the result names another file.
    let change = doc! { "$set": { "result.images.0.files.0": image["files"][6].as_str() } };
    database(&system).await.collection::<Document>("images").update_many(doc! {}, change).await.unwrap();
    let after = fetch(&system, Method::GET, address, &[("if-none-match", &tag)]).await;
    assert_eq!(after.status().as_u16(), 200);
    assert_ne!(header(after.headers(), "etag"), tag);
    assert_eq!(json!(sha256(&after.bytes().await.unwrap())), image["files"][6]);
}

#[tokio::test]
async fn equal_pictures_are_stored_once_and_leave_with_the_last_result_that_has_them() {
    let system = System::start(Options::default().workers(2)).await;
    let ids = system.post_jobs("image", vec![lamp(); 12]).await;
    let jobs = system.wait_jobs(&ids).await;
    assert!(jobs.iter().all(|job| job["state"] == "succeeded"));
    let database = database(&system).await;
    let (files, results) = (database.collection::<Document>("stored_files"), database.collection::<Document>("images"));
    assert_eq!(files.count_documents(doc! {}).await.unwrap(), 8);
    let sweep = async || {
        // As if the hours had passed.
        files.update_many(doc! {}, doc! { "$set": { "look_at": DateTime::from_millis(1) } }).await.unwrap();
        let job = system.post_job("maintenance", json!({ "task": "unused_files" })).await;
        system.wait_job(&job).await["result"]["count"].clone()
    };
    results.delete_many(doc! { "_id": { "$ne": &ids[0] } }).await.unwrap();
    assert_eq!((sweep().await, sweep().await), (json!(0), json!(0)));
    let url = system.job(&ids[0]).await["result"]["images"][0]["url"].clone();
    assert_eq!(fetch(&system, Method::GET, url.as_str().unwrap(), &[]).await.status().as_u16(), 200);
    results.delete_many(doc! {}).await.unwrap();
    assert_eq!((sweep().await, sweep().await), (json!(0), json!(8)));
    assert_eq!(database.collection::<Document>("files.chunks").count_documents(doc! {}).await.unwrap(), 0);
}
