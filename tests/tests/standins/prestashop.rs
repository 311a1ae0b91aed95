//! A shop with PrestaShop.

use reqwest::{Method, RequestBuilder};
use tests::standins::{Fault, prestashop::PrestaShop};

use crate::client;

const KEY: &str = "0123456789ABCDEF0123456789ABCDEF";

async fn shop() -> PrestaShop {
    PrestaShop::start(0, KEY).await.unwrap()
}

fn call(shop: &PrestaShop, method: Method, path: &str) -> RequestBuilder {
    client().request(method, format!("{}/api/{path}", shop.url())).basic_auth(KEY, Some(""))
}

async fn answer(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn product(inner: &str) -> String {
    format!("<prestashop xmlns:xlink=\"http://www.w3.org/1999/xlink\"><product>{inner}</product></prestashop>")
}

fn mug() -> String {
    product(
        "<reference><![CDATA[SKU12]]></reference><price><![CDATA[10.40]]></price><state><![CDATA[1]]></state>\
         <name><language id=\"2\"><![CDATA[Mug]]></language></name><link_rewrite><language id=\"2\"><![CDATA[mug]]></language></link_rewrite>\
         <associations><categories><category><id><![CDATA[2]]></id></category></categories></associations>",
    )
}

const FIND: &str = "products?filter%5Breference%5D=%5BSKU12%5D&display=%5Bid,reference%5D&limit=2";

#[tokio::test]
async fn a_product_is_created_found_changed_stocked_and_pictured() {
    let shop = shop().await;
    assert!(answer(call(&shop, Method::GET, FIND)).await.1.contains("<products></products>"));
    let (status, made) = answer(call(&shop, Method::POST, "products").body(mug())).await;
    assert!(status == 201 && made.contains("<id><![CDATA[1]]></id>"), "{made}");
    assert!(answer(call(&shop, Method::GET, FIND)).await.1.contains("<reference><![CDATA[SKU12]]></reference>"));

    let price = product("<id><![CDATA[1]]></id><price><![CDATA[9.90]]></price>");
    let (status, changed) = answer(call(&shop, Method::PATCH, "products/1").body(price.clone())).await;
    assert!(status == 200 && changed.contains("9.90") && changed.contains("Mug"), "{changed}");
    let put = answer(call(&shop, Method::PUT, "products/1").body(price)).await;
    assert!(put.0 == 400 && put.1.contains("Product->name is empty"), "a PUT empties what it leaves out: {}", put.1);

    let stocks = answer(call(&shop, Method::GET, "stock_availables?filter%5Bid_product%5D=1&display=full")).await.1;
    assert!(stocks.contains("<quantity><![CDATA[0]]></quantity>"), "{stocks}");
    let stock = "<prestashop><stock_available><id>1</id><quantity>4</quantity></stock_available></prestashop>";
    assert_eq!(answer(call(&shop, Method::PATCH, "stock_availables/1").body(stock)).await.0, 200);
    assert_eq!((shop.quantities("SKU12"), shop.n_created("SKU12"), shop.n_updated("SKU12")), (vec![4], 1, 1));

    assert_eq!(answer(call(&shop, Method::GET, "images/products/1")).await.0, 404);
    let part = "--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"mug.png\"\r\nContent-Type: image/png\r\n\r\nPNG\r\n--x--\r\n";
    for _ in 0..2 {
        let add =
            call(&shop, Method::POST, "images/products/1").header("Content-Type", "multipart/form-data; boundary=x");
        assert_eq!(answer(add.body(part)).await.0, 200);
    }
    let images = answer(call(&shop, Method::GET, "images/products/1")).await.1;
    assert_eq!(images.matches("<declination").count(), 2, "each POST adds one: {images}");
}

#[tokio::test]
async fn what_prestashop_refuses_is_refused() {
    let shop = shop().await;
    let code = |answer: &(u16, String)| {
        let code = answer.1.split("<code><![CDATA[").nth(1).unwrap_or_default().split(']').next().unwrap_or_default();
        (answer.0, code.to_owned())
    };
    let post = async |body: String| code(&answer(call(&shop, Method::POST, "products").body(body)).await);
    assert_eq!(post(mug().replace("</product>", "")).await, (500, "127".to_owned()));
    assert_eq!(post(mug().replace("<price>", "<id>1</id><price>")).await, (400, "91".to_owned()));
    assert_eq!(post(mug().replace("<price>", "<quantity>1</quantity><price>")).await, (400, "93".to_owned()));
    assert_eq!(post(mug().replace("10.40", "10,40")).await, (400, "85".to_owned()));
    assert_eq!(post(mug().replace("[Mug]", "[]")).await, (400, "85".to_owned()));
    answer(call(&shop, Method::POST, "products").body(mug())).await;
    let without_id = product("<price>1</price>");
    assert_eq!(code(&answer(call(&shop, Method::PATCH, "products/1").body(without_id)).await), (400, "90".to_owned()));
    let with_key =
        async |key: &str| code(&answer(client().get(format!("{}/api/", shop.url())).basic_auth(key, Some(""))).await);
    assert_eq!(with_key("short").await, (401, "18".to_owned()));
    assert_eq!(with_key(&"x".repeat(32)).await, (401, "20".to_owned()));
    assert!(answer(call(&shop, Method::GET, "languages")).await.1.contains("<iso_code><![CDATA[fr]]></iso_code>"));
    assert_eq!(shop.n_created("SKU12"), 1);
}

#[tokio::test]
async fn a_php_warning_or_a_lost_answer_hides_a_write_that_was_made() {
    let shop = shop().await;
    shop.warn();
    let (status, body) = answer(call(&shop, Method::POST, "products").body(mug())).await;
    assert!(status == 500 && body.contains("[PHP Warning #2]"), "{body}");
    shop.faults().next(1, Fault::DropAfter);
    call(&shop, Method::POST, "products").body(mug()).send().await.unwrap_err();
    assert_eq!((shop.n_created("SKU12"), shop.faults().n_answered("SKU12")), (2, 0), "a reference is not unique");
    assert_eq!(answer(call(&shop, Method::GET, FIND)).await.1.matches("<product>").count(), 2);
}
