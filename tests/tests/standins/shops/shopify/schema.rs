//! What is asked, held against the vendor's own schema.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use providers::publication::SHOPIFY_QUERIES;
use tests::workspace;

use super::*;

/// What is wrong with these documents and variables, by the schema of the version that is asked.
async fn problems(documents: Value) -> Option<String> {
    let home = workspace().join(".dev/shopify");
    if !home.join("pins").is_file() {
        let missing = "the schema of Shopify's API is not there: run `./dev setup` to get it";
        assert!(env::var("CI").as_deref() != Ok("true"), "{missing}");
        println!("NOT RUN: {missing}");
        return None;
    }
    let folder = servers::temp_dir();
    let input = folder.path().join("documents.json");
    fs::write(&input, documents.to_string()).unwrap();
    let mut command = Command::new(home.join("bin/node"));
    command.arg(workspace().join("tests/shopify/check.mjs")).arg(home.join("schema.json.gz"));
    command.stdin(fs::File::open(&input).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[tokio::test]
async fn every_query_and_all_that_is_sent_with_it_fit_the_vendors_schema() {
    let (shop, till) = open().await;
    shop.speak(&["en", "fr"]);
    till.test().await.unwrap();
    let own = Picture { url: None, bytes: Original::Here("bytes".into()), ..picture("own") };
    let french = Texts { title: set("Tasse"), ..Texts::default() };
    let everything = Patch {
        images: Field::Set(vec![own, picture("front")]),
        translations: [("fr".to_owned(), french)].into(),
        ..mug()
    };
    till.publish("1", &everything).await;
    let id = only(&shop)["id"].as_str().unwrap().to_owned();
    till.publish(
        "2",
        &Patch {
            translations: [("fr".to_owned(), Texts { title: Field::Clear, ..Texts::default() })].into(),
            ..coloured()
        },
    )
    .await;
    shop.edit(&id, |product| product["variants"][0]["inventoryItem"]["levels"] = json!({}));
    let detached = Patch {
        short_description_html: Field::Clear,
        variants: Field::Set(vec![
            variant("MUG-R", "red", &json!({ "image": null, "stock": 7 })),
            variant("MUG-B", "blue", &json!({ "stock": 8, "gtin": null, "sale_price": null })),
        ]),
        ..Patch::default()
    };
    till.publish("3", &detached).await;
    till.publish("4", &Patch { variants: Field::Clear, options: Field::Clear, ..mug() }).await;
    till.carry_out("5", Action::Unpublish, &Patch::default()).await;
    till.carry_out("6", Action::Delete, &Patch::default()).await;

    let asked = shop.asked();
    let unasked: Vec<&str> =
        SHOPIFY_QUERIES.iter().filter(|query| !asked.contains_key(query.text)).map(|query| query.name).collect();
    assert!(unasked.is_empty(), "was never asked: {unasked:?}");
    let documents = SHOPIFY_QUERIES
        .iter()
        .map(|query| json!({ "name": query.name, "query": query.text, "variables": asked[query.text] }));
    let Some(problems) = problems(documents.collect()).await else { return };
    assert_eq!(problems, "");
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_noticed() {
    let query = "mutation Q($input: InventorySetQuantitiesInput!) { inventorySetQuantities(input: $input) { userErrors { code no } } }";
    let quantity = json!({ "inventoryItemId": "i", "locationId": "l", "quantity": "many" });
    let variables = json!([{ "input": { "name": "available", "quantities": [quantity] }, "more": 1 }]);
    let Some(problems) = problems(json!([{ "name": "Q", "query": query, "variables": variables }])).await else {
        return;
    };
    for part in [
        "Cannot query field \"no\"",
        "lacks @idempotent",
        "changeFromQuantity must be sent",
        "cannot represent non-integer",
        "\"reason\"",
        "$more is not declared",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}
