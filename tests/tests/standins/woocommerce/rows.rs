//! The rows of the table of what real shops were seen to do, one by one: W….

use reqwest::Method;
use serde_json::{Value, json};
use tests::standins::woocommerce::WooCommerce;

use super::{KEY, SECRET, answer, call};

async fn shop() -> WooCommerce {
    WooCommerce::start(0, KEY, SECRET).await.unwrap()
}

async fn made(shop: &WooCommerce, fields: Value) -> Value {
    let (status, made) = answer(call(shop, Method::POST, "/products").json(&fields)).await;
    assert_eq!(status, 201, "{made}");
    made
}

async fn put(shop: &WooCommerce, id: &Value, fields: Value) -> (u16, Value) {
    answer(call(shop, Method::PUT, &format!("/products/{id}")).json(&fields)).await
}

async fn found(shop: &WooCommerce, sku: &str, status: &str) -> Vec<u64> {
    let request = call(shop, Method::GET, "/products").query(&[("sku", sku), ("status", status)]);
    answer(request).await.1.as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn w1_w9_w10_keys() {
    let plain = WooCommerce::plain(0, KEY, SECRET).await.unwrap();
    for (method, path, code) in [
        (Method::GET, "/products", "woocommerce_rest_cannot_view"),
        (Method::POST, "/products", "woocommerce_rest_cannot_create"),
        (Method::PUT, "/products/1", "woocommerce_rest_cannot_edit"),
        (Method::DELETE, "/products/1", "woocommerce_rest_cannot_delete"),
        (Method::POST, "/products/batch", "woocommerce_rest_cannot_batch"),
    ] {
        let (status, refused) = answer(call(&plain, method, path).json(&json!({}))).await;
        assert_eq!((status, &refused["code"]), (401, &json!(code)));
    }
    let shop = shop().await;
    shop.set(|settings| settings.read_only = true);
    assert_eq!(answer(call(&shop, Method::GET, "/products")).await.0, 200);
    let (status, refused) = answer(call(&shop, Method::POST, "/products").json(&json!({}))).await;
    assert_eq!(
        (status, refused["message"].as_str()),
        (401, Some("The API key provided does not have write permissions."))
    );
}

#[tokio::test]
async fn w12b_w14_w15_w16_w17_w18_w19_w20_skus() {
    let shop = shop().await;
    let id = made(&shop, json!({ "sku": "CAFE 9" })).await["id"].clone();
    for (sku, kept) in [("CAFÉ 9", true), ("cafe  9", true), ("cafe 9x", false), ("Cafe\u{301} 9", true)] {
        let (status, refused) = answer(call(&shop, Method::POST, "/products").json(&json!({ "sku": sku }))).await;
        assert_eq!((status == 400, refused["data"]["resource_id"] == id), (kept, kept), "{sku}");
    }
    for (sent, stored) in
        [("<b>x</b>", "x"), ("a<b", "a&lt;b"), ("a%20c", "ac"), ("R&D 1", "R&D 1"), (" s1,\t s2 ", "s1, s2")]
    {
        assert_eq!(made(&shop, json!({ "sku": sent })).await["sku"], stored, "{sent}");
    }
    assert_eq!(found(&shop, "s1, s2", "any").await.len(), 1, "W17: found whole");
    let n_all = shop.all().len();
    for dropped in ["0", "", " ", "<b>"] {
        assert_eq!(found(&shop, dropped, "any").await.len(), n_all.min(10), "W20b: {dropped:?}");
    }
    for sku in ["0", &"x".repeat(120)] {
        made(&shop, json!({ "sku": sku })).await;
        made(&shop, json!({ "sku": sku })).await;
    }
    assert_eq!(made(&shop, json!({ "sku": null })).await["sku"], "");
    assert_eq!(
        answer(call(&shop, Method::POST, "/products").json(&json!({ "sku": 5 }))).await.1["code"],
        "rest_invalid_param"
    );
    // W14, W61, W62.
    assert_eq!(answer(call(&shop, Method::DELETE, &format!("/products/{id}"))).await.1["status"], "publish");
    assert_eq!(answer(call(&shop, Method::DELETE, &format!("/products/{id}"))).await.0, 410);
    let (status, refused) = answer(call(&shop, Method::POST, "/products").json(&json!({ "sku": "cafe 9" }))).await;
    assert_eq!((status, &refused["code"]), (400, &json!("woocommerce_rest_product_not_created")));
    assert!(refused["data"].get("resource_id").is_none());
    assert_eq!((found(&shop, "CAFE 9", "any").await.len(), found(&shop, "CAFE 9", "trash").await.len()), (0, 1));
    assert_eq!(put(&shop, &id, json!({ "name": "N" })).await.1["status"], "trash");
    assert_eq!(put(&shop, &id, json!({ "status": "publish" })).await.1["status"], "publish");
    assert_eq!(found(&shop, "CAFE 9", "any").await.len(), 1);
}

#[tokio::test]
async fn w21_to_w27_prices() {
    let shop = shop().await;
    let prices = [
        ("12,50", "1250", "12.50"),
        ("1,234.50", "1234.50", "1234.50"),
        ("1.234,50", "1.23450", "1234.50"),
        ("1 234,50", "123450", "1234.50"),
        ("12.505", "12.505", "12.505"),
        ("-1", "-1", "-1"),
        ("", "", ""),
        ("abc", "", ""),
        ("1e3", "13", "13"),
        ("€12", "12", "12"),
        (".5", ".5", ".5"),
    ];
    for comma in [false, true] {
        shop.set(|settings| settings.decimal_comma = comma);
        for (sent, point, with_comma) in prices {
            let kept = made(&shop, json!({ "regular_price": sent })).await["regular_price"].clone();
            assert_eq!(kept, if comma { with_comma } else { point }, "{sent}");
        }
    }
    let number = answer(call(&shop, Method::POST, "/products").json(&json!({ "regular_price": 12.5 }))).await;
    assert_eq!(number.1["code"], "rest_invalid_param", "W25");
    let product = made(&shop, json!({ "regular_price": "10", "sale_price": "8", "price": "1" })).await;
    assert_eq!((&product["sale_price"], &product["price"]), (&json!("8"), &json!("8")), "W26g");
    assert_eq!(put(&shop, &product["id"], json!({ "regular_price": "8" })).await.1["sale_price"], "", "W26");
}

#[tokio::test]
async fn w28_w29_w30_w48_w53_w66_texts() {
    let shop = shop().await;
    let product = made(
        &shop,
        json!({ "name": "<b>A</b> & B < C", "description": "<script>alert(1)</script>5 < 6 & 7 > 3 a\\b",
        "global_unique_id": "AB12-3 x", "meta_data": [{ "key": "_yoast_wpseo_title", "value": "<b>\\</b>" }] }),
    )
    .await;
    assert_eq!(product["name"], "<b>A</b> &amp; B &lt; C");
    assert_eq!((&product["description"], &product["global_unique_id"]), (&json!("alert(1)5  3 ab"), &json!("12-3")));
    assert_eq!(product["meta_data"][0]["value"], "<b>\\</b>");
    let id = &product["id"];
    assert_eq!(put(&shop, id, json!({ "name": product["name"] })).await.1["name"], product["name"], "W29: stable");
    let long = put(&shop, id, json!({ "name": "x".repeat(70_000) })).await;
    assert_eq!((long.0, &long.1["code"]), (500, &json!("internal_server_error")));
    let emptied = put(&shop, id, json!({ "name": null, "description": null })).await.1;
    assert_eq!((&emptied["name"], &emptied["description"]), (&json!(""), &product["description"]), "W48");
    let moved = put(
        &shop,
        id,
        json!({ "meta_data": [{ "key": "_sku", "value": "M" }, { "key": "_yoast_wpseo_title", "value": "T" }] }),
    )
    .await
    .1;
    assert_eq!((&moved["sku"], moved["meta_data"].as_array().unwrap().len()), (&json!("M"), 1), "W53");
    assert_ne!(moved["date_modified"], emptied["date_modified"], "W55");
    let (status, refused) =
        answer(call(&shop, Method::POST, "/products").json(&json!({ "global_unique_id": "12-3" }))).await;
    assert_eq!((status, &refused["data"]["resource_id"]), (400, id), "W66");
}

#[tokio::test]
async fn w31_to_w37_pictures() {
    let shop = shop().await;
    for src in [
        "https://broken.example/a.jpg",
        "https://cdn.example/a.svg",
        "https://cdn.example/a.avif",
        "https://cdn.example/a",
        "http://127.0.0.1:9/a.jpg",
        "http://10.0.0.1/a.jpg",
    ] {
        let (status, refused) =
            answer(call(&shop, Method::POST, "/products").json(&json!({ "images": [{ "src": src }] }))).await;
        assert_eq!((status, &refused["code"]), (400, &json!("woocommerce_product_image_upload_error")), "{src}");
    }
    assert_eq!((shop.all().len(), shop.media().len()), (0, 0));
    for src in ["https://cdn.example/a.webp", "https://cdn.example/a.gif", "https://cdn.example/a.jpg?v=2"] {
        made(&shop, json!({ "images": [{ "src": src }] })).await;
    }
    // W37: what a failed save leaves behind.
    let two = json!({ "images": [{ "src": "https://cdn.example/a.jpg" }, { "src": "https://broken.example/b.jpg" }] });
    for (rolls_back, n_left) in [(true, 3), (false, 4)] {
        shop.set(|settings| settings.rolls_back = rolls_back);
        assert_eq!(answer(call(&shop, Method::POST, "/products").json(&two)).await.0, 400);
        assert_eq!(shop.media().len(), n_left);
    }
    shop.set(|settings| settings.rolls_back = true);
    let product = made(&shop, json!({ "images": [{ "src": "https://cdn.example/a.jpg" }] })).await;
    assert_eq!(put(&shop, &product["id"], two).await.0, 400);
    assert_eq!(shop.media().len(), 6, "a PUT rolls nothing back");
    assert_eq!(put(&shop, &product["id"], json!({ "images": [{}] })).await.1["images"], json!([]), "W36g");
}

#[tokio::test]
async fn w38_to_w41_variations() {
    let shop = shop().await;
    let attributes = json!([{ "name": "Colour", "variation": true, "options": ["red"] }]);
    let parent = made(
        &shop,
        json!({ "type": "variable", "sku": "P", "regular_price": "5", "attributes": attributes,
        "manage_stock": true, "stock_quantity": 3 }),
    )
    .await;
    assert_eq!(parent["regular_price"], "", "W38");
    let path = format!("/products/{}/variations", parent["id"]);
    let red = json!([{ "name": "Colour", "option": "red" }]);
    for attributes in
        [&red, &red, &json!([{ "name": "Colour", "option": "pink" }]), &json!([{ "name": "Size", "option": "L" }])]
    {
        let (status, row) = answer(call(&shop, Method::POST, &path).json(&json!({ "attributes": attributes }))).await;
        assert_eq!(
            (status, &row["sku"], &row["manage_stock"]),
            (201, &json!("P"), &json!("parent")),
            "W39, W40, W41, W38m"
        );
        assert_eq!(row["attributes"].as_array().unwrap().is_empty(), attributes[0]["name"] == "Size", "{row}");
    }
    let rows = answer(call(&shop, Method::GET, &path)).await.1;
    let row = format!("/products/{}", rows[0]["id"]);
    assert_eq!(answer(call(&shop, Method::GET, &row)).await.0, 200);
    let (status, refused) = answer(call(&shop, Method::PUT, &row).json(&json!({ "name": "x" }))).await;
    assert_eq!((status, &refused["code"]), (404, &json!("woocommerce_rest_invalid_product_id")), "W38c");
    let back =
        call(&shop, Method::PUT, &format!("{path}/{}", rows[0]["id"])).json(&json!({ "manage_stock": "parent" }));
    assert_eq!(answer(back).await.1["code"], "rest_invalid_param", "W38m");
    let sku = call(&shop, Method::PUT, &format!("{path}/{}", rows[0]["id"])).json(&json!({ "sku": "V" }));
    assert_eq!(answer(sku).await.1["sku"], "V");
    let (_, refused) = answer(call(&shop, Method::POST, "/products").json(&json!({ "sku": "v" }))).await;
    assert_eq!(refused["data"]["resource_id"], rows[0]["id"], "W12b: a variation's id");
    put(&shop, &parent["id"], json!({ "type": "simple" })).await;
    assert_eq!(answer(call(&shop, Method::GET, &path)).await.1, json!([]), "W38f");
}

#[tokio::test]
async fn w42_to_w50_calls() {
    let shop = shop().await;
    let product = made(&shop, json!({ "sku": "A", "stock_quantity": 4 })).await;
    assert_eq!(product["stock_quantity"], Value::Null, "W49");
    let id = &product["id"];
    for (quantity, kept) in [(json!("5"), json!(5)), (json!(null), json!(0)), (json!(-3), json!(-3))] {
        let row = put(&shop, id, json!({ "manage_stock": true, "stock_quantity": quantity })).await.1;
        assert_eq!(row["stock_quantity"], kept, "W50");
    }
    assert_eq!(put(&shop, id, json!({ "manage_stock": false })).await.1["stock_status"], "outofstock");
    assert_eq!(put(&shop, id, json!({ "stock_quantity": 4.7 })).await.0, 400);
    let many: Vec<Value> = (0..101).map(|n| json!({ "name": format!("{n}") })).collect();
    assert_eq!(
        answer(call(&shop, Method::POST, "/products/batch").json(&json!({ "create": many }))).await.0,
        413,
        "W42"
    );
    let batch = json!({ "create": [{ "sku": "A" }, { "sku": "B", "regular_price": 12.5 }],
        "update": [{ "id": id, "status": "live" }, { "id": 999 }, { "name": "x" }] });
    let (status, done) = answer(call(&shop, Method::POST, "/products/batch").json(&batch)).await;
    assert_eq!(
        (status, &done["create"][0]["id"], &done["create"][1]["regular_price"]),
        (200, &json!(0), &json!("12.5")),
        "W43, W25"
    );
    assert_eq!(
        (&done["update"][0]["status"], &done["update"][1]["id"], &done["update"][2]["id"]),
        (&json!("draft"), &json!(999), &json!(null)),
        "W43e"
    );
    assert_eq!(answer(call(&shop, Method::GET, "/products?page=0")).await.0, 400, "W44");
    assert_eq!(answer(call(&shop, Method::GET, "/products?page=9999")).await, (200, json!([])), "W45");
    let unknown = json!("woocommerce_rest_product_invalid_id");
    for (method, status) in [(Method::GET, 404), (Method::DELETE, 404), (Method::PUT, 400)] {
        let (was, refused) = answer(call(&shop, method, "/products/999").json(&json!({}))).await;
        assert_eq!((was, &refused["code"]), (status, &unknown), "W46");
    }
    assert_eq!(
        answer(call(&shop, Method::PATCH, &format!("/products/{id}")).json(&json!({ "name": "N" }))).await.1["name"],
        "N",
        "W47"
    );
}

#[tokio::test]
async fn w51_to_w64_terms_drafts_and_the_server() {
    let shop = shop().await;
    let (_, lamps) =
        answer(call(&shop, Method::POST, "/products/categories").json(&json!({ "name": "Lamps & Co" }))).await;
    assert_eq!(lamps["name"], "Lamps &amp; Co");
    let (status, twice) =
        answer(call(&shop, Method::POST, "/products/categories").json(&json!({ "name": "lamps & co" }))).await;
    assert_eq!(
        (status, &twice["code"], &twice["data"]["resource_id"]),
        (400, &json!("term_exists"), &lamps["id"]),
        "W52"
    );
    for (words, n) in [("Lamps & Co", 0), ("Lamps", 1)] {
        let found = answer(call(&shop, Method::GET, "/products/categories").query(&[("search", words)])).await.1;
        assert_eq!(found.as_array().unwrap().len(), n, "{words}");
    }
    let product = made(&shop, json!({ "name": "Mug", "status": "draft", "categories": [{ "id": 999 }, { "name": "x" }], "tags": [{ "name": "red" }] })).await;
    assert_eq!(
        (&product["categories"][0]["name"], &product["tags"][0]["name"]),
        (&json!("Uncategorized"), &json!("red")),
        "W51"
    );
    assert_eq!(product["slug"], "", "W56");
    assert_eq!(put(&shop, &product["id"], json!({ "status": "publish" })).await.1["slug"], "mug");
    let empty = answer(call(&shop, Method::POST, "/products").body("{\"name\":\"x\"}")).await.1;
    assert_eq!((&empty["name"], &empty["status"]), (&json!("Product"), &json!("publish")), "W59");
    let long = "x".repeat(9_000);
    let refused = call(&shop, Method::GET, "/products").query(&[("sku", &long)]).send().await.unwrap();
    assert_eq!(refused.status(), 414, "W81");
    shop.set(|settings| settings.is_closed = true);
    let closed = call(&shop, Method::GET, "/products").send().await.unwrap();
    assert_eq!((closed.status().as_u16(), closed.headers()["retry-after"].to_str().unwrap()), (503, "600"), "W64");
    shop.set(|settings| (settings.is_closed, settings.plain_permalinks) = (false, true));
    let plain = call(&shop, Method::GET, "/products").send().await.unwrap();
    assert_eq!(
        (plain.status(), plain.headers()["content-type"].to_str().unwrap()),
        (reqwest::StatusCode::NOT_FOUND, "text/html; charset=utf-8"),
        "W57"
    );
}

/// W67, W13: a creation goes on without whoever asked for it, and loses to one that came meanwhile; its pictures stay.
#[tokio::test]
async fn w67_a_creation_that_was_given_up_goes_on() {
    let shop = shop().await;
    shop.hold();
    let slow = call(&shop, Method::POST, "/products")
        .json(&json!({ "sku": "A", "images": [{ "src": "https://cdn.example/a.jpg" }] }));
    tokio::select! {
        answer = slow.send() => panic!("{answer:?}"),
        () = async { while shop.n_waiting() == 0 { tokio::task::yield_now().await; } } => {}
    }
    assert_eq!(found(&shop, "A", "any").await.len(), 0);
    shop.plant(&json!({ "name": "Second", "sku": "A" }));
    shop.release();
    servers::wait_until("the first is over", std::time::Duration::from_secs(5), async || shop.n_waiting() == 0).await;
    assert_eq!(
        (shop.products("A").len(), shop.products("A")[0]["name"].as_str(), shop.media().len()),
        (1, Some("Second"), 1)
    );
}
