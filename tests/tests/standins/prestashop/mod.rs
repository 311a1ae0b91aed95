//! A shop with PrestaShop, row by row as a real one was seen to answer. P… are the rows of the table of what was seen.

mod products;
mod rest;

use reqwest::{Method, RequestBuilder};
use tests::standins::prestashop::PrestaShop;

use crate::client;

const KEY: &str = "0123456789ABCDEF0123456789ABCDEF";
const FIND: &str = "products?filter%5Breference%5D=%5BSKU12%5D&display=%5Bid,reference%5D&id_shop=1";

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

async fn get(shop: &PrestaShop, path: &str) -> (u16, String) {
    answer(call(shop, Method::GET, path)).await
}

async fn send(shop: &PrestaShop, method: Method, path: &str, body: String) -> (u16, String) {
    answer(call(shop, method, path).body(body)).await
}

/// The status and all codes of an answer.
fn codes((status, body): &(u16, String)) -> (u16, Vec<u16>) {
    let codes = body.split("<code><![CDATA[").skip(1);
    (*status, codes.map(|rest| rest.split(']').next().unwrap().parse().unwrap()).collect())
}

fn row(one: &str, inner: &str) -> String {
    format!("<prestashop xmlns:xlink=\"http://www.w3.org/1999/xlink\"><{one}>{inner}</{one}></prestashop>")
}

fn product(inner: &str) -> String {
    row("product", inner)
}

fn mug() -> String {
    product(
        "<reference><![CDATA[SKU12]]></reference><price><![CDATA[10.40]]></price><state><![CDATA[1]]></state><active>1</active>\
         <name><language id=\"1\"><![CDATA[Mug]]></language><language id=\"2\"><![CDATA[Tasse]]></language></name>\
         <associations><categories><category><id><![CDATA[2]]></id></category></categories></associations>",
    )
}

/// The id in an answer.
fn id(body: &str) -> u64 {
    body.split("<id><![CDATA[").nth(1).unwrap().split(']').next().unwrap().parse().unwrap()
}

async fn make(shop: &PrestaShop, body: String) -> u64 {
    let (status, body) = send(shop, Method::POST, "products", body).await;
    assert_eq!(status, 201, "{body}");
    id(&body)
}
