//! Variants: W38 to W41.

use providers::publication::{Action, Field, Patch, PublicationStatus, Variant};
use serde_json::{Value, json};
use tests::standins::woocommerce::WooCommerce;

use super::{super::every_drop, SKU, colours, euros, mug, mugs, n_writes, set, start, the_one, variant, variation};

#[track_caller]
fn assert_are_the_mugs(product: &Value, about: &str) {
    assert_eq!(
        (&product["type"], &product["status"], &product["sku"]),
        (&json!("variable"), &json!("publish"), &json!(SKU)),
        "{about}"
    );
    assert_eq!(product["variations"].as_array().unwrap().len(), 2, "{about}: {product}");
    assert_eq!(product["attributes"][0]["options"], json!(["red", "blue"]), "{about}");
    let (red, blue) = (variation(product, "MUG-R"), variation(product, "MUG-B"));
    assert_eq!(
        (&red["regular_price"], &red["stock_quantity"], &red["manage_stock"]),
        (&json!("13"), &json!(2), &json!(true)),
        "{about}"
    );
    assert_eq!(red["attributes"][0]["option"], "red", "{about}");
    assert_eq!(red["image"]["id"], product["images"][1]["id"], "{about}");
    assert_eq!((&blue["regular_price"], &blue["weight"]), (&json!("12.5"), &json!("0.3")), "{about}");
    assert_eq!(
        (&blue["global_unique_id"], &blue["attributes"][0]["option"]),
        (&json!("4006381333948"), &json!("blue")),
        "{about}"
    );
}

#[track_caller]
fn assert_only_the_mugs(shop: &WooCommerce, about: &str) {
    assert_are_the_mugs(&the_one(shop, about), about);
    assert_eq!(shop.media().len(), 2, "{about}");
    for state in shop.shown() {
        assert_are_the_mugs(&state, about);
    }
}

#[tokio::test]
async fn a_product_with_variants_is_made_and_left_alone_when_nothing_changes() {
    let (shop, till) = start().await;
    till.publish("1", &mugs()).await;
    assert_only_the_mugs(&shop, "made");
    let n_before = n_writes(&shop);
    let again = till.publish("2", &mugs()).await;
    assert_eq!((again.status, again.changes), (PublicationStatus::Unchanged, Vec::new()));
    assert_eq!(n_writes(&shop), n_before, "{:?}", shop.faults().last());
}

#[tokio::test]
async fn a_variant_is_added_and_another_removed() {
    let (shop, till) = start().await;
    till.publish("1", &mugs()).await;
    let blue = variation(&the_one(&shop, "made"), "MUG-B")["id"].clone();
    let green = Variant { price: euros("15"), ..variant("MUG-G", "green") };
    let change = Patch {
        options: colours(&["blue", "green"]),
        variants: Field::Set(vec![variant("MUG-B", "blue"), green]),
        ..Patch::default()
    };
    till.publish("2", &change).await;
    let product = the_one(&shop, "changed");
    assert_eq!(product["variations"].as_array().unwrap().len(), 2, "{product}");
    assert_eq!(
        (&variation(&product, "MUG-B")["id"], &variation(&product, "MUG-B")["regular_price"]),
        (&blue, &json!("12.5"))
    );
    assert_eq!(variation(&product, "MUG-G")["regular_price"], "15");
    assert_eq!(product["attributes"][0]["options"], json!(["blue", "green"]));
    // Only the stock of one.
    let n_before = n_writes(&shop);
    let stock = Variant { stock: Field::Set(5), ..variant("MUG-G", "green") };
    till.publish("3", &Patch { variants: Field::Set(vec![variant("MUG-B", "blue"), stock]), ..Patch::default() }).await;
    assert_eq!(
        (n_writes(&shop) - n_before, variation(&the_one(&shop, "stock"), "MUG-G")["stock_quantity"].clone()),
        (1, json!(5))
    );
}

/// W39: an unknown option would be a variant for any.
#[tokio::test]
async fn a_variant_of_an_unknown_option_is_refused() {
    let (shop, till) = start().await;
    till.publish("1", &mugs()).await;
    let change =
        Patch { variants: Field::Set(vec![variant("MUG-B", "blue"), variant("MUG-X", "pink")]), ..Patch::default() };
    let refused = till.try_carry_out("2", Action::Publish, &change).await.unwrap_err().to_string();
    assert!(refused.starts_with("variants.MUG-X.options: "), "{refused}");
    assert_eq!(shop.products("MUG-X").len(), 0);
}

