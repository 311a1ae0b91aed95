//! Variants.

use providers::publication::{Action, Field, Patch, PublicationStatus, Variant};
use serde_json::json;

use super::{changed, colours, cup, cups, price, set, shop, till, till_of, variant};

#[tokio::test]
async fn they_are_made_with_values_prices_stock_and_pictures() {
    let shop = shop().await;
    let till = till(&shop);
    let done = till.publish("1", &cups()).await;
    assert_eq!(done.status, PublicationStatus::Published);
    let is = shop.product("CUP-1");
    let red = json!({ "options": { "Colour": "red" }, "more": 0.0, "weighs_more": 0.0, "stock": 3, "ean13": "", "upc": "", "reduction": null, "pictures": ["front.jpg"] });
    let blue = json!({ "options": { "Colour": "blue" }, "more": 1.5, "weighs_more": 0.05, "stock": 4, "ean13": "4006381333931", "upc": "", "reduction": null, "pictures": [] });
    assert_eq!(is["variants"], json!({ "CUP-R*": red, "CUP-B": blue }));
    assert_eq!(
        (&is["stock"], shop.n_rows("product_options"), shop.n_rows("product_option_values")),
        (&json!(7), 1, 2),
        "P40"
    );
    assert_eq!(shop.shown(), [is]);
    let n_writes = shop.n_writes();
    assert_eq!(till.publish("2", &cups()).await.status, PublicationStatus::Unchanged);
    assert_eq!(shop.n_writes(), n_writes);
    assert_eq!(till.listing().variants.len(), 2);
}

#[tokio::test]
async fn they_are_added_changed_and_removed() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cups()).await;
    let green = Variant { stock: Field::Set(5), ..variant("CUP-G", "green") };
    let variants = |all: Vec<Variant>| Patch { variants: Field::Set(all), ..Patch::default() };
    let n_rows =
        |shop: &tests::standins::prestashop::PrestaShop| (shop.n_rows("combinations"), shop.n_rows("stock_availables"));
    till.publish("2", &variants(vec![variant("CUP-R", "red"), variant("CUP-B", "blue"), green.clone()])).await;
    let is = shop.product("CUP-1");
    assert_eq!(
        (&is["variants"]["CUP-G"]["stock"], &is["variants"]["CUP-B"]["stock"], &is["stock"]),
        (&json!(5), &json!(4), &json!(12))
    );
    assert_eq!(n_rows(&shop), (3, 4));
    // The default one leaves: another is it.
    till.publish("3", &variants(vec![variant("CUP-B", "blue"), green])).await;
    let is = shop.product("CUP-1");
    let names: Vec<&str> = is["variants"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, n_rows(&shop)), (vec!["CUP-B*", "CUP-G"], (2, 3)));
    let done = till.publish("4", &Patch { variants: Field::Clear, ..Patch::default() }).await;
    assert_eq!((changed(&done), n_rows(&shop)), (vec!["variants"], (0, 1)));
}

#[tokio::test]
async fn the_same_values_are_not_given_twice_and_a_variant_can_get_another_sku() {
    // P39.
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cups()).await;
    let red = Variant { stock: Field::Set(9), ..variant("CUP-RED", "red") };
    let patch = Patch { variants: Field::Set(vec![red, variant("CUP-B", "blue")]), ..Patch::default() };
    till.publish("2", &patch).await;
    let is = shop.product("CUP-1");
    assert_eq!((&is["variants"]["CUP-RED*"]["stock"], shop.n_rows("combinations")), (&json!(9), 2), "{is}");
    let twice = Patch { variants: Field::Set(vec![variant("A", "red"), variant("B", "red")]), ..Patch::default() };
    let error = till.try_carry_out("3", Action::Publish, &twice).await.unwrap_err();
    assert!(error.to_string().contains("must name one of the product's values"), "{error}");
    // One that a merchant made leaves with all others that are not ordered, and two with one SKU are one too many.
    assert_ne!(shop.plant_variant(1, ""), 0);
    assert_ne!(shop.plant_variant(1, "CUP-B"), 0);
    till.publish("4", &patch).await;
    assert_eq!((shop.n_rows("combinations"), &shop.product("CUP-1")["stock"]), (2, &json!(13)));
}

#[tokio::test]
async fn stock_of_a_product_with_variants_is_theirs() {
    // P40.
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cups()).await;
    let error = till
        .try_carry_out("2", Action::Publish, &Patch { stock: Field::Set(9), ..Patch::default() })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("set theirs"), "{error}");
    let error = till.try_carry_out("3", Action::Publish, &Patch { stock: Field::Set(9), ..cups() }).await.unwrap_err();
    assert!(error.to_string().contains("stock: "), "{error}");
    assert_eq!(shop.product("CUP-1")["stock"], json!(7));
}

#[tokio::test]
async fn options_and_values_are_shared_by_products() {
    // P69.
    let shop = shop().await;
    till(&shop).publish("1", &cups()).await;
    let mut other = cups();
    let skus = [
        Variant { sku: "MUG-R".to_owned(), ..variant("", "red") },
        Variant { sku: "MUG-W".to_owned(), ..variant("", "white") },
    ];
    other.variants = Field::Set(skus.to_vec());
    other.options = colours(&["red", "white"]);
    till_of(&shop, "MUG-1").publish("1", &other).await;
    assert_eq!((shop.n_rows("product_options"), shop.n_rows("product_option_values")), (1, 3));
}

#[tokio::test]
async fn a_variant_s_sku_that_another_product_has_is_refused() {
    let shop = shop().await;
    let id = shop.plant("THEIRS", "Theirs");
    assert_ne!(shop.plant_variant(id, "cup-r"), 0);
    let till = till(&shop);
    let error = till.try_carry_out("1", Action::Publish, &cups()).await.unwrap_err();
    assert!(error.to_string().contains("variants: ") && error.to_string().contains("product 1 (cup-r)"), "{error}");
    assert_eq!(shop.product("CUP-1")["visible"], json!(false), "it is not shown without them");
}

#[tokio::test]
async fn a_simple_product_gets_variants_and_twelve_digits_are_a_upc() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    let red =
        Variant { gtin: set("036000291452"), stock: Field::Set(1), price: price("10"), ..variant("CUP-R", "red") };
    till.publish("2", &Patch { variants: Field::Set(vec![red]), gtin: set("036000291452"), ..Patch::default() }).await;
    let is = shop.product("CUP-1");
    assert_eq!(
        (&is["variants"]["CUP-R*"]["upc"], &is["variants"]["CUP-R*"]["more"], &is["stock"]),
        (&json!("036000291452"), &json!(-2.5), &json!(1))
    );
    assert_eq!((&is["upc"], &is["ean13"]), (&json!("036000291452"), &json!("")));
}
