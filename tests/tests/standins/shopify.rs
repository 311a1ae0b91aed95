//! Shopify's Admin GraphQL API.

use serde_json::{Value, json};
use tests::standins::{
    Fault,
    shopify::{Shopify, VERSION},
};

use crate::client;

const TOKEN: &str = "shpat_test";
const SET: &str = "mutation P($i: ProductSetIdentifiers, $in: ProductSetInput!) { productSet(identifier:$i, input:$in, synchronous:true) {
  product { id handle status media(first:5){nodes{id}} variants(first:5){nodes{id sku price inventoryItem{id sku}}} }
  userErrors { code field message } } }";
const FIND: &str = "query F($i: ProductIdentifierInput!) { productByIdentifier(identifier: $i) { id handle } }";

async fn ask(shop: &Shopify, query: &str, variables: Value) -> Value {
    let url = format!("{}/admin/api/{VERSION}/graphql.json", shop.url());
    let body = json!({ "query": query, "variables": variables });
    let answer = client().post(url).header("X-Shopify-Access-Token", TOKEN).json(&body).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-shopify-api-version"].to_str().unwrap()), (200, VERSION));
    answer.json().await.unwrap()
}

fn mug(price: &str) -> Value {
    json!({ "i": { "handle": "mug-12" }, "in": { "handle": "mug-12", "title": "Mug", "status": "ACTIVE",
        "productOptions": [{ "name": "Title", "values": [{ "name": "Default Title" }] }],
        "variants": [{ "optionValues": [{ "optionName": "Title", "name": "Default Title" }], "price": price,
            "inventoryItem": { "sku": "SKU12", "tracked": true } }],
        "files": [{ "originalSource": "https://cdn.example/mug.jpg", "contentType": "IMAGE" }] } })
}

#[tokio::test]
async fn a_product_is_set_found_set_again_and_published() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    let handle = json!({ "i": { "handle": "mug-12" } });
    assert_eq!(ask(&shop, FIND, handle.clone()).await["data"]["productByIdentifier"], Value::Null);
    let made = ask(&shop, SET, mug("12.50")).await["data"]["productSet"].clone();
    assert_eq!(made["userErrors"], json!([]));
    let (id, file) = (made["product"]["id"].clone(), made["product"]["media"]["nodes"][0]["id"].clone());
    assert_eq!(made["product"]["variants"]["nodes"][0]["inventoryItem"]["sku"], "SKU12");
    assert_eq!(ask(&shop, FIND, handle).await["data"]["productByIdentifier"]["id"], id);

    let again = ask(&shop, SET, mug("9.90")).await;
    let product = &again["data"]["productSet"]["product"];
    assert_eq!((&product["id"], &product["variants"]["nodes"][0]["price"]), (&id, &json!("9.90")));
    assert_ne!(product["media"]["nodes"][0]["id"], file, "the same source is another file");
    assert_eq!(again["extensions"]["cost"]["throttleStatus"]["restoreRate"], 100.0);
    assert_eq!((shop.n_created("mug-12"), shop.n_updated("mug-12"), shop.faults().n_answered("mug-12")), (1, 1, 2));

    let publications = ask(&shop, "{ publications(first: 20) { nodes { id catalog { title } } } }", json!({})).await;
    let publication = &publications["data"]["publications"]["nodes"][0]["id"];
    let publish = "mutation U($id: ID!, $to: [PublicationInput!]!) { publishablePublish(id: $id, input: $to) { userErrors { field message } } }";
    for _ in 0..2 {
        let published = ask(&shop, publish, json!({ "id": id, "to": [{ "publicationId": publication }] })).await;
        assert_eq!(published["data"]["publishablePublish"]["userErrors"], json!([]));
    }
    assert_eq!(shop.published(), [id.as_str().unwrap()]);
}

#[tokio::test]
async fn errors_come_with_200_each_in_its_place() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    let refusal =
        |answer: &Value| answer["data"]["productSet"]["userErrors"][0]["code"].as_str().unwrap_or_default().to_owned();
    let mut numeric = mug("1");
    numeric["in"]["variants"][0]["price"] = json!(12.5);
    assert_eq!(code(&ask(&shop, SET, numeric).await), "INVALID_VARIABLE");
    let mut without_options = mug("1");
    without_options["in"].as_object_mut().unwrap().remove("productOptions");
    assert_eq!(refusal(&ask(&shop, SET, without_options).await), "PRODUCT_OPTIONS_INPUT_MISSING");
    let mut custom = mug("1");
    custom["i"] = json!({ "customId": { "key": "id", "value": "p-12" } });
    assert_eq!(refusal(&ask(&shop, SET, custom.clone()).await), "METAFIELD_MISMATCH");
    ask(&shop, SET, mug("1")).await;
    custom["in"]["metafields"] = json!([{ "namespace": "ours", "key": "id", "type": "id", "value": "p-12" }]);
    assert_eq!(refusal(&ask(&shop, SET, custom).await), "HANDLE_NOT_UNIQUE");

    shop.throttle(1);
    let throttled = ask(&shop, "{ shop { id name } }", json!({})).await;
    assert_eq!(
        (code(&throttled).as_str(), &throttled["extensions"]["cost"]["actualQueryCost"]),
        ("THROTTLED", &Value::Null)
    );
    assert_eq!(ask(&shop, "{ shop { id name } }", json!({})).await["data"]["shop"]["name"], "Stand-in");
    let url = format!("{}/admin/api/{VERSION}/graphql.json", shop.url());
    let stranger = client().post(url).json(&json!({ "query": "{ shop { id } }" })).send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_was_made() {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    shop.faults().next(1, Fault::DropAfter);
    let url = format!("{}/admin/api/{VERSION}/graphql.json", shop.url());
    let request = client().post(url).header("X-Shopify-Access-Token", TOKEN);
    request.json(&json!({ "query": SET, "variables": mug("1") })).send().await.unwrap_err();
    assert_eq!((shop.n_created("mug-12"), shop.faults().n_answered("mug-12")), (1, 0));
}
