//! A shop with WooCommerce.

mod rows;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tests::standins::{
    Fault,
    woocommerce::{WooCommerce, sign},
};

use crate::client;

const KEY: &str = "ck_test";
const SECRET: &str = "cs_test";

fn call(shop: &WooCommerce, method: Method, path: &str) -> RequestBuilder {
    client().request(method, format!("{}/wp-json/wc/v3{path}", shop.url())).basic_auth(KEY, Some(SECRET))
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn mug(sku: &str) -> Value {
    json!({ "name": "Mug", "type": "simple", "sku": sku, "regular_price": "12.50",
        "images": [{ "src": "https://cdn.example/mug.jpg" }], "meta_data": [{ "key": "_ecomsimply_id", "value": "p-12" }] })
}

#[tokio::test]
async fn a_product_is_created_found_by_sku_and_updated() {
    let shop = WooCommerce::start(0, KEY, SECRET).await.unwrap();
    let find = "/products?sku=SKU12&status=any&_fields=id,sku,type";
    assert_eq!(answer(call(&shop, Method::GET, find)).await, (200, json!([])));
    let (status, made) = answer(call(&shop, Method::POST, "/products").json(&mug("SKU12"))).await;
    assert_eq!((status, &made["sku"], &made["price"]), (201, &json!("SKU12"), &json!("12.50")));
    let id = &made["id"];
    let found = answer(call(&shop, Method::GET, find)).await;
    assert_eq!(found, (200, json!([{ "id": id, "sku": "SKU12", "type": "simple" }])));

    let path = format!("/products/{id}");
    let image = made["images"][0]["id"].clone();
    let change = json!({ "regular_price": "9.90", "images": [{ "id": image }] });
    let (status, updated) = answer(call(&shop, Method::PUT, &path).json(&change)).await;
    assert_eq!((status, &updated["name"], &updated["price"]), (200, &json!("Mug"), &json!("9.90")), "it merges");
    assert_eq!(updated["images"][0]["id"], image);
    let again = json!({ "images": [{ "src": "https://cdn.example/mug.jpg" }] });
    let (_, again) = answer(call(&shop, Method::PUT, &path).json(&again)).await;
    assert_ne!(again["images"][0]["id"], image, "a src is a new attachment each time");

    assert_eq!((shop.n_created("SKU12"), shop.n_updated("SKU12"), shop.faults().n_answered("SKU12")), (1, 2, 3));
    let gone = answer(call(&shop, Method::DELETE, &format!("{path}?force=true"))).await;
    assert_eq!((gone.0, shop.products("SKU12").len()), (200, 0));
    assert_eq!(answer(call(&shop, Method::GET, &path)).await.1["code"], "woocommerce_rest_product_invalid_id");
}

#[tokio::test]
async fn a_sku_that_is_taken_names_its_owner() {
    let shop = WooCommerce::start(0, KEY, SECRET).await.unwrap();
    let (_, made) = answer(call(&shop, Method::POST, "/products").json(&mug("SKU12"))).await;
    let (status, refused) = answer(call(&shop, Method::POST, "/products").json(&mug("SKU12"))).await;
    assert_eq!((status, &refused["code"]), (400, &json!("product_invalid_sku")));
    assert_eq!(refused["data"], json!({ "status": 400, "resource_id": made["id"], "unique_sku": "SKU12-1" }));
    assert_eq!(shop.n_created("SKU12"), 1);

    let both = json!({ "create": [mug("SKU12"), mug("SKU13")], "update": [{ "id": made["id"], "name": "Cup" }] });
    let (status, done) = answer(call(&shop, Method::POST, "/products/batch").json(&both)).await;
    assert_eq!((status, &done["create"][0]["error"]["code"]), (200, &json!("product_invalid_sku")));
    assert_eq!((&done["create"][1]["sku"], &done["update"][0]["name"]), (&json!("SKU13"), &json!("Cup")));
}

#[tokio::test]
async fn what_woocommerce_refuses_is_refused() {
    let shop = WooCommerce::start(0, KEY, SECRET).await.unwrap();
    let cases = [
        (json!({ "sku": "A", "regular_price": 12.5 }), "rest_invalid_param"),
        (
            json!({ "sku": "A", "images": [{ "src": "https://broken.example/a.jpg" }] }),
            "woocommerce_product_image_upload_error",
        ),
        (json!({ "sku": "A", "images": [{ "id": 99 }] }), "woocommerce_product_invalid_image_id"),
    ];
    for (product, code) in cases {
        let (status, refused) = answer(call(&shop, Method::POST, "/products").json(&product)).await;
        assert_eq!((status, &refused["code"]), (400, &json!(code)), "{product}");
    }
    let broken = call(&shop, Method::POST, "/products").header("content-type", "application/json").body("name=Mug");
    assert_eq!(answer(broken).await.1["code"], "rest_invalid_json");
    let stranger = client().get(format!("{}/wp-json/wc/v3/products", shop.url())).basic_auth("ck_other", Some(SECRET));
    assert_eq!(answer(stranger).await.1["code"], "woocommerce_rest_cannot_view");
    assert_eq!(answer(call(&shop, Method::GET, "/nothing")).await.1["code"], "rest_no_route");
    assert_eq!(answer(call(&shop, Method::GET, "/products?per_page=101")).await.0, 400);
    assert_eq!(shop.n_created("A"), 0);
}

#[tokio::test]
async fn without_tls_only_a_fresh_signature_opens() {
    let shop = WooCommerce::plain(0, KEY, SECRET).await.unwrap();
    assert_eq!(answer(call(&shop, Method::GET, "/products")).await.0, 401, "Basic is ignored");
    let url = format!("{}/wp-json/wc/v3/products", shop.url());
    let signed = |secret: &str, nonce: &str| {
        let given = [
            ("sku", "a b,c"),
            ("oauth_consumer_key", KEY),
            ("oauth_timestamp", &chrono::Utc::now().timestamp().to_string()),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", "HMAC-SHA256"),
        ];
        let mut pairs: Vec<(String, String)> = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        pairs.push(("oauth_signature".to_owned(), sign(&Method::GET, &url, &pairs, secret)));
        client().get(&url).query(&pairs)
    };
    assert_eq!(answer(signed(SECRET, "n1")).await, (200, json!([])));
    assert_eq!(answer(signed(SECRET, "n1")).await.1["message"], "Invalid nonce - nonce has already been used.");
    assert_eq!(answer(signed("cs_other", "n2")).await.0, 401);
}

/// The example of RFC 5849 cannot be used (it has a token); this value was computed with Python's hmac.
#[test]
fn a_signature_is_the_one_that_others_compute() {
    let pairs = [("sku", "a b"), ("oauth_nonce", "n1"), ("oauth_timestamp", "1790000000")];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let signature = sign(&Method::GET, "http://shop.test/wp-json/wc/v3/products", &pairs, "cs_test");
    assert_eq!(signature, "LRB7S8ci1+iJrmsSuHluCTywqw5qO/+PJViVpZfLWgY=");
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_was_made() {
    let shop = WooCommerce::start(0, KEY, SECRET).await.unwrap();
    shop.faults().next(1, Fault::DropAfter);
    call(&shop, Method::POST, "/products").json(&mug("SKU12")).send().await.unwrap_err();
    assert_eq!((shop.n_created("SKU12"), shop.faults().n_answered("SKU12")), (1, 0));
    let answer = call(&shop, Method::GET, "/products?sku=SKU12").send().await.unwrap();
    assert_eq!((answer.status(), answer.headers()["x-wp-total"].to_str().unwrap()), (StatusCode::OK, "1"));
}