/// W38: the price of a product with variants is theirs, where they have one.
#[tokio::test]
async fn a_price_alone_is_that_of_all_variants_or_refused() {
    let (shop, till) = start().await;
    let two = Patch { variants: Field::Set(vec![variant("MUG-R", "red"), variant("MUG-B", "blue")]), ..mugs() };
    till.publish("1", &two).await;
    let price = |amount: &str| Patch { price: euros(amount), ..Patch::default() };
    let done = till.publish("2", &price("20")).await;
    assert_eq!((done.changes.len(), done.status), (1, PublicationStatus::Published));
    let product = the_one(&shop, "price");
    assert!(product["variations"].as_array().unwrap().iter().all(|row| row["regular_price"] == "20"), "{product}");
    let n_before = n_writes(&shop);
    assert_eq!(till.publish("3", &price("20.00")).await.status, PublicationStatus::Unchanged);
    assert_eq!(n_writes(&shop), n_before);
    shop.edit(variation(&product, "MUG-R")["id"].as_u64().unwrap(), &json!({ "regular_price": "21" }));
    let refused = till.try_carry_out("4", Action::Publish, &price("22")).await.unwrap_err().to_string();
    assert!(refused.starts_with("price: ") && refused.contains("variant by variant"), "{refused}");
}

/// W38f: the type is never sent, unless the variants are to go; then they are deleted first, and the product is hidden meanwhile.
#[tokio::test]
async fn a_product_gets_variants_and_loses_them() {
    let (shop, till) = start().await;
    till.publish("1", &Patch { slug: Field::Keep, ..mug() }).await;
    let variants = Patch {
        options: colours(&["red", "blue"]),
        variants: Field::Set(vec![
            Variant { price: euros("9"), ..variant("MUG-R", "red") },
            Variant { price: euros("9"), ..variant("MUG-B", "blue") },
        ]),
        ..Patch::default()
    };
    let n_shown = shop.shown().len();
    till.publish("2", &variants).await;
    let product = the_one(&shop, "variable");
    assert_eq!(
        (&product["type"], &product["status"], product["variations"].as_array().unwrap().len()),
        (&json!("variable"), &json!("publish"), 2)
    );
    for state in &shop.shown()[n_shown..] {
        assert_eq!(state["variations"].as_array().unwrap().len(), 2, "{state}");
    }
    // Other fields leave them alone.
    till.publish("3", &Patch { title: set("Cup"), stock: Field::Set(1), ..Patch::default() }).await;
    assert_eq!(the_one(&shop, "title")["variations"].as_array().unwrap().len(), 2);
    let n_shown = shop.shown().len();
    till.publish("4", &Patch { variants: Field::Clear, options: Field::Clear, ..Patch::default() }).await;
    let product = the_one(&shop, "simple");
    assert_eq!(
        (&product["type"], &product["status"], &product["regular_price"]),
        (&json!("simple"), &json!("publish"), &json!("9"))
    );
    assert_eq!((&product["variations"], &product["attributes"]), (&json!([]), &json!([])));
    for state in &shop.shown()[n_shown..] {
        assert!(state["type"] == "simple" && state["regular_price"] == "9", "{state}");
    }
    assert_eq!(shop.media().len(), 2);
}

/// W40, W41, W13c: rows without a SKU, with our options, and twice with our SKU.
#[tokio::test]
async fn variations_of_others_are_adopted_by_their_options_and_doubles_leave() {
    let (shop, till) = start().await;
    let parent = shop.plant(&json!({ "name": "Mug", "type": "variable", "sku": SKU,
        "attributes": [{ "name": "Colour", "variation": true, "options": ["red", "blue"] }] }));
    let plant = |fields: Value| shop.plant_variation(parent, &fields).unwrap();
    let option = |colour: &str| json!([{ "name": "Colour", "option": colour }]);
    let red = plant(json!({ "regular_price": "1", "attributes": option("red") }));
    let blue = plant(json!({ "regular_price": "1", "sku": "MUG-B", "attributes": option("blue") }));
    plant(json!({ "regular_price": "1", "sku": "MUG-B", "attributes": option("blue") }));
    plant(json!({ "regular_price": "1", "attributes": option("red") }));
    let variants = vec![variant("MUG-R", "red"), variant("MUG-B", "blue")];
    till.publish("1", &Patch { variants: Field::Set(variants), ..Patch::default() }).await;
    let product = the_one(&shop, "adopted");
    assert_eq!(product["variations"].as_array().unwrap().len(), 2, "{product}");
    assert_eq!((&variation(&product, "MUG-R")["id"], &variation(&product, "MUG-B")["id"]), (&json!(red), &json!(blue)));
}

