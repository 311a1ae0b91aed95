//! Prices: with and without tax, reduced, of variants.

use providers::publication::{Field, Patch, PublicationStatus, Variant};
use serde_json::json;

use super::{changed, cup, cups, price, shop, till, variant};

#[tokio::test]
async fn the_tax_of_the_shop_s_country_is_taken_out_and_put_in_again() {
    let shop = shop().await;
    shop.tax(1, "20");
    let till = till(&shop);
    till.publish("1", &cup()).await;
    shop.edit("CUP-1", "id_tax_rules_group", "1");
    let price_of = |amount: &str| Patch { price: price(amount), ..Patch::default() };
    let done = till.publish("2", &price_of("19.90")).await;
    assert_eq!((&done.changes[0].was, &done.changes[0].becomes), (&json!("15"), &json!("19.9")));
    assert_eq!(shop.product("CUP-1")["price"], json!(16.583_333));
    assert_eq!(till.publish("3", &price_of("19.9")).await.status, PublicationStatus::Unchanged);
    // Without the right to read it, the price is the one without tax.
    shop.deny("tax_rules", "*");
    till.publish("4", &price_of("19.9")).await;
    assert_eq!(shop.product("CUP-1")["price"], json!(19.9));
}

#[tokio::test]
async fn a_reduced_price_is_for_everybody_and_stays_what_it_is_when_the_price_changes() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &Patch { sale_price: price("10"), ..cup() }).await;
    assert_eq!((shop.product("CUP-1")["reduction"].clone(), shop.n_rows("specific_prices")), (json!(2.5), 1));
    let done = till.publish("2", &Patch { price: price("13"), ..Patch::default() }).await;
    assert_eq!((changed(&done), shop.product("CUP-1")["reduction"].clone()), (vec!["price"], json!(3.0)));
    till.publish("3", &Patch { sale_price: price("9"), ..Patch::default() }).await;
    assert_eq!((shop.product("CUP-1")["reduction"].clone(), shop.n_rows("specific_prices")), (json!(4.0), 1));
    let error = till
        .try_carry_out("4", providers::publication::Action::Publish, &Patch { price: price("8"), ..Patch::default() })
        .await;
    assert!(error.unwrap_err().to_string().contains("must be below the price"));
    till.publish("5", &Patch { sale_price: Field::Clear, ..Patch::default() }).await;
    assert_eq!((shop.product("CUP-1")["reduction"].clone(), shop.n_rows("specific_prices")), (json!(null), 0));
}

#[tokio::test]
async fn a_variant_s_price_and_weight_are_kept_as_differences_and_stay_what_they_are() {
    let shop = shop().await;
    shop.tax(1, "20");
    let till = till(&shop);
    till.publish("1", &cups()).await;
    let variants = |more: f64, weighs: f64| {
        let is = shop.product("CUP-1");
        assert_eq!(
            (&is["variants"]["CUP-R*"]["more"], &is["variants"]["CUP-B"]["more"]),
            (&json!(0.0), &json!(more)),
            "{is}"
        );
        assert_eq!(is["variants"]["CUP-B"]["weighs_more"], json!(weighs));
    };
    variants(1.5, 0.05);
    // The red one has no price of its own, the blue one does.
    till.publish("2", &Patch { price: price("13"), weight_g: Field::Set(200), ..Patch::default() }).await;
    variants(1.0, 0.1);
    let blue = Variant { price: price("15"), sale_price: price("14"), ..variant("CUP-B", "blue") };
    till.publish("3", &Patch { variants: Field::Set(vec![variant("CUP-R", "red"), blue]), ..Patch::default() }).await;
    variants(2.0, 0.1);
    let is = shop.product("CUP-1");
    assert_eq!((&is["variants"]["CUP-B"]["reduction"], &is["reduction"]), (&json!(1.0), &json!(null)));
    shop.edit("CUP-1", "id_tax_rules_group", "1");
    till.publish("4", &Patch { price: price("12"), ..Patch::default() }).await;
    variants(5.0, 0.1);
}

#[tokio::test]
async fn weights_are_in_the_shop_s_unit() {
    let shop = shop().await;
    shop.set("PS_WEIGHT_UNIT", "lb");
    let till = till(&shop);
    till.publish("1", &cup()).await;
    assert_eq!(shop.product("CUP-1")["weight"], json!(0.551_156));
    assert_eq!(till.publish("2", &cup()).await.status, PublicationStatus::Unchanged);
}

#[tokio::test]
async fn a_variant_is_left_out_of_what_holds_for_the_product() {
    let shop = shop().await;
    let till = till(&shop);
    let blue = Variant { price: price("14"), sale_price: Field::Clear, ..variant("CUP-B", "blue") };
    let variants = Field::Set(vec![variant("CUP-R", "red"), blue]);
    let patch = Patch { sale_price: price("11"), variants, ..cups() };
    till.publish("1", &patch).await;
    let is = shop.product("CUP-1");
    let reductions = [&is["reduction"], &is["variants"]["CUP-R*"]["reduction"], &is["variants"]["CUP-B"]["reduction"]];
    assert_eq!(reductions, [&json!(1.5), &json!(null), &json!(0.0)]);
    assert_eq!(till.publish("2", &patch).await.status, PublicationStatus::Unchanged);
    till.publish("3", &Patch { sale_price: Field::Clear, ..patch }).await;
    assert_eq!(shop.n_rows("specific_prices"), 0);
}

#[tokio::test]
async fn a_variant_s_own_price_stays_whichever_job_runs_first_and_also_where_it_is_the_product_s() {
    for (own, paid) in [("14", 14.0), ("20", 20.0), ("12.5", 12.5)] {
        for order in [&["1", "2"][..], &["1", "2", "1"], &["2", "1"], &["2", "1", "2"]] {
            let shop = shop().await;
            let till = till(&shop);
            till.publish("0", &Patch { title: cups().title, price: price("5"), ..Patch::default() }).await;
            let blue = Variant { price: price(own), ..variant("CUP-B", "blue") };
            let two = Patch { variants: Field::Set(vec![variant("CUP-R", "red"), blue]), ..cups() };
            for job in order {
                let dearer = Patch { price: price("20"), ..Patch::default() };
                till.publish(job, if *job == "1" { &two } else { &dearer }).await;
            }
            let is = shop.product("CUP-1");
            let cost = |sku: &str| is["price"].as_f64().unwrap() + is["variants"][sku]["more"].as_f64().unwrap();
            assert_eq!((cost("CUP-R*"), cost("CUP-B")), (20.0, paid), "{own} {order:?}: {is}");
        }
    }
}