/// W38m: stock that is the product's stays so.
#[tokio::test]
async fn stock_of_the_product_is_not_made_the_variants() {
    let (shop, till) = start().await;
    let variants = Field::Set(vec![variant("MUG-R", "red"), variant("MUG-B", "blue")]);
    till.publish("1", &Patch { variants, stock: Field::Set(9), ..mugs() }).await;
    let product = the_one(&shop, "stock");
    assert_eq!(variation(&product, "MUG-R")["manage_stock"], "parent");
    let dear = Variant { price: euros("99"), stock: Field::Clear, ..variant("MUG-R", "red") };
    till.publish("2", &Patch { variants: Field::Set(vec![dear, variant("MUG-B", "blue")]), ..Patch::default() }).await;
    let product = the_one(&shop, "stock");
    assert_eq!(variation(&product, "MUG-R")["manage_stock"], "parent");
    assert_eq!((&variation(&product, "MUG-R")["regular_price"], &product["stock_quantity"]), (&json!("99"), &json!(9)));
}

/// A variant's SKU that another product has.
#[tokio::test]
async fn a_variants_sku_that_is_taken_is_named() {
    let (shop, till) = start().await;
    let id = shop.plant(&json!({ "name": "Theirs", "sku": "mug-b", "regular_price": "1" }));
    let refused = till.try_carry_out("1", Action::Publish, &mugs()).await.unwrap_err().to_string();
    assert!(refused.starts_with("variants.MUG-B.sku: ") && refused.contains(&format!("product {id}")), "{refused}");
    assert!(shop.shown().iter().all(|state| state["id"] == id), "it was never shown");
    let other = super::till(&shop, "OTHER").try_carry_out("1", Action::Publish, &mug()).await;
    assert!(other.is_ok());
}

#[tokio::test]
async fn variants_cut_off_anywhere_end_as_ordered_and_once() {
    let n_cut = every_drop(
        start,
        WooCommerce::faults,
        async |till| drop(till.publish("1", &mugs()).await),
        |shop, about| assert_only_the_mugs(shop, about),
    )
    .await;
    assert!(n_cut >= 4 * 8, "{n_cut}");
}

#[tokio::test]
async fn variants_that_come_and_go_cut_off_anywhere_end_as_ordered() {
    let simple = Patch { variants: Field::Clear, options: Field::Clear, ..Patch::default() };
    let green = Variant { price: euros("15"), ..variant("MUG-G", "green") };
    let change = Patch {
        options: colours(&["blue", "green"]),
        variants: Field::Set(vec![variant("MUG-B", "blue"), green]),
        ..Patch::default()
    };
    for (then, types) in [(&change, "variable"), (&simple, "simple")] {
        every_drop(
            async || {
                let (shop, till) = start().await;
                let variants = vec![variant("MUG-R", "red"), variant("MUG-B", "blue")];
                till.publish("1", &Patch { variants: Field::Set(variants), ..mugs() }).await;
                (shop, till)
            },
            WooCommerce::faults,
            async |till| drop(till.publish("2", then).await),
            |shop, about| {
                let product = the_one(shop, about);
                assert_eq!(
                    (&product["type"], &product["status"]),
                    (&json!(types), &json!("publish")),
                    "{about}: {product}"
                );
                let n_variations = product["variations"].as_array().unwrap().len();
                if types == "simple" {
                    assert_eq!((n_variations, &product["regular_price"]), (0, &json!("12.5")), "{about}");
                } else {
                    assert_eq!(n_variations, 2, "{about}: {product}");
                    assert_eq!(variation(&product, "MUG-G")["regular_price"], "15", "{about}");
                }
            },
        )
        .await;
    }
}
